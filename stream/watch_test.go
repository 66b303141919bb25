//go:build linux

package stream

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

// waysToLeave are the ways in which a browser leaves.
var waysToLeave = map[string]func(t *testing.T, c net.Conn){
	"FIN":                   func(t *testing.T, c net.Conn) { c.Close() },
	"FIN without a goodbye": func(t *testing.T, c net.Conn) { beneath(c).Close() },
	"RST": func(t *testing.T, c net.Conn) {
		beneath(c).(*net.TCPConn).SetLinger(0)
		beneath(c).Close()
	},
	"half-close": func(t *testing.T, c net.Conn) { beneath(c).(*net.TCPConn).CloseWrite() },
}

// The source only waits: that the browser has gone is noticed without a write.
func TestABrowserThatLeavesASilentStreamIsNoticed(t *testing.T) {
	onEverySocket(t, func(t *testing.T, network string) {
		for how, leave := range waysToLeave {
			for _, version := range []string{"HTTP/1.1", "HTTP/1.0"} {
				t.Run(how+" "+version, func(t *testing.T) {
					began, causes := make(chan struct{}), make(chan error, 1)
					s := serve(t, network, func(s *site, req *fasthttp.RequestCtx) {
						Response{Shell: markup("<h1>"), Heartbeat: -1, Log: s.log.logger(), Source: func(ctx context.Context, page *Page) error {
							close(began)
							<-ctx.Done()
							causes <- context.Cause(ctx)
							if err := page.Send(Remove("a")); !errors.Is(err, ErrClientGone) {
								t.Errorf("Send: %v, want ErrClientGone", err)
							}
							return ctx.Err()
						}}.Serve(req)
					})
					c := s.connect(t)
					c.ask("GET / " + version)
					c.head()
					<-began
					leave(t, c.Conn)
					if err := <-causes; !errors.Is(err, ErrClientGone) {
						t.Errorf("the cause is %v, want ErrClientGone", err)
					}
					if err := s.Shutdown(); err != nil {
						t.Error(err)
					}
					s.log.want(t)
					s.server.want(t)
				})
			}
		}
	})
}

func TestWhoLeavesAFeedIsForgottenAndTheOthersGoOn(t *testing.T) {
	eitherWay(t, func(t *testing.T, network string) {
		const each, events = 10, 20
		var hub Hub
		streams := new(Streams)
		feed := hub.Feed("log")
		s := serve(t, network, func(s *site, req *fasthttp.RequestCtx) {
			streams.Handler(Response{Transport: SSE{}, Feed: feed, Heartbeat: -1, Log: s.log.detailed()}.Serve)(req)
		})
		join := func() *client {
			c := s.connect(t)
			c.ask("GET /")
			c.head()
			c.chunk()
			return c
		}
		stays := join()
		left := 0
		for how, leave := range waysToLeave {
			for range each {
				leave(t, join().Conn)
			}
			left += each
			eventually(t, func() bool { return streams.Len() == 1 })
			s.says(t, left, "cause=client_gone")
			hub.Publish("log", Emit("", how))
			if got := stays.chunk(); !strings.Contains(got, how) {
				t.Errorf("who stays gets %q", got)
			}
		}
	})
}

func TestManyThatLeaveAtOnceAreAllNoticed(t *testing.T) {
	const streams = 300
	began, causes := make(chan struct{}), make(chan error, streams)
	s := serve(t, "tcp", func(s *site, req *fasthttp.RequestCtx) {
		Response{Shell: markup("<h1>"), Heartbeat: -1, Source: func(ctx context.Context, _ *Page) error {
			began <- struct{}{}
			<-ctx.Done()
			causes <- context.Cause(ctx)
			return nil
		}}.Serve(req)
	})
	var clients []*client
	for range streams {
		c := s.connect(t)
		c.ask("GET /")
		<-began
		clients = append(clients, c)
	}
	for _, c := range clients[:streams/2] {
		c.Close()
	}
	for range streams / 2 {
		if err := <-causes; !errors.Is(err, ErrClientGone) {
			t.Errorf("the cause is %v, want ErrClientGone", err)
		}
	}
	if len(causes) != 0 {
		t.Error("a browser that stays is taken to have gone")
	}
}

// A watch belongs to one stream: what comes after it on the same connection is
// none of its business.
func TestAWatchEndsWithItsStream(t *testing.T) {
	onEverySocket(t, func(t *testing.T, network string) {
		s := serve(t, network, func(s *site, req *fasthttp.RequestCtx) {
			ServePage(req, markup("<h1>"), job(always()))
		})
		c := s.connect(t)
		for range 5 {
			c.ask("GET /")
			c.head()
			c.body()
		}
		w := theWatcher()
		w.mu.Lock()
		defer w.mu.Unlock()
		if n := len(w.watched); n != 0 {
			t.Errorf("%d watches are left", n)
		}
	})
}
