package stream

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/valyala/fasthttp"
)

// The bounds of what a browser that takes nothing costs, in bytes: in the
// process, 64 KB that are being written, 64 KB that wait and what every stream
// has; in the system, what it takes for itself and what the other end has room
// for.
const (
	maxInProcess = 256 << 10
	maxInSystem  = 256 << 10
)

// stop makes a connection to s whose system has little room, for a client that
// does not read.
func (s *site) stop(t *testing.T) *client {
	c := s.connect(t)
	if tcp, ok := beneath(c.Conn).(*net.TCPConn); ok {
		tcp.SetReadBuffer(4 << 10)
	}
	return c
}

// 900 that read get everything in order beside 100 that do not, and these are
// cut off at their deadline.
func TestTheStalledAreCutOffAndTheOthersMissNothing(t *testing.T) {
	onEverySocket(t, func(t *testing.T, network string) {
		events, reading, stalled := 1000, 900, 100
		if network == "tls" {
			reading, stalled = 90, 10
		}
		hub := Hub{KeepEvents: events}
		feed := hub.Feed("log")
		began, causes := make(chan struct{}), make(chan error, stalled)
		s := serve(t, network, func(s *site, req *fasthttp.RequestCtx) {
			r := Response{Transport: SSE{}, WriteTimeout: time.Minute, Source: func(ctx context.Context, page *Page) error {
				began <- struct{}{}
				return feed.Follow(ctx, page)
			}}
			if string(req.Path()) == "/stalled" {
				r.WriteTimeout = 200 * time.Millisecond
				r.Source = func(ctx context.Context, page *Page) error {
					began <- struct{}{}
					err := feed.Follow(ctx, page)
					<-ctx.Done()
					causes <- context.Cause(ctx)
					return err
				}
			}
			r.Serve(req)
		})
		for range stalled {
			s.stop(t).ask("GET /stalled")
			<-began
		}
		var readers sync.WaitGroup
		for range reading {
			c := s.connect(t)
			c.SetReadDeadline(time.Now().Add(time.Minute))
			c.ask("GET /")
			<-began
			readers.Go(func() {
				if err := c.inOrder(events); err != nil {
					t.Error(err)
				}
			})
		}
		text := strings.Repeat("x", 300)  // together more than a system takes
		for n := 0; n < events; n += 10 { // to wake a thousand takes its time
			var batch []Update
			for i := range 10 {
				batch = append(batch, Emit("", fmt.Sprint(n+i, " ", text)))
			}
			if _, err := hub.PublishAll("log", batch...); err != nil {
				t.Fatal(err)
			}
		}
		hub.End("log")
		readers.Wait()
		for range stalled {
			// The system may be the first to give up, if little is published for long.
			if err := <-causes; !errors.Is(err, ErrSlow) && !errors.Is(err, ErrClientGone) {
				t.Errorf("the cause is %v, want ErrSlow", err)
			}
		}
	})
}

// inOrder reads an event stream to its end, and returns an error unless its
// data begins with the numbers below n.
func (c *client) inOrder(n int) error {
	lines := bufio.NewScanner(c.r)
	next, done := 0, false
	for !done && lines.Scan() {
		line := lines.Text()
		done = line == "event: done"
		if data, ok := strings.CutPrefix(line, "data: "); ok && data != "" {
			if number, _, _ := strings.Cut(data, " "); number != fmt.Sprint(next) {
				return fmt.Errorf("event %s where %d should be", number, next)
			}
			next++
		}
	}
	if !done || next != n {
		return fmt.Errorf("%d events of %d, done is %v: %w", next, n, done, lines.Err())
	}
	return nil
}

func TestWhatAStalledBrowserCostsIsBounded(t *testing.T) {
	onEverySocket(t, func(t *testing.T, network string) {
		const streams, events = 100, 1000
		hub := Hub{KeepEvents: events, KeepBytes: 1 << 30}
		feed := hub.Feed("log")
		pages := make(chan *Page, streams)
		s := serve(t, network, func(s *site, req *fasthttp.RequestCtx) {
			Response{Transport: SSE{}, WriteTimeout: time.Hour, Source: func(ctx context.Context, page *Page) error {
				pages <- page
				return feed.Follow(ctx, page)
			}}.Serve(req)
		})
		text := strings.Repeat("x", 4<<10)
		for n := range events {
			hub.Publish("log", Emit("", fmt.Sprint(n, " ", text)))
		}
		before := int(heap())
		var clients []*client
		for range streams {
			c := s.stop(t)
			c.ask("GET /")
			clients = append(clients, c)
		}
		if bytes := stuck(t, pages); runtime.GOOS == "linux" && bytes > streams*maxInSystem {
			t.Errorf("the system holds %d bytes of a stream, more than %d", bytes/streams, maxInSystem)
		}
		if cost := (int(heap()) - before) / streams; cost > maxInProcess {
			t.Errorf("a stalled browser costs %d bytes, more than %d", cost, maxInProcess)
		} else {
			t.Logf("a stalled browser costs %d bytes", cost)
		}
		for _, c := range clients {
			beneath(c.Conn).Close()
		}
	})
}

// stuck waits until as many pages as pages has room for write and get no
// further, and returns how much of them has been taken.
func stuck(t *testing.T, pages <-chan *Page) (bytes int) {
	t.Helper()
	all := make([]*Page, cap(pages))
	for i := range all {
		all[i] = <-pages
	}
	for deadline, before := time.Now().Add(20*time.Second), uint(0); ; time.Sleep(100 * time.Millisecond) {
		writing, writes := true, uint(0)
		bytes = 0
		for _, page := range all {
			page.mu.Lock()
			writing = writing && page.writing
			writes += page.pulse.writes
			bytes += page.stats.Bytes
			page.mu.Unlock()
		}
		if writing && writes == before {
			return bytes
		}
		if before = writes; time.Now().After(deadline) {
			t.Fatalf("not all pages stall: %d bytes have been taken", bytes)
		}
	}
}

// What has been cut off does not look as if it had ended in order, also where
// only the end of the connection says so.
func TestWhoIsCutOffKnowsIt(t *testing.T) {
	onEverySocket(t, func(t *testing.T, network string) {
		for _, version := range []string{"1.0", "1.1"} {
			causes := make(chan error, 1)
			s := serve(t, network, func(s *site, req *fasthttp.RequestCtx) {
				Response{WriteTimeout: 500 * time.Millisecond, Source: func(ctx context.Context, page *Page) error {
					for page.Send(Append("a", Text(strings.Repeat("x", 1000)))) == nil {
					}
					causes <- context.Cause(ctx)
					return nil
				}}.Serve(req)
			})
			c := s.stop(t)
			c.ask("GET / HTTP/" + version)
			if err := <-causes; !errors.Is(err, ErrSlow) {
				t.Errorf("the cause is %v, want ErrSlow", err)
			}
			if err := s.Shutdown(); err != nil { // also the hijacked end soon
				t.Error(err)
			}
			if n, err := io.Copy(io.Discard, c.r); err == nil {
				t.Errorf("HTTP/%s: after %d bytes comes an end in order", version, n)
			}
		}
	})
}

// The server's own WriteTimeout is for a whole response, and may stay set.
func TestTheServersWriteTimeoutEndsNoStream(t *testing.T) {
	serve(t, "memory", func(_ *site, req *fasthttp.RequestCtx) {}).get(t, "/") // starts fasthttp's clock
	synctest.Test(t, func(t *testing.T) {
		const twice = "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1" // on one connection
		writes := talk(t, twice, "", func(req *fasthttp.RequestCtx) {
			Response{Transport: plain{}, Source: func(ctx context.Context, page *Page) error {
				for range 20 { // four times the WriteTimeout
					time.Sleep(time.Second)
					page.Send(Remove("a"))
				}
				return nil
			}}.Serve(req)
		})
		body := strings.Join(writes, "")
		if n := strings.Count(body, "[remove a]"); n != 40 || strings.Count(body, "([done ])\r\n0\r\n\r\n") != 2 {
			t.Errorf("%d updates of 40 in %q", n, body)
		}
	})
}

func TestASenderWaitsWhileMuchIsHeldForAView(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := new(wire)
		page := open(Response{Flush: Flush{Bytes: 30}, Heartbeat: -1}, w)
		rest := make(chan struct{})
		go page.Render(view(func(to io.Writer) {
			io.WriteString(to, "<p")
			<-rest
			io.WriteString(to, ">")
		}))
		synctest.Wait()
		large := Remove(strings.Repeat("b", 30))
		if small := sending(page, Remove("a")); !small() {
			t.Error("a small update waits for a view")
		}
		first := sending(page, large)
		if first() {
			t.Error("a sender does not wait though too much is held")
		}
		second := sending(page, large)
		if second() {
			t.Error("a second sender does not wait")
		}
		close(rest)
		if !first() || !second() {
			t.Error("a sender waits though the view has left")
		}
		if got := strings.Join(w.take(), ""); !strings.HasPrefix(got, "<p>([remove a]") || strings.Count(got, large.Target) != 2 {
			t.Errorf("the page is %q", got)
		}
		page.end(nil)
	})
}

func TestASenderThatWaitsForAViewLearnsOfTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		page := open(Response{Flush: Flush{Bytes: 1}}, new(wire))
		rest := make(chan struct{})
		go page.Render(view(func(io.Writer) { <-rest }))
		synctest.Wait()
		returned := sending(page, Remove("a"))
		if returned() {
			t.Error("a sender does not wait though too much is held")
		}
		page.gone()
		if !returned() {
			t.Error("a sender waits for a browser that has gone")
		}
		close(rest)
		page.end(nil)
	})
}

// A browser that is too slow for what is kept starts again; one that wants the
// newest only gets that. Neither delays the publisher or another browser.
func TestASlowBrowserGetsTheNewestOrStartsAgain(t *testing.T) {
	for name, want := range map[string][]string{
		"log":   {"([inner x])", "([reload ])"},
		"price": {"([inner x])", "([inner x])", "([done ])"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const events = 50
				hub := Hub{KeepEvents: 10, Latest: func(topic string) bool { return topic == "price" }}
				if name == "price" {
					hub.KeepEvents = events
				}
				feed := hub.Feed(name)
				follow := func(w io.Writer) (ended chan struct{}) {
					ended = make(chan struct{})
					go func() {
						defer close(ended)
						run(Response{Source: feed.Follow, WriteTimeout: time.Hour, Heartbeat: -1}, w)
					}()
					synctest.Wait()
					return ended
				}
				slow, fast := held(), new(wire)
				slowEnded, fastEnded := follow(slow), follow(fast)
				for range events {
					hub.Publish(name, Inner("x", Text("x")))
					synctest.Wait()
				}
				if n := len(fast.take()); n != events {
					t.Errorf("beside a slow browser another gets %d events of %d", n, events)
				}
				close(slow.pass)
				synctest.Wait()
				hub.End(name)
				<-slowEnded
				<-fastEnded
				if got := slow.take(); !slices.Equal(got, want) {
					t.Errorf("the slow one gets %q, want %q", got, want)
				}
			})
		})
	}
}

// A heartbeat and what follows it arrive over every kind of connection, and the
// connection is of use afterwards.
func TestHeartbeatsLeaveAConnectionInOrder(t *testing.T) {
	onEveryNetwork(t, func(t *testing.T, network string) {
		next := make(chan struct{})
		s := serve(t, network, func(s *site, req *fasthttp.RequestCtx) {
			Response{Transport: plain{}, Heartbeat: 20 * time.Millisecond, Source: job(next)}.Serve(req)
		})
		c := s.connect(t)
		for range 2 {
			c.ask("GET /")
			c.head()
			for range 3 {
				if got := c.chunk(); got != "*" {
					t.Errorf("in a silence comes %q, want a heartbeat", got)
				}
			}
			next <- struct{}{}
			next <- struct{}{}
			// What becomes ready during a write leaves together, in one batch or more.
			if got := strings.NewReplacer("*", "", "(", "", ")", "").Replace(c.body()); got != "[remove a][remove b][done ]" {
				t.Errorf("after the heartbeats comes %q", got)
			}
		}
	})
}

// A page that has come to its end, but for a write that takes too long, is cut off
// as any other.
func TestAWriteIsCutOffAfterThePagesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := open(Response{}, newStalled())
		go o.Send(Remove("a")) // ends with the page
		synctest.Wait()
		o.expire()
		o.end(nil)
		if o.err != ErrExpired || !o.torn {
			t.Errorf("%v, torn: %v", o.err, o.torn)
		}
	})
}
