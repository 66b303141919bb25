package client

import (
	"fmt"
	"strings"

	"golang.org/x/net/html"
)

// A Document is the tree of a page, which updates change as the runtime's table
// of actions does.
type Document struct{ root *node }

type node = html.Node

// NewDocument returns the document that text makes. Whatever text is, HTML has a
// document for it.
func NewDocument(text string) *Document {
	root, err := html.Parse(strings.NewReader(text))
	if err != nil { // of the reader only
		panic(err)
	}
	return &Document{root}
}

// String returns the whole document as HTML.
func (d *Document) String() string { return outer(d.root) }

// HTML returns the element with the id, itself included, as HTML, or "".
func (d *Document) HTML(id string) string {
	if n := d.element(id); n != nil {
		return outer(n)
	}
	return ""
}

// Title returns the document's title.
func (d *Document) Title() string {
	if n := d.find(func(n *node) bool { return n.Data == "title" }); n != nil && n.FirstChild != nil {
		return n.FirstChild.Data
	}
	return ""
}

// Text returns the text of the element with the id.
func (d *Document) Text(id string) string {
	var b strings.Builder
	if n := d.element(id); n != nil {
		for c := range n.Descendants() {
			if c.Type == html.TextNode {
				b.WriteString(c.Data)
			}
		}
	}
	return b.String()
}

// Apply makes one change. Its error says why it cannot be made.
func (d *Document) Apply(action, target, content string) error {
	if action == "title" {
		d.setTitle(content)
		return nil
	}
	change := actions[action]
	if change == nil {
		return fmt.Errorf("%s: there is no such action", action)
	}
	n := d.element(target)
	if n == nil {
		return fmt.Errorf("%s: there is no element with the id %s", action, target)
	}
	parent := n.Parent
	content = strings.ReplaceAll(content, "\x00", nul)
	change(n, content)
	if strings.Contains(content, nul) {
		restore(parent)
	}
	return nil
}

// actions has one function for each change of an element.
var actions = map[string]func(n *node, content string){
	"append":  func(n *node, content string) { insert(n, nil, n, content) },
	"prepend": func(n *node, content string) { insert(n, n.FirstChild, n, content) },
	"before":  func(n *node, content string) { insert(n.Parent, n, n.Parent, content) },
	"after":   func(n *node, content string) { insert(n.Parent, n.NextSibling, n.Parent, content) },
	"replace": func(n *node, content string) {
		insert(n.Parent, n, n.Parent, content)
		n.Parent.RemoveChild(n)
	},
	"inner": func(n *node, content string) {
		for n.FirstChild != nil {
			n.RemoveChild(n.FirstChild)
		}
		insert(n, nil, n, content)
	},
	"remove": func(n *node, _ string) { n.Parent.RemoveChild(n) },
	"attr": func(n *node, content string) {
		name, value, _ := strings.Cut(content, "\n")
		setAttribute(n, strings.Map(lower, name), value)
	},
}

// insert puts content into parent in front of next, at the end if next is nil,
// parsed as content of context.
func insert(parent, next, context *node, content string) {
	children, err := html.ParseFragment(strings.NewReader(content), context)
	if err != nil { // of the reader only
		panic(err)
	}
	for _, c := range children {
		parent.InsertBefore(c, next)
	}
}

// lower is the lower case of ASCII, which is all that names have.
func lower(r rune) rune {
	if 'A' <= r && r <= 'Z' {
		return r + 'a' - 'A'
	}
	return r
}

// nul stands for NUL on the wire and while HTML, which cannot hold it, is parsed.
const nul = "\ufdd0"

// restore puts NUL back into the text of n and all that it holds, and U+FFFD into
// the attributes.
func restore(n *node) {
	restoreOne(n)
	for c := range n.Descendants() {
		restoreOne(c)
	}
}

func restoreOne(n *node) {
	if n.Type == html.TextNode {
		n.Data = strings.ReplaceAll(n.Data, nul, "\x00")
	}
	for i := range n.Attr {
		n.Attr[i].Val = strings.ReplaceAll(n.Attr[i].Val, nul, "\ufffd")
	}
}

func (d *Document) setTitle(text string) {
	n := d.find(func(n *node) bool { return n.Data == "title" })
	if n == nil {
		n = &node{Type: html.ElementNode, Data: "title"}
		d.find(func(n *node) bool { return n.Data == "head" }).AppendChild(n)
	}
	for n.FirstChild != nil {
		n.RemoveChild(n.FirstChild)
	}
	n.AppendChild(&node{Type: html.TextNode, Data: text})
}

// element returns the first element with the id, nil if there is none.
func (d *Document) element(id string) *node {
	return d.find(func(n *node) bool { return attribute(n, "id") == id })
}

// find returns the first element that is wanted, nil if there is none.
func (d *Document) find(wanted func(*node) bool) *node {
	for n := range d.root.Descendants() {
		if n.Type == html.ElementNode && wanted(n) {
			return n
		}
	}
	return nil
}

func attribute(n *node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func setAttribute(n *node, name, value string) {
	for i := range n.Attr {
		if n.Attr[i].Key == name {
			n.Attr[i].Val = value
			return
		}
	}
	n.Attr = append(n.Attr, html.Attribute{Key: name, Val: value})
}

func outer(n *node) string {
	var b strings.Builder
	html.Render(&b, n) // a Builder does not fail
	return b.String()
}
