package stream

import (
	"cmp"
	"context"
	"slices"
)

// A follower reads the logs of some topics, as one, from a place on. It belongs
// to one goroutine.
type follower struct {
	logs    []*log
	place   uint64   // all up to this id has been read; 0 is before all that is kept
	waiter  waiter   // is told when a log may have changed
	token   token    // the waiter of one that calls next
	begun   bool     // next has been called
	carrier *carrier // nil without a broker
	asked   uint64   // when the broker was asked for the place; 0 if it was not
}

// A waiter waits for a log to change.
type waiter interface {
	// wake says that the log has changed. It returns the id up to which the
	// waiter has read, if publishers are to wait for it when it is far behind,
	// else noEvent. It is called with the lock of the log held.
	wake() (read uint64)
}

// A token is the waiter of one goroutine: there is one in it if a log may have
// changed.
type token chan struct{}

func (t token) wake() (read uint64) {
	select {
	case t <- struct{}{}:
	default:
	}
	return noEvent
}

// follow returns a follower of topics at place. No topic is dropped until it
// leaves.
func (h *Hub) follow(place uint64, topics []string) (*follower, error) {
	token := make(token, 1)
	return h.tell(&follower{place: place, waiter: token, token: token}, topics)
}

// tell makes f, which has a waiter, a follower of topics.
func (h *Hub) tell(f *follower, topics []string) (*follower, error) {
	if h.Broker != nil {
		f.carrier = &h.carrier
	}
	for _, topic := range distinct(topics) {
		if err := h.with(topic, f.join); err != nil {
			f.leave()
			return nil, err
		}
	}
	return f, nil
}

// distinct returns topics with each name once.
func distinct(topics []string) []string {
	if len(topics) < 2 {
		return topics
	}
	return slices.Compact(slices.Sorted(slices.Values(topics)))
}

func (f *follower) join(l *log) {
	l.join(f.waiter)
	f.logs = append(f.logs, l)
}

func (f *follower) leave() {
	for _, l := range f.logs {
		l.leave(f.waiter)
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
		case <-f.token:
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

// read returns the events that follow f's place, if there are any, and moves it
// behind them.
func (f *follower) read() (events []Event, err error) {
	future := f.future()
	newest := f.complete()
	switch {
	case f.place <= newest:
	case future:
		return nil, ErrGap
	default:
		return nil, nil
	}
	events, err = f.between(f.place, newest)
	if err == nil {
		f.place = newest
	}
	return events, err
}

// between returns the events that follow a place, up to the id newest, up to which
// the logs are complete. It takes the logs' locks one after the other, and its
// events are complete all the same: the id up to which it reads is taken first, and
// every id is given under the lock of its log.
func (f *follower) between(place, newest uint64) (events []Event, err error) {
	ended, merged := true, false
	if place > newest {
		return nil, ErrGap
	}
	for _, l := range f.logs {
		more, over, err := l.between(place, newest)
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
	return events, nil
}

// complete returns the id up to which all the logs have all.
func (f *follower) complete() uint64 {
	if len(f.logs) == 0 {
		return f.place
	}
	least, most := f.logs[0].newest.Load(), uint64(0)
	for _, l := range f.logs {
		newest := l.newest.Load()
		least, most = min(least, newest), max(most, newest)
	}
	if f.carrier != nil && least > 0 && least < most {
		f.carrier.want(f.behind(most), most)
	}
	return least
}

// behind returns the logs that may not have all up to id.
func (f *follower) behind(id uint64) (logs []*log) {
	for _, l := range f.logs {
		if l.newest.Load() < id {
			logs = append(logs, l)
		}
	}
	return logs
}

// future reports whether f's place, if it is behind what the logs have, is behind
// all that there is. A broker has to be asked for that: until it has answered,
// the place may be one that another process has seen first.
func (f *follower) future() bool {
	if f.carrier == nil {
		return true
	}
	for _, l := range f.logs {
		if l.newest.Load() == 0 {
			return false
		}
	}
	switch logs := f.behind(f.place); {
	case len(logs) == 0:
		f.asked = 0
	case f.asked == 0:
		f.asked = f.carrier.want(logs, f.place)
	default:
		return f.carrier.answered(f.asked)
	}
	return false
}
