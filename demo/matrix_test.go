package demo

import (
	"cmp"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"foreverframe/fallback"
	"foreverframe/fallback/browsertest"
	"foreverframe/stream"

	"github.com/valyala/fasthttp"
)

// A way is how a feed comes into a page.
type way struct {
	name      string
	transport string // that carries the updates in the end
	roads     string // that the page allows; empty means all
	without   string // what the browser does not have, in words
}

var ways = []way{
	{name: "script", transport: "script"},
	{name: "sse", transport: "sse", roads: "sse"},
	{name: "frame", transport: "frame", roads: "frame"},
	{name: "poll", transport: "poll", roads: "poll"},
	{name: "its own choice", transport: "sse"},
	{name: "its own choice, no EventSource", transport: "frame", without: "EventSource"},
	{name: "its own choice, no EventSource, fetch, JSON", transport: "frame", without: "EventSource fetch JSON"},
	{name: "poll, no EventSource, fetch, JSON", transport: "poll", roads: "poll", without: "EventSource fetch JSON"},
	{name: "script, no EventSource, fetch, JSON", transport: "script", without: "EventSource fetch JSON"},
}

// before returns the script that makes a browser of the kind, and takes down the
// events that the page hears: a script page sends them before anybody else could
// listen.
func (w way) before() string {
	script := "if (window.top === window) Object.defineProperty(window, 'ff', {configurable: true, set: function (f) { Object.defineProperty(window, 'ff', {value: f}); window.news = []; f.on('news', function (d) { news.push(d) }) }});\n"
	for name := range strings.FieldsSeq(w.without) {
		script += "delete window." + name + ";\n"
	}
	return script
}

// serveFeed serves a page with feed, from the oldest event on, and the feed.
func (w way) serveFeed(t *testing.T, feed func() stream.Feed) string {
	site := (&Site{}).Handler()
	return serve(t, func(req *fasthttp.RequestCtx) {
		switch {
		case string(req.Path()) == "/feed":
			fallback.ServeFeed(req, feed())
		case string(req.Path()) != "/":
			site(req)
		case w.transport == "script":
			all := feed()
			all.After = 0
			stream.ServePage(req, shell(req, "", ""), all.Follow)
		default:
			stream.ServePage(req, shell(req, "/feed?after=0", w.roads), nil)
		}
	})
}

// same is what a page looks like after sameUpdates: its title, the event that it
// heard, and its elements, in other brackets than those of hostile text.
const same = "a title </title> & more|" + "{\"a\": \"b\"}\nsecond line|" +
	`start </script><!--<script>[i]after a[/i][i]before b[/i]` +
	"[p class=new id=b title=line 1\nline 2 \"quoted\" </script>]new B" + hostile + "[/p]" +
	"[p]end[/p]\n[!]comment[/!][table][tbody id=rows][tr][td]1[/td][/tr][tr][td]2[/td][/tr][/tbody][/table]"

// picture is an expression for what same is to be. Engines differ in how they write
// HTML, and a browser may have no JSON.
const picture = `document.title + "|" + news.join(";") + "|" + (function write(node) {
	var text = "", child, attributes;
	for (child = node.firstChild; child; child = child.nextSibling) {
		if (child.nodeType === 3) { text += child.data; }
		if (child.nodeType === 8) { text += "[!]" + child.data.trim() + "[/!]"; }
		if (child.nodeType !== 1) { continue; }
		attributes = [].map.call(child.attributes, function (a) { return " " + a.name + "=" + a.value; }).sort().join("");
		text += "[" + child.localName + attributes + "]" + write(child) + "[/" + child.localName + "]";
	}
	return text;
})(document.getElementById("lines"))`

// Half of the updates are there before the page, the others come while it is
// open, each after the one before has been seen.
func TestEveryBrowserMakesTheSamePageOverEveryTransport(t *testing.T) {
	var m matrix
	for _, name := range browsertest.Names {
		t.Run(name, func(t *testing.T) {
			column := m.column(name)
			for _, way := range ways {
				column.cells[way.name] = "did not run"
			}
			browser := browsertest.Start(t, name)
			for _, way := range ways {
				t.Run(way.name, func(t *testing.T) {
					column.cells[way.name] = "does not open"
					tab := browser.Open(t, way.before())
					way.fill(t, tab, column)
				})
			}
			t.Run(plain, func(t *testing.T) {
				tab := browser.Open(t, "")
				tab.Visit(servePlain(t, nil) + "/?transport=plain")
				tab.Until("document.readyState == 'complete'")
				column.shows(t, tab.Value("document.body.textContent"))
				tab.Quiet()
			})
			column.name = browser.Version()
		})
	}
	for _, command := range textBrowsers {
		t.Run(command[0], func(t *testing.T) {
			column := m.column(command[0])
			installed(t, command[0])
			column.shows(t, dump(t, append(command, servePlain(t, nil)+"/")...))
		})
	}
	t.Run("netsurf", func(t *testing.T) {
		column := m.column("NetSurf")
		installed(t, netSurf)
		pictured := make(chan struct{}, 1)
		startNetSurf(t, servePlain(t, pictured)+"/")
		column.cells[plain] = "the page does not come"
		select {
		case <-pictured:
			column.cells[plain] = "ok"
		case <-time.After(patience):
			t.Error("NetSurf does not read the page to its end")
		}
	})
	t.Logf("\n%s", m)
	if readme := os.Getenv("MATRIX"); readme != "" {
		m.write(t, readme)
	}
}

// plain is the way without scripts, the only one of browsers that run none.
const plain = "plain"

// plainWords are what sameUpdates show in plain mode, among others.
var plainWords = []string{"start </script><!--<script>", "new B</script><script>alert(1)</script>", "after a", "end", "last"}

// servePlain serves a page with sameUpdates that ends with a picture, and tells
// pictured, if that is not nil, that somebody has asked for it.
func servePlain(t *testing.T, pictured chan struct{}) string {
	var hub stream.Hub
	if _, err := hub.PublishAll("same", append(sameUpdates(), stream.Append("lines", view(`last<img src="/picture" alt="">`)))...); err != nil {
		t.Fatal(err)
	}
	hub.End("same")
	feed := hub.Feed("same")
	feed.After = 0
	site := (&Site{}).Handler()
	return serve(t, func(req *fasthttp.RequestCtx) {
		switch string(req.Path()) {
		case "/":
			fallback.ServePage(req, shell(req, "", ""), feed.Follow)
		case "/picture":
			tell(pictured, struct{}{})
		default:
			site(req)
		}
	})
}

// shows checks what a browser shows of a plain page.
func (c *column) shows(t *testing.T, text string) {
	t.Helper()
	c.cells[plain] = "ok"
	for _, word := range plainWords {
		if !strings.Contains(text, word) {
			c.cells[plain] = "another page"
			t.Errorf("it lacks %q:\n%s", word, text)
		}
	}
}

// fill brings the same updates into a tab, and writes into its cell of the
// matrix what fails.
func (w way) fill(t *testing.T, tab *browsertest.Tab, column *column) {
	stage := func(failing string) { column.cells[w.name] = failing }
	var hub stream.Hub
	publish := func(u stream.Update) {
		t.Helper()
		if _, err := hub.Publish("same", u); err != nil {
			t.Fatal(err)
		}
	}
	updates := sameUpdates()
	half := len(updates) / 2
	for _, u := range updates[:half] {
		publish(u)
	}

	stage("the page does not come")
	tab.Visit(w.serveFeed(t, func() stream.Feed { return hub.Feed("same") }))
	for i, u := range updates[half:] {
		stage(fmt.Sprintf("update %d does not come", half+i))
		publish(stream.Attr("lines", "data-seen", fmt.Sprint(i)))
		tab.Until(fmt.Sprintf("document.getElementById('lines').getAttribute('data-seen') == %d", i))
		publish(u)
	}
	stage("the end does not come")
	hub.End("same")
	tab.Until("ff.state == 'done'")

	stage("another transport")
	if got := tab.Value("ff.transport || 'script'"); got != w.transport {
		t.Fatalf("the updates came over %s", got)
	}
	stage("another page")
	if got := tab.Value(picture); got != same {
		t.Fatalf("the page is\n%q, not\n%q", got, same)
	}
	stage("complaints")
	tab.Quiet()
	if !t.Failed() {
		stage("ok")
	}
}

// A matrix tells which ways work in which browsers.
type matrix []*column

// column returns a new column for the browser.
func (m *matrix) column(browser string) *column {
	c := &column{name: browser, cells: map[string]string{plain: "did not run"}}
	*m = append(*m, c)
	return c
}

type column struct {
	name  string            // of the browser
	cells map[string]string // by way: "ok" or what fails
}

func (m matrix) String() string {
	var b strings.Builder
	b.WriteString("| |")
	for _, c := range m {
		b.WriteString(" " + c.name + " |")
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(m)))
	for _, w := range append(ways, way{name: plain}) {
		b.WriteString("\n| " + w.name + " |")
		for _, c := range m {
			b.WriteString(" " + cmp.Or(c.cells[w.name], "–") + " |")
		}
	}
	return b.String() + "\n"
}

var matrixPlace = regexp.MustCompile(`(?s)<!-- matrix -->\n.*<!-- /matrix -->`)

// write puts m between the marks in a file.
func (m matrix) write(t *testing.T, path string) {
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !matrixPlace.Match(text) {
		t.Fatalf("%s has no line <!-- matrix --> with <!-- /matrix --> after it", path)
	}
	text = matrixPlace.ReplaceAllLiteral(text, []byte("<!-- matrix -->\n"+m.String()+"<!-- /matrix -->"))
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
}

// Some browsers hold the first bytes of a document back.
func TestAQuietFeedIsOpenInEveryBrowser(t *testing.T) {
	for _, name := range browsertest.Names {
		t.Run(name, func(t *testing.T) {
			browser := browsertest.Start(t, name)
			for _, way := range ways[1:3] {
				t.Run(way.name, func(t *testing.T) {
					var hub stream.Hub
					tab := browser.Open(t, "")
					tab.Visit(way.serveFeed(t, func() stream.Feed { return hub.Feed("quiet") }))
					tab.Until("ff.state == 'open'")
					hub.Publish("quiet", stream.Append("lines", stream.Text("first")))
					tab.Until("document.getElementById('lines').textContent == 'first'")
					if got := tab.Value("ff.transport"); got != way.transport {
						t.Errorf("it is open over %s", got)
					}
				})
			}
		})
	}
}
