package fallback

import (
	"bytes"
	"slices"
	"strings"

	"foreverframe/stream"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// A tree is a document of which more may come. Its text is parsed in pieces that
// end between two tokens: a piece is parsed behind the start tags of the
// elements that are open there, and what comes of it is moved to them.
type tree struct {
	document *html.Node     // nil before the first piece
	over     bool           // the end tag of the body or of the document has been read
	snippets []stream.Event // that stood in scripts, and have not been taken

	text     []byte       // not parsed yet
	path     []*html.Node // the elements that are open at the end of what has been parsed, outermost first
	doctype  []byte       // as text
	headed   bool         // there has been a head
	headStub bool         // opening has written one
}

// mark is a comment that tells where a piece begins and ends.
const (
	markData = "foreverframe"
	mark     = "<!--" + markData + "-->"
)

// grow parses the text that there is: all of it, with which the document is
// whole, or what cannot change its meaning by what follows.
func (t *tree) grow(all bool) error {
	n := len(t.text)
	if !all {
		n = boundary(t.text)
	}
	if n == 0 && !all {
		return nil
	}
	source := append(t.opening(), t.text[:n]...)
	if !all {
		source = append(source, mark...)
	}
	parsed, err := html.ParseWithOptions(bytes.NewReader(source), html.ParseOptionEnableScripting(false))
	if err != nil {
		return err
	}
	var path []*html.Node
	if !all {
		end := lastMark(parsed)
		if end == nil {
			return nil // it has become text: more is needed
		}
		path = t.cut(parsed, end)
	}
	t.text = append(t.text[:0], t.text[n:]...)
	stubs := t.graft(parsed)
	for i, n := range path {
		if live := stubs[n]; live != nil {
			path[i] = live
		}
	}
	t.path = path
	t.clean(t.document)
	return nil
}

// opening returns the text that brings a parser to where the last piece ended.
func (t *tree) opening() []byte {
	if t.document == nil {
		return nil
	}
	b := slices.Clone(t.doctype)
	t.headStub = false
	for i, n := range t.path {
		b = appendStartTag(b, n)
		if i == 0 && t.headed && (len(t.path) == 1 || t.path[1].DataAtom != atom.Head) {
			b = append(b, "<head></head>"...)
			t.headStub = true
		}
	}
	return append(b, mark...)
}

// cut removes the mark at the end of parsed and what the parser has added there
// because the text ended, and returns the elements that were open.
func (t *tree) cut(parsed, end *html.Node) (path []*html.Node) {
	for n := end; n.Parent != nil; n = n.Parent {
		for n.NextSibling != nil && (n.Parent.Type == html.DocumentNode || n.Parent.DataAtom == atom.Html) {
			n.Parent.RemoveChild(n.NextSibling)
		}
		if n.Parent.Type == html.ElementNode {
			path = append(path, n.Parent)
		}
	}
	end.Parent.RemoveChild(end)
	slices.Reverse(path)
	root := childNamed(parsed, "html")
	if root == nil {
		return nil
	}
	if childNamed(root, "head") != nil {
		t.headed = true
	}
	if body := childNamed(root, "body"); body != nil && len(path) < 2 {
		t.over = true
		return []*html.Node{root, body}
	}
	return path
}

// lastMark returns the last mark in n, nil if there is none.
func lastMark(n *html.Node) *html.Node {
	for c := n.LastChild; c != nil; c = c.PrevSibling {
		if found := lastMark(c); found != nil {
			return found
		}
	}
	if n.Type == html.CommentNode && n.Data == markData {
		return n
	}
	return nil
}

// graft moves what has been parsed into the document, and returns which elements
// of parsed stand for which of the document.
func (t *tree) graft(parsed *html.Node) map[*html.Node]*html.Node {
	if t.document == nil {
		t.document = parsed
		if c := parsed.FirstChild; c != nil && c.Type == html.DoctypeNode {
			t.doctype = appendWhole(nil, c)
		}
		return nil
	}
	stubs := make(map[*html.Node]*html.Node)
	live := append([]*html.Node{t.document}, t.path...)
	innermost := live[len(live)-1]
	stub := parsed
	for i, to := range live {
		stubs[stub] = to
		var inner *html.Node
		if i+1 < len(live) {
			inner = childNamed(stub, live[i+1].Data)
		}
		if inner == nil {
			t.move(stub, nil, innermost, innermost)
			break
		}
		t.move(stub, inner, to, innermost)
		stub = inner
	}
	return stubs
}

// move moves the children of stub to the element that it stands for, but for
// inner, the next stub. What stands in front of inner was fostered by a table
// (HTML, section 13.2.6.1), and will be again, so it goes to the innermost one.
func (t *tree) move(stub, inner, to, innermost *html.Node) {
	fostered, marked := inner != nil, inner != nil
	for n := stub.FirstChild; n != nil; {
		next := n.NextSibling
		switch {
		case n == inner:
			fostered = false
		case n.Type == html.DoctypeNode:
			stub.RemoveChild(n)
		case isHead(n) && t.headStub:
			stub.RemoveChild(n)
			head := childNamed(to, "head")
			if head == nil { // it has been sent
				head = to
			}
			moveBefore(n, head, nil)
		case isMark(n) && !marked:
			stub.RemoveChild(n)
			marked = true
		default:
			stub.RemoveChild(n)
			if fostered {
				innermost.AppendChild(n)
			} else {
				to.AppendChild(n)
			}
		}
		n = next
	}
}

func isMark(n *html.Node) bool { return n.Type == html.CommentNode && n.Data == markData }

func isHead(n *html.Node) bool { return n.Type == html.ElementNode && n.DataAtom == atom.Head }

// childNamed returns the first child of n that is an element of that name.
func childNamed(n *html.Node, name string) *html.Node {
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		if c.Type == html.ElementNode && c.Data == name {
			return c
		}
	}
	return nil
}

// clean takes out of parent what is for pages with scripts, and keeps the
// updates that snippets bring.
func (t *tree) clean(parent *html.Node) {
	for n := parent.FirstChild; n != nil; {
		next := n.NextSibling
		switch {
		case n.Type != html.ElementNode:
		case n.Data == "script":
			t.takeSnippet(n)
			parent.RemoveChild(n)
		case isLive(n):
			parent.RemoveChild(n)
		case n.DataAtom == atom.Noscript && n.Namespace == "":
			t.clean(n)
			t.unwrap(n)
		default:
			if n.DataAtom == atom.Plaintext {
				n.Data, n.DataAtom = "pre", atom.Pre // which ends
			}
			t.clean(n)
		}
		n = next
	}
}

func isLive(n *html.Node) bool {
	_, live := attribute(n, "data-ff-live")
	return live
}

func (t *tree) takeSnippet(script *html.Node) {
	if c := script.FirstChild; c != nil && c.NextSibling == nil {
		events, _ := stream.ParseScript(c.Data)
		t.snippets = append(t.snippets, events...)
	}
}

// unwrap puts the content of a noscript element in its place. A refresh goes: it
// leads away from the page with scripts, which this one is not.
func (t *tree) unwrap(n *html.Node) {
	for c := n.FirstChild; c != nil; c = n.FirstChild {
		n.RemoveChild(c)
		if kind, _ := attribute(c, "http-equiv"); c.DataAtom == atom.Meta && strings.EqualFold(kind, "refresh") {
			continue
		}
		n.Parent.InsertBefore(c, n)
	}
	n.Parent.RemoveChild(n)
	t.path = slices.DeleteFunc(t.path, func(open *html.Node) bool { return open == n })
}

// fragment returns text as the content of context.
func (t *tree) fragment(context *html.Node, text string) *html.Node {
	all := &html.Node{Type: html.ElementNode, Data: "div", DataAtom: atom.Div}
	bare := &html.Node{Type: html.ElementNode, Data: context.Data, DataAtom: context.DataAtom, Namespace: context.Namespace, Attr: context.Attr}
	nodes, err := html.ParseFragmentWithOptions(strings.NewReader(text), bare, html.ParseOptionEnableScripting(false))
	if err != nil {
		return all
	}
	for _, n := range nodes {
		all.AppendChild(n)
	}
	new(tree).clean(all) // its scripts would not run
	return all
}

// boundary returns the number of bytes of text whose meaning does not depend on
// what follows: up to a token's end, and not inside an element whose content is
// text.
func boundary(text []byte) int {
	tokens := html.NewTokenizer(bytes.NewReader(text))
	end, at, inside := 0, 0, ""
	for {
		kind := tokens.Next()
		if kind == html.ErrorToken {
			return end
		}
		token := tokens.Raw()
		at += len(token)
		switch kind {
		case html.TextToken:
			if inside == "" {
				end = at
				if at == len(text) {
					end -= unfinished(token)
				}
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			name, _ := tokens.TagName()
			switch string(name) {
			case "script", "style", "title", "textarea", "xmp", "iframe", "noembed", "noframes", "plaintext":
				inside = string(name)
			case "noscript":
				tokens.NextIsNotRawText() // without scripts it is markup
				end = at
			case "pre", "listing": // drop a line feed that follows
			default:
				end = at
			}
		case html.EndTagToken:
			if name, _ := tokens.TagName(); inside == "" || string(name) == inside {
				inside, end = "", at
			}
		default:
			if inside == "" && finished(token) {
				end = at
			}
		}
	}
}

// unfinished returns the length of the end of text that more text may make a
// tag, a reference or a line end of.
func unfinished(text []byte) int {
	if i := bytes.LastIndexAny(text, "&<"); i >= 0 && bytes.IndexByte(text[i:], ';') < 0 {
		return len(text) - i
	}
	if bytes.HasSuffix(text, []byte("\r")) {
		return 1
	}
	return 0
}

// finished reports whether a comment or doctype has its end.
func finished(token []byte) bool {
	if bytes.HasPrefix(token, []byte("<!--")) {
		return bytes.HasSuffix(token, []byte("-->")) || bytes.HasSuffix(token, []byte("--!>"))
	}
	return bytes.HasSuffix(token, []byte(">"))
}
