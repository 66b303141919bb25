package templates

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"foreverframe/stream/hostiletest"

	"golang.org/x/net/html"
)

// views returns every view of the package with text in all fields that are text.
func views(text string) []View {
	page := Page{Title: text, Lead: text, From: text, Technique: text, Why: text, Wire: text, Feed: text, Roads: text, Plain: text, Nonce: text, Runtime: "run()"}
	letter := Letter{Text: text, Snippet: Line{text}}
	return []View{
		Clock{page, text}, Time{text}, Counter{page}, Dashboard{page, []Gauge{{text, text}}}, Reading{text, 50, text}, Trouble{text},
		Compare{page, []Pane{{text, text, text, text, text}}}, ComparePane{page, text}, CompareLine{text},
		Echo{page, text, text}, Hello{page}, Index{page, []Demo{{text, page}}, text},
		Job{text, text, text, 1, 1, text, text, text}, JobLine{text}, Log{page, text}, Line{text},
		Ping{page}, Spinner{page}, Template{page, slices.Values([]Letter{letter, letter})}, Ticks{page, text},
	}
}

// skeleton returns the elements of a page with the names of their attributes, and
// the scripts.
func skeleton(t testing.TB, view View) string {
	var b strings.Builder
	view.WriteHTML(&b)
	document, err := html.Parse(strings.NewReader(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for n := range document.Descendants() {
		switch {
		case n.Type == html.TextNode && n.Parent.Data == "script":
			all = append(all, n.Data)
		case n.Type == html.ElementNode:
			all = append(all, n.Parent.Data+">"+n.Data)
			for _, a := range n.Attr {
				all = append(all, a.Key)
			}
		case n.Type == html.CommentNode:
			all = append(all, "comment")
		}
	}
	return fmt.Sprint(all)
}

// Whatever text a view has, its elements, attributes and scripts are the same.
func FuzzATextOfAViewStaysInItsPlace(f *testing.F) {
	for _, s := range hostiletest.Seeds() {
		if len(s) < 1000 {
			f.Add(s)
		}
	}
	var want []string
	for _, view := range views("x") {
		want = append(want, skeleton(f, view))
	}
	f.Fuzz(func(t *testing.T, text string) {
		if text == "" {
			t.Skip("what is left out then")
		}
		for i, view := range views(text) {
			if got := skeleton(t, view); got != want[i] {
				t.Errorf("%s with %q has\n%s\nnot\n%s", reflect.TypeOf(view), text, got, want[i])
			}
		}
	})
}
