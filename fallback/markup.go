package fallback

import (
	"bytes"
	"strings"

	"foreverframe/stream"

	"golang.org/x/net/html"
)

// This file is nodes as text (HTML, section 13.3): start tags, end tags and what
// stands between them, each by itself, because a document leaves in pieces.

// liveAttributes begin the names of attributes that only the browser's half of
// updates reads.
const liveAttributes = "data-ff-"

func appendStartTag(b []byte, n *html.Node) []byte {
	b = append(b, '<')
	b = append(b, n.Data...)
	for _, a := range n.Attr {
		if strings.HasPrefix(a.Key, liveAttributes) {
			continue
		}
		b = append(b, ' ')
		b = append(b, qualified(a)...)
		b = append(b, `="`...)
		b = stream.AppendHTML(b, a.Val)
		b = append(b, '"')
	}
	return append(b, '>')
}

func appendEndTag(b []byte, n *html.Node) []byte {
	b = append(b, "</"...)
	b = append(b, n.Data...)
	return append(b, '>')
}

// appendWhole appends n with all that is in it.
func appendWhole(b []byte, n *html.Node) []byte {
	var text bytes.Buffer
	if err := html.Render(&text, n); err != nil {
		return b // a void element with content, which nobody would see
	}
	return append(b, text.Bytes()...)
}

// void reports whether n has no end tag and no content.
func void(n *html.Node) bool {
	switch n.Data {
	case "area", "base", "br", "col", "embed", "hr", "img", "input", "keygen", "link", "meta", "param", "source", "track", "wbr":
		return true
	case "basefont", "bgsound", "frame":
		return n.Namespace == ""
	}
	return false
}

// raw reports whether the content of n is text as it is, without references.
func raw(n *html.Node) bool {
	switch n.Data {
	case "style", "xmp", "iframe", "noembed", "noframes":
		return n.Namespace == ""
	}
	return false
}

// dropsLineFeed reports whether a parser drops a line feed behind n's start tag.
func dropsLineFeed(n *html.Node) bool {
	return n.Namespace == "" && (n.Data == "pre" || n.Data == "listing" || n.Data == "textarea")
}

// attribute returns an attribute of n, and whether n has it.
func attribute(n *html.Node, name string) (value string, ok bool) {
	for _, a := range n.Attr {
		if a.Key == name && a.Namespace == "" {
			return a.Val, true
		}
	}
	return "", false
}

// setAttribute sets an attribute of n as the browser's setAttribute does (DOM,
// section 4.9): by its name as it is written, in lower case for HTML.
func setAttribute(n *html.Node, name, value string) {
	if n.Namespace == "" {
		name = strings.Map(lower, name)
	}
	for i, a := range n.Attr {
		if qualified(a) == name {
			n.Attr[i].Val = value
			return
		}
	}
	n.Attr = append(n.Attr, html.Attribute{Key: name, Val: value})
}

// lower is the lower case of ASCII. That of Unicode makes onclick of a name with
// a Kelvin sign.
func lower(r rune) rune {
	if 'A' <= r && r <= 'Z' {
		return r + 'a' - 'A'
	}
	return r
}

// qualified returns the name of a as it is written.
func qualified(a html.Attribute) string {
	if a.Namespace == "" {
		return a.Key
	}
	return a.Namespace + ":" + a.Key
}
