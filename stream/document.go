package stream

import (
	"context"
	"errors"

	"github.com/valyala/fasthttp"
)

// A Composer is a Transport that does not send updates behind the page: it
// composes page and updates to one document, which leaves in its own order. Of
// its other functions a Response uses Name and Header.
type Composer interface {
	Transport
	// Compose returns an empty document, for one response.
	Compose() Document
}

// A Document is one page on its way to a browser, as its Composer makes it. It
// is told all that happens to the page, and asked after each time what of it
// may leave. Its functions are called one at a time, but for Header.
type Document interface {
	// Text takes the next piece of what views write into the page. It may be
	// cut anywhere; text is the caller's again when Text returns.
	Text(text []byte)
	// Row says that Text has come to the end of a row of Rows, which is to be
	// seen now.
	Row()
	// Slots says that Page.Fill is about to fill the elements with these ids.
	Slots(targets []string)
	// Failed says that a slot has failed with err. What it shows instead
	// follows as an update of target.
	Failed(target string, err error)
	// Event takes an update.
	Event(e Event)
	// End says that nothing follows: the page's source has returned err, or
	// err is why it was told to.
	End(err error)
	// AppendReady appends what may leave now and has not been appended yet.
	AppendReady(b []byte) []byte
	// AppendHeartbeat appends what keeps a silent document alive and shows
	// nothing, if there is such a thing where the document stands.
	AppendHeartbeat(b []byte) []byte
	// Header sets what the document has to say in the head of its response.
	// It is called once, when AppendReady has first appended something or the
	// page has ended, and maybe while the other functions are.
	Header(h *fasthttp.ResponseHeader)
}

// ErrNotFound is what a Source or a Slot's View returns, or wraps, if there is
// no such thing as it was asked for. Where the head of the response waits for
// it, as in plain mode, the status is 404 then; after any other error it is 500.
var ErrNotFound = errors.New("there is no such thing")

// compose tells the page's document what has happened and adds to what is
// unsent what may leave now. The page's lock is held.
func (p *Page) compose(what func(Document)) {
	what(p.document)
	p.add(p.document.AppendReady)
}

// add adds to what is unsent what appended appends, which may be nothing.
func (p *Page) add(appended func(b []byte) []byte) {
	b := p.text()
	*b = appended(*b)
	if len(*b) == 0 {
		p.unsent = nil
		p.spareBuffer(b)
	}
}

// tell is compose and then flush, for what is no update and no text. Without a
// document it does nothing.
func (p *Page) tell(what func(Document)) {
	if p.document == nil {
		return
	}
	p.mu.Lock()
	defer p.unlock(nil)
	if p.err == nil {
		p.compose(what)
		p.flush()
	}
}

// end tells the document of the page that its source has returned err.
func (p *Page) end(ctx context.Context, err error) {
	switch {
	case errors.Is(err, ErrGap):
		err = nil // the page stands as it was rendered
	case err == nil:
		err = context.Cause(ctx)
	}
	p.tell(func(d Document) { d.End(err) })
}
