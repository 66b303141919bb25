package bench_test

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"foreverframe/stream"

	"github.com/valyala/fasthttp"
)

// A job is what every side streams: the shell, then what play sends. Each call
// of send is one flush.
type job struct {
	shell []byte
	play  func(send func(*update))
}

// An update is a part of a page twice: the bytes, ready for those that send
// bytes, and the Update that has the same bytes on the wire.
type update struct {
	wire   []byte
	update stream.Update
}

// newUpdate returns an update of size bytes on the wire of Script.
func newUpdate(size int) *update {
	wire := func(u stream.Update) []byte {
		b := stream.Script{}.AppendOpen(nil)
		b = stream.Script{}.AppendEvent(b, stream.Event{Update: u})
		return stream.Script{}.AppendClose(b)
	}
	u := stream.Append("log", nil)
	u.HTML = strings.Repeat("x", size-len(wire(u)))
	return &update{wire(u), u}
}

// A side is one way to stream. serve answers each request to l with the job and
// returns when l ends.
type side struct {
	name  string
	serve func(l net.Listener, j job) error
}

// sides are the ways that are compared. Those of Foreverframe differ in what
// the author does: text flushes bytes that a template has written, send sends
// updates, which are also encoded, and every10 does so with a policy that lets
// ten leave together.
var sides = []side{
	{"foreverframe/text", serveText},
	{"foreverframe/send", serveUpdates(stream.Flush{})},
	{"foreverframe/every10", serveUpdates(stream.Flush{Every: 10})},
	{"bodywriterto", serveWriterTo},
	{"setbodystreamwriter", serveStreamWriter},
	{"nethttp", serveNetHTTP},
}

func serveText(l net.Listener, j job) error {
	return serveResponse(l, stream.Response{
		Shell: shell(j.shell),
		Source: func(_ context.Context, page *stream.Page) error {
			return page.Render(flushing{page, j})
		},
	})
}

func serveUpdates(policy stream.Flush) func(net.Listener, job) error {
	return func(l net.Listener, j job) error {
		return serveResponse(l, stream.Response{
			Shell: shell(j.shell),
			Flush: policy,
			Source: func(_ context.Context, page *stream.Page) error {
				j.play(func(u *update) { page.Send(u.update) })
				return nil
			},
		})
	}
}

// serveResponse serves r without a nonce and without a line for its end in the
// log, which the other sides do not have.
func serveResponse(l net.Listener, r stream.Response) error {
	r.Transport, r.Log = stream.Script{}, slog.New(slog.DiscardHandler)
	return fasthttp.Serve(l, r.Serve)
}

// A shell is a View of bytes that are ready.
type shell []byte

func (s shell) WriteHTML(w io.Writer) { w.Write(s) }

// A flushing is a View that flushes its page after everything that it writes.
type flushing struct {
	page *stream.Page
	job  job
}

func (f flushing) WriteHTML(w io.Writer) {
	f.job.play(func(u *update) {
		w.Write(u.wire)
		f.page.Flush()
	})
}

// serveWriterTo is the least that fasthttp can do: a body that writes itself,
// and no more.
func serveWriterTo(l net.Listener, j job) error {
	return fasthttp.Serve(l, func(req *fasthttp.RequestCtx) {
		req.SetContentType("text/html; charset=utf-8")
		req.SetBodyStream(writerTo{j}, -1)
	})
}

type writerTo struct{ job job }

func (writerTo) SupportsBodyWriteTo() bool { return true }

func (writerTo) Read([]byte) (int, error) { return 0, io.EOF }

func (t writerTo) WriteTo(w io.Writer) (int64, error) {
	if len(t.job.shell) > 0 {
		w.Write(t.job.shell)
	}
	t.job.play(func(u *update) { w.Write(u.wire) })
	return 0, nil
}

func serveStreamWriter(l net.Listener, j job) error {
	return fasthttp.Serve(l, func(req *fasthttp.RequestCtx) {
		req.SetContentType("text/html; charset=utf-8")
		req.SetBodyStreamWriter(func(w *bufio.Writer) {
			if len(j.shell) > 0 {
				w.Write(j.shell)
				w.Flush()
			}
			j.play(func(u *update) {
				w.Write(u.wire)
				w.Flush()
			})
		})
	})
}

func serveNetHTTP(l net.Listener, j job) error {
	return http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		flusher := w.(http.Flusher)
		if len(j.shell) > 0 {
			w.Write(j.shell)
			flusher.Flush()
		}
		j.play(func(u *update) {
			w.Write(u.wire)
			flusher.Flush()
		})
	}))
}

// TestSides makes sure that every side sends the whole job.
func TestSides(t *testing.T) {
	for _, side := range sides {
		t.Run(side.name, func(t *testing.T) {
			conn := newNullConn(3)
			side.serve(conn, page)
			if least := 3 * (1024 + 10*200); conn.bytes < least {
				t.Errorf("wrote %d bytes, want at least %d", conn.bytes, least)
			}
		})
	}
}
