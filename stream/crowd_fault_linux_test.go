package stream

import (
	"bufio"
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http/httputil"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// A moody transport panics at the target "bad" and has nothing to say of "secret".
type moody struct{ SSE }

func (moody) Shared() Transport { return moody{} }
func (m moody) AppendEvent(b []byte, e Event) []byte {
	switch e.Target {
	case "bad":
		panic("on purpose")
	case "secret":
		return b
	}
	return m.SSE.AppendEvent(b, e)
}

// What a follower has begun to get it gets as it was, whatever makes the others go
// on without it.
func TestWhatHasBegunIsNotOverwritten(t *testing.T) {
	const size = 6 << 20 // more than a system takes
	noise := func(seed byte) string {
		b, random := make([]byte, size), rand.NewChaCha8([32]byte{seed})
		for i := range b {
			b[i] = 'A' + byte(random.Uint64()%50)
		}
		return string(b)
	}
	first, second := noise(1), noise(2)
	for how, interrupt := range map[string]func(hub *Hub){
		"a panic": func(hub *Hub) { hub.Publish("log", Remove("bad")) },
		"a gap": func(hub *Hub) {
			hub.mu.RLock()
			l := hub.topics["log"]
			hub.mu.RUnlock()
			l.append(now(), make([]Update, 200)) // more than it keeps
		},
	} {
		for _, accept := range []string{"", "gzip"} {
			t.Run(how+accept, func(t *testing.T) {
				eitherWay(t, func(t *testing.T, network string) {
					hub := Hub{KeepBytes: 1 << 30, KeepEvents: 100}
					s := feedSite(t, network, Response{Transport: moody{}, Feed: hub.Feed("log"), Compress: true, Heartbeat: -1})
					c := s.connect(t)
					c.ask("GET /", "Accept-Encoding: "+accept)
					coding := c.head().Header.Get("Content-Encoding")
					hub.Publish("log", Append("a", Text(first)))
					c.r.Peek(2000) // a part of it
					interrupt(&hub)
					hub.Publish("log", Append("a", Text(second)))
					var body io.Reader = httputil.NewChunkedReader(c.r)
					if coding == "gzip" {
						b := bufio.NewReader(body)
						b.Discard(len(gzipHead))
						body = flate.NewReader(b)
					}
					got, _ := io.ReadAll(body) // in whatever way it ends
					if i := bytes.Index(got, []byte(first[:100])); i < 0 || !strings.HasPrefix(first, string(got[i:min(len(got), i+size)])) {
						t.Errorf("of %d bytes, the event stands at %d and is another one", len(got), i)
					}
				})
			})
		}
	}
}

// A transport may have nothing to say of an event.
func TestATransportMayBeSilent(t *testing.T) {
	for _, accept := range []string{"", "gzip"} {
		t.Run(accept, func(t *testing.T) {
			eitherWay(t, func(t *testing.T, network string) {
				var hub Hub
				s := feedSite(t, network, Response{Transport: moody{}, Feed: hub.Feed("log"), Compress: true})
				c := s.connect(t)
				c.ask("GET /", "Accept-Encoding: "+accept)
				packed := c.head().Header.Get("Content-Encoding") == "gzip"
				c.chunk()
				if packed {
					c.chunk()
				}
				id, _ := hub.Publish("log", Remove("secret"))
				eventually(t, func() bool { return crowdsHaveRead(id) })
				hub.Publish("log", Remove("a"))
				if got := c.chunk(); got == "" || !packed && !strings.Contains(got, "data: a") {
					t.Errorf("the next chunk is %q", got)
				}
			})
		})
	}
}

// crowdsHaveRead reports whether what follows the event id is in another batch.
func crowdsHaveRead(id uint64) bool {
	crowds.Lock()
	defer crowds.Unlock()
	for _, shards := range crowds.shards {
		for _, s := range shards {
			if s.read.Load() < id {
				return false
			}
		}
	}
	return true
}

type badOpen struct{ SSE }

func (badOpen) Shared() Transport         { return badOpen{} }
func (badOpen) AppendOpen([]byte) []byte  { panic("on purpose") }
func (badOpen) AppendStart([]byte) []byte { return nil }

type badBeat struct{ SSE }

func (badBeat) Shared() Transport             { return badBeat{} }
func (badBeat) AppendHeartbeat([]byte) []byte { panic("on purpose") }

// A panic of a transport ends its own stream, wherever it is, and nobody gets a
// part of it.
func TestAPanicOfASharedTransport(t *testing.T) {
	for name, transport := range map[string]Transport{"open": badOpen{}, "beat": badBeat{}} {
		for _, accept := range []string{"", "gzip"} {
			t.Run(name+accept, func(t *testing.T) {
				eitherWay(t, func(t *testing.T, network string) {
					var hub Hub
					s := feedSite(t, network, Response{Transport: transport, Feed: hub.Feed("log"), Compress: true, Heartbeat: 100 * time.Millisecond})
					var clients []*client
					for range 20 {
						c := s.connect(t)
						c.ask("GET /", "Accept-Encoding: "+accept)
						clients = append(clients, c)
					}
					if name == "open" {
						hub.Publish("log", Remove("a"))
					}
					for _, c := range clients {
						rest, _ := io.ReadAll(c.r)
						if bytes.Contains(rest, []byte("\x00\x00\x00\x00\x00\x00\x00\x00")) {
							t.Errorf("it gets %q", rest)
						}
					}
				})
			})
		}
	}
}

// A server's hook knows the addresses of a connection that a crowd has taken.
func TestATakenConnectionHasItsAddresses(t *testing.T) {
	var hub Hub
	feed := hub.Feed("log")
	taken, addresses := make(chan bool), make(chan string, 1)
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &fasthttp.Server{
		Handler: func(req *fasthttp.RequestCtx) { ServeFeed(req, feed) },
		ConnState: func(c net.Conn, state fasthttp.ConnState) {
			if state == fasthttp.StateHijacked {
				<-taken
				addresses <- fmt.Sprint(c.RemoteAddr(), c.LocalAddr())
			}
		},
	}
	go server.Serve(NewTLSListener(inner, keys())) // ends with the listener
	defer server.Shutdown()
	conn, err := net.Dial("tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := encrypt(conn)
	io.WriteString(client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	client.Read(make([]byte, 1))
	close(taken)
	if got, want := <-addresses, fmt.Sprint(conn.LocalAddr(), conn.RemoteAddr()); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
