package stream

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/valyala/fasthttp"
)

// newMember returns a member of s that runs, and the context of its stream.
func newMember(t *testing.T, s *Streams, address string) (*member, context.Context) {
	t.Helper()
	m := &member{streams: s}
	if address != "" {
		m.address = netip.MustParseAddr(address)
	}
	if err := s.add(m); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	m.run(cancel)
	return m, ctx
}

func TestStreamsAreBounded(t *testing.T) {
	s := &Streams{Max: 4, MaxPerAddress: 2}
	one, _ := newMember(t, s, "192.0.2.1")
	newMember(t, s, "192.0.2.1")
	newMember(t, s, "")
	status := func(address string) int {
		t.Helper()
		m := &member{streams: s}
		if address != "" {
			m.address = netip.MustParseAddr(address)
		}
		var r *refusal
		if err := s.add(m); err == nil || !errors.As(err, &r) || r.wait <= 0 {
			t.Fatalf("it is answered with %v", err)
		}
		return r.status
	}
	if got := status("192.0.2.1"); got != fasthttp.StatusTooManyRequests {
		t.Errorf("a third stream of an address gets %d", got)
	}
	newMember(t, s, "192.0.2.2")
	if got := status(""); got != fasthttp.StatusServiceUnavailable {
		t.Errorf("a fifth stream gets %d", got)
	}
	one.leave()
	one.leave()
	if s.Len() != 3 {
		t.Errorf("%d streams are open", s.Len())
	}
	newMember(t, s, "192.0.2.1")
	if got := len(s.byAddress); got != 2 {
		t.Errorf("%d addresses have streams", got)
	}
}

func TestAnyNumberOfStreams(t *testing.T) {
	s := &Streams{Max: -1, MaxPerAddress: -1}
	for range defaultMaxStreamsPerAddress + 1 {
		newMember(t, s, "192.0.2.1")
	}
}

func TestAStreamCountsForItsClientsAddress(t *testing.T) {
	s := &Streams{Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	for _, test := range []struct{ remote, forwarded, want string }{
		{"192.0.2.1", "", "192.0.2.1"},
		{"192.0.2.1", "192.0.2.9", "192.0.2.1"}, // who is no proxy may say what it likes
		{"::ffff:192.0.2.1", "", "192.0.2.1"},
		{"2001:db8:1:2:3:4:5:6", "", "2001:db8:1:2::"},
		{"127.0.0.1", "", ""},
		{"127.0.0.1", "192.0.2.9", "192.0.2.9"},
		{"10.1.1.1", "192.0.2.8, 192.0.2.9", "192.0.2.9"},
		{"10.1.1.1", "192.0.2.8, 192.0.2.9,10.2.2.2", "192.0.2.9"},
		{"::1", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"},
		{"10.1.1.1", "", ""},
		{"10.1.1.1", "10.1.1.2", ""},
		{"10.1.1.1", "unknown", ""},
		{"10.1.1.1", ",", ""},
	} {
		var req fasthttp.RequestCtx
		req.Init(&fasthttp.Request{}, &net.TCPAddr{IP: net.ParseIP(test.remote), Port: 1}, nil)
		if test.forwarded != "" {
			req.Request.Header.Set(fasthttp.HeaderXForwardedFor, test.forwarded)
		}
		got := s.address(&req)
		if want := test.want; got.IsValid() != (want != "") || want != "" && got.String() != want {
			t.Errorf("from %s, for %q, it counts for %v, not %q", test.remote, test.forwarded, got, want)
		}
	}
}

func TestAResponseTakesAPlaceUntilItHasLeft(t *testing.T) {
	onEveryNetwork(t, func(t *testing.T, network string) {
		streams := &Streams{Max: 1}
		ends := make(chan struct{})
		s := serve(t, network, func(s *site, req *fasthttp.RequestCtx) {
			streams.Handler(func(req *fasthttp.RequestCtx) {
				ServePage(req, markup("<h1>"), func(ctx context.Context, _ *Page) error {
					select {
					case <-ends:
					case <-ctx.Done():
					}
					return nil
				})
			})(req)
		})
		for _, protocol := range []string{"", " HTTP/1.0"} {
			c := s.connect(t)
			c.ask("HEAD /" + protocol)
			c.head()
			c = s.connect(t)
			c.ask("GET /" + protocol)
			c.head()
			other := s.connect(t)
			other.ask("GET /")
			if answer := other.head(); answer.StatusCode != fasthttp.StatusServiceUnavailable || answer.Header.Get(fasthttp.HeaderRetryAfter) == "" {
				t.Errorf("one more gets %s, %v", answer.Status, answer.Header)
			}
			ends <- struct{}{}
			eventually(t, func() bool { return streams.Len() == 0 })
		}
		if network == "memory" {
			return // nothing tells there that a client has gone
		}
		gone := s.connect(t)
		gone.ask("GET /")
		gone.head()
		gone.Close()
		eventually(t, func() bool { return streams.Len() == 0 })
	})
}

// What follows ends one after the other, what ends by itself has time.
func TestADrainIsSpreadOverItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const feeds, drain = 5000, 40 * time.Second
		s := &Streams{Max: -1}
		var ending sync.WaitGroup
		var mu sync.Mutex
		ends := map[int]int{} // feeds that end, by second
		start := time.Now()
		for range feeds {
			m, ctx := newMember(t, s, "")
			m.follow()
			ending.Go(func() {
				<-ctx.Done()
				mu.Lock()
				defer mu.Unlock()
				ends[int(time.Since(start)/time.Second)]++
				m.leave()
			})
		}
		quick, quickCtx := newMember(t, s, "")
		ending.Go(func() {
			time.Sleep(drain / 2)
			if quickCtx.Err() != nil {
				t.Error("a page that ends in time is ended")
			}
			quick.leave()
		})
		endless, endlessCtx := newMember(t, s, "")
		ending.Go(func() {
			<-endlessCtx.Done()
			if got := time.Since(start); got != drain || context.Cause(endlessCtx) != ErrShutdown {
				t.Errorf("a page without an end is ended after %v: %v", got, context.Cause(endlessCtx))
			}
			endless.leave()
		})

		ctx, cancel := context.WithTimeout(t.Context(), drain)
		defer cancel()
		s.Drain(ctx)
		ending.Wait()
		mean := feeds / int(drain*3/4/time.Second)
		for second, n := range ends {
			if n > 2*mean {
				t.Errorf("in second %d end %d feeds, %d in the mean", second, n, mean)
			}
		}
		if len(ends) != int(drain*3/4/time.Second) || s.Len() != 0 {
			t.Errorf("they end in %d seconds, and %d are left", len(ends), s.Len())
		}
	})
}

func TestADrainEndsWithTheLastStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(Streams)
		m, _ := newMember(t, s, "")
		go func() {
			time.Sleep(time.Second)
			m.leave()
		}()
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		s.Drain(ctx)
		if got := time.Since(start); got != time.Second {
			t.Errorf("it takes %v", got)
		}
		s.Drain(ctx) // once more, with nothing left
		if err := s.add(&member{streams: s}); err == nil {
			t.Error("a new stream begins")
		}
	})
}

// What begins to follow while the server drains ends at once, also what has been
// admitted and has not begun.
func TestWhatIsLateForADrainEndsAtOnce(t *testing.T) {
	s := new(Streams)
	first, firstCtx := newMember(t, s, "")
	second := &member{streams: s}
	if err := s.add(second); err != nil {
		t.Fatal(err)
	}
	s.drain()
	first.follow()
	second.follow()
	secondCtx, end := context.WithCancelCause(t.Context())
	second.run(end)
	for i, ctx := range []context.Context{firstCtx, secondCtx} {
		if context.Cause(ctx) != ErrShutdown {
			t.Errorf("stream %d goes on", i+1)
		}
	}
}

// A poll gets an answer, so that its page asks another server; a stream just
// ends.
func TestADrainAnswersWhoWaits(t *testing.T) {
	var hub Hub
	streams := new(Streams)
	s := serve(t, "memory", func(s *site, req *fasthttp.RequestCtx) {
		streams.Handler(func(req *fasthttp.RequestCtx) {
			r := Response{Transport: SSE{}, Feed: hub.Feed("log")}
			if string(req.Path()) == "/poll" {
				r.Transport, r.Wait = plain{}, time.Hour
			}
			r.Serve(req)
		})(req)
	})
	poll, feed := s.connect(t), s.connect(t)
	poll.ask("GET /poll")
	feed.ask("GET /feed")
	feed.head()
	feed.chunk()
	eventually(t, func() bool { return len(streams.endless()) == 2 })
	streams.Drain(t.Context())
	poll.head()
	if body := poll.body(); body != "()" {
		t.Errorf("the poll is answered with %q", body)
	}
	if body := feed.body(); body != "" {
		t.Errorf("the feed ends with %q", body)
	}
}

// eventually waits until condition holds.
func eventually(t *testing.T, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it never is so")
		}
	}
}
