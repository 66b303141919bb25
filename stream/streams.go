package stream

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

// Streams are the open streams of a server. They bound how many there are, and
// end them in order when the server is to end. Set the fields, wrap the server's
// handler in Handler, and call Drain before the server's Shutdown. The zero value
// is ready to use. All methods may be called by several goroutines at once.
type Streams struct {
	// Max is the largest number of streams at once; whoever wants one more gets
	// 503 with Retry-After. Zero means 50,000, less than zero any number.
	Max int
	// MaxPerAddress is the largest number of streams at once of one client
	// address (for IPv6 of one network of 64 bits); whoever wants one more gets
	// 429 with Retry-After. Zero means 1,000, less than zero any number.
	MaxPerAddress int
	// Proxies are the networks of proxies in front of the server. A request from
	// one of them, or from this machine itself, comes from the last address in
	// its header X-Forwarded-For that is no proxy's; without the header it counts
	// for no address.
	Proxies []netip.Prefix

	mu        sync.Mutex // guards the rest
	open      map[*member]struct{}
	byAddress map[netip.Addr]int
	draining  bool
	empty     chan struct{} // closed when there is no stream; nil unless draining
}

const (
	defaultMaxStreams           = 50_000
	defaultMaxStreamsPerAddress = 1000
	fullWait                    = 5 * time.Second // until a place may be free
)

type streamsKey struct{}

// Handler returns next for a server whose streams are s.
func (s *Streams) Handler(next fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(req *fasthttp.RequestCtx) {
		req.SetUserValue(streamsKey{}, s)
		next(req)
	}
}

// Len returns the number of open streams.
func (s *Streams) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// Draining reports whether Drain has been called.
func (s *Streams) Draining() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining
}

// A member is an open stream as Streams know it. A nil member belongs to none.
type member struct {
	streams *Streams
	address netip.Addr // not valid if the stream counts for none

	// guarded by streams.mu
	end     context.CancelCauseFunc // nil until the stream runs
	endless bool                    // it ends only if somebody ends it
	ended   bool                    // by Drain
}

// admit returns the member that a new stream for req is, nil if its server has no
// Streams. It reports false if there is no place, and has answered req then.
func admit(req *fasthttp.RequestCtx) (*member, bool) {
	s, ok := req.UserValue(streamsKey{}).(*Streams)
	if !ok {
		return nil, true
	}
	m := &member{streams: s, address: s.address(req)}
	if refusal := s.add(m); refusal != nil {
		refuse(req, refusal)
		return nil, false
	}
	return m, true
}

func (s *Streams) add(m *member) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	most, each := cmp.Or(s.Max, defaultMaxStreams), cmp.Or(s.MaxPerAddress, defaultMaxStreamsPerAddress)
	switch {
	case s.draining:
		return &refusal{fasthttp.StatusServiceUnavailable, "the server is about to end: come back in a moment", fullWait}
	case most > 0 && len(s.open) >= most:
		return &refusal{fasthttp.StatusServiceUnavailable, fmt.Sprintf("the server has %d open streams, as many as it may: come back later, or see --max-streams", most), fullWait}
	case m.address.IsValid() && each > 0 && s.byAddress[m.address] >= each:
		return &refusal{fasthttp.StatusTooManyRequests, fmt.Sprintf("your address has %d open streams, as many as it may: close some, or see --max-streams-per-ip", each), fullWait}
	}
	m.join()
	return nil
}

// join takes a place, once. It is called with the lock of the streams held.
func (m *member) join() {
	s := m.streams
	if _, open := s.open[m]; open {
		return
	}
	if s.open == nil {
		s.open, s.byAddress = make(map[*member]struct{}), make(map[netip.Addr]int)
	}
	s.open[m] = struct{}{}
	if m.address.IsValid() {
		s.byAddress[m.address]++
	}
}

// leave gives the member's place free, once.
func (m *member) leave() {
	if m == nil {
		return
	}
	s := m.streams
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, open := s.open[m]; !open {
		return
	}
	delete(s.open, m)
	if m.address.IsValid() {
		if s.byAddress[m.address]--; s.byAddress[m.address] == 0 {
			delete(s.byAddress, m.address)
		}
	}
	if s.draining && len(s.open) == 0 {
		s.allGone()
	}
}

// run says how the member's stream, which begins, can be ended. It has a place
// again if it has left its own.
func (m *member) run(end context.CancelCauseFunc) {
	if m == nil {
		return
	}
	m.streams.mu.Lock()
	defer m.streams.mu.Unlock()
	m.join()
	m.end = end
	if m.ended {
		end(ErrShutdown)
	}
}

// follow says that the member's stream has no end of its own. While the server
// drains it ends at once.
func (m *member) follow() {
	if m == nil {
		return
	}
	m.streams.mu.Lock()
	defer m.streams.mu.Unlock()
	m.endless = true
	if m.streams.draining {
		m.stop()
	}
}

// stop ends the member's stream, at once or as soon as it runs. It is called with
// the lock of the streams held.
func (m *member) stop() {
	if m.ended = true; m.end != nil {
		m.end(ErrShutdown)
	}
}

// Drain ends all streams until ctx is done: a page that ends by itself may go on
// until then, and those that follow a feed end one after the other, spread over
// three quarters of the time, so that their browsers do not connect again all at
// once. New streams get 503 with Retry-After. Drain returns when no stream is
// open, or ctx is done: then all that were left have been told to end.
func (s *Streams) Drain(ctx context.Context) {
	empty := s.drain()
	endless := s.endless()
	var until time.Duration
	if deadline, ok := ctx.Deadline(); ok {
		until = time.Until(deadline) * 3 / 4
	}
	start := time.Now()
	for i, m := range endless {
		// each at a random time in a part of its own
		at := time.Duration((float64(i) + rand.Float64()) / float64(len(endless)) * float64(until))
		if !sleep(ctx, time.Until(start.Add(at))) {
			break
		}
		s.mu.Lock()
		m.stop()
		s.mu.Unlock()
	}
	select {
	case <-empty:
	case <-ctx.Done():
		s.stopAll()
	}
}

// drain refuses new streams from now on, and returns what is closed when no stream
// is left.
func (s *Streams) drain() (empty <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.draining {
		s.draining, s.empty = true, make(chan struct{})
		if len(s.open) == 0 {
			s.allGone()
		}
	}
	return s.empty
}

// endless returns the streams that have no end of their own, in no order.
func (s *Streams) endless() (all []*member) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for m := range s.open {
		if m.endless {
			all = append(all, m)
		}
	}
	return all
}

// allGone closes empty, once: what begins while the server drains may leave again.
func (s *Streams) allGone() {
	select {
	case <-s.empty:
	default:
		close(s.empty)
	}
}

func (s *Streams) stopAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for m := range s.open {
		m.stop()
	}
}

// sleep waits for d, and reports false as soon as ctx is done.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// address returns the address that a stream for req counts for, one that is not
// valid if there is none.
func (s *Streams) address(req *fasthttp.RequestCtx) netip.Addr {
	remote, ok := req.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	address := remote.AddrPort().Addr().Unmap()
	forwarded := strings.Split(string(req.Request.Header.Peek(fasthttp.HeaderXForwardedFor)), ",")
	for i := len(forwarded) - 1; i >= 0 && s.isProxy(address); i-- {
		var err error
		if address, err = netip.ParseAddr(strings.TrimSpace(forwarded[i])); err != nil {
			return netip.Addr{}
		}
		address = address.Unmap().WithZone("")
	}
	if s.isProxy(address) {
		return netip.Addr{}
	}
	if address.Is6() {
		network, _ := address.Prefix(64)
		address = network.Addr()
	}
	return address
}

func (s *Streams) isProxy(address netip.Addr) bool {
	for _, network := range s.Proxies {
		if network.Contains(address) {
			return true
		}
	}
	return address.IsLoopback()
}
