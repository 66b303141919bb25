package stream

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttputil"
)

// A site is a fasthttp server with one handler for the length of a test.
type site struct {
	*fasthttp.Server
	dial   func() (net.Conn, error)
	log    records // what the handler's responses log, if they use it
	server records // what fasthttp logs
}

// networks are the ways to a site.
var networks = map[string]func(t *testing.T) (net.Listener, func() (net.Conn, error)){
	"memory": func(t *testing.T) (net.Listener, func() (net.Conn, error)) {
		l := fasthttputil.NewInmemoryListener()
		return l, l.Dial
	},
	"tcp": func(t *testing.T) (net.Listener, func() (net.Conn, error)) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l, func() (net.Conn, error) { return net.Dial("tcp", l.Addr().String()) }
	},
	"tls":     overTLS(NewTLSListener),
	"std tls": overTLS(tls.NewListener),
}

func overTLS(listen func(net.Listener, *tls.Config) net.Listener) func(t *testing.T) (net.Listener, func() (net.Conn, error)) {
	return func(t *testing.T) (net.Listener, func() (net.Conn, error)) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return listen(l, keys()), func() (net.Conn, error) {
			conn, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				return nil, err
			}
			return encrypt(conn), nil
		}
	}
}

// keys returns a configuration with a certificate that nobody trusts.
var keys = sync.OnceValue(func() *tls.Config {
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	return server.TLS
})

// encrypt returns conn with TLS for a client that trusts everybody.
func encrypt(conn net.Conn) net.Conn {
	return tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
}

// onEveryNetwork runs test over memory, over TCP and over TLS.
func onEveryNetwork(t *testing.T, test func(t *testing.T, network string)) {
	for network := range networks {
		t.Run(network, func(t *testing.T) { test(t, network) })
	}
}

// onEverySocket runs test over TCP and over TLS.
func onEverySocket(t *testing.T, test func(t *testing.T, network string)) {
	for _, network := range []string{"tcp", "tls"} {
		t.Run(network, func(t *testing.T) { test(t, network) })
	}
}

// serve starts a site on network, which is shut down when the test ends.
func serve(t *testing.T, network string, handler func(*site, *fasthttp.RequestCtx)) *site {
	t.Helper()
	s := new(site)
	s.Server = &fasthttp.Server{
		Handler: func(req *fasthttp.RequestCtx) { handler(s, req) },
		Logger:  printer{&s.server},
	}
	var l net.Listener
	l, s.dial = networks[network](t)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Shutdown()
		<-served
	})
	return s
}

type printer struct{ *records }

func (p printer) Printf(format string, args ...any) { fmt.Fprintf(p, format, args...) }

// A client is one connection to a site, read as it comes.
type client struct {
	t testing.TB
	net.Conn
	r *bufio.Reader
}

func (s *site) connect(t testing.TB) *client {
	t.Helper()
	conn, err := s.dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetReadDeadline(time.Now().Add(20 * time.Second)) // a test that hangs fails
	return &client{t, conn, bufio.NewReader(conn)}
}

// ask sends a request without reading the answer. The first line has no
// version if it is to be HTTP/1.1.
func (c *client) ask(line string, header ...string) {
	c.t.Helper()
	if !strings.Contains(line, "HTTP/") {
		line += " HTTP/1.1"
	}
	lines := append([]string{line, "Host: example.com"}, header...)
	if _, err := io.WriteString(c, strings.Join(lines, "\r\n")+"\r\n\r\n"); err != nil {
		c.t.Fatal(err)
	}
}

// head reads the head of an answer, and leaves its body unread.
func (c *client) head() *http.Response {
	c.t.Helper()
	var head strings.Builder
	for !strings.HasSuffix(head.String(), "\r\n\r\n") {
		line, err := c.r.ReadString('\n')
		if head.WriteString(line); err != nil {
			c.t.Fatalf("%v after %q", err, head.String())
		}
	}
	// Read as the answer to a HEAD request, it has no body.
	response, err := http.ReadResponse(bufio.NewReader(strings.NewReader(head.String())), &http.Request{Method: "HEAD"})
	if err != nil {
		c.t.Fatalf("%v in %q", err, head.String())
	}
	return response
}

// chunk reads one chunk of a body; the last one is empty.
func (c *client) chunk() string {
	c.t.Helper()
	line, err := c.r.ReadString('\n')
	if err != nil {
		c.t.Fatalf("%v after %q", err, line)
	}
	size, err := strconv.ParseUint(strings.TrimSuffix(line, "\r\n"), 16, 32)
	if err != nil {
		c.t.Fatalf("a chunk begins with %q", line)
	}
	b := make([]byte, size+2)
	if _, err := io.ReadFull(c.r, b); err != nil || string(b[size:]) != "\r\n" {
		c.t.Fatalf("%v in a chunk of %d bytes: %q", err, size, b)
	}
	return string(b[:size])
}

// chunks reads the rest of a body.
func (c *client) chunks() (chunks []string) {
	c.t.Helper()
	for {
		chunk := c.chunk()
		if chunk == "" {
			return chunks
		}
		chunks = append(chunks, chunk)
	}
}

// body reads the rest of a body as a whole.
func (c *client) body() string {
	c.t.Helper()
	return strings.Join(c.chunks(), "")
}

// rest reads until the server closes the connection.
func (c *client) rest() string {
	c.t.Helper()
	b, err := io.ReadAll(c.r)
	if err != nil {
		c.t.Fatalf("%v after %q", err, b)
	}
	return string(b)
}

// get asks for path on a connection of its own and returns the whole answer.
func (s *site) get(t testing.TB, path string, header ...string) (*http.Response, string) {
	t.Helper()
	c := s.connect(t)
	defer c.Close()
	c.ask("GET "+path, header...)
	response := c.head()
	if len(response.TransferEncoding) == 0 {
		b := make([]byte, max(response.ContentLength, 0))
		io.ReadFull(c.r, b)
		return response, string(b)
	}
	return response, c.body()
}
