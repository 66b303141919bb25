package stream

import (
	"context"
	"log/slog"
	"math"
	"sync"
	"time"
)

// A carrier brings what a Broker has to the logs of a hub. It follows the topics
// that somebody uses here, looks again and again for what is missing, and asks
// for what a reader of several topics needs: each topic's news come on their own,
// so one that is silent may have nothing new or be late, and only the broker
// knows which. The zero value is ready to use.
type carrier struct {
	freshBell, wantBell bell

	mu     sync.Mutex    // guards the rest
	fresh  []*log        // not followed yet
	wanted map[*log]bool // of which somebody wants more; whether he is to be woken
	upTo   uint64        // up to this id
	begun  uint64        // how many times the broker has been asked
	served uint64        // the last time that it has answered
	synced time.Time     // when all that there was had come
}

// A bell is rung when there is something to do. The zero value is ready to use.
type bell struct {
	once sync.Once
	c    chan struct{}
}

func (b *bell) rung() <-chan struct{} {
	b.once.Do(func() { b.c = make(chan struct{}, 1) })
	return b.c
}

func (b *bell) ring() {
	b.rung()
	select {
	case b.c <- struct{}{}:
	default:
	}
}

// newestThereIs stands for the newest id of a broker, which is not known.
const newestThereIs = math.MaxUint64

// Run carries events from h's broker to h until ctx is done; without it nobody
// sees any. It returns at once if h has no broker.
func (h *Hub) Run(ctx context.Context) {
	if h.Broker == nil {
		return
	}
	h.register()
	c := &h.carrier
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() { h.sync(ctx) })
	tick := time.NewTicker(brokerTick)
	defer tick.Stop()
	for ctx.Err() == nil {
		for _, l := range c.takeFresh() {
			if following, ok := l.begin(ctx); ok {
				running.Go(func() { h.Broker.Follow(following, l.topic, l.show) })
			}
		}
		select {
		case <-c.freshBell.rung():
		case <-tick.C:
			h.sweep(now())
			c.look(h.logs())
		case <-ctx.Done():
		}
	}
}

// sync asks the broker whenever somebody wants more, until ctx is done.
func (h *Hub) sync(ctx context.Context) {
	c, failing := &h.carrier, false
	for {
		select {
		case <-c.wantBell.rung():
		case <-ctx.Done():
			return
		}
		wanted, upTo, turn := c.takeWanted()
		err := h.ask(ctx, wanted, upTo)
		if ctx.Err() != nil {
			return
		}
		if failing != (err != nil) {
			failing = !failing
			tellBroker(err)
		}
		if err != nil {
			c.again(wanted, upTo)
			time.Sleep(brokerPause)
			continue
		}
		c.serve(wanted, turn, upTo)
	}
}

// ask returns when the broker has shown what is wanted.
func (h *Hub) ask(ctx context.Context, wanted map[*log]bool, upTo uint64) error {
	ctx, cancel := context.WithTimeout(ctx, brokerWait)
	defer cancel()
	topics := make([]string, 0, len(wanted))
	for l := range wanted {
		topics = append(topics, l.topic)
	}
	return h.Broker.Sync(ctx, topics, upTo)
}

func tellBroker(err error) {
	if err != nil {
		slog.Error("broker: what is published elsewhere does not come until it is back", "err", err)
		return
	}
	slog.Info("broker: it is back")
}

// logs returns the logs of h that have all up to some id.
func (h *Hub) logs() (logs []*log) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	for _, l := range h.topics {
		if l.newest.Load() > 0 {
			logs = append(logs, l)
		}
	}
	return logs
}

// follow has l followed from now on.
func (c *carrier) follow(l *log) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fresh = append(c.fresh, l)
	c.freshBell.ring()
}

func (c *carrier) takeFresh() []*log {
	c.mu.Lock()
	defer c.mu.Unlock()
	fresh := c.fresh
	c.fresh = nil
	return fresh
}

// want asks for what logs have up to the id upTo, and wakes their followers when
// it has come. It returns a number for answered.
func (c *carrier) want(logs []*log, upTo uint64) (turn uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(logs, true, upTo)
	return c.begun + 1
}

// look asks for all that logs have, for nobody.
func (c *carrier) look(logs []*log) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(logs, false, newestThereIs)
}

// again asks for what could not be had.
func (c *carrier) again(wanted map[*log]bool, upTo uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for l, wake := range wanted {
		c.add([]*log{l}, wake, upTo)
	}
}

func (c *carrier) add(logs []*log, wake bool, upTo uint64) {
	if c.wanted == nil {
		c.wanted = make(map[*log]bool)
	}
	for _, l := range logs {
		c.wanted[l] = c.wanted[l] || wake
	}
	c.upTo = max(c.upTo, upTo)
	c.wantBell.ring()
}

func (c *carrier) takeWanted() (wanted map[*log]bool, upTo, turn uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	wanted, upTo = c.wanted, c.upTo
	c.wanted, c.upTo = nil, 0
	c.begun++
	return wanted, upTo, c.begun
}

// serve says that the broker has answered, and wakes those who wait for that.
func (c *carrier) serve(wanted map[*log]bool, turn, upTo uint64) {
	c.mu.Lock()
	c.served = turn
	if upTo == newestThereIs {
		c.synced = time.Now()
	}
	c.mu.Unlock()
	for l, wake := range wanted {
		if wake {
			l.tell()
		}
	}
}

// answered reports whether what was wanted with that number is here, if it is
// anywhere.
func (c *carrier) answered(turn uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.served >= turn
}

func (c *carrier) lag() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.synced.IsZero() {
		return 0
	}
	return time.Since(c.synced)
}

// begin returns a context that ends when the log is dropped; false if it has
// been already.
func (l *log) begin(ctx context.Context) (context.Context, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dropped {
		return nil, false
	}
	ctx, l.stop = context.WithCancel(ctx)
	return ctx, true
}

// drop ends the following of the log.
func (l *log) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dropped = true; l.stop != nil {
		l.stop()
	}
}

// show adds what a broker has brought, and waits as a publisher does.
func (l *log) show(n News) {
	l.bring(n)
	l.yield()
}

// bring adds n. If something is missing in front of it, all before is forgotten,
// so every place there is a gap.
func (l *log) bring(n News) {
	l.mu.Lock()
	defer l.mu.Unlock()
	newest, gap := l.newest.Load(), false
	if gap = n.After > newest; gap {
		l.forget(len(l.events))
		l.floor = n.After
	}
	for _, r := range n.Records {
		l.take(r)
	}
	l.newest.Store(max(newest, n.UpTo))
	if gap || len(n.Records) > 0 {
		l.wake()
	}
}

// tell wakes all followers.
func (l *log) tell() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wake()
}
