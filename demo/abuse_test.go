package demo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"foreverframe/stream"
)

// A victim is a site under attack.
type victim struct {
	t    *testing.T
	dial func() net.Conn
}

// send opens a connection, sends text on it and returns all that comes back until
// the server closes it, which it must.
func (v victim) send(text string) string {
	conn := v.dial()
	defer conn.Close()
	go io.WriteString(conn, text) // may be more than the server reads
	return v.rest(conn)
}

func (v victim) rest(conn net.Conn) string {
	conn.SetReadDeadline(time.Now().Add(patience))
	b, err := io.ReadAll(conn)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		v.t.Errorf("the server does not close a connection on which came %.100q", b)
	}
	return string(b)
}

// want sends text and checks the status that comes back. A server that closes a
// connection with unread bytes on it may take its answer back.
func (v victim) want(status int, text string) {
	if got := v.send(text); got != "" && !strings.HasPrefix(got, fmt.Sprintf("HTTP/1.1 %d ", status)) {
		v.t.Errorf("%.60q gets %.200q, want %d", text, got, status)
	}
}

// trickle sends text, and then x for as long as the server takes it.
func (v victim) trickle(text string) {
	conn := v.dial()
	defer conn.Close()
	io.WriteString(conn, text)
	answered := make(chan string)
	go func() { answered <- v.rest(conn) }()
	for {
		select {
		case got := <-answered:
			if got != "" && !strings.HasPrefix(got, "HTTP/1.1 408 ") {
				v.t.Errorf("who is slow after %q gets %q, want 408", text, got)
			}
			return
		case <-time.After(20 * time.Millisecond):
			io.WriteString(conn, "x")
		}
	}
}

// abuses are what the site must stand, each made by several at once.
var abuses = map[string]func(v victim){
	"slow headers": func(v victim) { v.trickle("GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ") },
	"slow bodies": func(v victim) {
		v.trickle("POST /feeds/log HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n")
	},
	"slow chunks": func(v victim) {
		v.trickle("POST /feeds/log HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n")
	},
	"silence": func(v victim) { v.send("") },
	"half a socket": func(v victim) {
		conn := v.dial()
		defer conn.Close()
		io.WriteString(conn, "GET /feeds/log?transport=sse HTTP/1.1\r\nHost: a\r\n")
		socket(conn).CloseWrite()
		v.rest(conn)
	},
	"headers that are too large": func(v victim) {
		v.want(431, "GET / HTTP/1.1\r\nHost: a\r\nCookie: "+strings.Repeat("x", 2*maxHead)+"\r\n\r\n")
	},
	"too many headers": func(v victim) {
		v.want(431, "GET / HTTP/1.1\r\nHost: a\r\n"+strings.Repeat("X-A: b\r\n", maxHead/4)+"\r\n")
	},
	"an address that is too long": func(v victim) {
		v.want(431, "GET /"+strings.Repeat("x", 2*maxHead)+" HTTP/1.1\r\nHost: a\r\n\r\n")
	},
	"a body that is too large": func(v victim) {
		v.want(413, "POST /feeds/log HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999\r\n\r\n")
		v.want(413, "POST /feeds/log HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer x\r\nContent-Length: 3000000\r\n\r\n")
	},
	"a body without an end": func(v victim) {
		v.want(413, "POST /demo/echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"+strings.Repeat("1000\r\n"+strings.Repeat("x", 0x1000)+"\r\n", 2*maxStranger/0x1000))
	},
	"malformed requests": func(v victim) {
		for _, text := range []string{
			"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", // the start of TLS
			"GET\r\n\r\n",
			"GET / HTTP/9.9\r\nHost: a\r\n\r\n",
			" / HTTP/1.1\r\nHost: a\r\n\r\n",
			"GET / HTTP/1.1\r\nHost : a\r\nbad\r\n\r\n",
			"GET / HTTP/1.1\r\nHost: a\r\nX-A\x00: b\r\n\r\n",
			"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
			"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
			"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
			"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
			"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
			"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		} {
			if got := v.send(text); strings.HasPrefix(got, "HTTP/1.1 2") {
				v.t.Errorf("%q is served: %.200q", text, got)
			}
		}
	},
	"two lengths": func(v victim) {
		got := v.send("POST /demo/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
		if strings.Count(got, "HTTP/1.1 ") != 1 {
			v.t.Errorf("what a proxy may have taken for a body is served: %q", got)
		}
	},
	"pipelines": func(v victim) {
		got := v.send(strings.Repeat("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", 200) + "nonsense\r\n\r\n")
		if n, bad := strings.Count(got, "HTTP/1.1 200 "), strings.Count(got, "HTTP/1.1 400 "); n != 200 || bad != 1 {
			v.t.Errorf("200 pipelined requests and a bad one get %d answers and %d refusals", n, bad)
		}
	},
	"a pipeline that nobody reads": func(v victim) {
		conn := v.dial()
		defer conn.Close()
		socket(conn).SetReadBuffer(4 << 10)
		conn.SetWriteDeadline(time.Now().Add(patience))
		for { // until the server, which cannot write, has closed
			if _, err := io.WriteString(conn, strings.Repeat("GET /ff.js HTTP/1.1\r\nHost: a\r\n\r\n", 100)); err != nil {
				if errors.Is(err, os.ErrDeadlineExceeded) {
					v.t.Error("the server keeps who does not read")
				}
				return
			}
		}
	},
	"random bytes": func(v victim) {
		random := rand.NewChaCha8([32]byte{})
		for range 5 {
			b := make([]byte, 4<<10)
			random.Read(b)
			if got := v.send(string(b)); strings.HasPrefix(got, "HTTP/1.1 2") {
				v.t.Errorf("random bytes are served: %.200q", got)
			}
		}
	},
	"random bytes behind a request": func(v victim) {
		random := rand.NewChaCha8([32]byte{1})
		b := make([]byte, 4<<10)
		random.Read(b)
		v.send("GET /feeds/log?transport=poll&wait=0 HTTP/1.1\r\nHost: a\r\n" + string(b))
	},
	"more streams than there may be": func(v victim) {
		conn := v.dial()
		defer conn.Close()
		io.WriteString(conn, "GET /feeds/log?transport=sse HTTP/1.1\r\nHost: a\r\n\r\n")
		conn.SetReadDeadline(time.Now().Add(patience))
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		switch {
		case err != nil: // it has waited for so long that the request came too late
		case answer.StatusCode == 200: // one of the last places
		case answer.StatusCode != 503 || answer.Header.Get("Retry-After") == "":
			v.t.Errorf("a stream too many gets %s %v", answer.Status, answer.Header)
		}
	},
}

// A subscriber beside all attacks at once misses nothing, and when they are over
// nothing is left of them, in the log neither.
func TestWhoIsBesideAnAttackMissesNothing(t *testing.T) {
	const attackers = 20 // of each kind
	for _, s := range sockets {
		t.Run(s.name, func(t *testing.T) {
			log := &record{}
			before := slog.Default()
			slog.SetDefault(slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn})))
			defer slog.SetDefault(before)

			site := &Site{ReadTimeout: time.Second, IdleTimeout: time.Second}
			site.Streams.Max = 10
			site.Hub.KeepEvents = 1 << 20
			server := site.Server()
			server.WriteTimeout = time.Second
			address := listen(t, server, s.wrap)
			v := victim{t, func() net.Conn {
				conn, err := s.dial(address)
				if err != nil {
					t.Error(err)
					return new(net.TCPConn)
				}
				return conn
			}}
			healthy := v.dial()
			defer healthy.Close()
			healthy.SetReadDeadline(time.Now().Add(patience))
			io.WriteString(healthy, "GET /feeds/log?transport=sse HTTP/1.1\r\nHost: a\r\n\r\n")
			lines := bufio.NewScanner(healthy)
			for lines.Scan() && !strings.HasPrefix(lines.Text(), "retry:") {
			}
			goroutines, files, _ := settled(t)

			over, published := make(chan struct{}), make(chan int)
			go func() {
				n := 0
				for publishing := true; publishing; n++ {
					site.Hub.Publish(logTopic, stream.Emit("", fmt.Sprint(n)))
					select {
					case <-over:
						publishing = false
					case <-time.After(time.Millisecond):
					}
				}
				site.Hub.End(logTopic)
				published <- n
			}()
			var attacking sync.WaitGroup
			for _, attack := range abuses {
				for range attackers * s.clients / 1000 {
					attacking.Go(func() { attack(v) })
				}
				attacking.Go(func() { attack(v) })
			}
			go func() {
				attacking.Wait()
				close(over)
			}()

			next := 0
			for lines.Scan() && lines.Text() != "event: done" {
				if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
					if data != fmt.Sprint(next) {
						t.Errorf("the healthy one sees %s where %d should be", data, next)
						next = -1 << 30
					}
					next++
				}
			}
			if n := <-published; next != n {
				t.Errorf("the healthy one has %d of %d events: %v", next, n, lines.Err())
			}
			t.Logf("%d events beside %d kinds of attack", next, len(abuses))
			settles(t, "goroutines", goroutines+2, runtime.NumGoroutine)
			settles(t, "descriptors", files+2, func() int { return openFiles(t) })
			if text := log.String(); text != "" {
				t.Errorf("the attackers fill the log: %d bytes, %.500s", len(text), text)
			}
		})
	}
}

func TestWhatIsTooMuchIsToldSo(t *testing.T) {
	site := &Site{ReadTimeout: 300 * time.Millisecond, MaxBody: 100_000}
	address := listen(t, site.Server(), func(l net.Listener) net.Listener { return l })
	v := victim{t, func() net.Conn {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}}
	for _, test := range []struct{ request, status, says string }{
		{"GET / HTTP/1.1\r\nHost: a\r\nCookie: " + strings.Repeat("x", maxHead) + "\r\n\r\n", "431 Request Header Fields Too Large", "at most 16384 bytes"},
		{"POST /feeds/log HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\n", "413 Request Entity Too Large", "at most 65536 bytes, or 100000 with the header Authorization"},
		{"POST /feeds/log HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer x\r\nContent-Length: 200001\r\n\r\n", "413 Request Entity Too Large", "100000 with"},
		{"POST /feeds/log HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nslow", "408 Request Timeout", "within 300ms"},
		{"GET / HTTP/1.1\r\nHost: a\r\n", "408 Request Timeout", "within 300ms"},
		{"GET / HTTP/2.1\r\nHost: a\r\n\r\n", "505 HTTP Version Not Supported", "HTTP/1.1"},
		{"nonsense\r\n\r\n", "400 Bad Request", "cannot be read as HTTP"},
	} {
		got := v.send(test.request)
		if !strings.HasPrefix(got, "HTTP/1.1 "+test.status+"\r\n") || !strings.Contains(got, test.says) || !strings.Contains(got, "Connection: close") {
			t.Errorf("%.60q gets %q, want %s with %q", test.request, got, test.status, test.says)
		}
	}
}

// A starved listener has no descriptor left for a while.
type starved struct {
	net.Listener
	errors []error
}

func (l *starved) Accept() (net.Conn, error) {
	if len(l.errors) > 0 {
		err := l.errors[0]
		l.errors = l.errors[1:]
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", err)}
	}
	return l.Listener.Accept()
}

func TestAServerOutlivesALackOfDescriptors(t *testing.T) {
	address := listen(t, (&Site{}).Server(), func(l net.Listener) net.Listener {
		return Listener{&starved{l.(Listener).Listener, []error{syscall.EMFILE, syscall.ECONNABORTED, syscall.ENFILE}}}
	})
	if answer, text := ask(t, "GET", "http://"+address+"/healthz", ""); answer.StatusCode != 200 {
		t.Errorf("%s %q", answer.Status, text)
	}
	_, err := Listener{&starved{nil, []error{syscall.EINVAL}}}.Accept()
	if !errors.Is(err, syscall.EINVAL) {
		t.Errorf("%v, want what does not pass", err)
	}
}

// Shutdown ends a Listener like any other.
func TestAListenerThatIsClosedAcceptsNoMore(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := (&Site{}).Server()
	served := make(chan error, 1)
	go func() { served <- server.Serve(Listener{l}) }()
	l.Close()
	if err := <-served; err != nil {
		t.Error(err)
	}
	server.ShutdownWithContext(context.Background())
}
