package stream

import (
	"context"
	"errors"
	"io"
	"iter"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// Why a page's context is done; see context.Cause.
var (
	// ErrClientGone means that the browser has closed the connection, or that
	// its system has not answered for long.
	ErrClientGone = errors.New("the browser has gone")
	// ErrSlow means that the browser did not take what was sent in time.
	ErrSlow = errors.New("the browser is too slow")
	// ErrShutdown means that the server is shutting down.
	ErrShutdown = errors.New("the server is shutting down")
	// ErrExpired means that what allowed the page to be served has expired.
	ErrExpired = errors.New("the permission has expired")
	// ErrEnded means that the page's source has returned.
	ErrEnded = errors.New("the page has ended")
)

// A Source sends a page its updates and returns when it is done. A finite job
// is a Source; so is Feed.Follow. Its context ends when the browser leaves, the
// server shuts down or a write misses its deadline; a Source returns soon after.
// What it returns then is of no interest; any other error is logged, and the
// page is told that its source has failed. A panic ends this page only.
type Source func(ctx context.Context, page *Page) error

// Flush says when the updates of a page leave. The zero value sends every
// update at once, and the text of a template when 2 ms have passed since the
// first of it was written. Updates that are ready together leave together under
// any policy, and so do those that a source makes faster than its browser takes
// them.
type Flush struct {
	// Every is the number of updates that leave together. Zero means one.
	Every int
	// Bytes is the number of unsent bytes that leave at once, however few
	// updates they are, and after which senders wait for a slow browser or a
	// view that renders. Zero means 64 KB.
	Bytes int
	// Delay is the longest time that anything stays unsent. Zero means that
	// updates wait for the others, at the longest for the next heartbeat, and
	// text for 2 ms if Every is not set.
	Delay time.Duration
}

const (
	defaultTextDelay  = 2 * time.Millisecond
	defaultFlushBytes = 64 << 10
)

// textDelay is how long text may stay unsent; zero means for any time.
func (f Flush) textDelay() time.Duration {
	if f.Delay == 0 && f.Every <= 1 {
		return defaultTextDelay
	}
	return f.Delay
}

func (f Flush) bytes() int {
	if f.Bytes > 0 {
		return f.Bytes
	}
	return defaultFlushBytes
}

// A Page is one browser's page while it is still open: the way for updates into
// it. All methods may be called by several goroutines at once. A method that
// sends blocks while the browser is slow, until the write deadline at the most,
// or while a view renders and much has been sent meanwhile; it returns nil if
// the update is on its way. After an error the page's context is done.
type Page struct {
	// LastEventID is the id of the last event that the browser has seen, zero
	// if it has seen none. It does not change.
	LastEventID uint64

	transport Transport
	document  Document // nil unless the transport is a Composer
	policy    Flush
	out       io.Writer
	conn      net.Conn // for the deadline; nil means none
	cancel    context.CancelCauseFunc
	member    *member      // nil if the server has no Streams
	slots     atomic.Int64 // that are being filled
	maxSlots  int64        // less than zero means any number
	log       *slog.Logger
	path      string // of the request, for the log

	mu        sync.Mutex // guards the rest, and is not held during a write
	idle      sync.Cond  // signalled when a write has ended
	waiters   int        // on idle
	unsent    *buffer    // nil when there is nothing
	spare     *buffer    // the one before, empty; nil if it has been given back
	open      bool       // the last batch in unsent is open
	waiting   int        // updates in unsent
	writing   bool
	rendering bool        // a view is writing itself into the page
	held      []Event     // sent meanwhile, they leave after the view
	heldBytes int         // the size of held
	err       error       // once set, nothing is sent any more
	due       *time.Timer // flushes what is unsent; nil until it is needed
	armed     bool        // due is running
	limit     Limit
	old       bool   // limit.Age has passed
	once      bool   // the page ends with its first batch
	over      bool   // the page ends with its next write
	sentID    uint64 // of the newest event that has one
	bounded   bool   // boundUnsent has been called
	torn      bool   // a write has failed, and may have left a part
	pulse     pulse
	pace      pace
	stats     Stats
	topics    []string // that it follows, for the log

	metrics *transportMetrics
	counted Stats // what the metrics have of stats
	backlog int   // what the metric has of it
	leaving int   // bytes of the write under way
	timed   bool  // the next write is
}

// Stats counts what a page has sent.
type Stats struct {
	Updates int // updates that have left
	Flushes int // writes to the connection
	Bytes   int // bytes of the body, without the framing of HTTP
}

// Send sends u.
func (p *Page) Send(u Update) error { return p.SendEvents(Event{Update: u}) }

// SendEvents sends events in one batch, so that they leave together; many of
// them leave in pieces of the size that the flush policy has.
func (p *Page) SendEvents(events ...Event) (err error) {
	for _, e := range events {
		if err := e.Check(); err != nil {
			return err
		}
	}
	p.mu.Lock()
	defer p.unlock(&err)
	return p.send(events)
}

func (p *Page) send(events []Event) error {
	if p.err != nil {
		return p.err
	}
	for i, e := range events {
		if p.rendering { // since what was large has left
			return p.hold(events[i:])
		}
		e.Update = e.valid()
		p.encode(e)
		p.waiting++
		p.sentID = max(p.sentID, e.ID)
		if err := p.flushWithin(0); err != nil { // what is large leaves in pieces
			return err
		}
	}
	return p.updated()
}

// hold keeps events until the view that renders has left, and waits for that
// only if there is more than the policy wants to keep.
func (p *Page) hold(events []Event) error {
	p.held = append(p.held, events...)
	for _, e := range events {
		p.heldBytes += size(e.Update)
	}
	for p.rendering && p.err == nil && p.heldBytes >= p.policy.bytes() {
		p.wait()
	}
	return p.err
}

// encode adds e to what is unsent.
func (p *Page) encode(e Event) {
	if p.document != nil {
		p.compose(func(d Document) { d.Event(e) })
		return
	}
	b := p.batch()
	*b = p.transport.AppendEvent(*b, e)
}

// say sends what only a Response may say; a document has its End for it.
func (p *Page) say(action string) {
	if p.document != nil {
		return
	}
	p.mu.Lock()
	defer p.unlock(nil)
	p.send([]Event{{Update: Update{Action: action}}})
}

// updated flushes if the policy says so now that an update has been added.
func (p *Page) updated() error {
	if p.waiting >= max(p.policy.Every, 1) {
		return p.flush()
	}
	return p.flushWithin(p.policy.Delay)
}

// Render writes view into the page while it renders: what view writes leaves as
// the policy says, even when view waits for its own data in the middle, and all
// of it has left when Render returns. Updates that are sent meanwhile follow
// after it; who sends more of them than Flush.Bytes waits until then, so a view
// must neither do that nor wait for it. It is for the transports whose response
// is the page, and for one view at a time; a Composer sends of it what it finds
// ready.
func (p *Page) Render(view View) error {
	p.rendersNow()
	whole := false
	defer func() { p.rendered(whole) }() // also after a panic
	view.WriteHTML(textWriter{p})
	whole = true
	return p.Flush()
}

func (p *Page) rendersNow() {
	p.mu.Lock()
	defer p.unlock(nil)
	p.rendering = true
}

// rendered sends what has been held while a view rendered, which has written all
// of itself or a part.
func (p *Page) rendered(whole bool) {
	p.mu.Lock()
	defer p.unlock(nil)
	if mender, ok := p.transport.(Mender); ok && !whole && p.err == nil {
		p.add(mender.AppendMend)
	}
	p.rendering = false
	p.wake()
	if held := p.held; len(held) > 0 {
		p.held, p.heldBytes = nil, 0
		p.send(held)
	}
}

// Flush sends what is unsent, and returns when it has left.
func (p *Page) Flush() (err error) {
	p.mu.Lock()
	defer p.unlock(&err)
	return p.flushAll()
}

// Rows returns rows for the loop of a template that page renders: each turn of
// the loop counts as one update for the page's flush policy, and the loop ends
// when ctx is done.
func Rows[T any](ctx context.Context, page *Page, rows iter.Seq[T]) iter.Seq[T] {
	return func(yield func(T) bool) {
		for row := range rows {
			if ctx.Err() != nil || !yield(row) || page.rowDone() != nil {
				return
			}
		}
	}
}

func (p *Page) rowDone() (err error) {
	p.mu.Lock()
	defer p.unlock(&err)
	if p.document != nil && p.err == nil {
		p.compose(Document.Row)
	}
	p.waiting++
	return p.updated()
}

// follows remembers the topics that the page follows.
func (p *Page) follows(topics []string) {
	p.mu.Lock()
	defer p.unlock(nil)
	p.topics = topics
}

// unlock ends a use of the page. A panic of its transport meanwhile ends the
// page, and becomes the error err if that is not nil.
func (p *Page) unlock(err *error) {
	if r := recover(); r != nil {
		p.contain(r)
		if err != nil {
			*err = p.err
		}
	}
	p.mu.Unlock()
}

// contain ends the page because its transport has panicked with the value r.
func (p *Page) contain(r any) {
	countPanic(inEncoder)
	p.fail(&PanicError{Value: r, Stack: debug.Stack()})
}

// broke reports whether err is that of a transport which has panicked.
func (p *Page) broke(err error) bool {
	p.mu.Lock()
	defer p.unlock(nil)
	return errors.As(p.err, new(*PanicError)) && errors.Is(err, p.err)
}

// Stats returns what the page has sent so far.
func (p *Page) Stats() Stats {
	p.mu.Lock()
	defer p.unlock(nil)
	return p.stats
}

// textWriter writes the text of a template into a page.
type textWriter struct{ page *Page }

func (w textWriter) Write(b []byte) (n int, err error) {
	p := w.page
	p.mu.Lock()
	defer p.unlock(&err)
	if p.err != nil {
		return 0, p.err
	}
	if p.document != nil {
		p.document.Text(b)
		return len(b), nil
	}
	p.closeBatch()
	p.text().Write(b)
	if err := p.flushWithin(p.policy.textDelay()); err != nil {
		return 0, err
	}
	return len(b), nil
}

// text returns the buffer of what is unsent.
func (p *Page) text() *buffer {
	if p.unsent == nil {
		if p.unsent, p.spare = p.spare, nil; p.unsent == nil {
			p.unsent = acquireBuffer()
		}
	}
	return p.unsent
}

// batch returns the buffer of what is unsent, with a batch open at its end.
func (p *Page) batch() *buffer {
	b := p.text()
	if !p.open {
		*b = p.transport.AppendOpen(*b)
		p.open = true
	}
	return b
}

func (p *Page) closeBatch() {
	if p.open {
		*p.unsent = p.transport.AppendClose(*p.unsent)
		p.open = false
	}
}
