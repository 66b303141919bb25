package demo

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"foreverframe/fallback"
	"foreverframe/stream"
	"foreverframe/templates"

	"github.com/valyala/fasthttp"
)

// sockets are the ways to a server, and how many clients a test has over each: TLS
// takes its time.
var sockets = []struct {
	name    string
	clients int
	wrap    func(net.Listener) net.Listener
	dial    func(address string) (net.Conn, error)
}{
	{"tcp", 1000, func(l net.Listener) net.Listener { return l }, func(address string) (net.Conn, error) {
		return net.Dial("tcp", address)
	}},
	{"tls", 30, func(l net.Listener) net.Listener { return stream.NewTLSListener(l, keys()) }, func(address string) (net.Conn, error) {
		return tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
	}},
}

// keys returns a configuration with a certificate that nobody trusts.
var keys = sync.OnceValue(func() *tls.Config {
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	return server.TLS
})

// socket returns the connection of TCP that conn is or has beneath it.
func socket(conn net.Conn) *net.TCPConn {
	if c, ok := conn.(*tls.Conn); ok {
		conn = c.NetConn()
	}
	return conn.(*net.TCPConn)
}

// listen serves s on wrap's listener until the test ends, and returns where.
func listen(t *testing.T, server *fasthttp.Server, wrap func(net.Listener) net.Listener) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server.MaxIdleWorkerDuration = 100 * time.Millisecond
	served := make(chan error, 1)
	go func() { served <- server.Serve(wrap(Listener{l})) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		server.ShutdownWithContext(ctx)
		<-served
	})
	return l.Addr().String()
}

// TestNothingIsLeftOfThoseWhoLeave closes many idle streams of every transport
// at once.
func TestNothingIsLeftOfThoseWhoLeave(t *testing.T) {
	leaving := map[string]func(net.Conn){
		"FIN": func(c net.Conn) { c.Close() },
		"RST": func(c net.Conn) {
			socket(c).SetLinger(0)
			socket(c).Close()
		},
	}
	for _, s := range sockets {
		began, causes := make(chan struct{}, s.clients), make(chan error, s.clients)
		address := listen(t, &fasthttp.Server{Handler: func(req *fasthttp.RequestCtx) {
			fallback.Serve(req, stream.Response{
				Shell:     templates.Job{},
				Heartbeat: -1, // nothing is written: that somebody has gone shows by itself
				Source: func(ctx context.Context, page *stream.Page) error {
					began <- struct{}{}
					<-ctx.Done()
					causes <- context.Cause(ctx)
					return nil
				},
			})
		}}, s.wrap)
		visit := func(t *testing.T, clients int, transport string, leave func(net.Conn)) {
			conns := make([]net.Conn, clients)
			for i := range conns {
				conn, err := s.dial(address)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				fmt.Fprintf(conn, "GET /?transport=%s HTTP/1.1\r\nHost: a\r\n\r\n", transport)
				conns[i] = conn
			}
			for range conns {
				<-began
			}
			for _, conn := range conns {
				leave(conn)
			}
			for range conns {
				if err := <-causes; !errors.Is(err, stream.ErrClientGone) {
					t.Errorf("the cause is %v, want ErrClientGone", err)
				}
			}
		}
		for _, transport := range []string{"script", "sse", "frame", "poll"} {
			for how, leave := range leaving {
				t.Run(s.name+" "+transport+" "+how, func(t *testing.T) {
					if runtime.GOOS != "linux" {
						t.Skip("here it shows when a write fails")
					}
					visit(t, 3, transport, leave) // what is made once is there before counting
					goroutines, files, bytes := settled(t)
					visit(t, s.clients, transport, leave)
					settles(t, "goroutines", goroutines+2, runtime.NumGoroutine)
					settles(t, "descriptors", files+2, func() int { return openFiles(t) })
					settles(t, "bytes of the heap", bytes+s.clients<<10, heap) // a stream takes 17 KB
				})
			}
		}
	}
}

// settled returns the numbers of goroutines, descriptors and bytes in use, when
// those that others have left are gone.
func settled(t *testing.T) (goroutines, files, bytes int) {
	for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		n := runtime.NumGoroutine()
		if n == goroutines {
			break
		}
		goroutines = n
	}
	return goroutines, openFiles(t), heap()
}

// heap returns the bytes in use after garbage collections: what a pool holds
// survives one.
func heap() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// TestAConnectionIsOfUseAfterAStream asks, on connections whose stream has ended,
// for 50 more answers, some of them ahead of time.
func TestAConnectionIsOfUseAfterAStream(t *testing.T) {
	for _, s := range sockets {
		t.Run(s.name, func(t *testing.T) {
			site := &Site{}
			address := listen(t, site.Server(), s.wrap)
			conn, err := s.dial(address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(patience))
			r := bufio.NewReader(conn)
			paths := []string{"/demo/job?n=3&delay=0s&transport=script", "/healthz", "/demo/job?n=3&delay=0s&transport=sse", "/ff.js", "/demo/job?n=3&delay=0s&transport=poll"}
			want := []string{"ev-3-", "ok", "event: done", "function", "ev-1-"}
			next := 0
			answer := func() {
				t.Helper()
				n := next % len(paths)
				next++
				a, err := http.ReadResponse(r, nil)
				if err != nil {
					t.Fatalf("answer %d: %v", next, err)
				}
				body, err := io.ReadAll(a.Body)
				if err != nil || a.StatusCode != 200 || !strings.Contains(string(body), want[n]) {
					t.Fatalf("answer %d, to %s: %s, %v, %.200q", next, paths[n], a.Status, err, body)
				}
			}
			asked := 0
			ask := func() {
				fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", paths[asked%len(paths)])
				asked++
			}
			// A HEAD of a document leaves a deadline that has passed behind, for a moment.
			fmt.Fprint(conn, "HEAD /demo/job?n=3&delay=0s&transport=plain HTTP/1.1\r\nHost: a\r\n\r\n")
			if a, err := http.ReadResponse(r, &http.Request{Method: "HEAD"}); err != nil || a.StatusCode != 200 {
				t.Fatalf("HEAD: %v, %v", a, err)
			}
			for range 26 {
				ask()
				answer()
			}
			for range 5 { // pipelined, five at once
				for range 5 {
					ask()
				}
				for range 5 {
					answer()
				}
			}
		})
	}
}
