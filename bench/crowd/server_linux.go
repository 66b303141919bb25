package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"foreverframe/fallback"
	"foreverframe/stream"

	"github.com/valyala/fasthttp"
)

// A side is one way to serve.
type side interface {
	// serve serves each connection of l.
	serve(l net.Listener) error
	// publish brings data to all subscribers.
	publish(data string)
}

const topic = "t"

// serve serves side and does what standard input says: a run, or how far the
// slowest client is.
func serve(name string) error {
	var s side
	name, overTLS := strings.CutSuffix(name, "+tls")
	switch kind, _, gzip := strings.Cut(name, "+gzip"); kind {
	case "limit":
		s = new(limit)
	case "crowd", "goroutine":
		s = &feed{goroutine: kind == "goroutine", gzip: gzip}
	case "nethttp":
		s = &channels{all: make(map[chan []byte]bool)}
	default:
		return fmt.Errorf("there is no side %q", name)
	}
	if *profile != "" {
		file, err := os.Create(*profile)
		if err != nil {
			return err
		}
		defer file.Close()
		pprof.StartCPUProfile(file)
		defer pprof.StopCPUProfile()
	}
	slog.SetLogLoggerLevel(slog.LevelError)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	address := l.Addr().String()
	if overTLS {
		l = secure(l, name == "crowd")
	}
	go s.serve(l)
	in, out := bufio.NewReader(os.Stdin), json.NewEncoder(os.Stdout)
	runtime.GC()
	resident, heap := residentBytes(), heapBytes()
	out.Encode(address)
	in.ReadString('\n') // all are there
	n := float64(*subscribers)
	m := memory{Grown: (residentBytes() - resident) / n}
	runtime.GC()
	debug.FreeOSMemory()
	m.Settled, m.Heap = (residentBytes()-resident)/n, (heapBytes()-heap)/n
	out.Encode(m)

	taken := &progress{}
	taken.change.L = &taken.mu
	runs := make(chan run)
	go func() {
		defer close(runs)
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				taken.set(math.MaxInt) // the client has ended
				return
			}
			if n, err := strconv.Atoi(strings.TrimSpace(line)); err == nil {
				taken.set(n)
				continue
			}
			var r run
			if json.Unmarshal([]byte(line), &r) == nil {
				runs <- r
			}
		}
	}()
	for r := range runs {
		out.Encode(play(s, r, taken))
	}
	return nil
}

// play publishes a run's events, waits until all have them, and says what it cost.
func play(s side, r run, taken *progress) result {
	taken.set(0)
	padding := strings.Repeat("x", max(0, r.Bytes-20))
	var allocations, after runtime.MemStats
	runtime.ReadMemStats(&allocations)
	writes, before := writeCalls(), processorTime()
	start := time.Now()
	var took []float64
	for n := range r.Events {
		if r.Rate > 0 {
			time.Sleep(time.Until(start.Add(time.Duration(float64(n) / r.Rate * 1e9))))
		} else {
			taken.wait(n - r.Window)
		}
		data := fmt.Sprint(time.Now().UnixNano(), " ", padding)
		began := time.Now()
		s.publish(data)
		took = append(took, float64(time.Since(began).Nanoseconds())/1e3)
	}
	taken.wait(r.Events)
	cost := processorTime() - before
	runtime.ReadMemStats(&after)
	deliveries := float64(r.Events) * float64(*subscribers)
	slices.Sort(took)
	return result{
		CPU:     float64(cost.Nanoseconds()) / 1e3 / deliveries,
		Wall:    time.Since(start).Seconds(),
		Writes:  (writeCalls() - writes) / deliveries,
		Publish: took[len(took)/2],
		Allocs:  float64(after.Mallocs-allocations.Mallocs) / float64(r.Events),
	}
}

// progress is how many events of a run all clients have.
type progress struct {
	mu     sync.Mutex
	change sync.Cond
	n      int
}

func (p *progress) set(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n = n
	p.change.Broadcast()
}

func (p *progress) wait(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.n < n {
		p.change.Wait()
	}
}

func processorTime() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// writeCalls returns the number of system calls of the process that write.
func writeCalls() float64 { return proc("/proc/self/io", "syscw:") }

func residentBytes() float64 { return proc("/proc/self/status", "VmRSS:") * 1024 }

func heapBytes() float64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

func proc(file, key string) (n float64) {
	text, _ := os.ReadFile(file)
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, key); ok {
			fmt.Sscan(rest, &n)
		}
	}
	return n
}

// A feed is Foreverframe.
type feed struct {
	goroutine bool
	gzip      bool // for who accepts it
	hub       stream.Hub
}

func (f *feed) serve(l net.Listener) error {
	server := fasthttp.Server{Handler: func(req *fasthttp.RequestCtx) {
		r := stream.Response{Transport: stream.SSE{}, Feed: f.hub.Feed(topic), Compress: f.gzip}
		if *transport == "frame" {
			r.Transport = fallback.Frame{Script: stream.Script{Nonce: stream.Nonce(req)}, Beat: true}
		}
		if f.goroutine {
			r.Source = r.Feed.Follow
		}
		r.Serve(req)
	}}
	return server.Serve(l)
}

func (f *feed) publish(data string) { f.hub.Publish(topic, stream.Emit("", data)) }

// limit writes each event to one socket after the other, and does nothing else. A
// socket that is full is waited for.
type limit struct {
	mu      sync.Mutex // guards the rest
	sockets []int
	id      int
}

func (s *limit) serve(l net.Listener) error {
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		var request [4096]byte
		conn.Read(request[:])
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
		raw, _ := conn.(*net.TCPConn).SyscallConn()
		raw.Control(func(of uintptr) {
			fd, err := syscall.Dup(int(of))
			if err != nil {
				return
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			s.sockets = append(s.sockets, fd)
		})
		conn.Close()
	}
}

func (s *limit) publish(data string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.id++
	event := fmt.Sprintf("id: %d\ndata: %s\n\n", 1_000_000_000_000_000+s.id, data)
	chunk := []byte(fmt.Sprintf("%x\r\n%s\r\n", len(event), event))
	for _, fd := range s.sockets {
		writeAll(fd, chunk)
	}
}

// channels is net/http with a channel and a goroutine for each subscriber.
type channels struct {
	mu  sync.Mutex // guards the rest
	all map[chan []byte]bool
	id  int
}

func (s *channels) serve(l net.Listener) error {
	return http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		events := make(chan []byte, 1024)
		s.mu.Lock()
		s.all[events] = true
		s.mu.Unlock()
		w.Header().Set("Content-Type", "text/event-stream")
		w.(http.Flusher).Flush()
		for {
			select {
			case event := <-events:
				w.Write(event)
				w.(http.Flusher).Flush()
			case <-req.Context().Done():
				return
			}
		}
	}))
}

func (s *channels) publish(data string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.id++
	event := []byte(fmt.Sprintf("id: %d\ndata: %s\n\n", s.id, data))
	for events := range s.all {
		events <- event
	}
}
