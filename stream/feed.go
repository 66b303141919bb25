package stream

import (
	"context"
	"errors"
	"strconv"
)

// A Feed is a topic of a Hub and a place in it. A page that carries the place
// of a Feed made before it was rendered, and follows from there, misses nothing
// in between. It is a value: copy it as you like. Hub.Feed makes it.
type Feed struct {
	// Topic is the name of the topic.
	Topic string
	// After is the id of the last event that a page without a LastEventID is
	// taken to have seen. Zero means none of those that are kept.
	After uint64

	hub *Hub
}

// Follow is a Source: it sends page the events that follow its LastEventID, or
// After if it has none, and goes on with new ones as they come. It returns nil
// when the topic has ended, and an error that wraps ErrGap, having told the page
// to reload, when events are missing. A page that is a document, as in plain
// mode, has to end: it gets what there is by now.
func (f Feed) Follow(ctx context.Context, page *Page) error {
	after := f.After
	if page.LastEventID != 0 {
		after = page.LastEventID
	}
	if page.document != nil {
		return f.catchUp(page, after)
	}
	for events, err := range f.hub.Subscribe(ctx, f.Topic, after) {
		if errors.Is(err, ErrGap) {
			page.SendEvents(Event{ID: f.hub.Feed(f.Topic).After, Update: Reload()})
		}
		if err != nil {
			return err
		}
		if err := page.SendEvents(events...); err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}

// catchUp sends page the events after an id that there are by now.
func (f Feed) catchUp(page *Page, after uint64) error {
	log, err := f.hub.log(f.Topic)
	if err != nil {
		return err
	}
	events, _, err := log.after(after)
	if err != nil && !errors.Is(err, ErrTopicEnded) {
		return err
	}
	return page.SendEvents(events...)
}

// Ended reports whether the topic has ended.
func (f Feed) Ended() bool {
	log := f.hub.find(f.Topic)
	return log != nil && log.hasEnded()
}

// Query returns f's place as a query for the feed's URL, "after=ID".
func (f Feed) Query() string { return "after=" + strconv.FormatUint(f.After, 10) }
