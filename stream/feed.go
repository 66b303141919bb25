package stream

import (
	"cmp"
	"context"
	"errors"
	"strconv"
)

// A Feed is one topic of a Hub, or several as one, and a place in it. A page
// that carries the place of a Feed made before it was rendered, and follows from
// there, misses nothing in between. It is a value: copy it as you like. Hub.Feed
// makes it.
type Feed struct {
	// Topics are the names of the topics.
	Topics []string
	// After is the id of the last event that a page without a LastEventID is
	// taken to have seen. Zero means none of those that are kept.
	After uint64

	hub *Hub
	err error
}

// Err returns nil, or why the feed cannot be followed: an error that wraps
// ErrTopic, ErrTopics or ErrBroker.
func (f Feed) Err() error { return f.err }

// Follow is a Source: it sends page the events that follow its LastEventID, or
// After if it has none, and goes on with new ones as they come. It returns nil
// when all topics have ended, and an error that wraps ErrGap, having told the
// page to reload, when events are missing. A page that is a document, as in plain
// mode, has to end: it gets what there is by now.
func (f Feed) Follow(ctx context.Context, page *Page) error {
	after := cmp.Or(page.LastEventID, f.After)
	page.follows(f.Topics)
	if page.document != nil {
		return f.sendKept(page, after)
	}
	page.member.follow()
	for events, err := range f.hub.Subscribe(ctx, after, f.Topics...) {
		if errors.Is(err, ErrGap) {
			page.SendEvents(Event{ID: f.hub.Feed(f.Topics...).After, Update: Reload()})
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
	page.follows(f.Topics)
	if events, err := f.kept(cmp.Or(page.LastEventID, f.After)); err == nil && len(events) == 0 {
		return errCaughtUp
	}
	return f.Follow(ctx, page)
}

// sendKept sends page the events after an id that there are by now.
func (f Feed) sendKept(page *Page, after uint64) error {
	events, err := f.kept(after)
	if err != nil && !errors.Is(err, ErrTopicEnded) {
		return err
	}
	return page.SendEvents(events...)
}

// kept returns the events after an id that there are by now.
func (f Feed) kept(after uint64) ([]Event, error) {
	if err := f.hub.await(f.Topics); err != nil {
		return nil, err
	}
	reader, err := f.hub.follow(after, f.Topics)
	if err != nil {
		return nil, err
	}
	defer reader.leave()
	return reader.read()
}

// Ended reports whether all topics have ended.
func (f Feed) Ended() bool {
	for _, topic := range f.Topics {
		ended := false
		f.hub.find(topic, func(l *log) { ended = l.hasEnded() })
		if !ended {
			return false
		}
	}
	return true
}

// Query returns f's place as a query for the feed's URL, "after=ID".
func (f Feed) Query() string { return "after=" + strconv.FormatUint(f.After, 10) }
