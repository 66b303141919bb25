// Package server has the servers that are measured out of the box, each in a
// process of its own: Foreverframe, and beside it the least that any server can
// do and what one writes with the standard library. They serve the same job and
// the same feed, byte for byte but for the framing.
//
//	GET  /job?n=&size=&delay=&transport=   a finite page: a shell, then n updates
//	GET  /feeds/TOPIC?transport=           a feed
//	POST /feeds/TOPIC                      publishes the body to it
//	GET  /counters                         what the process knows of itself, in JSON
package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"foreverframe/stream"
	"foreverframe/templates"
)

// Sides are the servers by name. Each serves until its listener ends.
var Sides = map[string]func(net.Listener) error{
	"foreverframe": serveForeverframe,
	"nethttp":      serveNetHTTP,
	"limit":        serveLimit,
	"gush":         serveGush,
}

// Command runs one of the servers, until its standard input ends: with the
// process that measures it.
type Command struct {
	Side   string  `arg:"" help:"foreverframe, nethttp, limit or gush."`
	Listen string  `help:"Address to listen on." default:"127.0.0.1:0"`
	Slow   float64 `help:"Burns so much more of the processor than the server uses, for tests: 0.1 is a server that is 10 % slower."`
}

// Run serves until ctx is done.
func (c Command) Run(ctx context.Context) error {
	serve := Sides[c.Side]
	if serve == nil {
		return fmt.Errorf("there is no side %q: it must be foreverframe, nethttp, limit or gush", c.Side)
	}
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return err
	}
	slog.SetLogLoggerLevel(slog.LevelWarn) // what goes wrong only: the writes of a log are not those of streams
	if c.Slow > 0 {
		go burn(c.Slow) // for as long as the process lives
	}
	go func() {
		os.Stdin.Read(make([]byte, 1))
		os.Exit(0) // whoever measures has gone
	}()
	context.AfterFunc(ctx, func() { os.Exit(0) })
	return serve(l)
}

// Counters are what a process knows of itself.
type Counters struct {
	Goroutines int    `json:"goroutines"`
	Heap       uint64 `json:"heap"` // bytes that are in use after a collection
}

func counters() []byte {
	runtime.GC()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	text, _ := json.Marshal(Counters{runtime.NumGoroutine(), memory.HeapAlloc})
	return text
}

// A job is a finite page.
type job struct {
	n         uint64
	size      int
	delay     time.Duration
	start     time.Time
	transport stream.Transport
}

// readJob returns the job that a query asks for, of which other transports than
// script and sse are for Foreverframe only.
func readJob(q url.Values) job {
	n, _ := strconv.ParseUint(q.Get("n"), 10, 32)
	size, _ := strconv.Atoi(q.Get("size"))
	delay, _ := time.ParseDuration(q.Get("delay"))
	j := job{n: n, size: size, delay: delay, start: time.Now(), transport: stream.Script{}}
	if began, err := strconv.ParseInt(q.Get("began"), 10, 64); err == nil {
		j.start = time.UnixMicro(began)
	}
	if q.Get("transport") == "sse" {
		j.transport = stream.SSE{}
	}
	return j
}

// event returns update number i, from 1 on, when it is due.
func (j job) event(i uint64) stream.Event {
	due := int64(0)
	if j.delay > 0 {
		at := j.start.Add(time.Duration(i) * j.delay)
		time.Sleep(time.Until(at))
		due = at.UnixMicro()
	}
	return stream.Event{ID: i, Update: stream.Append("log", templates.JobLine{Text: Text(i, due, j.size)})}
}

// shell returns what comes in front of the updates.
func (j job) shell() []byte {
	if j.transport.Name() != (stream.Script{}).Name() {
		return j.transport.AppendStart(nil)
	}
	var b bytes.Buffer
	j.view("").WriteHTML(&b)
	return b.Bytes()
}

func (j job) view(nonce string) templates.Job {
	return templates.Job{Nonce: nonce, N: int(j.n), Size: j.size, Delay: j.delay.String()}
}

// contentType is the type of a transport's responses.
func contentType(t stream.Transport) string {
	if t.Name() == (stream.SSE{}).Name() {
		return "text/event-stream; charset=utf-8"
	}
	return "text/html; charset=utf-8"
}

// wire returns e as a whole batch.
func wire(t stream.Transport, e stream.Event) []byte {
	return t.AppendClose(t.AppendEvent(t.AppendOpen(nil), e))
}

// Text is the text of update i: its number and the time at which it is due, in
// microseconds since 1970, padded with x to size bytes.
func Text(i uint64, due int64, size int) string {
	text := fmt.Sprintf("ev-%d-%d-", i, due)
	return text + strings.Repeat("x", max(0, size-len(text)))
}

// published reads an update as Foreverframe's publisher takes it.
func published(body []byte, id uint64) (stream.Event, error) {
	var u struct{ Action, Target, HTML string }
	err := json.Unmarshal(body, &u)
	return stream.Event{ID: id, Update: stream.Update{Action: u.Action, Target: u.Target, HTML: u.HTML}}, err
}
