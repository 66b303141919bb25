//go:build linux

package stream

import (
	"bufio"
	"compress/flate"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// Browsers join, leave in every way, stall and come back while publishers never
// stop and servers come and go: what each has read is every event once and in
// order, as far as it came, and nothing is left of any of them.
func TestACrowdUnderStress(t *testing.T) {
	onEverySocket(t, underStress)
}

func underStress(t *testing.T, network string) {
	const (
		servers   = 3
		browsers  = 60
		topics    = 3
		events    = 2500 // of each topic
		keepBytes = 1 << 30
	)
	goroutines, descriptors := len(ours()), openDescriptors()
	hub := &Hub{KeepEvents: 1 << 20, KeepBytes: keepBytes}
	names := make([]string, topics)
	starts := make([]uint64, topics)
	for i := range names {
		names[i] = fmt.Sprint("topic", i)
		starts[i] = hub.Feed(names[i]).After
	}
	var current atomic.Pointer[site]
	var published sync.WaitGroup
	for _, name := range names {
		published.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(len(name))))
			for n := range events {
				text := strings.Repeat("x", random.IntN(2000))
				if n%500 == 0 {
					time.Sleep(time.Duration(random.IntN(50)) * time.Millisecond)
				}
				if _, err := hub.Publish(name, Emit("", fmt.Sprint(n, " ", text))); err != nil {
					t.Error(err)
				}
			}
			hub.End(name)
		})
	}

	streams := new(Streams)
	start := func() *site {
		s := serve(t, network, func(s *site, req *fasthttp.RequestCtx) {
			streams.Handler(func(req *fasthttp.RequestCtx) {
				r := Response{Transport: SSE{}, Feed: hub.Feed(string(req.Path()[1:])), WriteTimeout: 300 * time.Millisecond, Heartbeat: 50 * time.Millisecond, Compress: true}
				r.Transport = SSE{Beat: req.QueryArgs().Has("beat")}
				r.Serve(req)
			})(req)
		})
		current.Store(s)
		return s
	}
	start()
	over := make(chan struct{})
	var restarting sync.WaitGroup
	restarting.Go(func() {
		for range servers {
			select {
			case <-time.After(500 * time.Millisecond):
			case <-over:
				return
			}
			old := current.Load()
			start()
			old.Shutdown()
		}
	})

	var reading sync.WaitGroup
	for i := range browsers {
		reading.Go(func() {
			b := &stressed{random: rand.New(rand.NewPCG(uint64(i), 2)), place: starts[i%topics]}
			for deadline := time.Now().Add(2 * time.Minute); !b.done; {
				if err := b.visit(current.Load(), names[i%topics]); err != nil {
					t.Error(err)
					return
				}
				if time.Now().After(deadline) {
					t.Errorf("browser %d has got no further than %d", i, b.next)
					return
				}
			}
			if b.next != events {
				t.Errorf("browser %d has got %d events of %d", i, b.next, events)
			}
		})
	}
	reading.Wait()
	close(over)
	published.Wait()
	restarting.Wait()
	current.Load().Shutdown()
	eventually(t, func() bool { return streams.Len() == 0 })
	crowds.Lock()
	if n := len(crowds.shards); n != 0 {
		t.Errorf("%d crowds are left", n)
	}
	crowds.Unlock()
	deadline := time.Now().Add(20 * time.Second)
	for len(ours()) > goroutines+1 || openDescriptors() > descriptors+2 { // the watcher, and its two
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines and %d descriptors, from %d and %d:\n%s", len(ours()), openDescriptors(), goroutines, descriptors, strings.Join(ours(), "\n\n"))
		}
		runtime.Gosched()
	}
}

// A stressed browser reads a topic over many connections.
type stressed struct {
	random *rand.Rand
	place  uint64
	next   int
	text   string // of this visit, that is no whole event yet
	done   bool
}

// visit connects once, reads for a while and leaves, in one way or another. It
// returns an error if what it reads is not what follows.
func (b *stressed) visit(s *site, topic string) error {
	conn, err := s.dial()
	if err != nil {
		return nil // the server is about to end
	}
	defer conn.Close()
	b.text = ""
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	query, header := fmt.Sprintf("after=%d", b.place), ""
	if b.random.IntN(2) == 0 {
		query += "&beat"
	}
	if b.random.IntN(2) == 0 {
		header = "Accept-Encoding: gzip\r\n"
	}
	fmt.Fprintf(conn, "GET /%s?%s HTTP/1.1\r\nHost: a\r\n%s\r\n", topic, query, header)
	body, err := answerOf(conn)
	if err != nil {
		return nil // the server has ended
	}
	limit, stall := -1, -1
	switch b.random.IntN(4) {
	case 0:
		limit = b.random.IntN(300 << 10)
	case 1:
		stall = b.random.IntN(300 << 10)
	}
	buffer := make([]byte, 1+b.random.IntN(32<<10))
	for total := 0; ; {
		n, err := body.Read(buffer)
		total += n
		b.text += string(buffer[:n])
		if err := b.take(); err != nil {
			return err
		}
		switch {
		case b.done:
			_, err := io.Copy(io.Discard, body)
			return err
		case errors.Is(err, gzip.ErrChecksum), errors.As(err, new(flate.CorruptInputError)):
			return err
		case err != nil:
			return nil
		case limit >= 0 && total >= limit:
			if b.random.IntN(2) == 0 {
				beneath(conn).(*net.TCPConn).SetLinger(0) // RST
			}
			return nil
		case stall >= 0 && total >= stall:
			time.Sleep(time.Duration(b.random.IntN(500)) * time.Millisecond)
			stall = -1
		}
	}
}

// answerOf reads the head of an answer and returns its body as it comes.
func answerOf(c net.Conn) (io.Reader, error) {
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return nil, err
	}
	if answer.Header.Get("Content-Encoding") != "gzip" {
		return answer.Body, nil
	}
	return gzip.NewReader(bufio.NewReader(answer.Body))
}

// take reads the events that are whole.
func (b *stressed) take() error {
	for {
		block, rest, whole := strings.Cut(b.text, "\n\n")
		if !whole {
			return nil
		}
		b.text = rest
		events, _ := parseSSE(block + "\n\n")
		for _, e := range events {
			switch {
			case e.Name == "beat":
			case e.Name == "done":
				b.done = true
			case e.Name == "reload":
				return fmt.Errorf("a gap after %d, though nothing is forgotten", b.place)
			default:
				data := e.Data
				if e.Name == "emit" {
					_, data, _ = strings.Cut(data, "\n")
				}
				number, _, _ := strings.Cut(data, " ")
				if number != fmt.Sprint(b.next) {
					return fmt.Errorf("event %q comes where %d should", number, b.next)
				}
				b.next++
				fmt.Sscan(e.ID, &b.place)
			}
		}
	}
}
