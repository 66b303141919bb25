package stream

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// events numbers updates.
func events(updates ...Update) (all []Event) {
	for i, u := range updates {
		all = append(all, Event{ID: uint64(i + 1), Update: u})
	}
	return all
}

func TestTheLatestOfEachPartIsKept(t *testing.T) {
	for _, test := range []struct {
		name    string
		updates []Update
		want    []uint64
	}{
		{"contents", []Update{Inner("a", nil), Inner("a", nil), Inner("a", nil)}, []uint64{3}},
		{"elements", []Update{Replace("a", nil), Replace("a", nil)}, []uint64{2}},
		{"attributes", []Update{Attr("a", "x", "1"), Attr("a", "y", "2"), Attr("a", "x", "3")}, []uint64{2, 3}},
		{"other targets", []Update{Inner("a", nil), Inner("b", nil), Inner("a", nil), Inner("b", nil)}, []uint64{3, 4}},
		{"content and attribute", []Update{Inner("a", nil), Attr("a", "x", ""), Inner("a", nil), Attr("a", "x", "")}, []uint64{3, 4}},
		{"what has no element", []Update{Inner("a", nil), Title("a"), Emit("a", ""), Reload(), Inner("a", nil)}, []uint64{2, 3, 4, 5}},
		{"what is no state", []Update{Append("a", nil), Append("a", nil), Title("1"), Title("2"), Emit("e", ""), Emit("e", "")}, []uint64{1, 2, 3, 4, 5, 6}},
		{"an element between contents", []Update{Inner("a", nil), Replace("a", nil), Inner("a", nil)}, []uint64{1, 2, 3}},
		{"a content between elements", []Update{Replace("a", nil), Inner("a", nil), Replace("a", nil)}, []uint64{1, 2, 3}},
		{"more between contents", []Update{Inner("a", nil), Append("a", nil), Inner("a", nil)}, []uint64{1, 2, 3}},
		{"a neighbour between elements", []Update{Replace("a", nil), Before("a", nil), Replace("a", nil)}, []uint64{1, 2, 3}},
		{"an end between attributes", []Update{Attr("a", "x", ""), Remove("a"), Attr("a", "x", "")}, []uint64{1, 2, 3}},
		{"behind the last touch", []Update{Inner("a", nil), Append("a", nil), Inner("a", nil), Inner("a", nil)}, []uint64{1, 2, 4}},
	} {
		all := events(test.updates...)
		before := slices.Clone(all)
		var got []uint64
		for _, e := range latest(all) {
			got = append(got, e.ID)
		}
		if !slices.Equal(got, test.want) || !slices.Equal(all, before) {
			t.Errorf("%s: %v stay, want %v", test.name, got, test.want)
		}
	}
}

// Whatever is left out, the page comes out the same.
func TestThePageOfTheLatestIsThePageOfAll(t *testing.T) {
	left := 0
	for seed := range uint64(3000) {
		author := &author{Rand: rand.New(rand.NewPCG(seed, 0))}
		all := events(author.updates(2 + author.IntN(40))...)
		whole, short := newDocument(), newDocument()
		whole.apply(all)
		for rest := all; len(rest) > 0; {
			n := 1 + author.IntN(len(rest))
			kept := latest(rest[:n])
			if kept[len(kept)-1] != rest[n-1] {
				t.Fatalf("seed %d: the newest event is missing", seed)
			}
			left += n - len(kept)
			short.apply(kept)
			rest = rest[n:]
		}
		if whole.String() != short.String() {
			t.Fatalf("seed %d: after %v\nthe page is\n%s\nnot\n%s", seed, all, short, whole)
		}
	}
	if left < 1000 {
		t.Errorf("only %d events were left out: the sequences test nothing", left)
	}
}

func TestOnlyTheTopicsThatSaySoAreConflated(t *testing.T) {
	hub := Hub{Latest: func(topic string) bool { return topic == "gauges" }}
	var last uint64
	for range 3 {
		hub.Publish("log", Inner("a", Text("1")))
		hub.Publish("gauges", Inner("a", Text("2")))
		last, _ = hub.Publish("gauges", Inner("b", Text("3")))
	}
	hub.End("log")
	hub.End("gauges")
	for topics, want := range map[string]int{"log": 3, "gauges": 2, "log,gauges": 5} {
		var got []Event
		for events := range hub.Subscribe(t.Context(), 0, strings.Split(topics, ",")...) {
			got = append(got, events...)
		}
		if len(got) != want {
			t.Errorf("%s: %v", topics, got)
		}
		if topics != "log" && got[want-1].ID != last {
			t.Errorf("%s: the cursor stands at %d, not at %d", topics, got[want-1].ID, last)
		}
	}
}

// An author sends updates at random to a page whose ids stay where they are: an
// element's id begins with that of the element that it stands in.
type author struct {
	*rand.Rand
	made int // elements with an id of their own
	ids  []string
}

func (a *author) updates(n int) (all []Update) {
	a.ids = []string{"a", "b"}
	for range 2 {
		for _, id := range slices.Clone(a.ids) {
			a.ids = append(a.ids, id+"1", id+"2")
		}
	}
	slices.Sort(a.ids)
	a.ids = slices.Compact(a.ids)
	for range n {
		target := a.ids[a.IntN(2+a.IntN(len(a.ids)-1))]
		all = append(all, a.update(target))
	}
	return all
}

func (a *author) update(target string) Update {
	switch a.IntN(12) {
	case 0:
		return Append(target, a.fresh(target))
	case 1:
		return Prepend(target, a.fresh(target))
	case 2:
		return Before(target, a.fresh(target[:len(target)-1]))
	case 3:
		return After(target, a.fresh(target[:len(target)-1]))
	case 4:
		return Remove(target)
	case 5:
		return Title("x")
	case 6, 7:
		return Replace(target, a.element(target))
	case 8, 9:
		return Attr(target, []string{"class", "title"}[a.IntN(2)], fmt.Sprint(a.IntN(100)))
	}
	return Inner(target, a.content(target))
}

// fresh returns an element that no update has had, which later ones may change.
func (a *author) fresh(parent string) View {
	a.made++
	id := fmt.Sprint(parent, "f", a.made, "-")
	if a.IntN(2) == 0 {
		a.ids = append(a.ids, id)
	}
	return a.element(id)
}

func (a *author) element(id string) markup {
	return markup(fmt.Sprintf("<i id=%q>%s</i>", id, a.content(id)))
}

// content returns content of the element id, with some of those that may stand
// in it.
func (a *author) content(id string) markup {
	content := markup(fmt.Sprint(a.IntN(100)))
	if len(id) < 3 {
		for _, n := range a.Perm(2)[a.IntN(3):] {
			content += a.element(fmt.Sprint(id, n+1))
		}
	}
	return content
}

// A document is a page as a browser has it.
type document struct{ body *html.Node }

func newDocument() document {
	d := document{&html.Node{Type: html.ElementNode, Data: "body"}}
	d.insert(d.body, nil, `<i id="a"></i><i id="b"></i>`)
	return d
}

func (d document) String() string {
	var b strings.Builder
	html.Render(&b, d.body)
	return b.String()
}

// apply does what the browser's half does.
func (d document) apply(events []Event) {
	for _, e := range events {
		if target := find(d.body, e.Target); target != nil {
			d.change(target, e.Update)
		}
	}
}

func (d document) change(target *html.Node, u Update) {
	parent := target.Parent
	switch u.Action {
	case ActionAppend:
		d.insert(target, nil, u.HTML)
	case ActionPrepend:
		d.insert(target, target.FirstChild, u.HTML)
	case ActionBefore:
		d.insert(parent, target, u.HTML)
	case ActionAfter:
		d.insert(parent, target.NextSibling, u.HTML)
	case ActionReplace:
		d.insert(parent, target, u.HTML)
		parent.RemoveChild(target)
	case ActionInner:
		for target.FirstChild != nil {
			target.RemoveChild(target.FirstChild)
		}
		d.insert(target, nil, u.HTML)
	case ActionRemove:
		parent.RemoveChild(target)
	case ActionAttr:
		name, value, _ := strings.Cut(u.HTML, "\n")
		setAttribute(target, name, value)
	}
}

func (document) insert(parent, before *html.Node, markup string) {
	nodes, err := html.ParseFragment(strings.NewReader(markup), &html.Node{Type: html.ElementNode, Data: "body", DataAtom: atom.Body})
	if err != nil {
		panic(err)
	}
	for _, node := range nodes {
		parent.InsertBefore(node, before)
	}
}

// setAttribute keeps the attributes in one order.
func setAttribute(node *html.Node, name, value string) {
	node.Attr = slices.DeleteFunc(node.Attr, func(a html.Attribute) bool { return a.Key == name })
	node.Attr = append(node.Attr, html.Attribute{Key: name, Val: value})
	slices.SortFunc(node.Attr, func(a, b html.Attribute) int { return strings.Compare(a.Key, b.Key) })
}

// find returns the first element under node with an id.
func find(node *html.Node, id string) *html.Node {
	for child := node.FirstChild; child != nil; child = child.NextSibling {
		for _, a := range child.Attr {
			if a.Key == "id" && a.Val == id {
				return child
			}
		}
		if found := find(child, id); found != nil {
			return found
		}
	}
	return nil
}
