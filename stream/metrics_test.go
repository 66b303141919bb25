package stream

import (
	"cmp"
	"context"
	"errors"
	"io"
	"math"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/valyala/fasthttp"
)

// measure returns what a metric is now; one that is not there yet is 0.
func measure(t testing.TB, name string) float64 {
	t.Helper()
	var text strings.Builder
	WriteMetrics(&text)
	for line := range strings.Lines(text.String()) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			return n
		}
	}
	return 0
}

// grown returns a function that checks by how much a metric has grown since.
func grown(t testing.TB, name string) (by func(want float64)) {
	t.Helper()
	before := measure(t, name)
	return func(want float64) {
		t.Helper()
		if got := measure(t, name) - before; math.Abs(got-want) > 1e-9 {
			t.Errorf("%s has grown by %v, want %v", name, got, want)
		}
	}
}

// A labelled transport is plain, with a name of its own in the metrics.
type labelled struct {
	plain
	name string
}

func (l labelled) Name() string { return l.name }

func TestAStreamIsCountedByItsTransport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		counts := make(map[string]func(float64))
		for _, metric := range []string{"streams_open", "streams_total", "updates_total", "flushes_total", "bytes_total"} {
			counts[metric] = grown(t, "foreverframe_"+metric+`{transport="counted"}`)
		}
		want := func(metric string, n float64) {
			t.Helper()
			counts[metric](n)
		}
		page := open(Response{Transport: labelled{name: "counted"}, Shell: markup("<h1>")}, &wire{})
		want("streams_open", 1)
		want("streams_total", 1)
		page.SendEvents(Event{Update: Remove("a")}, Event{Update: Remove("b")})
		want("updates_total", 0)
		time.Sleep(6 * time.Second) // a pulse
		want("updates_total", 2)
		want("flushes_total", 2)
		want("bytes_total", float64(len("<h1>")+len("([remove a][remove b])")))
		page.Send(Remove("c"))
		page.end(nil)
		want("streams_open", 0)
		want("streams_total", 1)
		want("updates_total", 4) // done is one too
		want("flushes_total", 4)
		want("bytes_total", float64(page.Stats().Bytes))
	})
}

func TestTheEndOfAStreamIsCountedAndLoggedByItsCause(t *testing.T) {
	var hub Hub
	hub.Publish("log", Remove("a"))
	returns := func(err error) Source {
		return func(context.Context, *Page) error { return err }
	}
	waits := func(ctx context.Context, page *Page) error {
		page.Send(Remove("a"))
		<-ctx.Done()
		return ctx.Err()
	}
	shutdown, stop := context.WithCancelCause(t.Context())
	stop(ErrShutdown)
	for _, test := range []struct {
		cause string
		r     Response
		to    io.Writer // nil means a wire
		ctx   context.Context
		says  string
	}{
		{cause: "ended", r: Response{Source: returns(nil)}, says: "updates=1 bytes=9"},
		{cause: "ended", r: Response{}, says: "updates=1 bytes=9"},
		{cause: "ended", r: Response{Source: hub.Feed("log").CatchUp, Wait: time.Second}, says: " topic=log "},
		{cause: "ended", r: Response{Source: waits, Wait: time.Second}, says: "updates=1"},
		{cause: "gap", r: Response{Source: hub.Feed("log", "other").Follow, After: 1}, says: " topic=log,other "},
		{cause: "failed", r: Response{Source: returns(errors.New("no"))}},
		{cause: "failed", r: Response{Source: panics}},
		{cause: "failed", r: Response{Shell: view(func(io.Writer) { panic("oh no") })}},
		{cause: "client_gone", r: Response{Source: waits}, to: gone{}, says: "updates=0 bytes=0"},
		{cause: "slow", r: Response{Source: waits}, to: newStalled(), says: "duration=7.5s updates=0 bytes=0"},
		{cause: "shutdown", r: Response{Source: waits}, ctx: shutdown, says: "duration=0s updates=1"},
	} {
		synctest.Test(t, func(t *testing.T) {
			var log records
			by := grown(t, `foreverframe_streams_ended_total{transport="ends",cause="`+test.cause+`"}`)
			test.r.Transport, test.r.Log = labelled{name: "ends"}, log.detailed()
			s := &session{Response: test.r, path: "/page", server: cmp.Or(test.ctx, t.Context())}
			if test.to == nil {
				test.to = new(wire)
			}
			if conn, ok := test.to.(*stalled); ok {
				conn.cut = make(chan struct{}) // of this bubble
				s.conn = conn
			}
			s.run(test.to)
			by(1)
			lines := log.all()
			if got := lines[len(lines)-1]; !strings.Contains(got, "level=INFO msg=stream page=/page transport=ends") || !strings.Contains(got, "cause="+test.cause+" duration=") || !strings.Contains(got, test.says) {
				t.Errorf("%s: the log says %q, want %q in it", test.cause, lines, test.says)
			}
		})
	}
}

func panics(context.Context, *Page) error { panic("on purpose") }

func TestWhatNeverLeftIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		by := grown(t, "foreverframe_dropped_updates_total")
		page := open(Response{}, newStalled())
		returned := sending(page, Remove("a"))
		synctest.Wait()
		page.SendEvents(Event{Update: Remove("b")}, Event{Update: Remove("c")})
		time.Sleep(time.Minute)
		if !returned() {
			t.Error("the page has not been cut off")
		}
		page.end(nil)
		by(3)
	})
}

func TestTheBacklogIsWhatHasNotLeftAtThePulse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		by := grown(t, "foreverframe_backlog_bytes")
		w := held()
		page := open(Response{WriteTimeout: time.Hour, Heartbeat: 10 * time.Second}, w)
		sending(page, Remove("a"))
		synctest.Wait()
		page.Send(Remove("b"))
		by(0)
		time.Sleep(6 * time.Second)
		by(float64(len("([remove a])") + len("([remove b]")))
		w.pass <- struct{}{}
		w.pass <- struct{}{}
		time.Sleep(5 * time.Second)
		by(0)
		go func() {
			for {
				select {
				case w.pass <- struct{}{}:
				case <-page.ended:
					return
				}
			}
		}()
		page.end(nil)
		by(0)
	})
}

func TestWritesAreTimed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		count := grown(t, "foreverframe_flush_seconds_count")
		sum := grown(t, "foreverframe_flush_seconds_sum")
		fast := grown(t, `foreverframe_flush_seconds_bucket{le="0.3"}`)
		slow := grown(t, `foreverframe_flush_seconds_bucket{le="1"}`)
		all := grown(t, `foreverframe_flush_seconds_bucket{le="+Inf"}`)
		page := open(Response{}, writer(func(b []byte) (int, error) {
			time.Sleep(500 * time.Millisecond)
			return len(b), nil
		}))
		page.mu.Lock()
		page.timed = false // the lot of fifteen pages in sixteen
		page.mu.Unlock()
		page.Send(Remove("a"))
		count(0)
		time.Sleep(3 * time.Second) // a pulse
		page.Send(Remove("b"))
		page.Send(Remove("c"))
		count(1)
		sum(0.5)
		fast(0)
		slow(1)
		all(1)
		page.end(nil)
	})
}

func TestSomePagesAreTimedFromTheirFirstWrite(t *testing.T) {
	by := measure(t, "foreverframe_flush_seconds_count")
	for range 1000 {
		run(Response{}, new(wire))
	}
	if n := measure(t, "foreverframe_flush_seconds_count") - by; n < 10 || n > 200 { // 62.5 is to be expected
		t.Errorf("%v of 1000 pages", n)
	}
}

func TestConflationsGapsAndReplaysAreCounted(t *testing.T) {
	gaps := grown(t, "foreverframe_gaps_total")
	replays := grown(t, "foreverframe_replays_total")
	replayed := grown(t, "foreverframe_replayed_events_total")
	conflated := grown(t, "foreverframe_conflated_events_total")
	hub := Hub{KeepEvents: 4, Latest: func(topic string) bool { return topic == "latest" }}
	var ids []uint64
	for _, topic := range []string{"all", "latest"} {
		for range 5 {
			id, _ := hub.Publish(topic, Replace("a", Text("x")))
			ids = append(ids, id)
		}
	}
	live := hub.Feed("all").After
	hub.End("all")
	hub.End("latest")
	subscribe := func(after uint64, topic string) {
		for _, err := range hub.Subscribe(t.Context(), after, topic) {
			_ = err
		}
	}
	subscribe(ids[2], "all") // two events
	subscribe(live, "all")
	subscribe(1, "all")
	gaps(1)
	replays(1)
	replayed(2)
	conflated(0)
	subscribe(ids[6], "latest") // three, of which one counts
	replays(2)
	replayed(3)
	conflated(2)
}

func TestPanicsAreCountedByStage(t *testing.T) {
	fails := func(io.Writer) { panic("on purpose") }
	slot := func(s Slot) Source {
		return func(ctx context.Context, page *Page) error { return page.Fill(ctx, s) }
	}
	for _, test := range []struct {
		stage string
		r     Response
		times float64
	}{
		{"shell", Response{Shell: view(fails)}, 1},
		{"source", Response{Source: panics}, 1},
		{"slot", Response{Source: slot(Slot{View: func(context.Context) (View, error) { panic("on purpose") }})}, 1},
		{"slot", Response{Source: slot(Slot{View: func(context.Context) (View, error) { return view(fails), nil }})}, 1},
		{"slot", Response{Source: slot(Slot{
			View:   func(context.Context) (View, error) { panic("on purpose") },
			Failed: func(error) View { panic("again") },
		})}, 2},
	} {
		by := grown(t, `foreverframe_panics_total{stage="`+test.stage+`"}`)
		test.r.Log = new(records).logger()
		run(test.r, new(wire))
		by(test.times)
	}
	by := grown(t, `foreverframe_panics_total{stage="connection"}`)
	run(Response{}, writer(func([]byte) (int, error) { panic("closed") }))
	by(1)
	by = grown(t, `foreverframe_panics_total{stage="handler"}`)
	CountPanic("handler")
	by(1)
}

func TestPublishingIsCountedByTheStatusOfItsAnswer(t *testing.T) {
	p := publisher()
	p.Rate, p.Burst = 1, 1
	for _, test := range []struct {
		status, kind, body string
		header             []string
	}{
		{"201", "text/plain", "a", nil},
		{"429", "text/plain", "a", nil},
		{"401", "text/plain", "a", []string{"Authorization: Bearer no"}},
		{"400", "application/json", "{}", nil},
		{"413", "text/plain", strings.Repeat("a", 2<<20), nil},
		{"415", "text/html", "a", nil},
	} {
		by := grown(t, `foreverframe_publish_requests_total{status="`+test.status+`"}`)
		post(p, "log", test.kind, test.body, test.header...)
		by(1)
	}
	for status, topic := range map[string]string{"204": "log", "404": "nothing"} {
		by := grown(t, `foreverframe_publish_requests_total{status="`+status+`"}`)
		req := new(fasthttp.RequestCtx)
		req.Request.Header.Set("Authorization", "Bearer key")
		p.End(req, topic)
		by(1)
	}
}

var globalHub Hub

// A hub may also be a variable of a package.
func TestWhatHubsHoldIsCounted(t *testing.T) {
	globalHub.Feed("b") // there before, also when the test runs again
	topics := grown(t, "foreverframe_topics")
	events := grown(t, "foreverframe_kept_events")
	bytes := grown(t, "foreverframe_kept_bytes")
	hub := &Hub{KeepEvents: 2}
	for range 3 {
		hub.Publish("a", Remove("x"))
	}
	topics(1)
	events(2)
	bytes(2 * float64(len("remove")+len("x")))
	runtime.KeepAlive(hub)
}

// A hub that nobody uses is not kept by what counts it.
func TestAHubThatIsGoneHoldsNothing(t *testing.T) {
	gone := make(chan struct{})
	func() {
		hub := new(Hub)
		hub.Publish("a", Remove("x"))
		runtime.AddCleanup(hub, func(c chan struct{}) { close(c) }, gone)
	}()
	for end := time.Now().Add(20 * time.Second); ; {
		runtime.GC()
		select {
		case <-gone:
			return
		case <-time.After(time.Millisecond):
		}
		if time.Now().After(end) {
			t.Fatal("the hub is still there")
		}
	}
}
