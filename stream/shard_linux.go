package stream

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A shard is a part of a crowd, up to some thousands of subscribers, that one
// worker serves at a time: it reads what is new, encodes it once and writes the
// same bytes to everybody. Who does not take them at once is behind from then on,
// and goes on at its own pace: with the shard's batches for as long as they are
// there, else from the log.
type shard struct {
	crowd
	names   []string // of the topics
	size    int      // subscribers, those about to join too; guarded by crowds
	metrics *transportMetrics
	task    task
	timer   *time.Timer
	unhook  func() bool   // from the server's context
	read    atomic.Uint64 // all events up to this id have been read
	ticked  atomic.Bool   // the timer has fired

	mu      sync.Mutex // guards notices
	notices []notice

	// The rest belongs to the worker whose turn it is.
	follower *follower
	current  []*subscriber // they have got all that has been read
	behind   []*subscriber
	queue    []*subscriber // of those behind, they may have something to write
	attached int           // of those behind, they go on with a batch
	newest   *batch        // the last one
	pinned   int           // newest.end when unpin has last looked
	taken    []notice      // empty, the place for the next ones
	head     []byte        // room for the head of a chunk
	sealed   []byte        // room for what TLS makes of one
	vector   vector
	window   window    // of those who take gzip
	over     bool      // all topics have ended
	stopped  bool      // nobody is left, and nobody joins
	now      time.Time // at the last tick
	every    time.Duration
	deadline int  // ticks that a write may take
	silence  int  // ticks that a silence may last; 0 means for ever
	silent   int  // ticks since the last write to all
	wrote    bool // since the last tick
	timed    bool // the next write is
	stats    Stats
	counted  Stats // what the metrics have of stats
	backlog  int   // what the metric has of it
	left     []departure
}

// A notice tells a shard of something that has happened to a subscriber.
type notice struct {
	*subscriber
	joins  bool
	events uint32 // of epoll
	err    error  // why it has to end
}

const (
	maxPinned = 1 << 20 // bytes of batches that are kept for those behind
	maxServed = 32      // of those behind, in one turn
	yieldAt   = 256     // writes between which others may have the processor
)

// newShard returns a shard of c, which follows its topics until stop.
func newShard(c crowd) (*shard, error) {
	s := &shard{crowd: c, metrics: metricsOf(c.transport.Name()), names: strings.Split(c.topics, ","), now: time.Now()}
	s.task.run = s.turn
	s.task.state.Store(taskQueued) // until all is set
	f, err := c.hub.tell(&follower{waiter: s}, s.names)
	if err != nil {
		return nil, err
	}
	if f.place = c.hub.standing(f); f.place == 0 {
		f.leave()
		return nil, ErrBroker
	}
	s.follower, s.newest = f, &batch{last: f.place}
	s.read.Store(f.place)
	s.every, s.deadline, s.silence = ticksOf(c.timeout, c.heartbeat)
	s.timer = time.AfterFunc(s.every, s.tick)
	s.unhook = context.AfterFunc(c.server, s.task.wake)
	workers.add(&s.task)
	return s, nil
}

// stop ends a shard without subscribers.
func (s *shard) stop() {
	s.stopped = true
	s.follower.leave()
	s.timer.Stop()
	s.unhook()
	backlog.Add(-int64(s.backlog))
}

// wake says that a log has changed.
func (s *shard) wake() (read uint64) {
	s.task.wake()
	return s.read.Load()
}

// tick is called by the timer.
func (s *shard) tick() {
	s.ticked.Store(true)
	s.task.wake()
}

// tell leaves n for the shard's next turn.
func (s *shard) tell(n notice) {
	s.mu.Lock()
	s.notices = append(s.notices, n)
	s.mu.Unlock()
	s.task.wake()
}

// turn does what there is to do. What would take too long is left for the next
// turn.
func (s *shard) turn() {
	if s.stopped {
		return
	}
	s.takeNotices()
	for _, n := range s.taken {
		s.heed(n)
	}
	clear(s.taken)
	if s.server.Err() != nil {
		s.each(func(u *subscriber) { u.finish(causeName(ErrShutdown), 0, nil) })
	}
	s.advance()
	if s.ticked.Swap(false) {
		s.pulse()
	}
	s.serveQueue()
	s.farewell()
}

func (s *shard) takeNotices() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notices, s.taken = s.taken[:0], s.notices
}

// heed deals with what has happened to a subscriber.
func (s *shard) heed(n notice) {
	u := n.subscriber
	switch {
	case n.joins:
		s.admit(u)
	case u.fd < 0:
	case u.watch == 0: // it has yet to join
		u.cause = causeName(n.err)
	case n.err != nil:
		u.finish(causeName(n.err), 0, nil)
	case n.events&(syscall.EPOLLRDHUP|syscall.EPOLLHUP|syscall.EPOLLERR) != 0:
		s.drop(u, ErrClientGone)
	case u.behind:
		s.enqueue(u)
	}
}

// admit makes u one of those behind, until it has got what follows its place.
func (s *shard) admit(u *subscriber) {
	s.metrics.begin()
	u.behind = true
	s.list(u)
	u.watch = theWatcher().watch(u.fd, syscall.EPOLLRDHUP|syscall.EPOLLOUT|edgeTriggered, u)
	if len(u.rest) == 0 { // TLS has failed
		s.drop(u, ErrClientGone)
		return
	}
	if cause := u.cause; cause != "" {
		u.cause = ""
		u.finish(cause, 0, nil)
	}
	s.enqueue(u)
}

const edgeTriggered = 1 << 31 // syscall.EPOLLET is negative

// advance reads what is new and writes it to all who have what is before it.
func (s *shard) advance() {
	events, err := s.follower.read()
	if err == nil {
		s.read.Store(s.follower.place)
	}
	if len(events) > 0 {
		s.task.wake() // there may be more, or an end
	}
	for len(events) > 0 {
		p := piece(events)
		events = events[len(p):]
		s.broadcast(p)
	}
	switch {
	case errors.Is(err, ErrGap):
		s.follower.place = s.hub.standing(s.follower)
		s.detachAll()
		s.eachCurrent(s.reload)
	case err != nil && !s.over:
		s.over = true
		s.eachCurrent(s.isDone)
	}
}

// piece returns the first of events, as many as are to leave together.
func piece(events []Event) []Event {
	bytes := 0
	for i, e := range events {
		if bytes += size(e.Update); bytes >= defaultFlushBytes {
			return events[:i+1]
		}
	}
	return events
}

// broadcast writes events to all who have what is before them.
func (s *shard) broadcast(events []Event) {
	b, err := s.batch(events)
	if err != nil {
		s.detachAll()
		s.eachCurrent(func(u *subscriber) { s.drop(u, err) })
		return
	}
	s.wrote = true
	for i, writes := 0, 1; i < len(s.current); writes++ {
		u := s.current[i]
		s.send(u, b)
		if i < len(s.current) && s.current[i] == u {
			i++
		}
		if writes%yieldAt == 0 {
			runtime.Gosched()
		}
	}
}

// send writes b to u, or ends u with it. It reports whether u goes on at once.
func (s *shard) send(u *subscriber, b *batch) bool {
	switch {
	case u.full(len(u.open) + b.stats.Bytes):
		u.again(b.stats.Updates, b.events())
		return false
	case s.timed:
		s.timed = false
		defer func(began time.Time) { flushSeconds.observe(time.Since(began)) }(time.Now())
	}
	return u.write(b)
}

// batch encodes events. The bytes of the batch before are gone, unless somebody
// has yet to get them.
func (s *shard) batch(events []Event) (b *batch, err error) {
	defer recoverTo(&err, inEncoder)
	s.unpin()
	b = s.newest
	if s.attached > 0 {
		b = &batch{end: s.newest.end}
	}
	b.encode(s.transport, events)
	if s.gzip {
		s.window.add(b, len(s.current))
	}
	b.end += len(b.bytes) + len(b.zip.inside)
	if b != s.newest {
		s.newest.next, s.newest = b, b
	}
	return b, nil
}

// unpin makes those who are too far behind go on from the log, so that what
// batches hold is bounded.
func (s *shard) unpin() {
	if s.newest.end-s.pinned < maxPinned/2 {
		return
	}
	s.pinned = s.newest.end
	for _, u := range s.behind {
		if u.at != nil && s.newest.end-u.at.end > maxPinned {
			s.detach(u)
		}
	}
}

// serveQueue goes on with those behind who can go on, some of them.
func (s *shard) serveQueue() {
	for range min(maxServed, len(s.queue)) {
		u := s.queue[0]
		s.queue[0] = nil
		s.queue = s.queue[1:]
		u.queued = false
		if u.fd >= 0 && u.behind {
			s.goOn(u)
		}
	}
	if len(s.queue) == 0 {
		s.queue = nil
		return
	}
	s.task.wake()
}

// goOn writes what u has yet to get, as far as it takes it, but no more than one
// piece from the log.
func (s *shard) goOn(u *subscriber) {
	defer u.contain()
	if u.cause == "" && u.at == nil && (u.fresh || len(u.rest) == 0) {
		s.replay(u)
	}
	u.fresh = false
	switch {
	case !u.flush():
		return
	case u.cause != "":
		s.drop(u, nil)
		return
	case u.at == nil:
		s.enqueue(u)
		return
	}
	for u.at.next != nil {
		s.attach(u, u.at.next)
		if !s.send(u, u.at) {
			return
		}
	}
	s.detach(u)
	s.moveTo(u, false)
	if s.over {
		s.isDone(u)
	}
}

// replay adds the next piece from the log to what is unsent. The last one makes u
// go on with batches.
func (s *shard) replay(u *subscriber) {
	events, err := s.follower.between(u.place, s.follower.place)
	if errors.Is(err, ErrGap) {
		s.reload(u)
		return
	}
	if u.fresh && len(events) > 0 {
		replays.Inc()
		replayed.Add(len(events))
	}
	p := piece(events)
	if len(p) == len(events) {
		s.attach(u, s.newest)
	} else {
		u.place = p[len(p)-1].ID
	}
	if len(p) == 0 {
		return
	}
	var b batch
	b.encode(u.own(), p)
	content := slices.Concat(u.open, b.content())
	if u.full(len(content)) {
		u.again(len(p), b.events())
		return
	}
	b.stats.Bytes = len(content)
	u.unsent.add(b.stats)
	u.rest = u.appendOwn(u.rest, content)
}

// reload tells u that events are missing.
func (s *shard) reload(u *subscriber) {
	gaps.Inc()
	u.say(causeGap, Event{ID: s.hub.standing(s.follower), Update: Reload()})
}

// isDone tells u that nothing more comes.
func (s *shard) isDone(u *subscriber) {
	u.say(causeEnded, Event{Update: Update{Action: ActionDone}})
}
