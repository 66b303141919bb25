package fallback

import (
	"strings"

	"foreverframe/stream"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// This file is updates of what has not been sent: the actions of runtime.js, on
// nodes.

// apply makes an update, or puts its content at the end. Without scripts no
// document can hold NUL, which U+FDD0 stands for. It becomes U+FFFD and is not
// dropped, which could make a tag or a URL of what was none.
func (d *document) apply(u stream.Update) {
	u.HTML = strings.ReplaceAll(u.HTML, "\ufdd0", "\ufffd")
	switch u.Action {
	case stream.ActionEmit, stream.ActionReload:
		return
	case stream.ActionTitle:
		d.setTitle(u.HTML)
		return
	}
	n := find(d.tree.document, u.Target)
	switch {
	case n == nil || d.isOpen(n) && u.Action != stream.ActionAppend && u.Action != stream.ActionAfter:
		d.put(u)
	case d.canChange(n, u.Action):
		d.change(n, u)
	}
}

// find returns the first element with the id, nil if there is none.
func find(document *html.Node, id string) *html.Node {
	if document == nil || id == "" {
		return nil
	}
	for n := range document.Descendants() {
		if has, _ := attribute(n, "id"); has == id && n.Type == html.ElementNode {
			return n
		}
	}
	return nil
}

// isOpen reports whether the start tag of n has been sent.
func (d *document) isOpen(n *html.Node) bool {
	for open := d.open; open != nil; open = open.Parent {
		if n == open {
			return true
		}
	}
	return false
}

// canChange refuses to put anything beside the root, the head and the body.
func (d *document) canChange(n *html.Node, action string) bool {
	switch action {
	case stream.ActionBefore, stream.ActionAfter, stream.ActionReplace, stream.ActionRemove:
		return n.Parent.Type == html.ElementNode && n.Parent.DataAtom != atom.Html
	}
	return true
}

// change makes an update of n. The first element that is appended to is the one
// that grows.
func (d *document) change(n *html.Node, u stream.Update) {
	switch u.Action {
	case stream.ActionAppend:
		moveBefore(d.tree.fragment(n, u.HTML), n, nil)
		if d.grows == nil && d.unfilled == 0 && !raw(n) && !void(n) {
			d.grows = n
		}
	case stream.ActionPrepend:
		moveBefore(d.tree.fragment(n, u.HTML), n, n.FirstChild)
	case stream.ActionInner:
		empty(n)
		moveBefore(d.tree.fragment(n, u.HTML), n, nil)
	case stream.ActionBefore:
		moveBefore(d.tree.fragment(n.Parent, u.HTML), n.Parent, n)
	case stream.ActionAfter:
		moveBefore(d.tree.fragment(n.Parent, u.HTML), n.Parent, n.NextSibling)
	case stream.ActionReplace:
		moveBefore(d.tree.fragment(n.Parent, u.HTML), n.Parent, n)
		n.Parent.RemoveChild(n)
	case stream.ActionRemove:
		n.Parent.RemoveChild(n)
	case stream.ActionAttr:
		name, value, _ := strings.Cut(u.HTML, "\n")
		setAttribute(n, name, value)
	}
}

// setTitle sets the title if it has not been sent.
func (d *document) setTitle(text string) {
	if d.tree.document == nil {
		return
	}
	var head *html.Node
	for n := range d.tree.document.Descendants() {
		switch {
		case n.DataAtom == atom.Title && n.Namespace == "" && !d.isOpen(n):
			empty(n)
			n.AppendChild(&html.Node{Type: html.TextNode, Data: text})
			return
		case isHead(n):
			head = n
		}
	}
	if head != nil {
		title := &html.Node{Type: html.ElementNode, Data: "title", DataAtom: atom.Title}
		title.AppendChild(&html.Node{Type: html.TextNode, Data: text})
		head.AppendChild(title)
	}
}

// empty removes the content of n.
func empty(n *html.Node) {
	for n.FirstChild != nil {
		n.RemoveChild(n.FirstChild)
	}
}

// moveBefore moves the content of from into to, in front of next; nil is to's
// end.
func moveBefore(from, to, next *html.Node) {
	for n := from.FirstChild; n != nil; n = from.FirstChild {
		from.RemoveChild(n)
		to.InsertBefore(n, next)
	}
}
