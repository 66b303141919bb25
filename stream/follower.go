package stream

import (
	"cmp"
	"context"
	"slices"
	"sync/atomic"
)

// A follower reads the logs of some topics, as one, from a place on. It belongs
// to one goroutine.
type follower struct {
	newest *atomic.Uint64 // the newest id of the hub
	logs   []*log
	place  uint64        // all up to this id has been read; 0 is before all that is kept
	wake   chan struct{} // has a token if a log may have changed
	begun  bool          // next has been called
}

// follow returns a follower of topics at place. No topic is dropped until it
// leaves.
func (h *Hub) follow(place uint64, topics []string) (*follower, error) {
	f := &follower{newest: &h.newest, place: place, wake: make(chan struct{}, 1)}
	for _, topic := range unique(topics) {
		if err := h.with(topic, f.join); err != nil {
			f.leave()
			return nil, err
		}
	}
	return f, nil
}

// unique returns topics with each name once.
func unique(topics []string) []string {
	if len(topics) < 2 {
		return topics
	}
	return slices.Compact(slices.Sorted(slices.Values(topics)))
}

func (f *follower) join(l *log) {
	l.join(f.wake)
	f.logs = append(f.logs, l)
}

func (f *follower) leave() {
	for _, l := range f.logs {
		l.leave(f.wake)
	}
}

// next returns the events that follow f's place, at least one, and waits for
// them if there are none. The error is ErrGap, ErrTopicEnded if all topics have
// ended, or that of ctx.
func (f *follower) next(ctx context.Context) ([]Event, error) {
	for {
		events, err := f.read()
		f.count(events, err)
		if err != nil || len(events) > 0 {
			return events, err
		}
		select {
		case <-f.wake:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// count counts what f has read: a gap, and at first what it has missed.
func (f *follower) count(events []Event, err error) {
	if err == ErrGap {
		gaps.Inc()
	}
	if !f.begun && len(events) > 0 {
		replays.Inc()
		replayed.Add(len(events))
	}
	f.begun = true
}

// read returns the events that follow f's place, if there are any. It takes the
// logs' locks one after the other, and its events are complete all the same: the
// id up to which it reads is taken first, and every id is given under the lock
// of its log.
func (f *follower) read() (events []Event, err error) {
	newest, ended, merged := f.newest.Load(), true, false
	if f.place > newest {
		return nil, ErrGap
	}
	for _, l := range f.logs {
		more, over, err := l.between(f.place, newest)
		if err != nil {
			return nil, err
		}
		ended = ended && over
		if l.latest {
			more = conflate(more)
		}
		switch {
		case len(more) == 0:
		case len(events) == 0:
			events = more
		default:
			events = append(events, more...) // a copy, because a slice of a log has no room
			merged = true
		}
	}
	if merged {
		slices.SortFunc(events, func(a, b Event) int { return cmp.Compare(a.ID, b.ID) })
	}
	if len(events) == 0 && ended {
		return nil, ErrTopicEnded
	}
	f.place = newest
	return events, nil
}
