package fallback

import (
	"foreverframe/stream"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// sent is what a document remembers of elements that have been sent, and the
// content that came for them too late.
type sent struct {
	kinds map[string]kind       // by id
	late  map[string]*html.Node // by id of the target: where its content goes
	rest  *html.Node            // holds what waits for the end of the document
}

// A kind is the names of an element and of its parent.
type kind struct{ element, parent string }

// remember remembers n, of which the first of an id counts.
func (s *sent) remember(id string, n *html.Node) {
	if _, known := s.kinds[id]; !known {
		s.kinds[id] = kind{n.Data, n.Parent.Data}
	}
}

// put puts the content of u at the end of the document, if its target has been
// sent. What stands there for the same target and has not been sent is changed
// as the target would be.
func (d *document) put(u stream.Update) {
	k, known := d.sent.kinds[u.Target]
	if !known || u.Action == stream.ActionAttr || u.Action == stream.ActionRemove {
		return
	}
	name := k.element
	switch u.Action {
	case stream.ActionBefore, stream.ActionAfter, stream.ActionReplace:
		name = k.parent
	}
	to := d.sent.late[u.Target]
	if to == nil || !d.unsent(to) {
		if u.HTML == "" {
			return
		}
		to = d.place(name)
		d.sent.late[u.Target] = to
	}
	content := d.tree.fragment(to, u.HTML)
	switch u.Action {
	case stream.ActionInner, stream.ActionReplace:
		empty(to)
		moveBefore(content, to, nil)
	case stream.ActionPrepend, stream.ActionBefore:
		moveBefore(content, to, to.FirstChild)
	default:
		moveBefore(content, to, nil)
	}
}

// unsent reports whether n is still to be sent.
func (d *document) unsent(n *html.Node) bool {
	if d.isOpen(n) {
		return false
	}
	for n.Parent != nil {
		n = n.Parent
	}
	return n == d.tree.document || n == d.sent.rest
}

// place returns an empty element at the end of the document that can hold what
// an element of that name can.
func (d *document) place(name string) *html.Node {
	var outer, inner *html.Node
	for _, n := range holders(name) {
		element := &html.Node{Type: html.ElementNode, Data: n.String(), DataAtom: n}
		if inner == nil {
			outer = element
		} else {
			inner.AppendChild(element)
		}
		inner = element
	}
	if body := d.body(); d.tree.over && body != nil {
		body.AppendChild(outer)
	} else {
		d.sent.rest.AppendChild(outer)
	}
	return inner
}

// holders returns the elements, outermost first, whose innermost can hold what
// an element of that name can.
func holders(name string) []atom.Atom {
	switch name {
	case "ul", "ol", "menu", "dl", "pre":
		return []atom.Atom{atom.Lookup([]byte(name))}
	case "table":
		return []atom.Atom{atom.Table}
	case "tbody", "thead", "tfoot":
		return []atom.Atom{atom.Table, atom.Tbody}
	case "tr":
		return []atom.Atom{atom.Table, atom.Tbody, atom.Tr}
	}
	return []atom.Atom{atom.Div}
}
