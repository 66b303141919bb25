package fallback

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"foreverframe/stream"
)

// do calls the page's ff with an event, as a script of its own does.
func (t *tab) do(events ...stream.Event) {
	t.b.t.Helper()
	for _, e := range events {
		t.run(string(stream.Script{}.AppendEvent(nil, e)))
	}
}

// body is the page's markup.
const body = "document.body.innerHTML"

func TestEveryActionChangesThePage(t *testing.T) {
	for _, test := range []struct {
		update stream.Update
		want   string
	}{
		{stream.Append("a", markup("<i>1</i>2")), `<p id="a">A<i>1</i>2</p><p id="b">B</p>`},
		{stream.Prepend("a", markup("<i>1</i>2")), `<p id="a"><i>1</i>2A</p><p id="b">B</p>`},
		{stream.Before("b", markup("<i>1</i>2")), `<p id="a">A</p><i>1</i>2<p id="b">B</p>`},
		{stream.After("a", markup("<i>1</i>2")), `<p id="a">A</p><i>1</i>2<p id="b">B</p>`},
		{stream.Replace("a", markup("<i>1</i>2")), `<i>1</i>2<p id="b">B</p>`},
		{stream.Replace("a", markup("")), `<p id="b">B</p>`},
		{stream.Inner("a", markup("<i>1</i>2")), `<p id="a"><i>1</i>2</p><p id="b">B</p>`},
		{stream.Inner("a", markup("")), `<p id="a"></p><p id="b">B</p>`},
		{stream.Remove("a"), `<p id="b">B</p>`},
		{stream.Attr("a", "title", "<1>\n2\n"), `<p id="a" title="&lt;1&gt;` + "\n2\n" + `">A</p><p id="b">B</p>`},
		{stream.Attr("a", "hidden", ""), `<p id="a" hidden="">A</p><p id="b">B</p>`},
		{stream.Append("a", stream.Text("<i>")), `<p id="a">A&lt;i&gt;</p><p id="b">B</p>`},
	} {
		t.Run(test.update.Action, func(t *testing.T) {
			both(t, func(t *testing.T, b *browser) {
				tab := b.open(page{html: `<p id="a">A</p><p id="b">B</p>`})
				tab.run(`applied = []; ff.on("apply", function (target) { applied.push(target); })`)
				tab.do(at(0, test.update))
				tab.is(body, test.want)
				tab.is("applied", test.update.Target)
			})
		})
	}
}

func TestThePageHasATitleEventsAndAState(t *testing.T) {
	both(t, func(t *testing.T, b *browser) {
		tab := b.open(page{html: "<p>"})
		tab.run(`heard = []; ff.on("news", function (data) { heard.push(data); }); ff.on("state", function (data) { heard.push(data); })`)
		tab.do(at(0, stream.Title("<1> & 2")), at(0, stream.Emit("news", "a\nb")), at(0, stream.Emit("other", "c")))
		tab.is("document.title", "<1> & 2")
		tab.is("ff.state", "done") // a page without a feed, once it has loaded
		tab.do(fail)
		tab.is("heard", "a\nb,failed")
		tab.is("ff.state", "failed")
		tab.is(`document.documentElement.getAttribute("data-ff-state")`, "failed")
	})
}

func TestTroubleIsToldAndKeepsNothingAway(t *testing.T) {
	both(t, func(t *testing.T, b *browser) {
		tab := b.open(page{html: `<p id="a">`})
		tab.run(`troubles = []; ff.on("trouble", function (text) { troubles.push(text); })`)
		tab.do(
			at(0, stream.Append("nowhere", markup("x"))),
			at(0, stream.Update{Action: "explode", Target: "a"}),
			at(0, stream.Append("a", markup("later"))),
		)
		tab.is(body, `<p id="a">later</p>`)
		tab.is("troubles.length", "2")
		tab.is("troubles[0]", "append: there is no element with the id nowhere")
		if got := tab.value("troubles[1]"); !strings.HasPrefix(got, "explode a: ") {
			t.Errorf("an action that does not exist is told as %q", got)
		}
	})
}

func TestAListenerFailsAlone(t *testing.T) {
	both(t, func(t *testing.T, b *browser) {
		tab := b.open(page{html: `<p id="a">`})
		tab.run(`heard = [];
			ff.on("news", function () { throw "one"; });
			ff.on("news", function (data) { heard.push(data); });
			ff.on("apply", function () { throw "two"; });
			ff.on("trouble", function () { throw "three"; })`)
		tab.do(at(0, stream.Emit("news", "x")), at(0, stream.Inner("a", markup("1"))), at(0, stream.Remove("nowhere")), at(0, stream.Append("a", markup("2"))))
		tab.is("heard", "x")
		tab.is(body, `<p id="a">12</p>`)
		if got := strings.Join(b.errors, " "); len(b.errors) != 4 || !strings.Contains(got, "one") || !strings.Contains(got, "two") || !strings.Contains(got, "three") {
			t.Errorf("the browser is told %q", b.errors)
		}
		b.errors = nil
	})
}

func TestListenersMayComeAndGoWhileAnEventIsTold(t *testing.T) {
	both(t, func(t *testing.T, b *browser) {
		tab := b.open(page{html: "<p>"})
		tab.run(`heard = [];
			function once() { heard.push("once"); ff.off("news", once); ff.on("news", late); }
			function late() { heard.push("late"); }
			function always() { heard.push("always"); }
			ff.on("news", once); ff.on("news", always);
			ff.off("news", late); ff.off("unheard", late)`)
		tab.do(at(0, stream.Emit("news", "")))
		tab.is("heard", "once,always")
		tab.do(at(0, stream.Emit("news", "")))
		tab.is("heard", "once,always,always,late")
	})
}

// Names that every object of JavaScript has are names like others.
func TestAnyNameCanBeThatOfAnEvent(t *testing.T) {
	both(t, func(t *testing.T, b *browser) {
		tab := b.open(page{html: "<p>"})
		for _, name := range []string{"constructor", "__proto__", "toString", "hasOwnProperty", "a b", "ü"} {
			tab.do(at(0, stream.Emit(name, "nobody listens")))
			tab.run(fmt.Sprintf(`heard = ""; ff.on(%q, function (data) { heard += data; })`, name))
			tab.do(at(0, stream.Emit(name, name)))
			tab.is("heard", name)
		}
	})
}

func TestANULIsATextsOwn(t *testing.T) {
	const text = "a\x00<b>\x00"
	both(t, func(t *testing.T, b *browser) {
		for _, u := range []stream.Update{
			stream.Append("a", stream.Text(text)), stream.Prepend("a", stream.Text(text)),
			stream.Before("a", stream.Text(text)), stream.After("a", stream.Text(text)),
			stream.Replace("a", stream.Text(text)), stream.Inner("a", stream.Text(text)),
			stream.Inner("a", markup("<i><b>a\x00&lt;b>\x00</b></i>")),
		} {
			tab := b.open(page{html: `<div><p id="a"></p></div>`})
			tab.do(at(0, u))
			if got := tab.value(body); !strings.Contains(got, "a\x00&lt;b&gt;\x00") {
				t.Errorf("%s makes %q", u.Action, got)
			}
		}
	})
}

// A browser drops control characters in front of a URL, but not U+FDD0 or U+FFFD.
func TestANULIsTheReplacementCharacterInAnAttribute(t *testing.T) {
	both(t, func(t *testing.T, b *browser) {
		for _, u := range []stream.Update{
			stream.Attr("a", "href", "\x00javascript:y"),
			stream.Attr("a", "href", "\ufdd0javascript:y"),
			stream.Append("a", markup("<i href='\x00javascript:y'>")),
			stream.Replace("a", markup("<i href='\ufdd0javascript:y'>")),
		} {
			tab := b.open(page{html: `<div><p id="a"></p></div>`})
			tab.do(at(0, u))
			if got := tab.value(body); !strings.Contains(got, "href=\"\ufffdjavascript:y\"") {
				t.Errorf("%s makes %q", u.Action, got)
			}
		}
	})
}

func TestAnEventIsAppliedOnceAndInOrder(t *testing.T) {
	both(t, func(t *testing.T, b *browser) {
		tab := b.open(page{html: `<p id="a">`})
		for _, id := range []uint64{1, 2, 2, 1, 0, 3, 1 << 52, 3, 1<<52 + 1, 1<<52 + 1, 0} {
			tab.do(at(id, stream.Append("a", stream.Text(fmt.Sprintf("%d ", id)))))
		}
		tab.is(body, `<p id="a">1 2 0 3 4503599627370496 4503599627370497 0 </p>`)
	})
}

func TestAScriptRemovesItself(t *testing.T) {
	both(t, func(t *testing.T, b *browser) {
		tab := b.open(page{html: "<body><script id=one></script><script id=two></script><script id=three></script>"})
		tab.run("ff()")
		tab.is(body, `<script id="one"></script><script id="two"></script>`)
		tab.run(`document.currentScript = document.getElementById("one"); ff()`)
		tab.is(body, `<script id="two"></script>`)
	})
}

// A server whose clock was set back has ids below a page's place.
func TestAPageThatIsAheadOfTheServerReloads(t *testing.T) {
	both(t, func(t *testing.T, b *browser) {
		tab := b.open(page{html: `<p id="a">`})
		tab.do(at(9, stream.Title("newer")), at(3, stream.Reload()))
		if got := tab.reloads(); got != 1 {
			t.Fatalf("%d reloads", got)
		}
	})
}

func TestAPageReloadsAtMostEveryTenSeconds(t *testing.T) {
	both(t, func(t *testing.T, b *browser) {
		tab := b.open(page{html: "<p>"})
		tab.do(at(0, stream.Reload()))
		if got := tab.reloads(); got != 1 {
			t.Fatalf("%d reloads", got)
		}
		tab.die()
		tab = b.open(page{html: "<p>", before: tab})
		tab.do(at(0, stream.Reload()))
		b.pass(9 * time.Second)
		if got := tab.reloads(); got != 0 {
			t.Fatalf("after 9 s: %d reloads", got)
		}
		b.pass(time.Second)
		if got := tab.reloads(); got != 1 {
			t.Fatalf("after 10 s: %d reloads", got)
		}
	})
}

func TestAPageWithoutStorageMayHaveReloadedJustNow(t *testing.T) {
	both(t, func(t *testing.T, b *browser) {
		for _, lacking := range []string{"sessionStorage", "lawful storage"} {
			tab := b.open(page{html: "<p>", lacks: []string{lacking}})
			tab.do(at(0, stream.Reload()))
			b.pass(9 * time.Second)
			if got := tab.reloads(); got != 0 {
				t.Fatalf("without %s, after 9 s: %d reloads", lacking, got)
			}
			b.pass(2 * time.Second)
			tab.do(at(0, stream.Reload()))
			if got := tab.reloads(); got != 2 {
				t.Fatalf("without %s, after 11 s: %d reloads", lacking, got)
			}
		}
	})
}

// reloads returns how often the page has loaded itself again.
func (t *tab) reloads() int64 {
	t.b.settle()
	return t.js.Get("reloads").ToInteger()
}
