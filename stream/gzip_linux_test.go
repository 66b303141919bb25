package stream

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net/http/httputil"
	"slices"
	"strings"
	"testing"
	"time"
)

func FuzzChecksum(f *testing.F) {
	f.Add([]byte("id: 1\ndata: a\n\n"), uint(3), uint(7))
	f.Add([]byte(nil), uint(0), uint(0))
	f.Add(bytes.Repeat([]byte("x"), 70000), uint(1), uint(65537))
	f.Fuzz(func(t *testing.T, whole []byte, a, b uint) {
		i := int(a % uint(len(whole)+1))
		j := i + int(b%uint(len(whole)-i+1))
		var c checksum
		for _, part := range [][]byte{whole[:i], whole[i:j], whole[j:]} {
			c.add(sum(part))
		}
		if want := (checksum{crc32.ChecksumIEEE(whole), uint32(len(whole))}); c != want {
			t.Errorf("%d, %d of %d bytes: %x, want %x", i, j, len(whole), c, want)
		}
	})
}

// A reader reads a compressed stream of events as it comes.
type reader struct {
	*client
	body *bufio.Reader
	zip  *gzip.Reader
}

// follow asks for a feed in gzip.
func (s *site) follow(t *testing.T, path string) *reader {
	t.Helper()
	c := s.connect(t)
	c.ask("GET "+path, "Accept-Encoding: gzip")
	if answer := c.head(); answer.Header.Get("Content-Encoding") != "gzip" || answer.Header.Get("Vary") != "Accept-Encoding" {
		t.Fatalf("%v", answer.Header)
	}
	// a bufio.Reader, because gzip.Reader puts another one around what is none
	zip, err := gzip.NewReader(bufio.NewReader(httputil.NewChunkedReader(c.r)))
	if err != nil {
		t.Fatal(err)
	}
	return &reader{c, bufio.NewReader(zip), zip}
}

// event reads the next event that is not a heartbeat.
func (r *reader) event() sseEvent {
	r.t.Helper()
	var block strings.Builder
	for {
		line, err := r.body.ReadString('\n')
		if err != nil {
			r.t.Fatalf("%v after %q", err, block.String()+line)
		}
		block.WriteString(line)
		if line != "\n" {
			continue
		}
		if events, _ := parseSSE(block.String()); len(events) == 1 && events[0].Name != "beat" {
			return events[0]
		}
		block.Reset()
	}
}

// ends checks that nothing follows, and that the sizes and sums are right.
func (r *reader) ends() {
	r.t.Helper()
	if rest, err := io.ReadAll(r.body); err != nil || len(rest) > 0 {
		r.t.Errorf("it ends with %q, %v", rest, err)
	}
	if line, _ := r.r.ReadString('\n'); line != "\r\n" {
		r.t.Errorf("the chunks end with %q", line)
	}
}

// Who joins a feed, whenever and wherever, reads each event when it has come and
// before the next one exists, with heartbeats between them, and the end.
func TestACompressedFeedIsReadAsItComes(t *testing.T) {
	onEverySocket(t, func(t *testing.T, network string) {
		var hub Hub
		feed := hub.Feed("log")
		random := rand.New(rand.NewPCG(1, 2))
		s := feedSite(t, network, Response{Transport: SSE{Beat: true}, Feed: feed, Compress: true, Heartbeat: 20 * time.Millisecond})
		var readers []*reader
		var texts []string
		for n := range 400 {
			switch {
			case n%7 == 0 && len(readers) < 40:
				after := random.IntN(n + 1)
				r := s.follow(t, fmt.Sprintf("/?after=%d", feed.After+uint64(after)))
				for _, want := range texts[after:] {
					if got := r.event(); got.Data != "message\n"+want {
						t.Fatalf("%q, want %q", got.Data, want)
					}
				}
				readers = append(readers, r)
			case n%100 == 99:
				time.Sleep(50 * time.Millisecond) // for a heartbeat
			case n%31 == 30: // someone leaves
				readers[0].Close()
				readers = readers[1:]
			}
			text := fmt.Sprint(n, strings.Repeat(fmt.Sprint(" ", random.IntN(10)), random.IntN(600)))
			texts = append(texts, text)
			if _, err := hub.Publish("log", Emit("message", text)); err != nil {
				t.Fatal(err)
			}
			for i, r := range readers {
				if got := r.event(); got.Data != "message\n"+text {
					t.Fatalf("reader %d: %q, want %q", i, got.Data, text)
				}
			}
		}
		hub.End("log")
		for _, r := range readers {
			if got := r.event(); got.Name != "done" {
				t.Errorf("the end is %+v", got)
			}
			r.ends()
		}
	})
}

// Each way to end a response ends its member of gzip.
func TestTheEndsOfACompressedFeed(t *testing.T) {
	onEverySocket(t, func(t *testing.T, network string) {
		for name, test := range map[string]struct {
			limit Limit
			end   func(s *site, hub *Hub)
			says  string
		}{
			"the topic ends":  {end: func(_ *site, hub *Hub) { hub.End("log") }, says: "done"},
			"a limit":         {limit: Limit{Flushes: 2}, says: "again"},
			"the server ends": {end: func(s *site, _ *Hub) { s.Shutdown() }},
		} {
			t.Run(name, func(t *testing.T) {
				var hub Hub
				s := feedSite(t, network, Response{Feed: hub.Feed("log"), Compress: true, Limit: test.limit})
				reader := s.follow(t, "/")
				hub.Publish("log", Emit("", "a"))
				if got := reader.event(); got.Data != "a" {
					t.Errorf("%+v", got)
				}
				if test.end != nil {
					test.end(s, &hub)
				}
				if test.says != "" {
					if got := reader.event(); got.Name != test.says {
						t.Errorf("the end is %+v", got)
					}
				}
				reader.ends()
			})
		}
	})
}

func TestAGapInACompressedFeed(t *testing.T) {
	onEverySocket(t, func(t *testing.T, network string) {
		hub := Hub{KeepEvents: 1}
		feed := hub.Feed("log")
		for range 3 {
			hub.Publish("log", entry(1))
		}
		r := feedSite(t, network, Response{Feed: feed, Compress: true}).follow(t, fmt.Sprintf("/?after=%d", feed.After+1))
		if got := r.event(); got.Name != "reload" {
			t.Errorf("%+v", got)
		}
		r.ends()
	})
}

// A feed that is not compressed once for many is not compressed.
func TestWhichFeedsAreCompressed(t *testing.T) {
	var hub Hub
	for name, test := range map[string]struct {
		network, request string
		r                Response
		want             string
	}{
		"a crowd":             {"tcp", "GET /", Response{Transport: SSE{}}, "gzip"},
		"a crowd over TLS":    {"tls", "GET /", Response{Transport: SSE{}}, "gzip"},
		"its head":            {"tcp", "HEAD /", Response{Transport: SSE{}}, "gzip"},
		"a poll":              {"tcp", "GET /", Response{Transport: plain{}, Wait: time.Millisecond}, "gzip"},
		"batches with a head": {"tcp", "GET /", Response{Transport: framed{nonce: "n"}}, ""},
		"a goroutine each":    {"memory", "GET /", Response{Transport: SSE{}}, ""},
		"another TLS":         {"std tls", "GET /", Response{Transport: SSE{}}, ""},
		"HTTP/1.0":            {"tcp", "GET / HTTP/1.0", Response{Transport: SSE{}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			test.r.Feed, test.r.Compress = hub.Feed("log"), true
			c := feedSite(t, test.network, test.r).connect(t)
			c.ask(test.request, "Accept-Encoding: gzip")
			if got := c.head().Header.Get("Content-Encoding"); got != test.want {
				t.Errorf("it is %q", got)
			}
		})
	}
}

// What is compressed refers to what was before it. Who joins does not change that
// for the others, and gets as little when it has as much behind it.
func TestACompressedFeedIsSmall(t *testing.T) {
	var hub Hub
	s := feedSite(t, "tcp", Response{Feed: hub.Feed("log"), Compress: true})
	join := func() *client {
		c := s.connect(t)
		c.ask("GET /", "Accept-Encoding: gzip")
		c.head()
		c.chunk() // the head of gzip
		c.chunk() // the retry time
		return c
	}
	var first, later []*client
	for range 20 {
		first = append(first, join())
	}
	shared := 0
	for n := range 400 {
		if n%10 == 5 && len(later) < 10 {
			later = append(later, join())
		}
		text := fmt.Sprintf(`{"symbol":"ABC","price":%d.%02d,"currency":"EUR","venue":"somewhere"}`, n, n%100)
		hub.Publish("log", Emit("trade", text))
		for i, c := range slices.Concat(first, later) {
			got := c.chunk()
			small := i < len(first) && n > 0 || shared > 3*maxWindow/2
			if small && len(got) > len(text)/2 {
				t.Fatalf("event %d of %d bytes takes %d for client %d", n, len(text), len(got), i)
			}
		}
		shared += len(text)
	}
	if shared < 3*maxWindow/2 {
		t.Errorf("%d bytes are not enough", shared)
	}
}

// A response that is cut off has no end that looks whole.
func TestACompressedFeedThatIsCutHasNoEnd(t *testing.T) {
	onEverySocket(t, func(t *testing.T, network string) {
		hub := Hub{KeepEvents: 1 << 20}
		s := feedSite(t, network, Response{Feed: hub.Feed("log"), Compress: true, WriteTimeout: 100 * time.Millisecond})
		r := s.follow(t, "/")
		noise := make([]byte, 200<<10)
		for i := range noise {
			noise[i] = byte('0' + rand.IntN(70))
		}
		for range 100 { // more than a socket holds
			hub.Publish("log", Emit("", string(noise)))
		}
		s.says(t, 1)
		if _, err := io.Copy(io.Discard, r.body); err == nil || errors.Is(err, gzip.ErrChecksum) {
			t.Errorf("it ends with %v", err)
		}
	})
}
