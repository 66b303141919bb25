package fallback

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"foreverframe/stream"

	"github.com/valyala/fasthttp"
	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// A document is one page in plain mode. Its tree holds what has not been sent,
// and of what has been sent the elements that are still open.
type document struct {
	tree    tree
	refresh time.Duration
	broken  error // the page cannot be parsed

	open  *html.Node // the innermost element whose start tag has been sent
	fresh bool       // nothing has been sent since, and a line feed would be dropped
	begun bool       // something has been sent
	ended bool       // the source has ended
	row   bool       // a row has ended, so all that there is may leave
	grows *html.Node // what is appended to it leaves at once; nil if there is none

	slots    map[string]bool // by id: true when the slot has been filled
	unfilled int             // of slots
	released bool            // the first slot has been filled
	showing  map[string]bool // slots that have been filled; true if they have not been sent
	failures map[string]int  // the statuses of slots that have failed
	status   int             // of the response; 0 if nothing has failed. It stands when begun.

	sent sent
}

var _ stream.Document = (*document)(nil)

func newDocument(refresh time.Duration) *document {
	return &document{
		refresh:  refresh,
		slots:    make(map[string]bool),
		showing:  make(map[string]bool),
		failures: make(map[string]int),
		sent:     sent{kinds: make(map[string]kind), late: make(map[string]*html.Node), rest: &html.Node{Type: html.ElementNode, Data: "div", DataAtom: atom.Div}},
	}
}

// Text keeps text until more than text has happened.
func (d *document) Text(text []byte) { d.tree.text = append(d.tree.text, text...) }

// Row lets all that has been written leave.
func (d *document) Row() {
	d.read(false)
	d.row = true
}

// Slots makes the document stop at the elements of slots.
func (d *document) Slots(targets []string) {
	d.read(false)
	for _, id := range targets {
		if filled, known := d.slots[id]; filled || !known {
			d.slots[id] = false
			d.unfilled++
		}
	}
}

// Failed keeps the status that a failure gives the response, should it leave
// with the head.
func (d *document) Failed(target string, err error) { d.failures[target] = statusOf(err) }

func statusOf(err error) int {
	switch {
	case errors.Is(err, stream.ErrNotFound):
		return http.StatusNotFound
	case errors.Is(err, stream.ErrShutdown):
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// Event makes an update.
func (d *document) Event(e stream.Event) {
	d.read(false)
	d.apply(e.Update)
	if filled, isSlot := d.slots[e.Target]; isSlot && !filled && e.Action == stream.ActionInner {
		d.slots[e.Target] = true
		d.unfilled--
		d.showing[e.Target] = find(d.tree.document, e.Target) != nil
	}
}

// End lets all of the document leave. Slots that were not filled are empty.
func (d *document) End(err error) {
	d.read(true)
	if err != nil && !d.begun {
		d.status = statusOf(err)
	}
	for id, filled := range d.slots {
		if n := find(d.tree.document, id); n != nil && !filled {
			empty(n)
		}
	}
	if body := d.body(); body != nil {
		moveBefore(d.sent.rest, body, nil)
	}
	d.ended = true
}

// Header sets the status.
func (d *document) Header(h *fasthttp.ResponseHeader) {
	if d.status != 0 {
		h.SetStatusCode(d.status)
	}
}

// read parses the text that has come, and makes the updates in it.
func (d *document) read(all bool) {
	if d.broken != nil {
		return
	}
	if err := d.tree.grow(all); err != nil {
		d.fail(err)
		return
	}
	snippets := d.tree.snippets
	d.tree.snippets = nil
	for _, e := range snippets {
		if e.Check() == nil {
			d.apply(e.Update)
		}
	}
}

// fail puts an error in the place of a page that cannot be parsed; one that is
// on its way ends there.
func (d *document) fail(err error) {
	d.broken = err
	if d.begun {
		return
	}
	d.status = http.StatusInternalServerError
	text := string(stream.AppendHTML(nil, fmt.Sprintf("This page cannot be shown without scripts: %v", err)))
	d.tree.document, _ = html.Parse(strings.NewReader("<!doctype html><title>error</title><p>" + text))
	d.tree.path = nil
	d.open = nil
}

// body returns the body, nil if there is none.
func (d *document) body() *html.Node {
	if d.tree.document == nil {
		return nil
	}
	if root := childNamed(d.tree.document, "html"); root != nil {
		return childNamed(root, "body")
	}
	return nil
}
