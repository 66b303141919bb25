package clients

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"foreverframe/fallback"
	"foreverframe/stream"

	"github.com/valyala/fasthttp"
)

// patience bounds what a test waits for; nothing is measured against it.
const patience = 60 * time.Second

const topic = "news"

// A server serves a feed of a hub at one address, and can be stopped and started
// again there.
type server struct {
	t       *testing.T
	address string
	hub     *stream.Hub
	beats   atomic.Int64 // heartbeats that have left
	running *fasthttp.Server
	served  chan error
}

// newServer starts a server for the test.
func newServer(t *testing.T) *server {
	s := &server{t: t, address: "127.0.0.1:0", hub: &stream.Hub{}}
	s.start()
	t.Cleanup(s.stop)
	return s
}

// start starts the server at its address, or at a free one the first time.
func (s *server) start() {
	s.t.Helper()
	listener, err := net.Listen("tcp", s.address)
	for end := time.Now().Add(patience); err != nil && time.Now().Before(end); listener, err = net.Listen("tcp", s.address) {
		time.Sleep(10 * time.Millisecond) // somebody's connection has the port for a moment
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.address = listener.Addr().String()
	s.running = &fasthttp.Server{Handler: s.feed, CloseOnShutdown: true}
	s.served = make(chan error, 1)
	go func() { s.served <- s.running.Serve(beatListener{listener, &s.beats}) }()
}

// stop stops the server if it is running, and returns when all its streams have
// ended.
func (s *server) stop() {
	if s.running == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.running.ShutdownWithContext(ctx); err != nil {
		s.t.Error(err)
	}
	if err := <-s.served; err != nil {
		s.t.Error(err)
	}
	s.running = nil
}

// feed serves the feed with many heartbeats and a short time to come back.
func (s *server) feed(req *fasthttp.RequestCtx) {
	fallback.Serve(req, stream.Response{
		Transport: stream.SSE{Retry: 50 * time.Millisecond},
		Source:    s.hub.Feed(topic).Follow,
		Heartbeat: 10 * time.Millisecond,
	})
}

// forget begins another life: of what was published nothing is known.
func (s *server) forget() { s.hub = &stream.Hub{} }

// url returns the URL of the feed as it stands now.
func (s *server) url() string {
	return fmt.Sprintf("http://%s/?%s", s.address, s.hub.Feed(topic).Query())
}

// publish publishes an event and returns how a client has to see it.
func (s *server) publish(name, data string) event {
	s.t.Helper()
	id, err := s.hub.Publish(topic, stream.Emit(name, data))
	if err != nil {
		s.t.Fatal(err)
	}
	return event{fmt.Sprint(id), name, data}
}

// awaitBeat waits for a heartbeat that leaves from now on.
func (s *server) awaitBeat() {
	s.t.Helper()
	before, end := s.beats.Load(), time.Now().Add(patience)
	for s.beats.Load() == before {
		if time.Now().After(end) {
			s.t.Fatal("no heartbeat has left")
		}
		time.Sleep(time.Millisecond)
	}
}

// A beatListener counts the heartbeats that leave through its connections.
type beatListener struct {
	net.Listener
	beats *atomic.Int64
}

func (l beatListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return beatConn{conn.(*net.TCPConn), l.beats}, nil
}

type beatConn struct {
	*net.TCPConn
	beats *atomic.Int64
}

func (c beatConn) Write(b []byte) (int, error) {
	if bytes.HasSuffix(b, []byte("\r\n:\n\r\n")) {
		c.beats.Add(1)
	}
	return c.TCPConn.Write(b)
}
