package stream

import (
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// framed is a transport whose batches each have a head of their own.
type framed struct {
	plain
	nonce string
}

func (framed) Name() string                      { return "framed" }
func (f framed) Shared() Transport               { return framed{} }
func (f framed) AppendOpen(b []byte) []byte      { return append(append(b, '('), f.nonce...) }
func (f framed) AppendHeartbeat(b []byte) []byte { return append(append(b, '*'), f.nonce...) }
func (framed) AppendEvent(b []byte, e Event) []byte {
	return append(b, fmt.Sprintf("[%d %s %s]", e.ID, e.Action, e.Target)...)
}

// ways are the networks on which a feed is served in a crowd, plain and over TLS,
// and by a goroutine.
var ways = map[string]string{"crowd": "tcp", "crowd over TLS": "tls", "goroutine": "std tls"}

// eitherWay runs test with a feed that is served in a crowd, plain and over TLS,
// and with one that has a goroutine.
func eitherWay(t *testing.T, test func(t *testing.T, network string)) {
	for way, network := range ways {
		t.Run(way, func(t *testing.T) { test(t, network) })
	}
}

// feedSite serves r with its Feed.
func feedSite(t *testing.T, network string, r Response) *site {
	return serve(t, network, func(s *site, req *fasthttp.RequestCtx) {
		r := r
		if r.Transport == nil {
			r.Transport = SSE{}
		}
		r.Log = s.log.detailed()
		r.Serve(req)
	})
}

// says waits until the log has n records of streams that have ended, and checks
// that each has the words.
func (s *site) says(t *testing.T, n int, words ...string) {
	t.Helper()
	eventually(t, func() bool { return len(s.log.all()) >= n })
	lines := s.log.all()
	if len(lines) != n {
		t.Errorf("the log has %d records, not %d: %q", len(lines), n, lines)
	}
	for _, line := range lines {
		for _, word := range words {
			if !strings.Contains(line, word) {
				t.Errorf("the log says %q, want %q in it", line, word)
			}
		}
	}
}

func TestAFeedIsReplayedAndFollowed(t *testing.T) {
	eitherWay(t, func(t *testing.T, network string) {
		const before, after, readers = 700, 300, 20
		hub := Hub{KeepEvents: before + after}
		feed := hub.Feed("log")
		text := strings.Repeat("x", 300)
		for n := range before {
			hub.Publish("log", Emit("", fmt.Sprint(n, " ", text)))
		}
		feed.After = 0
		s := feedSite(t, network, Response{Feed: feed})
		var reading sync.WaitGroup
		for range readers {
			c := s.connect(t)
			c.ask("GET /")
			reading.Go(func() {
				if response := c.head(); response.Header.Get("Content-Type") != "text/event-stream; charset=utf-8" {
					t.Errorf("the head is %v", response.Header)
				}
				if err := c.inOrder(before + after); err != nil {
					t.Error(err)
				}
			})
		}
		for n := range after {
			hub.Publish("log", Emit("", fmt.Sprint(before+n, " ", text)))
		}
		hub.End("log")
		reading.Wait()
		s.says(t, readers, "msg=stream page=/ transport=sse topic=log cause=ended", fmt.Sprintf("updates=%d", before+after+1))
	})
}

// Each batch has the head of its own response, and all have the same events.
func TestBatchesHaveTheHeadOfTheirResponse(t *testing.T) {
	eitherWay(t, func(t *testing.T, network string) {
		var hub Hub
		feed := hub.Feed("log")
		s := serve(t, network, func(s *site, req *fasthttp.RequestCtx) {
			Response{Transport: framed{nonce: string(req.QueryArgs().Peek("nonce"))}, Feed: feed}.Serve(req)
		})
		var clients []*client
		for i := range 5 {
			c := s.connect(t)
			c.ask(fmt.Sprintf("GET /?nonce=n%d", i))
			clients = append(clients, c)
		}
		hub.Publish("log", Remove("a"))
		for i, c := range clients {
			c.head()
			if got, want := c.chunk(), fmt.Sprintf("(n%d[%d remove a])", i, feed.After+1); got != want {
				t.Errorf("the batch is %q, want %q", got, want)
			}
		}
		hub.End("log")
		for i, c := range clients {
			if got, want := c.body(), fmt.Sprintf("(n%d[0 done ])", i); got != want {
				t.Errorf("the end is %q, want %q", got, want)
			}
		}
	})
}

func TestAPlaceThatIsForgottenIsAGapForOne(t *testing.T) {
	eitherWay(t, func(t *testing.T, network string) {
		hub := Hub{KeepEvents: 2}
		feed := hub.Feed("log")
		for range 5 {
			hub.Publish("log", entry(1))
		}
		s := feedSite(t, network, Response{Feed: hub.Feed("log")})
		for _, after := range []uint64{1, feed.After + 1, noEvent} {
			c := s.connect(t)
			c.ask(fmt.Sprintf("GET /?after=%d", after))
			c.head()
			events, _ := parseSSE(c.body())
			if len(events) != 1 || events[0].Name != "reload" || events[0].ID != formatID(hub.Feed("log").After) {
				t.Errorf("after %d comes %+v, want a reload", after, events)
			}
		}
		s.says(t, 3, "cause=gap", "updates=1")
	})
}

func TestAFeedSaysThatItIsAlive(t *testing.T) {
	eitherWay(t, func(t *testing.T, network string) {
		for _, r := range []Response{
			{Transport: SSE{}},
			{Transport: SSE{Beat: true}},
			{Transport: framed{nonce: "n"}},
		} {
			var hub Hub
			r.Feed, r.Heartbeat = hub.Feed("log"), 20*time.Millisecond
			s := feedSite(t, network, r)
			var clients []*client
			for range 20 {
				c := s.connect(t)
				c.ask("GET /")
				clients = append(clients, c)
			}
			for _, c := range clients {
				c.head()
				if _, sse := r.Transport.(SSE); sse {
					c.chunk() // the retry time
				}
				got, want := c.chunk(), string(r.Transport.AppendHeartbeat(nil))
				if strings.TrimRight(got, "0123456789\n") != strings.TrimRight(want, "0123456789\n") {
					t.Errorf("the heartbeat is %q, want %q", got, want)
				}
				c.chunk()
			}
			hub.End("log")
		}
	})
}

func TestALimitedFeedGoesOnInTheNextResponse(t *testing.T) {
	eitherWay(t, func(t *testing.T, network string) {
		for _, limit := range []Limit{{Flushes: 4}, {Bytes: 40}, {Age: time.Millisecond}} {
			const events = 50
			var hub Hub
			feed := hub.Feed("log")
			s := feedSite(t, network, Response{Transport: framed{}, Feed: feed, Limit: limit, WriteTimeout: 10 * time.Millisecond})
			go func() {
				for n := range events {
					hub.Publish("log", Remove(fmt.Sprint("e", n)))
					time.Sleep(time.Millisecond)
				}
				hub.End("log")
			}()
			place, next := feed.After, 0
			for over := false; !over; {
				c := s.connect(t)
				c.ask(fmt.Sprintf("GET /?after=%d", place))
				c.head()
				body := c.body()
				for text := range strings.SplitSeq(strings.NewReplacer("(", "", ")", "", "[", "").Replace(body), "]") {
					var id uint64
					var action, target string
					fmt.Sscan(text, &id, &action, &target)
					if action == "remove" {
						if target != fmt.Sprint("e", next) {
							t.Fatalf("%+v: %s comes where e%d should", limit, target, next)
						}
						next, place = next+1, id
					}
				}
				over = strings.HasSuffix(body, "[0 done ])")
				if !over && !strings.HasSuffix(body, "[0 again ])") {
					t.Fatalf("%+v: a response ends with %q", limit, body)
				}
			}
			if next != events {
				t.Errorf("%+v: %d events", limit, next)
			}
		}
	})
}

func TestAStalledFollowerIsCutOffAndTheOthersMissNothing(t *testing.T) {
	eitherWay(t, func(t *testing.T, network string) {
		events, reading, stalled := 1000, 300, 50
		if network != "tcp" {
			reading, stalled = 60, 10
		}
		hub := Hub{KeepEvents: events}
		feed := hub.Feed("log")
		s := serve(t, network, func(s *site, req *fasthttp.RequestCtx) {
			r := Response{Transport: SSE{}, Feed: feed, Log: s.log.detailed()}
			if string(req.Path()) == "/stalled" {
				r.WriteTimeout = time.Second // after six times as long the system would say that it has gone
				r.Log = s.server.detailed()
			}
			r.Serve(req)
		})
		for range stalled {
			s.stop(t).ask("GET /stalled")
		}
		var readers sync.WaitGroup
		for range reading {
			c := s.connect(t)
			c.ask("GET /")
			c.head()
			readers.Go(func() {
				if err := c.inOrder(events); err != nil {
					t.Error(err)
				}
			})
		}
		text := strings.Repeat("x", 1000) // together more than a system takes
		for n := range events {
			hub.Publish("log", Emit("", fmt.Sprint(n, " ", text)))
		}
		eventually(t, func() bool { return len(s.server.all()) == stalled })
		for _, line := range s.server.all() {
			if !strings.Contains(line, "cause=slow") {
				t.Errorf("the log says %q", line)
			}
		}
		hub.End("log")
		readers.Wait()
		s.says(t, reading, "cause=ended")
	})
}

// Who was cut off does not take it for an end.
func TestAStalledFollowerKnowsThatItIsCutOff(t *testing.T) {
	eitherWay(t, func(t *testing.T, network string) {
		hub := Hub{KeepEvents: 1 << 20, KeepBytes: 1 << 30}
		s := feedSite(t, network, Response{Feed: hub.Feed("log"), WriteTimeout: 50 * time.Millisecond})
		c := s.stop(t)
		c.ask("GET /")
		text := Text(strings.Repeat("x", 64<<10))
		eventually(t, func() bool {
			hub.Publish("log", Append("a", text))
			return len(s.log.all()) > 0
		})
		s.says(t, 1, "cause=slow")
		if _, err := io.Copy(io.Discard, c.r); err == nil {
			t.Error("its stream ends in order")
		}
	})
}

// Who stops to read for a while goes on where it was.
func TestWhoPausesMissesNothing(t *testing.T) {
	eitherWay(t, func(t *testing.T, network string) {
		const events = 3000
		hub := Hub{KeepEvents: events, KeepBytes: 1 << 30}
		feed := hub.Feed("log")
		s := feedSite(t, network, Response{Feed: feed, WriteTimeout: time.Minute})
		paused, reads := s.connect(t), s.connect(t)
		paused.ask("GET /")
		reads.ask("GET /")
		paused.head()
		reads.head()
		text := strings.Repeat("x", 6000) // more than a system takes and is kept for who is behind
		go func() {
			for n := range events {
				hub.Publish("log", Emit("", fmt.Sprint(n, " ", text)))
			}
			hub.End("log")
		}()
		for _, c := range []*client{reads, paused} {
			if err := c.inOrder(events); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestAPanicInASharedEncoderEndsItsStreams(t *testing.T) {
	for way, network := range ways {
		t.Run(way, func(t *testing.T) {
			var hub Hub
			feed := hub.Feed("log")
			s := serve(t, network, func(s *site, req *fasthttp.RequestCtx) {
				r := Response{Transport: SSE{}, Feed: feed}
				if string(req.Path()) == "/panics" {
					r.Transport, r.Log = badEncoder{}, s.log.logger()
				}
				r.Serve(req)
			})
			var panics []*client
			for range 3 {
				c := s.connect(t)
				c.ask("GET /panics")
				c.head()
				c.chunk()
				panics = append(panics, c)
			}
			healthy := s.connect(t)
			healthy.ask("GET /")
			healthy.head()
			healthy.chunk()
			hub.Publish("log", Remove("a"))
			for _, c := range panics {
				if _, err := io.Copy(io.Discard, c.r); err == nil && network == "std tls" {
					t.Error("what is not whole ends in order")
				}
			}
			eventually(t, func() bool { return len(s.log.all()) >= 3 })
			s.log.want(t, "panic", "panic", "panic")
			if got := healthy.chunk(); !strings.Contains(got, "remove") {
				t.Errorf("a stream beside it gets %q", got)
			}
		})
	}
}

type badEncoder struct{ SSE }

func (badEncoder) Shared() Transport                    { return badEncoder{} }
func (badEncoder) AppendEvent(b []byte, e Event) []byte { panic("on purpose") }

func TestAShutdownEndsFollowersInOrder(t *testing.T) {
	eitherWay(t, func(t *testing.T, network string) {
		var hub Hub
		s := feedSite(t, network, Response{Feed: hub.Feed("log")})
		var clients []*client
		for range 10 {
			c := s.connect(t)
			c.ask("GET /")
			c.head()
			c.chunk()
			clients = append(clients, c)
		}
		if err := s.Shutdown(); err != nil {
			t.Error(err)
		}
		for _, c := range clients {
			if body := c.body(); body != "" {
				t.Errorf("the stream ends with %q", body)
			}
		}
		s.says(t, 10, "cause=shutdown")
	})
}

func TestFollowersAreBoundedAndDrained(t *testing.T) {
	eitherWay(t, func(t *testing.T, network string) {
		const most = 10
		var hub Hub
		streams := &Streams{Max: most}
		feed := hub.Feed("log")
		s := serve(t, network, func(s *site, req *fasthttp.RequestCtx) {
			streams.Handler(Response{Transport: SSE{}, Feed: feed, Log: s.log.detailed()}.Serve)(req)
		})
		var clients []*client
		for range most {
			c := s.connect(t)
			c.ask("GET /")
			c.head()
			c.chunk()
			clients = append(clients, c)
		}
		eventually(t, func() bool { return len(streams.endless()) == most })
		c := s.connect(t)
		c.ask("GET /")
		if got := c.head().StatusCode; got != fasthttp.StatusServiceUnavailable {
			t.Errorf("one more gets %d", got)
		}
		streams.Drain(t.Context())
		if streams.Len() != 0 {
			t.Errorf("%d streams are open", streams.Len())
		}
		for _, c := range clients {
			if body := c.body(); body != "" {
				t.Errorf("the stream ends with %q", body)
			}
		}
		s.says(t, most, "cause=shutdown")
	})
}

func TestFollowersAreCounted(t *testing.T) {
	eitherWay(t, func(t *testing.T, network string) {
		open := grown(t, `foreverframe_streams_open{transport="counted sse"}`)
		served := grown(t, `foreverframe_streams_total{transport="counted sse"}`)
		updates := grown(t, `foreverframe_updates_total{transport="counted sse"}`)
		ended := grown(t, `foreverframe_streams_ended_total{transport="counted sse",cause="ended"}`)
		replays, replayed := grown(t, "foreverframe_replays_total"), grown(t, "foreverframe_replayed_events_total")
		var hub Hub
		feed := hub.Feed("log")
		hub.Publish("log", Remove("a"))
		hub.Publish("log", Remove("b"))
		s := feedSite(t, network, Response{Transport: countedSSE{}, Feed: feed})
		c := s.connect(t)
		c.ask("GET /")
		c.head()
		for got := ""; !strings.Contains(got, "data: b"); {
			got = c.chunk()
		}
		open(1)
		served(1)
		hub.Publish("log", Remove("c"))
		hub.End("log")
		c.body()
		s.says(t, 1)
		open(0)
		served(1)
		ended(1)
		updates(4)
		replays(1)
		replayed(2)
	})
}

// countedSSE is SSE with a name of its own in the metrics.
type countedSSE struct{ SSE }

func (countedSSE) Name() string      { return "counted sse" }
func (countedSSE) Shared() Transport { return countedSSE{} }

// A second request on the connection of a feed is not read, and does no harm.
func TestAPipelinedRequestDoesNotCutAFeed(t *testing.T) {
	onEverySocket(t, func(t *testing.T, network string) {
		var hub Hub
		s := feedSite(t, network, Response{Feed: hub.Feed("log")})
		var clients []*client
		for range 20 {
			c := s.connect(t)
			c.ask("GET /")
			c.head()
			c.ask("GET /again", "Filler: "+strings.Repeat("x", 3000))
			clients = append(clients, c)
		}
		hub.End("log")
		for _, c := range clients {
			if events, _ := parseSSE(c.body()); len(events) != 1 || events[0].Name != "done" {
				t.Errorf("the stream ends with %+v", events)
			}
		}
	})
}

// What waits for a browser that reads late is what was published, of every size, and
// who reads beside it waits for nothing.
func TestWhatWaitsIsWhole(t *testing.T) {
	eitherWay(t, func(t *testing.T, network string) {
		const events = 200
		hub := Hub{KeepEvents: events, KeepBytes: 1 << 30}
		s := feedSite(t, network, Response{Feed: hub.Feed("log"), WriteTimeout: time.Minute})
		late, reads := s.connect(t), s.connect(t)
		for _, c := range []*client{late, reads} {
			c.ask("GET /")
			c.head()
			c.chunk()
		}
		random := rand.New(rand.NewPCG(1, 2))
		var want []string
		for n := range events {
			size := random.IntN(20 << 10)
			if n%10 == 0 {
				size = random.IntN(200 << 10)
			}
			data := make([]byte, size)
			for i := range data {
				data[i] = 'a' + byte(random.IntN(26))
			}
			want = append(want, fmt.Sprint(n, " ", string(data)))
		}
		go func() {
			for _, data := range want {
				hub.Publish("log", Emit("", data))
			}
			hub.End("log")
		}()
		for _, c := range []*client{reads, late} {
			got, _ := parseSSE(c.body())
			for i, e := range got[:len(got)-1] {
				if e.Data != want[i] {
					t.Fatalf("event %d is %d bytes that begin with %.20q, want %d with %.20q", i, len(e.Data), e.Data, len(want[i]), want[i])
				}
			}
			if len(got) != events+1 {
				t.Errorf("%d events of %d", len(got)-1, events)
			}
		}
	})
}

// Who takes nothing costs a bounded part of what is sent.
func TestWhatAStalledFollowerCostsIsBounded(t *testing.T) {
	eitherWay(t, func(t *testing.T, network string) {
		const stalled, events, maxCost = 20, 2000, 512 << 10
		hub := Hub{KeepEvents: 10}
		s := feedSite(t, network, Response{Feed: hub.Feed("log"), WriteTimeout: time.Minute})
		for range stalled {
			c := s.stop(t)
			c.ask("GET /")
			c.head()
			c.chunk()
		}
		before := int(heap())
		text := strings.Repeat("x", 10<<10)
		for range events {
			hub.Publish("log", Emit("", text))
		}
		if cost := (int(heap()) - before) / stalled; cost > maxCost {
			t.Errorf("who is stalled costs %d bytes, more than %d, of %d", cost, maxCost, events*len(text))
		}
	})
}

// Many feeds with a follower each cost no goroutine either.
func TestManyFeedsOfOneFollower(t *testing.T) {
	const feeds = 200
	var hub Hub
	s := serve(t, "tcp", func(s *site, req *fasthttp.RequestCtx) {
		ServeFeed(req, hub.Feed(string(req.Path()[1:])))
	})
	var clients []*client
	for i := range feeds {
		c := s.connect(t)
		c.ask(fmt.Sprintf("GET /t%d", i))
		c.head()
		c.chunk()
		clients = append(clients, c)
	}
	for i, c := range clients {
		hub.Publish(fmt.Sprint("t", i), Emit("", fmt.Sprint("e", i)))
		if got := c.chunk(); !strings.Contains(got, fmt.Sprint("data: e", i, "\n")) {
			t.Errorf("follower %d gets %q", i, got)
		}
	}
	if n := len(ours()); runtime.GOOS == "linux" && n > feeds/2 {
		t.Errorf("%d goroutines for %d feeds", n, feeds)
	}
}

// A publisher that never stops waits for the crowd, which is slower, and nobody
// who reads has a gap.
func TestAPublisherDoesNotOutrunTheCrowd(t *testing.T) {
	const events, readers = 20_000, 100
	hub := Hub{KeepEvents: 100}
	feed := hub.Feed("log")
	s := feedSite(t, "tcp", Response{Feed: feed, WriteTimeout: time.Minute})
	var reading sync.WaitGroup
	for range readers {
		c := s.connect(t)
		c.SetReadDeadline(time.Now().Add(2 * time.Minute))
		c.ask("GET /")
		c.head()
		c.chunk()
		reading.Go(func() {
			if err := c.inOrder(events); err != nil {
				t.Error(err)
			}
		})
	}
	for n := range events {
		hub.Publish("log", Emit("", fmt.Sprint(n)))
	}
	hub.End("log")
	reading.Wait()
}
