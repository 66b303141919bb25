package stream

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// ErrGap means that events are missing: the place that was asked for is before
// what is kept, after the newest event, or in another life of the hub. The page
// must start again.
var ErrGap = errors.New("events are missing")

// A log is the recent past of one topic. Whoever follows it is a place in it:
// the id of the last event that it has seen. The ids of all logs of a hub come
// from one counter, each under its log's lock, so they grow, with holes for the
// events of other topics; and whoever reads the counter and then takes the lock
// finds every event up to what it has read. With a broker, which numbers the
// events, each log has a counter of its own, and the same holds for it.
type log struct {
	topic     string
	retention retention
	latest    bool           // who is behind gets the newest only
	newest    *atomic.Uint64 // the newest id of the hub; with a broker, up to where the log has all, zero at first

	mu        sync.Mutex // guards the rest
	events    []Event    // oldest first; what has been handed out is never changed
	times     []int64    // when each came, in microseconds since 1970
	floor     uint64     // the newest id that is forgotten
	bytes     int        // the size of events
	forgotten int        // events in front of events that its array still holds
	ended     bool
	used      int64    // when somebody last published, followed or asked
	followers []waiter // they are told of every change
	pressed   bool     // one of them is far behind, and publishers wait for it
	pending   int      // publications that are on their way to a store
	released  uint64   // up to here a store has been told to forget
	dropped   bool     // the hub has it no more
	stop      func()   // ends the following of a broker; nil if it has not begun

	// The rest belongs to the group of a committer whose turn it is.
	record uint64 // the newest record in the store, or where the topic began
	ending bool   // the newest record is the topic's end
}

// retention bounds what a log keeps.
type retention struct {
	events int
	bytes  int
	age    time.Duration // zero means for ever
}

// now returns the time in microseconds since 1970.
func now() int64 { return time.Now().UnixMicro() }

// append adds updates, which came at the time at, and returns the id of the last
// of them; those before it have the ids before it.
func (l *log) append(at int64, updates []Update) (last uint64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return 0, ErrTopicEnded
	}
	l.use(at)
	last = l.newest.Add(uint64(len(updates)))
	l.add(last, at, updates)
	l.wake()
	return last, nil
}

// add adds updates, of which the last has the id last, and forgets what is too
// much by then.
func (l *log) add(last uint64, at int64, updates []Update) {
	if n := len(l.times); n > 0 {
		at = max(at, l.times[n-1])
	}
	id := last - uint64(len(updates))
	for _, u := range updates {
		id++
		l.events = append(l.events, Event{ID: id, Update: u})
		l.times = append(l.times, at)
		l.bytes += size(u)
	}
	l.forgetMore()
	l.forgetOld(at)
}

// take adds what has been kept elsewhere.
func (l *log) take(r Record) {
	l.add(r.ID, r.At, r.Updates)
	l.ended = len(r.Updates) == 0
}

// pin keeps the log from being dropped until what is pending is shown or unpin.
// It reports false if the log has ended.
func (l *log) pin() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return false
	}
	l.pending++
	return true
}

func (l *log) unpin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pending--
}

// forgettable returns up to which id a store may forget the log, zero if it has
// been told. The newest record stays: it says where the log stands.
func (l *log) forgettable() uint64 {
	id := min(l.floor, l.record-1)
	if id <= l.released {
		return 0
	}
	l.released = id
	return id
}

// use says that the log was of use at the time at.
func (l *log) use(at int64) { l.used = max(l.used, at) }

// end ends the log: nothing is added any more.
func (l *log) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.use(now())
	l.ended = true
	l.wake()
}

// wake tells every follower of a change.
func (l *log) wake() {
	read := uint64(noEvent)
	for _, follower := range l.followers {
		read = min(read, follower.wake())
	}
	l.pressed = l.isBehind(read)
}

// join tells follower of every change from now on, until leave.
func (l *log) join(follower waiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.followers = append(l.followers, follower)
}

func (l *log) leave(follower waiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.use(now())
	last := len(l.followers) - 1
	l.followers[slices.Index(l.followers, follower)] = l.followers[last]
	l.followers[last] = nil
	l.followers = l.followers[:last]
}

// forgetMore drops the oldest events until the log is as small as retention
// says; the newest one stays.
func (l *log) forgetMore() {
	n := 0
	for bytes := l.bytes; n < len(l.events)-1 && (len(l.events)-n > l.retention.events || bytes > l.retention.bytes); n++ {
		bytes -= size(l.events[n].Update)
	}
	l.forget(n)
}

// forgetOld drops the events that are too old at the time at.
func (l *log) forgetOld(at int64) {
	if l.retention.age > 0 {
		n, _ := slices.BinarySearch(l.times, at-l.retention.age.Microseconds())
		l.forget(n)
	}
}

// forget drops the n oldest events.
func (l *log) forget(n int) {
	if n == 0 {
		return
	}
	for _, e := range l.events[:n] {
		l.bytes -= size(e.Update)
	}
	l.floor = max(l.floor, l.events[n-1].ID)
	l.events, l.times = l.events[n:], l.times[n:]
	if l.forgotten += n; l.forgotten > len(l.events) {
		l.events, l.times = slices.Clone(l.events), slices.Clone(l.times) // frees what is forgotten
		l.forgotten = 0
	}
}

// holds reports whether updates that come together can all be kept.
func (r retention) holds(updates []Update) bool {
	bytes := 0
	for _, u := range updates {
		bytes += size(u)
	}
	return len(updates) <= 1 || len(updates) <= r.events && bytes <= r.bytes
}

func size(u Update) int { return len(u.Action) + len(u.Target) + len(u.HTML) }

// between returns the events that follow the id after, up to the id newest, and
// whether there is nothing behind them and never will be. It returns ErrGap if
// it does not have all of them. The id 0 stands before the oldest event that is
// kept.
func (l *log) between(after, newest uint64) (events []Event, ended bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.retention.age > 0 {
		l.forgetOld(now())
	}
	if after != 0 && after < l.floor {
		return nil, false, ErrGap
	}
	begin, end := l.behind(after), l.behind(newest)
	return l.events[begin:end:end], l.ended && end == len(l.events), nil
}

// behind returns the index of the first event whose id is greater than id.
func (l *log) behind(id uint64) int {
	if n := len(l.events); n == 0 || l.events[n-1].ID <= id {
		return n
	}
	i, _ := slices.BinarySearchFunc(l.events, id, func(e Event, id uint64) int {
		if e.ID <= id {
			return -1
		}
		return 1
	})
	return i
}

// hasEnded reports whether nothing is added any more.
func (l *log) hasEnded() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ended
}

// visit returns the log's place for somebody who is about to follow.
func (l *log) visit() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.use(now())
	return l.place()
}

// place returns the id of the newest event, or the floor if there is none.
func (l *log) place() uint64 {
	if n := len(l.events); n > 0 {
		return l.events[n-1].ID
	}
	return l.floor
}

// idle reports whether nobody follows the log, nothing is on its way to it and
// nobody has used it for the microseconds limit before the time at. It forgets what is too old.
func (l *log) idle(at, limit int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forgetOld(at)
	return len(l.followers) == 0 && l.pending == 0 && at-l.used >= limit
}
