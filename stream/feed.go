package stream

import (
	"cmp"
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
// to reload, when events are missing.
func (f Feed) Follow(ctx context.Context, page *Page) error {
	after := cmp.Or(page.LastEventID, f.After)
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

// errCaughtUp says that a source has sent all that there is.
var errCaughtUp = errors.New("caught up")

// CatchUp is a Source for a Response with a Wait: like Follow, but it does not
// wait for new events.
func (f Feed) CatchUp(ctx context.Context, page *Page) error {
	after := cmp.Or(page.LastEventID, f.After)
	if log := f.hub.find(f.Topic); log != nil && !log.hasEnded() && log.place() == after {
		return errCaughtUp
	}
	return f.Follow(ctx, page)
}

// Ended reports whether the topic has ended.
func (f Feed) Ended() bool {
	log := f.hub.find(f.Topic)
	return log != nil && log.hasEnded()
}

// Query returns f's place as a query for the feed's URL, "after=ID".
func (f Feed) Query() string { return "after=" + strconv.FormatUint(f.After, 10) }
