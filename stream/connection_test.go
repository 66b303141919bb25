package stream

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A wire is a connection in memory that keeps every write apart. While it is
// held, a write waits for a pass.
type wire struct {
	pass chan struct{} // nil: every write passes

	mu     sync.Mutex // guards the rest
	writes []string
	times  []time.Time // of the writes
}

// held returns a wire whose writes each wait for one pass.
func held() *wire { return &wire{pass: make(chan struct{})} }

func (w *wire) Write(b []byte) (int, error) {
	if w.pass != nil {
		<-w.pass
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writes = append(w.writes, string(b))
	w.times = append(w.times, time.Now())
	return len(b), nil
}

// take returns the writes since the last take.
func (w *wire) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	writes := w.writes
	w.writes, w.times = nil, nil
	return writes
}

// want checks the writes since the last take.
func (w *wire) want(t *testing.T, want ...string) {
	t.Helper()
	if got := w.take(); !slices.Equal(got, want) {
		t.Errorf("the writes are %q, want %q", got, want)
	}
}

// A stalled connection takes nothing: a write waits until the deadline is set
// to a time that has passed, or the other end goes.
type stalled struct {
	net.Conn
	cut  chan struct{}
	once sync.Once
}

func newStalled() *stalled { return &stalled{cut: make(chan struct{})} }

func (c *stalled) Write([]byte) (int, error) {
	<-c.cut
	return 0, os.ErrDeadlineExceeded
}

func (c *stalled) SetWriteDeadline(t time.Time) error {
	if !t.IsZero() && t.Before(time.Now()) {
		c.once.Do(func() { close(c.cut) })
	}
	return nil
}

// gone is a connection whose other end has gone.
type gone struct{}

func (gone) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

// plain is the simplest transport: an update is its action and target, a batch
// stands in parentheses, a heartbeat is an asterisk.
type plain struct{ SSE }

func (plain) AppendStart(b []byte) []byte     { return b }
func (plain) AppendOpen(b []byte) []byte      { return append(b, '(') }
func (plain) AppendClose(b []byte) []byte     { return append(b, ')') }
func (plain) AppendHeartbeat(b []byte) []byte { return append(b, '*') }
func (plain) AppendEvent(b []byte, e Event) []byte {
	return append(b, "["+e.Action+" "+e.Target+"]"...)
}

// run serves r to w, as a server does, and returns its page when it has ended.
// A transport that is not set is plain.
func run(r Response, w io.Writer) *Page {
	if r.Transport == nil {
		r.Transport = plain{}
	}
	s := &session{Response: r, path: "/page", server: context.Background()}
	s.conn, _ = w.(net.Conn)
	return s.run(w)
}

// An opened page waits for a test to use it.
type opened struct {
	*Page
	ctx    context.Context
	finish chan error    // what its source returns
	ended  chan struct{} // closed when the page has ended
}

// open serves r, without its Source, to w until the page is ended.
func open(r Response, w io.Writer) *opened {
	o := &opened{finish: make(chan error, 1), ended: make(chan struct{})}
	ready := make(chan struct{})
	r.Source = func(ctx context.Context, page *Page) error {
		o.Page, o.ctx = page, ctx
		close(ready)
		return <-o.finish
	}
	go func() {
		defer close(o.ended)
		run(r, w)
	}()
	<-ready
	return o
}

// end makes the page's source return err, and waits until the page has ended.
func (o *opened) end(err error) {
	o.finish <- err
	<-o.ended
}

// The ends of streams are not for a test's output.
func init() { slog.SetLogLoggerLevel(slog.LevelWarn) }

// records is a log that can be read.
type records struct {
	mu   sync.Mutex // guards list
	list []string
}

// logger returns one that leaves out the ends of streams.
func (r *records) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(r, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// detailed is logger with the ends of streams.
func (r *records) detailed() *slog.Logger { return slog.New(slog.NewTextHandler(r, nil)) }

// Write takes one record: slog's handlers write each with one call.
func (r *records) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, string(b))
	return len(b), nil
}

func (r *records) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.list)
}

// want checks that there is one record for each of want, which has the words
// that each must contain, divided by '|'.
func (r *records) want(t *testing.T, want ...string) {
	t.Helper()
	got := r.all()
	if len(got) != len(want) {
		t.Errorf("the log has %d records, want %d: %q", len(got), len(want), got)
		return
	}
	for i, words := range want {
		for word := range strings.SplitSeq(words, "|") {
			if !strings.Contains(got[i], word) {
				t.Errorf("the log says %q, want %q in it", got[i], word)
			}
		}
	}
}
