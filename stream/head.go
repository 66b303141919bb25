package stream

import (
	"io"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

// A lateHead is a response whose head depends on its body: the stream begins
// while the handler runs, in a goroutine of its own, and its first write waits
// until fasthttp asks for the body.
type lateHead struct {
	*session
	begun chan struct{}  // closed at the first write
	to    chan io.Writer // where writes go; closed if they go nowhere
	over  chan struct{}  // closed when the stream has ended
	sent  int64          // bytes of the body; set when over is closed

	begin   sync.Once
	abandon sync.Once
	out     io.Writer // nil before the first write
}

// serveDocument answers req with the document of s. A HEAD request costs what
// others cost until their head is known; its stream ends there.
func (s *session) serveDocument(req *fasthttp.RequestCtx) {
	l := &lateHead{session: s, begun: make(chan struct{}), to: make(chan io.Writer, 1), over: make(chan struct{})}
	go l.serve() // ends with the stream; WriteTo or Close waits for it
	select {
	case <-l.begun:
	case <-l.over:
	}
	header := &req.Response.Header
	s.document.Header(header)
	switch {
	case req.IsHead():
		l.Close()
		header.SetContentLength(bodyLength(req))
	case req.Request.Header.IsHTTP11():
		req.Response.SetBodyStream(l, -1)
	default:
		s.serveUntilClose(req, func(w io.Writer) { l.WriteTo(w) })
	}
}

func (l *lateHead) serve() {
	defer close(l.over)
	var err error
	defer func() {
		if err != nil {
			l.logger().Error("page", "page", l.path, "transport", l.Transport.Name(), "err", err)
		}
	}()
	defer recoverTo(&err, inEncoder)
	l.sent = int64(l.run(l).stats.Bytes)
}

// Write writes to what fasthttp has given WriteTo. The page writes from one
// goroutine at a time.
func (l *lateHead) Write(b []byte) (int, error) {
	if l.out == nil {
		l.begin.Do(func() { close(l.begun) })
		out, ok := <-l.to
		if !ok {
			return 0, io.ErrClosedPipe
		}
		l.out = out
	}
	return l.out.Write(b)
}

// SupportsBodyWriteTo makes fasthttp call WriteTo.
func (l *lateHead) SupportsBodyWriteTo() bool { return true }

// Read is not called.
func (l *lateHead) Read([]byte) (int, error) { return 0, io.EOF }

// WriteTo lets the stream write to w and waits for its end.
func (l *lateHead) WriteTo(w io.Writer) (int64, error) {
	if l.conn != nil {
		l.conn.SetWriteDeadline(time.Time{}) // the server's is for the whole response
	}
	l.to <- w
	<-l.over
	return l.sent, nil
}

// Close ends a stream that nobody wants, and waits for its end.
func (l *lateHead) Close() error {
	l.abandon.Do(func() { close(l.to) })
	<-l.over
	return l.session.Close() // lifts the deadline that an abandoned stream has left in the past
}
