package stream

import (
	"errors"
	"slices"
	"sync"
	"time"
)

// ErrGap means that events are missing: the place that was asked for is before
// the oldest event that is kept, after the newest, or in another life of the
// topic. The page must start again.
var ErrGap = errors.New("events are missing")

// A log is the recent past of one topic. Whoever follows it is a place in it:
// the id of the last event that it has seen. An id is the log's birth, in
// microseconds since 1970, plus the event's count; so ids grow from one life of
// a topic to the next, and an id of another life is outside the log.
type log struct {
	retention retention
	birth     uint64

	mu        sync.Mutex // guards the rest
	events    []Event    // oldest first; what has been handed out is never changed
	times     []int64    // when each came, in microseconds since 1970
	last      uint64     // the id of the newest event, birth if there was none
	bytes     int        // the size of events
	forgotten int        // events in front of events that its array still holds
	ended     bool
	more      chan struct{} // closed at the next change; nil if nobody waits
}

// retention bounds what a log keeps.
type retention struct {
	events int
	bytes  int
	age    time.Duration // zero means for ever
}

func newLog(r retention) *log {
	birth := uint64(time.Now().UnixMicro())
	return &log{retention: r, birth: birth, last: birth}
}

// append adds u and returns its id.
func (l *log) append(u Update) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return 0, ErrTopicEnded
	}
	l.last++
	l.events = append(l.events, Event{ID: l.last, Update: u})
	l.times = append(l.times, time.Now().UnixMicro())
	l.bytes += size(u)
	l.forget()
	l.wake()
	return l.last, nil
}

// end ends the log: nothing is added any more.
func (l *log) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	l.wake()
}

func (l *log) wake() {
	if l.more != nil {
		close(l.more)
		l.more = nil
	}
}

// forget drops the oldest events until retention holds; the newest one stays
// unless it is too old.
func (l *log) forget() {
	n := 0
	for n < len(l.events)-1 && (len(l.events)-n > l.retention.events || l.bytes > l.retention.bytes) {
		l.bytes -= size(l.events[n].Update)
		n++
	}
	if l.retention.age > 0 {
		oldest := time.Now().Add(-l.retention.age).UnixMicro()
		for n < len(l.events) && l.times[n] < oldest {
			l.bytes -= size(l.events[n].Update)
			n++
		}
	}
	l.events, l.times = l.events[n:], l.times[n:]
	if l.forgotten += n; l.forgotten > len(l.events) {
		l.events, l.times = slices.Clone(l.events), slices.Clone(l.times) // frees what is forgotten
		l.forgotten = 0
	}
}

func size(u Update) int { return len(u.Action) + len(u.Target) + len(u.HTML) }

// after returns the events that follow id, at least one, or a channel that is
// closed when there are more. It returns ErrGap if it does not have all of them,
// and ErrTopicEnded if there will be none. The id 0 stands before the oldest
// event that is kept.
func (l *log) after(id uint64) (events []Event, more <-chan struct{}, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget()
	oldest := l.last - uint64(len(l.events)) // the place before the oldest event
	if id == 0 {
		id = oldest
	}
	switch {
	case id < oldest || id > l.last:
		return nil, nil, ErrGap
	case id < l.last:
		return slices.Clip(l.events[id-oldest:]), nil, nil
	case l.ended:
		return nil, nil, ErrTopicEnded
	}
	if l.more == nil {
		l.more = make(chan struct{})
	}
	return nil, l.more, nil
}

// hasEnded reports whether nothing is added any more.
func (l *log) hasEnded() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ended
}

// place returns the id of the newest event.
func (l *log) place() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}
