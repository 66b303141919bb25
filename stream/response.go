package stream

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

// A Response is one streamed answer to a request: the view of a page, then the
// updates of a source, over a transport. Set what is needed and call Serve as
// the last thing that a fasthttp.RequestHandler does.
type Response struct {
	// Transport carries the updates. Nil means Script with the request's
	// nonce.
	Transport Transport
	// Shell is sent first, as soon as it is rendered. Nil means none.
	Shell View
	// Source sends the updates. Nil means that there are none but those of
	// Feed.
	Source Source
	// Feed is a feed to follow, if there is no Source. It is the same as
	// Feed.Follow for a Source, and costs less where the bytes of a feed's
	// followers can be shared; package documentation says where. The zero value
	// is no feed.
	Feed Feed
	// After is the page's LastEventID.
	After uint64
	// Flush is the policy for updates and for the text of the shell.
	Flush Flush
	// WriteTimeout is how long one write may take before the browser is cut
	// off; it is measured coarsely, by half of itself. Zero means 5 s. It
	// stands in the place of the server's own WriteTimeout. It must not be
	// less than zero. On Linux a browser is cut off too when its system takes
	// nothing of what was written, or does not answer, for six times as long.
	WriteTimeout time.Duration
	// Heartbeat is the longest silence of the stream, but for that of a view
	// while it renders: what has been written may end within a tag or a script,
	// where any byte would change the page. A view that waits for longer than a
	// proxy does writes a blank itself, where its markup allows it. Zero means
	// 15 s, less than zero means for ever.
	Heartbeat time.Duration
	// Limit bounds a stream of events with ids: when it is reached, the browser
	// is told to connect again, and goes on where it is. The zero value is no
	// limit.
	Limit Limit
	// Wait makes the response one batch, the first that leaves, or an empty one
	// if there is none in so long. Zero means a stream. Long polling is its use.
	Wait time.Duration
	// Compress lets the body be compressed for a client that accepts it: with gzip,
	// br (Brotli) or zstd, whichever has the highest quality in its
	// Accept-Encoding, gzip among equals (RFC 9110, section 12.5.3). Every write is
	// complete for its reader. Gzip takes 2 KB while a page is open, the others up
	// to half a megabyte, and make it no smaller. A feed is compressed only where that
	// is done once for all of its followers, with gzip and by the transport SSE;
	// package documentation says where. A stream that shows a secret beside what a
	// stranger has chosen gives the secret's text away by its length.
	Compress bool
	// MaxSlots is the number of slots that the page may wait for at once. Zero
	// means 1,000, less than zero any number.
	MaxSlots int
	// Log receives what goes wrong. A browser that leaves is nothing wrong.
	// Nil means slog.Default().
	Log *slog.Logger
}

// A Limit bounds one response, for a transport that takes memory in the browser
// until its response has ended. Zero values mean no bound.
type Limit struct {
	Flushes int           // writes, each a script in the browser
	Bytes   int           // of the body
	Age     time.Duration // measured as coarsely as the write timeout
}

const (
	defaultWriteTimeout = 5 * time.Second
	defaultHeartbeat    = 15 * time.Second
)

// ServePage answers req with shell and then, in the same response, the updates
// of source as scripts; a nil source has none. The scripts run under a content
// security policy with Nonce(req), unless the handler has set another policy.
func ServePage(req *fasthttp.RequestCtx, shell View, source Source) {
	Response{Shell: shell, Source: source}.Serve(req)
}

// ServeSSE answers req with the updates of source as server-sent events. A
// browser that comes back gets what follows the last event it has seen if
// source can tell from LastEventID, and 204, No Content, if it has seen the end.
func ServeSSE(req *fasthttp.RequestCtx, source Source) {
	Response{Transport: SSE{}, Source: source}.Serve(req)
}

// ServeFeed answers req with feed as server-sent events. It starts after the last
// event that the browser has seen, else at the feed's own place.
func ServeFeed(req *fasthttp.RequestCtx, feed Feed) {
	Response{Transport: SSE{}, Feed: feed}.Serve(req)
}

// Serve answers req: it sets the headers and returns; the stream begins when
// the handler has returned, on the connection's own goroutine, and must not use
// req. A HEAD request gets the headers only, an HTTP/1.0 client a body that
// ends with the connection.
func (r Response) Serve(req *fasthttp.RequestCtx) {
	if r.Transport == nil {
		r.Transport = Script{Nonce: Nonce(req)}
	}
	if r.Transport.Name() == (SSE{}).Name() && LastEventIDDone(req) {
		req.SetStatusCode(fasthttp.StatusNoContent)
		return
	}
	if r.After == 0 {
		r.After = LastEventID(req)
	}
	if r.Source == nil && r.Feed.hub != nil {
		r.Source = r.Feed.Follow
	} else {
		r.Feed = Feed{}
	}
	s := &session{Response: r, path: string(req.Path()), conn: req.Conn(), server: serverContext(req.Done()), expires: expiry(req)}
	if !req.IsHead() {
		var ok bool
		if s.member, ok = admit(req); !ok {
			return
		}
		req.SetUserValue(sessionKey{}, s)
	}
	header := &req.Response.Header
	r.Transport.Header(header)
	streamHeaders(header)
	s.coding = r.compression(req, s.codings())
	if composer, ok := r.Transport.(Composer); ok {
		s.document = composer.Compose()
		s.serveDocument(req)
		return
	}
	switch {
	case req.IsHead():
		header.SetContentLength(bodyLength(req))
	case !req.Request.Header.IsHTTP11():
		s.serveUntilClose(req, func(w io.Writer) { s.run(w) })
	case s.canShare():
		s.serveShared(req)
	default:
		req.Response.SetBodyStream(body{s}, -1)
	}
}

// codings returns those that the session may be compressed with: none for what has
// no end, unless it is compressed once for many, of whom none has a head of its own.
func (s *session) codings() []coding {
	switch {
	case !s.Compress:
		return nil
	case s.Feed.hub == nil || s.Wait > 0:
		return codings
	case s.canShare() && s.isHeadless():
		return codings[:1] // gzip
	}
	return nil
}

// isHeadless reports whether the session's batches have no head of their own. A
// transport that panics is dealt with when it is used.
func (s *session) isHeadless() bool {
	defer func() { recover() }()
	return len(s.Transport.AppendOpen(nil)) == 0
}

// untilClose is the content length of a body that ends with its connection.
const untilClose = -2

// bodyLength returns the content length that fasthttp takes for a body without
// one.
func bodyLength(req *fasthttp.RequestCtx) int {
	if req.Request.Header.IsHTTP11() {
		return -1 // in chunks
	}
	return untilClose
}

type sessionKey struct{}

// streamHeaders keeps caches, proxies and content sniffers from holding or
// changing a stream.
func streamHeaders(h *fasthttp.ResponseHeader) {
	h.Set(fasthttp.HeaderCacheControl, "no-cache, no-store, no-transform")
	h.Set("X-Accel-Buffering", "no") // nginx
	h.Set(fasthttp.HeaderXContentTypeOptions, "nosniff")
}

// LastEventID returns the id that req resumes after: the header Last-Event-ID
// of an EventSource, else the query's "after". It returns zero if there is none,
// and an id that no feed has if it cannot be read, so that its page reloads.
func LastEventID(req *fasthttp.RequestCtx) uint64 {
	id := req.Request.Header.Peek("Last-Event-ID")
	if len(id) == 0 {
		id = req.QueryArgs().Peek("after")
	}
	if len(id) == 0 {
		return 0
	}
	n, err := strconv.ParseUint(string(id), 10, 64)
	if err != nil {
		return noEvent
	}
	return n
}

// noEvent is an id that no event ever has.
const noEvent = 1<<64 - 1

// LastEventIDDone reports whether req comes from an EventSource that has seen
// the end of its stream. The answer is 204, No Content.
func LastEventIDDone(req *fasthttp.RequestCtx) bool {
	return string(req.Request.Header.Peek("Last-Event-ID")) == doneID
}

// A session is a response on its way. It is a value of its request: fasthttp
// closes it when the response has left, its end included.
type session struct {
	Response
	path     string
	conn     net.Conn
	server   context.Context
	expires  time.Time // zero means never
	document Document  // nil unless the transport is a Composer
	member   *member   // nil if the server has no Streams
	coding   *coding   // of the body; nil means that it is not compressed
}

// Close lifts the deadline that run has left for the end of the response.
func (s *session) Close() error {
	s.member.leave()
	if s.conn == nil {
		return nil
	}
	return s.conn.SetWriteDeadline(time.Time{})
}

// A body is a session that fasthttp asks to write itself.
type body struct{ *session }

// SupportsBodyWriteTo makes fasthttp call WriteTo, where each Write is a chunk
// that leaves at once.
func (b body) SupportsBodyWriteTo() bool { return true }

// Read is not called.
func (b body) Read([]byte) (int, error) { return 0, io.EOF }

// Close leaves the session to its request.
func (b body) Close() error { return nil }

// WriteTo serves the stream. fasthttp calls it on the connection's goroutine. It
// returns no error: one from the connection fasthttp has seen itself, and any
// other has been dealt with.
func (b body) WriteTo(w io.Writer) (int64, error) {
	return int64(b.run(w).stats.Bytes), nil
}

// serveUntilClose serves a client that does not know chunks: the body that serve
// writes ends with the connection. fasthttp may drop who hijacks a connection
// without a word, so until then the session has no place.
func (s *session) serveUntilClose(req *fasthttp.RequestCtx, serve func(w io.Writer)) {
	s.member.leave()
	header := &req.Response.Header
	header.SetContentLength(untilClose)
	req.HijackSetNoResponse(true)
	req.Hijack(func(conn net.Conn) { // req lives until this returns, and has what was set after Serve
		defer conn.Close()
		defer s.member.leave()
		serve(&headWriter{append([]byte(nil), header.Header()...), conn})
	})
}

// headWriter puts the head in front of the first write, so that both leave
// together.
type headWriter struct {
	head []byte
	conn net.Conn
}

func (w *headWriter) Write(b []byte) (int, error) {
	if w.head == nil {
		return w.conn.Write(b)
	}
	_, err := w.conn.Write(append(w.head, b...))
	w.head = nil
	return len(b), err
}

// run serves the stream to w and returns its page when it has ended.
func (s *session) run(w io.Writer) *Page {
	ctx, cancel := context.WithCancelCause(s.server)
	page := &Page{
		metrics:     metricsOf(s.Transport.Name()),
		timed:       sampled(),
		LastEventID: s.After,
		transport:   s.Transport,
		document:    s.document,
		policy:      s.Flush,
		out:         w,
		conn:        s.conn,
		cancel:      cancel,
		limit:       s.Limit,
		once:        s.Wait > 0,
		member:      s.member,
		maxSlots:    int64(cmp.Or(s.MaxSlots, defaultMaxSlots)),
		log:         s.logger(),
		path:        s.path,
	}
	if s.coding != nil {
		page.out = s.coding.compressor(w)
	}
	page.idle.L = &page.mu
	s.member.run(cancel)
	if s.conn != nil {
		s.conn.SetWriteDeadline(time.Time{}) // the server's is for the whole response
	}
	timeout := orDefault(s.WriteTimeout, defaultWriteTimeout)
	cause := causeFailed
	page.metrics.begin()
	defer func() {
		page.close()
		s.ended(page, cause)
		s.leave(page, timeout)
	}()
	page.start(timeout, orDefault(s.Heartbeat, defaultHeartbeat))
	if !s.expires.IsZero() {
		defer time.AfterFunc(time.Until(s.expires), page.expire).Stop()
	}
	if s.Wait > 0 {
		defer time.AfterFunc(s.Wait, page.conclude).Stop()
	}
	err := s.play(ctx, page)
	cause = causeOf(ctx, err)
	s.finish(ctx, page, err)
	return page
}

// leave prepares the connection for what fasthttp writes behind page.
func (s *session) leave(page *Page, timeout time.Duration) {
	whole := !page.torn && (page.err == ErrEnded || page.err == ErrExpired)
	switch {
	case s.conn == nil:
	case whole:
		s.conn.SetWriteDeadline(time.Now().Add(6 * timeout)) // it is written as soon as the process can
	default:
		page.cut() // no end for what is not whole
		if page.err == ErrSlow {
			reset(s.conn)
		}
	}
	if c, ok := page.out.(*compressor); ok {
		c.end(whole)
	}
}

// play sends all that the response has to say.
func (s *session) play(ctx context.Context, page *Page) (err error) {
	if err := s.show(page); err != nil || s.Source == nil {
		return err
	}
	defer recoverTo(&err, inSource)
	defer watchClose(s.conn, page.gone)() // a client that has sent its last word still gets the shell
	return s.Source(ctx, page)
}

// show sends what comes before the source.
func (s *session) show(page *Page) (err error) {
	defer recoverTo(&err, inShell)
	if err := page.begin(); err != nil || s.Shell == nil {
		return err
	}
	return page.Render(s.Shell)
}

// begin sends what the transport starts with.
func (p *Page) begin() (err error) {
	p.mu.Lock()
	defer p.unlock(&err)
	b := p.text()
	if *b = p.transport.AppendStart(*b); len(*b) == 0 {
		releaseBuffer(b)
		p.unsent = nil
		return nil
	}
	return p.flush()
}

// finish tells the page how its source has ended, and logs what went wrong, once.
func (s *session) finish(ctx context.Context, page *Page, err error) {
	page.end(ctx, err)
	panicked := errors.As(err, new(*PanicError))
	switch {
	case err == nil && s.Source == nil && s.Shell != nil: // what it follows ends by itself
	case err == nil && ctx.Err() == nil:
		page.say(ActionDone)
	case errors.Is(err, ErrGap):
	case err == errCaughtUp:
		page.conclude()
	case ctx.Err() != nil && !panicked:
		s.interrupt(ctx, page)
	case page.document != nil && errors.Is(err, ErrNotFound):
	case page.broke(err):
	default:
		page.log.Error("page", "page", s.path, "transport", s.Transport.Name(), "err", err)
		page.say(ActionFail)
	}
}

// interrupt tells a page that its server ends: a poll gets an answer, so that it
// asks again, and a page that brings its own updates has not got them all. Any
// other connects again.
func (s *session) interrupt(ctx context.Context, page *Page) {
	switch {
	case context.Cause(ctx) != ErrShutdown:
	case page.once:
		page.conclude()
	case s.Shell != nil:
		page.say(ActionFail)
	}
}

func (s *session) logger() *slog.Logger {
	if s.Log != nil {
		return s.Log
	}
	return slog.Default()
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

// serverContext returns a context that ends when done, the channel of a
// server's shutdown, is closed. All streams of a server share one.
func serverContext(done <-chan struct{}) context.Context {
	if done == nil {
		return context.Background()
	}
	servers.Lock()
	defer servers.Unlock()
	if ctx, ok := servers.contexts[done]; ok {
		return ctx
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	servers.contexts[done] = ctx
	go func() { // ends with the server
		<-done
		cancel(ErrShutdown)
		servers.Lock()
		defer servers.Unlock()
		delete(servers.contexts, done)
	}()
	return ctx
}

var servers = struct {
	sync.Mutex // guards contexts
	contexts   map[<-chan struct{}]context.Context
}{contexts: make(map[<-chan struct{}]context.Context)}
