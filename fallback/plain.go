package fallback

import (
	"time"

	"foreverframe/stream"

	"github.com/valyala/fasthttp"
)

// Plain is the transport of plain mode: the page and its updates as one HTML
// document without scripts, for text browsers, crawlers and people without
// JavaScript. The document leaves in its own order:
//
//   - Slots stand where their placeholders stood. The document is sent up to the
//     first slot that is not filled, and goes on when it is. The first of it
//     waits for the first slot.
//   - Rows of a template leave one by one, and so does what is appended to an
//     element: the document is sent up to its end, and what is appended follows.
//     The first element that is appended to is the one that grows; what others
//     get has its place too, and leaves when the source has ended.
//   - All other updates change what has not been sent, and nothing is sent for
//     them, so that the last state is what stands when the source ends.
//   - An update of an element that has been sent puts its content at the end of
//     the document, in an element of its own: a div or, where a div cannot hold
//     it, a list, table or pre. Where there is no content (attr, title, remove)
//     it is dropped, and so are updates of elements that do not exist, emit and
//     reload.
//
// Scripts go, those of Script.Snippet after their updates have been made; so do
// attributes whose name begins with "data-ff-", and elements with the attribute
// data-ff-live, which is for what is of use with scripts only. What stands in a
// noscript element stays, without the element and without a refresh.
//
// If what fails is sent with the head of the response, its status says so: 404
// after an error that is stream.ErrNotFound, 500 after any other. A page whose
// body names a feed, by data-ff-feed, asks the browser to load it again from
// time to time, because what came since is all that it misses.
type Plain struct {
	// Refresh is the time after which a page with a feed is loaded again.
	// Zero means 30 seconds: long enough to read a screen, also with a voice
	// or a line of Braille, before it is replaced; short enough to be news.
	// Less than zero means never.
	Refresh time.Duration
}

const defaultRefresh = 30 * time.Second

// Name returns "plain".
func (Plain) Name() string { return transportPlain }

// Header makes the response an HTML page which, unless a policy is set already,
// may run no scripts at all.
func (Plain) Header(h *fasthttp.ResponseHeader) {
	h.SetContentType("text/html; charset=utf-8")
	if len(h.Peek(fasthttp.HeaderContentSecurityPolicy)) == 0 {
		h.Set(fasthttp.HeaderContentSecurityPolicy, "script-src 'none'; object-src 'none'; base-uri 'none'; frame-ancestors 'self'")
	}
}

// Compose returns an empty document.
func (p Plain) Compose() stream.Document {
	if p.Refresh == 0 {
		p.Refresh = defaultRefresh
	}
	return newDocument(p.Refresh)
}

// AppendStart appends nothing: the document is all there is.
func (Plain) AppendStart(b []byte) []byte { return b }

// AppendOpen appends nothing.
func (Plain) AppendOpen(b []byte) []byte { return b }

// AppendEvent appends nothing.
func (Plain) AppendEvent(b []byte, _ stream.Event) []byte { return b }

// AppendClose appends nothing.
func (Plain) AppendClose(b []byte) []byte { return b }

// AppendHeartbeat appends nothing.
func (Plain) AppendHeartbeat(b []byte) []byte { return b }
