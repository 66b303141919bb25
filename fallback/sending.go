package fallback

import (
	"strconv"

	"foreverframe/stream"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// This file is how a document leaves: node by node in its own order, each
// forgotten when it has been sent, up to where it has to wait.

// AppendReady appends the nodes that may leave.
func (d *document) AppendReady(b []byte) []byte {
	length := len(b)
	if d.open == nil {
		d.open = d.tree.document
	}
	for d.goesOn() {
		n := d.open.FirstChild
		if n != nil && d.waitsFor(n) || n == nil && d.staysOpen() {
			break
		}
		if n == nil {
			b = d.appendEnd(b)
		} else {
			b = d.appendNode(b, n)
		}
	}
	d.row = false
	d.begun = d.begun || len(b) > length
	return b
}

// goesOn reports whether there is a reason to send more.
func (d *document) goesOn() bool {
	switch {
	case d.open == nil:
		return false
	case d.ended:
		return true
	case d.unfilled > 0:
		d.released = d.released || d.begun || d.firstIsFilled()
		return d.released
	case d.row, d.grows != nil:
		return true
	}
	for _, waits := range d.showing {
		if waits {
			return true
		}
	}
	return false
}

// firstIsFilled reports whether the first slot of the document has been filled.
func (d *document) firstIsFilled() bool {
	for n := range d.tree.document.Descendants() {
		if id, _ := attribute(n, "id"); id != "" {
			if filled, isSlot := d.slots[id]; isSlot {
				return filled
			}
		}
	}
	return false
}

// waitsFor reports whether n is a slot that is not filled.
func (d *document) waitsFor(n *html.Node) bool {
	id, _ := attribute(n, "id")
	filled, isSlot := d.slots[id]
	return isSlot && !filled && !d.ended && n.Type == html.ElementNode
}

// staysOpen reports whether more may come at the end of the innermost element.
func (d *document) staysOpen() bool {
	if d.open == d.tree.document {
		return true
	}
	if d.ended {
		return false
	}
	for _, n := range d.tree.path {
		if n == d.open {
			return true
		}
	}
	return d.open == d.grows && d.unfilled == 0
}

// appendNode appends n, the first node of the innermost element: of an element
// the start tag, unless its content cannot be told from its tags.
func (d *document) appendNode(b []byte, n *html.Node) []byte {
	fresh := d.fresh
	d.fresh = false
	switch {
	case n.Type == html.TextNode:
		if fresh && n.Data != "" && n.Data[0] == '\n' {
			b = append(b, '\n')
		}
		b = stream.AppendHTML(b, n.Data)
	case n.Type != html.ElementNode:
		b = appendWhole(b, n)
	case raw(n):
		d.leaves(n)
		b = appendWhole(b, n)
	case void(n):
		d.leaves(n)
		b = appendStartTag(b, n)
	default:
		d.leaves(n)
		d.open, d.fresh = n, dropsLineFeed(n)
		return appendStartTag(b, n)
	}
	n.Parent.RemoveChild(n)
	return b
}

// appendEnd appends the end tag of the innermost element.
func (d *document) appendEnd(b []byte) []byte {
	n := d.open
	d.open, d.fresh = n.Parent, false
	n.Parent.RemoveChild(n)
	if id, _ := attribute(n, "id"); id != "" {
		delete(d.showing, id)
	}
	if n == d.grows {
		d.grows = nil
	}
	if isHead(n) {
		b = d.appendRefresh(b)
	}
	return appendEndTag(b, n)
}

// appendRefresh appends what makes a browser load a page with a feed again. It
// is an element and not the header of that name: lynx, w3m and links heed, or
// at least show, the element only.
func (d *document) appendRefresh(b []byte) []byte {
	body := d.body()
	if body == nil || d.refresh <= 0 {
		return b
	}
	if _, follows := attribute(body, "data-ff-feed"); !follows {
		return b
	}
	b = append(b, `<meta http-equiv="refresh" content="`...)
	b = strconv.AppendInt(b, int64(max(1, d.refresh.Seconds())), 10)
	return append(b, `">`...)
}

// leaves remembers an element that is sent, and whether it is a slot that has
// failed, which the head of the response can still say.
func (d *document) leaves(n *html.Node) {
	id, _ := attribute(n, "id")
	if id == "" {
		return
	}
	d.sent.remember(id, n)
	if !d.begun && d.status == 0 {
		d.status = d.failures[id]
	}
	if raw(n) || void(n) {
		delete(d.showing, id)
	}
}

// AppendHeartbeat appends a comment, once something has been sent, where it is
// no text.
func (d *document) AppendHeartbeat(b []byte) []byte {
	if !d.begun || d.ended || d.open.DataAtom == atom.Textarea || d.open.DataAtom == atom.Title {
		return b
	}
	d.fresh = false
	return append(b, "<!-- -->"...)
}
