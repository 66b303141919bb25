package stream

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/valyala/fasthttp"
)

func TestAShutdownEndsEveryStream(t *testing.T) {
	onEveryNetwork(t, func(t *testing.T, network string) {
		const streams = 10
		causes := make(chan error, streams+1)
		s := serve(t, network, func(s *site, req *fasthttp.RequestCtx) {
			r := Response{Transport: plain{}, Shell: markup("<h1>"), Log: s.log.logger(), Source: func(ctx context.Context, page *Page) error {
				page.Send(Inner("a", Text("b")))
				<-ctx.Done()
				causes <- context.Cause(ctx)
				return ctx.Err()
			}}
			if string(req.Path()) == "/feed" {
				r.Shell = nil
			}
			r.Serve(req)
		})
		var clients []*client
		paths := []string{"/", "/feed"}
		for i := range streams {
			c := s.connect(t)
			c.ask("GET " + paths[i%2])
			c.head()
			c.chunk()
			clients = append(clients, c)
		}
		old := s.connect(t)
		old.ask("GET / HTTP/1.0")
		old.head()

		if err := s.Shutdown(); err != nil {
			t.Error(err)
		}
		for range streams + 1 {
			if err := <-causes; !errors.Is(err, ErrShutdown) {
				t.Errorf("the cause is %v, want ErrShutdown", err)
			}
		}
		for i, c := range clients {
			body := c.body()
			if i%2 == 0 && !strings.HasSuffix(body, "([fail ])") {
				t.Errorf("a page that has not got all of itself is told %q", body)
			}
			if i%2 == 1 && body != "" {
				t.Errorf("who follows is told %q, and would not come back", body)
			}
		}
		if body := old.rest(); body != "<h1>([inner a])([fail ])" {
			t.Errorf("HTTP/1.0: the body is %q", body)
		}
		s.log.want(t)
	})
}

func TestAFollowedTopicEndsItsStreams(t *testing.T) {
	onEveryNetwork(t, func(t *testing.T, network string) {
		var hub Hub
		s := serve(t, network, func(s *site, req *fasthttp.RequestCtx) { ServeFeed(req, hub.Feed("log")) })
		c := s.connect(t)
		c.ask("GET /")
		c.head()
		if got := c.chunk(); !strings.HasPrefix(got, "retry: ") {
			t.Errorf("the stream begins with %q", got)
		}
		hub.End("log")
		if events, _ := parseSSE(c.body()); len(events) != 1 || events[0].ID != "done" {
			t.Errorf("it ends with %+v", events)
		}
	})
}

// A browser that comes back gets what it has missed, by the header of an
// EventSource or by the query, and a reload if that is forgotten.
func TestABrowserResumes(t *testing.T) {
	hub := Hub{KeepEvents: 3}
	var ids []string
	for _, data := range []string{"1", "2", "3", "4", "5"} {
		id, _ := hub.Publish("log", Emit("", data))
		ids = append(ids, formatID(id))
	}
	place := formatID(hub.Feed("log").After)
	hub.End("log")
	s := serve(t, "memory", func(s *site, req *fasthttp.RequestCtx) {
		Response{Transport: SSE{}, Feed: hub.Feed("log"), Log: s.log.logger()}.Serve(req)
	})
	for _, test := range []struct{ query, header, want string }{
		{"", ids[2], "4 5 done:"},
		{"?after=" + ids[3], "", "5 done:"},
		{"?after=" + ids[1], ids[3], "5 done:"},
		{"", ids[4], "done:"},
		{"", "", "done:"}, // the feed begins at its place
		{"", ids[0], "reload:" + place},
		{"", "1", "reload:" + place},
		{"?after=12x", "", "reload:" + place},
		{"", "-1", "reload:" + place},
		{"", "99999999999999999999", "reload:" + place},
	} {
		_, body := s.get(t, "/"+test.query, "Last-Event-ID: "+test.header)
		var got []string
		events, _ := parseSSE(body)
		for _, e := range events {
			switch e.Name {
			case "message":
				got = append(got, e.Data)
			case "done":
				got = append(got, "done:")
			default:
				got = append(got, e.Name+":"+e.ID)
			}
		}
		if got := strings.Join(got, " "); got != test.want {
			t.Errorf("%s, Last-Event-ID %q: %q, want %q", test.query, test.header, got, test.want)
		}
	}
	s.log.want(t)
}

func TestNothingIsLeftOfAStream(t *testing.T) {
	onEveryNetwork(t, func(t *testing.T, network string) {
		visit := func(streams int) {
			s := serve(t, network, func(s *site, req *fasthttp.RequestCtx) {
				Response{Shell: markup("<h1>"), Source: func(ctx context.Context, page *Page) error {
					return page.Fill(ctx, Slot{Target: "a", View: func(context.Context) (View, error) { return Text("A"), nil }})
				}}.Serve(req)
			})
			var visiting sync.WaitGroup
			for range 8 {
				visiting.Go(func() {
					for range streams / 8 {
						s.get(t, "/")
						c := s.connect(t)
						c.ask("GET /") // and goes before the answer
						c.Close()
					}
				})
			}
			visiting.Wait()
			if err := s.Shutdown(); err != nil {
				t.Error(err)
			}
		}
		visit(8) // what the first stream starts for the whole process stays
		goroutines, descriptors := len(ours()), openDescriptors()
		visit(200)
		deadline := time.Now().Add(20 * time.Second)
		for len(ours()) > goroutines || openDescriptors() > descriptors {
			if time.Now().After(deadline) {
				t.Fatalf("%d goroutines and %d descriptors, from %d and %d:\n%s", len(ours()), openDescriptors(),
					goroutines, descriptors, strings.Join(ours(), "\n\n"))
			}
			runtime.Gosched()
		}
	})
}

// ours returns the stacks of the goroutines that this package has to do with.
// fasthttp's own may outlive their server by some seconds.
func ours() (stacks []string) {
	all := make([]byte, 1<<20)
	for stack := range strings.SplitSeq(string(all[:runtime.Stack(all, true)]), "\n\n") {
		if strings.Contains(stack, "foreverframe/stream.") {
			stacks = append(stacks, stack)
		}
	}
	return stacks
}

// openDescriptors returns the number of the process's descriptors, zero where it
// cannot be known.
func openDescriptors() int {
	entries, _ := os.ReadDir("/proc/self/fd")
	return len(entries)
}

// A talker is a server's connection whose browser sends one request and then
// takes everything but stall. It waits with it until a deadline has passed.
type talker struct {
	net.Conn
	request io.Reader
	stall   string
	cut     chan struct{}
	once    sync.Once

	mu     sync.Mutex // guards the rest
	writes []string
	timer  *time.Timer
}

func (c *talker) Read(b []byte) (int, error) { return c.request.Read(b) }

func (c *talker) Write(b []byte) (int, error) {
	if string(b) == c.stall {
		<-c.cut
		return 0, os.ErrDeadlineExceeded
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writes = append(c.writes, string(b))
	return len(b), nil
}

func (c *talker) SetWriteDeadline(at time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer != nil {
		c.timer.Stop()
	}
	if !at.IsZero() {
		c.timer = time.AfterFunc(time.Until(at), c.hangUp)
	}
	return nil
}

func (c *talker) hangUp() { c.once.Do(func() { close(c.cut) }) }

func (c *talker) SetDeadline(t time.Time) error   { return c.SetWriteDeadline(t) }
func (c *talker) SetReadDeadline(time.Time) error { return nil }
func (c *talker) Close() error                    { return nil }
func (c *talker) RemoteAddr() net.Addr            { return new(net.TCPAddr) }
func (c *talker) LocalAddr() net.Addr             { return new(net.TCPAddr) }

// talk serves one request, in a bubble, and returns the writes of the answer.
func talk(t *testing.T, request, stall string, handler fasthttp.RequestHandler) []string {
	t.Helper()
	c := &talker{request: strings.NewReader(request + "\r\nHost: a\r\n\r\n"), stall: stall, cut: make(chan struct{})}
	served := make(chan struct{})
	go func() {
		defer close(served)
		server := &fasthttp.Server{Handler: handler, WriteTimeout: 5 * time.Second, Logger: printer{new(records)}}
		server.ServeConn(c)
	}()
	time.Sleep(time.Minute)
	synctest.Wait()
	select {
	case <-served:
	default:
		t.Errorf("a minute later the server still waits with the write of %q", stall)
		c.hangUp()
		<-served
	}
	synctest.Wait()
	c.SetWriteDeadline(time.Time{})
	return c.writes
}

// fasthttp writes the end of a chunked body when the page has ended. A browser
// that takes nothing any more must not hold the connection there.
func TestTheEndOfAStreamHasADeadlineToo(t *testing.T) {
	serve(t, "memory", func(_ *site, req *fasthttp.RequestCtx) {}).get(t, "/") // starts fasthttp's clock
	for _, stall := range []string{"0\r\n", "\r\n"} {
		t.Run(strconv.Quote(stall), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				talk(t, "GET / HTTP/1.1", stall, func(req *fasthttp.RequestCtx) {
					ServePage(req, markup("<h1>"), nil)
				})
			})
		})
	}
}

func TestTheHeadLeavesWithTheFirstWrite(t *testing.T) {
	serve(t, "memory", func(_ *site, req *fasthttp.RequestCtx) {}).get(t, "/") // starts fasthttp's clock
	for _, version := range []string{"1.0", "1.1"} {
		synctest.Test(t, func(t *testing.T) {
			writes := talk(t, "GET / HTTP/"+version, "", func(req *fasthttp.RequestCtx) {
				Response{Transport: plain{}, Shell: markup("<h1>")}.Serve(req)
			})
			if len(writes) == 0 || !strings.HasPrefix(writes[0], "HTTP/1.1 200 OK\r\n") || !strings.Contains(writes[0], "<h1>") {
				t.Errorf("HTTP/%s: the writes are %q", version, writes)
			}
		})
	}
}
