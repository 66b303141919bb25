package stream

import (
	"runtime"
	"time"
)

// This file is how a publisher waits for the shards of a crowd. A shard writes to
// thousands of browsers what is read from a log once, and never waits for one of
// them; but a publisher can be faster than the processor that it needs for that,
// and then even browsers that take everything at once would miss events. So a
// publisher waits while a shard has still to read the older half of what is kept.

// maxPressure is how long one publication waits at most.
const maxPressure = time.Second

// isBehind reports whether a follower that has read up to an id is far behind: the
// log keeps half of what it may, or more, and of that half is yet to be read. The
// log's lock is held.
func (l *log) isBehind(read uint64) bool {
	n := len(l.events)
	if read == noEvent || n == 0 || 2*n < l.retention.events && 2*l.bytes < l.retention.bytes {
		return false
	}
	return read < l.events[n/2].ID
}

// yield waits while one of the log's followers is far behind: for a moment at
// first, because it may only have to begin.
func (l *log) yield() {
	for range 10 {
		if !l.isPressed() {
			return
		}
		runtime.Gosched()
	}
	for range maxPressure / time.Millisecond {
		if !l.isPressed() {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// isPressed reports whether publishers are to wait, as it is now.
func (l *log) isPressed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.pressed {
		l.wake()
	}
	return l.pressed
}
