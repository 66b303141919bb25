package stream

import (
	"errors"
	"log/slog"
	"runtime/debug"
	"slices"
	"syscall"
	"time"
	"unique"
)

// A subscriber is a browser in a crowd: a descriptor and a place. It costs no
// goroutine and, while it takes what is written, no buffer but those of TLS. What
// it sends is not read: that it has gone shows at the descriptor. It belongs to its
// shard, whose turn it is.
type subscriber struct {
	shard     *shard
	member    *member     // nil if the server has no Streams
	transport Transport   // its own; nil if it is the shard's
	open      []byte      // what its AppendOpen appends
	gzip      *gzipMember // nil if it does not take gzip; else open is empty
	log       *slog.Logger
	path      unique.Handle[string] // of the request, for the log
	began     time.Time
	expiry    *time.Timer // nil if it never expires
	fd        int
	tls       *tlsConn // nil without TLS
	watch     uint64   // its number at the watcher; 0 until it has joined
	stats     Stats

	index  int    // in the shard's list of those behind, or of those who are not
	behind bool   // it has not got all that the shard has read
	queued bool   // it is in the shard's queue
	fresh  bool   // nothing has been written yet
	at     *batch // the last batch that was begun; nil if place counts
	place  uint64 // all events up to this id have been begun
	rest   []byte // what the socket has not taken yet, as it is on the wire
	unsent Stats  // what leaves with rest
	ticks  int    // of the shard since rest began
	cause  string // why it ends with rest; empty if it does not
	err    error  // a panic of its transport
}

// end makes the subscriber end because of err. It does not wait.
func (u *subscriber) end(err error) { u.shard.tell(notice{subscriber: u, err: err}) }

// ready is called when the socket has room again, or its other end closes it.
func (u *subscriber) ready(events uint32) { u.shard.tell(notice{subscriber: u, events: events}) }

// own returns the transport of the subscriber's response.
func (u *subscriber) own() Transport {
	if u.transport != nil {
		return u.transport
	}
	return u.shard.transport
}

// write writes b to a subscriber that has nothing unsent, and keeps what the
// socket does not take. It reports whether all has been taken.
func (u *subscriber) write(b *batch) bool {
	if len(u.open) == 0 {
		return u.writeWhole(b, b)
	}
	s := u.shard
	s.head = append(appendChunkSize(s.head[:0], len(u.open)+b.stats.Bytes), u.open...)
	head, body := s.head, b.bytes[b.body:]
	u.unsent = b.stats
	u.unsent.Bytes += len(u.open)
	if u.tls != nil {
		s.head = append(head, body...)
		return u.writeSealed(s.head, b)
	}
	n, err := s.vector.writeSome(u.fd, head, body)
	switch {
	case n < len(head):
		return u.wrote(b, slices.Concat(head[n:], body), err)
	default:
		return u.wrote(b, body[n-len(head):], err)
	}
}

// writeWhole is write for a batch that is framed for this subscriber. The last
// batch that it has begun is at.
func (u *subscriber) writeWhole(b, at *batch) bool {
	u.unsent = b.stats
	if b.stats.Bytes == 0 { // a chunk of nothing would be the last
		u.unsent.Flushes = 0
		u.sent()
		return true
	}
	whole := u.chunk(b)
	if u.tls != nil {
		return u.writeSealed(whole, at)
	}
	n, err := writeSome(u.fd, whole)
	return u.wrote(at, whole[n:], err)
}

// chunk returns b as a chunk for u.
func (u *subscriber) chunk(b *batch) []byte {
	if u.gzip == nil {
		return b.bytes[b.start:]
	}
	whole, inside := u.gzip.take(b)
	if !inside {
		u.shard.window.outside++
	}
	return whole
}

// writeSealed is writeWhole over TLS.
func (u *subscriber) writeSealed(whole []byte, at *batch) bool {
	s := u.shard
	if s.sealed = u.tls.seal(s.sealed[:0], whole); len(s.sealed) == 0 {
		return u.wrote(at, nil, syscall.EPIPE)
	}
	n, err := writeSome(u.fd, s.sealed)
	return u.wrote(at, slices.Clone(s.sealed[n:]), err)
}

// appendOwn appends content, which nobody else gets, as it is on the wire.
func (u *subscriber) appendOwn(b, content []byte) []byte {
	if u.tls == nil {
		return u.appendChunk(b, content)
	}
	return u.tls.seal(b, u.appendChunk(nil, content))
}

// appendChunk appends content, which nobody else gets, as a chunk.
func (u *subscriber) appendChunk(b, content []byte) []byte {
	if u.gzip == nil {
		return appendChunk(b, content)
	}
	return u.gzip.appendOwn(b, content)
}

// appendEnd appends what ends the response, as it is on the wire.
func (u *subscriber) appendEnd(b []byte) []byte {
	var end []byte
	if u.gzip != nil {
		end = u.gzip.appendEnd(nil)
	}
	end = append(end, lastChunk...)
	if u.tls == nil {
		return append(b, end...)
	}
	return u.tls.sealEnd(u.tls.seal(b, end))
}

// wrote counts what has left of u.unsent, all but rest.
func (u *subscriber) wrote(at *batch, rest []byte, err syscall.Errno) bool {
	switch {
	case err != 0:
		u.shard.drop(u, ErrClientGone)
	case len(rest) == 0:
		u.sent()
		return true
	default:
		u.shard.attach(u, at)
		u.keep(rest)
	}
	return false
}

// sent counts what was unsent.
func (u *subscriber) sent() {
	u.stats.add(u.unsent)
	u.shard.stats.add(u.unsent)
	u.unsent = Stats{}
}

// keep remembers what the socket has not taken, and makes sure that it says when
// it takes more.
func (u *subscriber) keep(rest []byte) {
	u.rest, u.ticks = rest[:len(rest):len(rest)], 0
	u.shard.moveTo(u, true)
	if u.flush() {
		u.shard.enqueue(u)
	}
}

// flush writes what is unsent, and reports whether all of it has left.
func (u *subscriber) flush() bool {
	for len(u.rest) > 0 {
		n, err := writeSome(u.fd, u.rest)
		if err != 0 {
			u.shard.drop(u, ErrClientGone)
			return false
		}
		if n == 0 {
			return false
		}
		u.rest = u.rest[n:]
	}
	u.rest, u.ticks = nil, 0
	u.sent()
	return true
}

func (s *Stats) add(more Stats) {
	s.Updates += more.Updates
	s.Flushes += more.Flushes
	s.Bytes += more.Bytes
}

// finish ends the subscriber in order, after what is unsent and a batch of
// events.
func (u *subscriber) finish(cause string, updates int, events []byte) {
	defer u.contain()
	if u.cause != "" || u.fd < 0 {
		return
	}
	u.cause = cause
	u.shard.detach(u)
	rest := slices.Clone(u.rest)
	if len(events) > 0 {
		tail := u.own().AppendClose(slices.Concat(u.open, events))
		u.unsent.add(Stats{Updates: updates, Flushes: 1, Bytes: len(tail)})
		rest = u.appendOwn(rest, tail)
	}
	u.keep(u.appendEnd(rest))
}

// say is finish with a single update.
func (u *subscriber) say(cause string, e Event) {
	defer u.contain()
	u.finish(cause, 1, u.own().AppendEvent(nil, e))
}

// again makes the browser connect again after a batch of events.
func (u *subscriber) again(updates int, events []byte) {
	defer u.contain()
	u.finish(causeEnded, updates, u.own().AppendEvent(slices.Clone(events), Event{Update: Update{Action: ActionAgain}}))
}

// contain is deferred: it ends the subscriber if its transport has panicked.
func (u *subscriber) contain() {
	if r := recover(); r != nil {
		countPanic(inEncoder)
		u.shard.drop(u, &PanicError{Value: r, Stack: debug.Stack()})
	}
}

// full reports whether the subscriber's limit is reached with one more write of
// so many bytes.
func (u *subscriber) full(bytes int) bool {
	l := u.shard.limit
	return l != Limit{} && (l.Flushes > 0 && u.stats.Flushes+1 >= l.Flushes ||
		l.Bytes > 0 && u.stats.Bytes+bytes >= l.Bytes ||
		l.Age > 0 && u.shard.now.Sub(u.began) >= l.Age)
}

// close closes the connection, at once and without its end if the browser takes
// nothing.
func (u *subscriber) close(why error) {
	if u.watch != 0 {
		theWatcher().forget(u.fd, u.watch)
	}
	if u.expiry != nil {
		u.expiry.Stop()
	}
	switch {
	case why == nil:
		discard(u.fd)
	case errors.Is(why, ErrSlow):
		syscall.SetsockoptLinger(u.fd, syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1})
	}
	syscall.Close(u.fd)
	u.fd = -1
}

// discard takes from a socket what nobody has read, a pipelined request for
// example: the system would answer it with a reset that overtakes what was
// written.
func discard(fd int) {
	syscall.Shutdown(fd, syscall.SHUT_WR)
	var b [1024]byte
	for range 64 {
		if n, _ := syscall.Read(fd, b[:]); n <= 0 {
			return
		}
	}
}
