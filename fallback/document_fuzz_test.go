package fallback

import (
	"strings"
	"testing"

	"foreverframe/stream"
	"foreverframe/stream/hostiletest"

	"golang.org/x/net/html"
)

// A browser without scripts reads what is sent as the tree that it stands for.

// outline returns n as text: one line a node, adjacent texts as one.
func outline(n *html.Node, indent string) string {
	var b strings.Builder
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		switch c.Type {
		case html.TextNode:
			text := c.Data
			for c.NextSibling != nil && c.NextSibling.Type == html.TextNode {
				c = c.NextSibling
				text += c.Data
			}
			b.WriteString(indent + "text " + strings.ReplaceAll(text, "\n", "\\n") + "\n")
		case html.ElementNode:
			b.WriteString(indent + c.Namespace + "<" + c.Data)
			for _, a := range c.Attr {
				if !strings.HasPrefix(a.Key, liveAttributes) {
					b.WriteString(" " + a.Namespace + " " + a.Key + "=" + strings.ReplaceAll(a.Val, "\n", "\\n"))
				}
			}
			b.WriteString("\n" + outline(c, indent+" "))
		default:
			b.WriteString(indent + c.Type.String() + c.Data + "\n")
		}
	}
	return b.String()
}

// parse returns the tree of a document, nil if it is nested too deeply.
func parse(t testing.TB, text string) *html.Node {
	t.Helper()
	n, err := html.ParseWithOptions(strings.NewReader(text), html.ParseOptionEnableScripting(false))
	if err != nil {
		t.Skip(err)
	}
	return n
}

// sendInPieces returns what is sent of a document that is written in pieces,
// each of which may leave at once.
func sendInPieces(pieces ...string) string {
	d := newDocument(-1)
	var b []byte
	for _, piece := range pieces {
		d.Text([]byte(piece))
		d.Row()
		b = d.AppendReady(b)
	}
	d.End(nil)
	return string(d.AppendReady(b))
}

var documents = []string{
	"<!doctype html><title>t</title><p>a<b>b</b>c",
	"<!DOCTYPE html PUBLIC \"-//W3C//DTD HTML 4.01//EN\" 'http://www.w3.org/TR/html4/strict.dtd'><html lang=en><head><meta charset=utf-8><style>a > b</style></head><body class=\"x\"><h1>a &amp; b</h1></body></html>",
	"<pre>\n\nx</pre><textarea>\n\n&lt;/textarea></textarea><listing>\nx</listing>",
	"<table><tr><td>1<td>2<tbody><tr><td>3</table><ul><li>a<li>b<ul><li>c</ul></ul><dl><dt>a<dd>b</dl>",
	"<select><option>a<option selected>b<optgroup label=x><option>c</select><p>a<p>b<hr>c",
	"<svg viewBox='0 0 1 1'><title>x &lt; y</title><a xlink:href='#x'><![CDATA[a<b]]></a></svg><math><mi>x</mi></math>",
	"<template><tr><td>x</td></tr></template><!-- c <b> --><?php x ?><noscript><p>n</p></noscript>",
	"&lt;script&gt;alert(1)&lt;/script&gt; &amp;amp; &notit; &nbsp; &#13; a\r\nb \u2028 \ufeff 😀",
	"<head></head>\n<body>\n<p>x</p>\n</body>\n</html>\n<!-- after -->\n",
	"<iframe><b>&amp;</b></iframe><xmp>&amp;</xmp><noembed>x</noembed><p title='\"&lt;'>x",
	"<form><input name=a value=\"x\ny\"><button>b</button></form><p>a<br>b<img src=x alt=''>",
	"text only", "", "<html>", "<body>", "<p", "<!--", "<!doctype html", "</p>", "<a><table><a>", "<b><p>x</b>y",
	"<plaintext>a</plaintext>b", "<frameset><frame></frameset>",
}

func FuzzADocumentIsSentAsTheSameTree(f *testing.F) {
	for _, text := range documents {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		text = strings.ToValidUTF8(text, "\ufffd") // as a browser reads it
		want := parse(t, text)
		new(tree).clean(want)
		var rendered strings.Builder
		if err := html.Render(&rendered, want); err != nil {
			t.Skip(err)
		}
		if outline(parse(t, rendered.String()), "") != outline(want, "") {
			t.Skip("a tree that no text stands for (HTML, section 13.3)")
		}
		d := newDocument(-1)
		d.Text([]byte(text))
		d.End(nil)
		sent := string(d.AppendReady(nil))
		if got, want := outline(parse(t, sent), ""), outline(want, ""); got != want {
			t.Errorf("%q is sent as %q:\n%s\nnot\n%s", text, sent, got, want)
		}
	})
}

// What an update brings is closed where it stands, whatever it is.
func FuzzAnUpdateStaysInItsPlace(f *testing.F) {
	for _, text := range documents {
		f.Add(text)
	}
	for _, text := range []string{"</div></body></html>", "<script>alert(1)</script>", "<b><i>", "<p id=after>", "<!--", "<textarea>", "<a href='", "<svg><style>", "<table><p>x", "<select><div>", "<title>", "<style>"} {
		f.Add(text)
	}
	for _, text := range hostiletest.Seeds() {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "after") {
			t.Skip("another element of that name")
		}
		d := newDocument(-1)
		d.Text([]byte("<!doctype html><div id=before></div><div id=target></div><div id=after></div>"))
		d.Event(stream.Event{Update: stream.Update{Action: stream.ActionInner, Target: "target", HTML: text}})
		d.End(nil)
		sent := string(d.AppendReady(nil))
		after := find(parse(t, sent), "after")
		if after == nil || after.Parent.Data != "body" || after.FirstChild != nil {
			t.Errorf("%q is sent as %q", text, sent)
		}
	})
}

// Wherever a document is cut, the same is sent.
func TestADocumentIsTheSameInPieces(t *testing.T) {
	for _, text := range documents {
		if strings.Contains(text, "<a><table>") || strings.Contains(text, "<b><p>x</b>") {
			continue // elements that are not nested as their tags are
		}
		if strings.Contains(text, "</html>\n<!--") {
			continue // a comment behind the end goes to the body's
		}
		whole := sendInPieces(text)
		for i := range text {
			for _, pieces := range [][]string{{text[:i], text[i:]}, {text[:i/2], text[i/2 : i], text[i:]}, strings.SplitAfter(text[:i], ">")} {
				got, want := sendInPieces(pieces...), whole
				if len(strings.Join(pieces, "")) < len(text) {
					want = sendInPieces(text[:i])
				}
				if got != want {
					t.Fatalf("in the pieces %q it is\n%s\nnot\n%s", pieces, got, want)
				}
			}
		}
	}
}

// However it is cut, a document is sent whole, and has no script.
func FuzzADocumentInPieces(f *testing.F) {
	for _, text := range documents {
		f.Add(text, uint(len(text)/3), uint(len(text)/2))
	}
	f.Fuzz(func(t *testing.T, text string, i, j uint) {
		i %= uint(len(text) + 1)
		j = i + j%(uint(len(text))-i+1)
		parse(t, text)
		sent := sendInPieces(text[:i], text[i:j], text[j:])
		if !strings.HasSuffix(sent, "</html>") && !strings.HasSuffix(sent, "-->") {
			t.Errorf("%q, cut at %d and %d, is sent as %q", text, i, j, sent)
		}
	})
}
