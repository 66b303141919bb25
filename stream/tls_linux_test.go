package stream

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// A tapped connection keeps what comes over it.
type tapped struct {
	net.Conn
	mu  sync.Mutex // guards raw
	raw []byte
}

func (c *tapped) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.raw = append(c.raw, b[:n]...)
	return n, err
}

// records returns the types of the records of TLS that have come (RFC 5246,
// section 6.2.1), each a byte, which TLS 1.2 does not encrypt.
func (c *tapped) records() (types string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for raw := c.raw; len(raw) >= 5; {
		types += string(raw[0])
		raw = raw[min(len(raw), 5+int(raw[3])<<8+int(raw[4])):]
	}
	return types
}

const alert = "\x15" // the type of TLS's goodbye

// tap makes the next connections to s ones of TLS 1.2, and returns them.
func (s *site) tap(t *testing.T) (*tapped, *client) {
	dial, c := s.dial, new(tapped)
	s.dial = func() (net.Conn, error) {
		conn, err := dial()
		if err != nil {
			return nil, err
		}
		c.Conn = beneath(conn)
		return tls.Client(c, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}), nil
	}
	defer func() { s.dial = dial }()
	return c, s.connect(t)
}

// The goodbye of TLS comes once and last, and only behind a stream that is whole.
func TestATLSFollowerIsToldWhatIsWhole(t *testing.T) {
	var hub Hub
	feed := hub.Feed("log")
	s := serve(t, "tls", func(s *site, req *fasthttp.RequestCtx) {
		r := Response{Transport: SSE{}, Feed: feed, Log: s.log.logger()}
		if string(req.Path()) == "/panics" {
			r.Transport = badEncoder{}
		}
		r.Serve(req)
	})
	for path, goodbyes := range map[string]int{"/": 1, "/panics": 0} {
		tapped, c := s.tap(t)
		c.ask("GET " + path)
		c.head()
		c.chunk()
		hub.Publish("log", Remove("a"))
		if path == "/" {
			c.chunk()
			hub.End("log")
			c.chunks()
		}
		if rest, err := io.ReadAll(c.r); err != nil || len(rest) > 0 {
			t.Errorf("%s: the stream is followed by %q, %v", path, rest, err)
		}
		records := tapped.records()
		if strings.Count(records, alert) != goodbyes || strings.HasSuffix(records, alert) != (goodbyes > 0) {
			t.Errorf("%s: the records are of the types %q, want %d alerts", path, records, goodbyes)
		}
		feed = hub.Feed("log")
	}
}

// A server of fasthttp sees TLS, and a page is served on the connection as on any.
func TestAConnectionOfTheTLSListenerIsTLS(t *testing.T) {
	s := serve(t, "tls", func(s *site, req *fasthttp.RequestCtx) {
		if state := req.TLSConnectionState(); !req.IsTLS() || state == nil || !state.HandshakeComplete {
			t.Errorf("IsTLS is %v, the state %+v", req.IsTLS(), state)
		}
		ServePage(req, markup("<h1>"), job(always()))
	})
	c := s.connect(t)
	for range 3 {
		c.ask("GET /")
		c.head()
		if body := c.body(); !strings.HasPrefix(body, "<h1>") {
			t.Errorf("the page is %q", body)
		}
	}
}

// A client may spoil its TLS behind its request.
func TestAFollowerWhoseTLSHasFailedIsForgotten(t *testing.T) {
	var hub Hub
	streams := new(Streams)
	entered, pass := make(chan struct{}), make(chan struct{})
	s := serve(t, "tls", func(s *site, req *fasthttp.RequestCtx) {
		entered <- struct{}{}
		<-pass
		req.Conn().(*tlsConn).Conn.Read(make([]byte, 1)) // as fasthttp does if more has come
		streams.Handler(Response{Transport: SSE{}, Feed: hub.Feed("log"), Log: s.log.detailed()}.Serve)(req)
	})
	c := s.connect(t)
	c.ask("GET /")
	<-entered
	if _, err := beneath(c.Conn).Write([]byte("\x17\x03\x03\x00\x20 32 bytes that are no ciphertext.")); err != nil {
		t.Fatal(err)
	}
	close(pass)
	s.says(t, 1, "cause=client_gone")
	eventually(t, func() bool { return streams.Len() == 0 })
}

func TestATLSConnectionIsTakenOnce(t *testing.T) {
	var conn *tlsConn
	s := serve(t, "tls", func(_ *site, req *fasthttp.RequestCtx) { conn = req.Conn().(*tlsConn) })
	descriptors := openDescriptors()
	c := s.connect(t)
	c.ask("GET /")
	c.head()
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	if _, err := conn.take(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a crowd takes what is closed: %v", err)
	}
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	c.rest()
	c.Close()
	eventually(t, func() bool { return openDescriptors() <= descriptors })
}
