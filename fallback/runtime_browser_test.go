package fallback

import (
	_ "embed"
	"math/rand/v2"
	"net/url"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"foreverframe/stream"

	"github.com/dop251/goja"
	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// The runtime runs in an engine of JavaScript with no browser around it: the
// browser of these tests is testdata/browser.js, its clock is a list of tasks, and
// its servers are the tests, which answer what the tabs ask for.

//go:embed testdata/browser.js
var browserSource string

//go:embed runtime.js
var runtimeSource string

var (
	browserProgram = goja.MustCompile("browser.js", browserSource, false)
	runtimes       = map[string]*goja.Program{
		"runtime.js":     compileRuntime("runtime.js", runtimeSource),
		"runtime.min.js": compileRuntime("runtime.min.js", Runtime),
	}
)

// compileRuntime makes a function of the runtime, so that one engine can have
// several tabs.
func compileRuntime(name, source string) *goja.Program {
	return goja.MustCompile(name, "(function (window, document, Date, Math) {"+source+"\n})", false)
}

// both runs a test with the runtime as it is written and as it is served.
func both(t *testing.T, test func(t *testing.T, b *browser)) {
	t.Helper()
	for name := range runtimes {
		t.Run(name, func(t *testing.T) { test(t, newBrowser(t, name)) })
	}
}

// A browser has tabs, and a clock that moves when the test says so.
type browser struct {
	t       testing.TB
	vm      *goja.Runtime
	runtime goja.Value
	starts  goja.Callable
	now     time.Duration    // since 1970
	tasks   []task           // as they become due
	tabs    []*tab           // by their numbers
	answer  func(r *request) // is told of every request, if it is set
	dice    func() float64   // Math.random
	delay   func() int       // how long a message takes from tab to tab, in milliseconds
	errors  []string         // what has been thrown and nobody has caught
}

type task struct {
	due time.Duration
	run func() error
}

func newBrowser(t testing.TB, runtime string) *browser {
	b := &browser{t: t, vm: goja.New(), now: 1.7e9 * time.Second, delay: func() int { return 0 }}
	b.dice = rand.New(rand.NewPCG(1, 2)).Float64
	host := b.vm.NewObject()
	for name, f := range map[string]any{
		"parse":   b.parse,
		"now":     func() int64 { return b.now.Milliseconds() },
		"later":   b.later,
		"random":  func() float64 { return b.dice() },
		"delay":   func() int { return b.delay() },
		"request": b.take,
		"error":   b.report,
	} {
		host.Set(name, f)
	}
	b.runtime = b.must(b.vm.RunProgram(runtimes[runtime]))
	begin, _ := goja.AssertFunction(b.must(b.vm.RunProgram(browserProgram)))
	b.starts, _ = goja.AssertFunction(b.must(begin(nil, host)))
	t.Cleanup(func() {
		if len(b.errors) > 0 {
			t.Errorf("nobody has caught %q", b.errors)
		}
	})
	return b
}

func (b *browser) must(value goja.Value, err error) goja.Value {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
	return value
}

func (b *browser) report(text string) { b.errors = append(b.errors, text) }

// later makes f a task that is due in ms milliseconds.
func (b *browser) later(ms float64, f goja.Callable) {
	b.after(time.Duration(ms*1e6), func() error {
		_, err := f(nil)
		return err
	})
}

func (b *browser) after(wait time.Duration, run func() error) {
	due := b.now + max(wait, 0)
	at := sort.Search(len(b.tasks), func(i int) bool { return b.tasks[i].due > due })
	b.tasks = slices.Insert(b.tasks, at, task{due, run})
}

// pass lets time pass: it runs every task that becomes due.
func (b *browser) pass(d time.Duration) {
	end := b.now + d
	for len(b.tasks) > 0 && b.tasks[0].due <= end {
		next := b.tasks[0]
		b.tasks = b.tasks[1:]
		b.now = next.due
		if err := next.run(); err != nil {
			b.report(err.Error())
		}
	}
	b.now = end
}

// settle runs what is due now.
func (b *browser) settle() { b.pass(0) }

// A node is one that the parser has read.
type node = map[string]any

// parse returns the nodes of markup inside an element named context, or those of
// a document if it is empty.
func (b *browser) parse(markup, context string) []node {
	if context == "" {
		document, err := html.Parse(strings.NewReader(markup))
		if err != nil {
			b.t.Fatal(err)
		}
		return nodes(document)
	}
	parsed, err := html.ParseFragment(strings.NewReader(markup), &html.Node{Type: html.ElementNode, Data: context, DataAtom: atom.Lookup([]byte(context))})
	if err != nil {
		b.t.Fatal(err)
	}
	parent := &html.Node{}
	for _, n := range parsed {
		parent.AppendChild(n)
	}
	return nodes(parent)
}

func nodes(parent *html.Node) []node {
	all := []node{}
	for n := range parent.ChildNodes() {
		one := node{"name": "", "data": n.Data, "attributes": attributes(n), "children": nodes(n)}
		switch n.Type {
		case html.ElementNode:
			one["type"], one["name"] = 1, strings.ToUpper(n.Data)
		case html.TextNode:
			one["type"] = 3
		case html.CommentNode:
			one["type"] = 8
		default:
			continue
		}
		all = append(all, one)
	}
	return all
}

func attributes(n *html.Node) [][]string {
	all := [][]string{}
	for _, a := range n.Attr {
		all = append(all, []string{a.Key, a.Val})
	}
	return all
}

// A tab has one page with the runtime.
type tab struct {
	b        *browser
	js       *goja.Object
	requests []*request
}

// A page is what a tab opens.
type page struct {
	html   string
	lacks  []string // what the browser has not
	script string   // runs behind the runtime
	before *tab     // whose storage it has, as the next page of a tab
	hidden bool     // whether it is opened in the background
}

// open opens a tab with a page, which has loaded when it returns.
func (b *browser) open(p page) *tab {
	b.t.Helper()
	options := b.vm.NewObject()
	options.Set("html", p.html)
	options.Set("lacks", p.lacks)
	options.Set("script", p.script)
	options.Set("hidden", p.hidden)
	if p.before != nil {
		options.Set("storage", p.before.js.Get("storage"))
	}
	tab := &tab{b: b}
	b.tabs = append(b.tabs, tab)
	tab.js = b.must(b.starts(nil, b.runtime, options)).ToObject(b.vm)
	b.settle()
	return tab
}

// call calls a function of the tab.
func (t *tab) call(name string, arguments ...any) goja.Value {
	t.b.t.Helper()
	return t.b.call(t.js, name, arguments...)
}

func (b *browser) call(object *goja.Object, name string, arguments ...any) goja.Value {
	b.t.Helper()
	f, ok := goja.AssertFunction(object.Get(name))
	if !ok {
		b.t.Fatalf("there is no function %s", name)
	}
	var values []goja.Value
	for _, a := range arguments {
		values = append(values, b.vm.ToValue(a))
	}
	return b.must(f(object, values...))
}

// run runs code in the page.
func (t *tab) run(code string) {
	t.b.t.Helper()
	t.call("run", code)
	t.b.settle()
}

// is checks that the value of code, as a string, is want.
func (t *tab) is(code, want string) {
	t.b.t.Helper()
	t.b.settle()
	if got := t.value(code); got != want {
		t.b.t.Errorf("%s is %q, not %q", code, got, want)
	}
}

func (t *tab) value(code string) string {
	t.b.t.Helper()
	return t.call("run", "return String("+code+")").String()
}

// fire fires an event of the window.
func (t *tab) fire(name string) {
	t.call("fire", name)
	t.b.settle()
}

// show shows the page again after it has been put aside.
func (t *tab) show() {
	t.call("fire", "pageshow", map[string]any{"persisted": true})
	t.b.settle()
}

// click clicks on an element; the page may prevent that anything comes of it.
func (t *tab) click(id string, prevented bool) { t.call("click", id, prevented) }

// close closes the tab in order; die lets it end in the middle of what it does.
func (t *tab) close() {
	t.call("fire", "pagehide")
	t.die()
}

func (t *tab) die() { t.call("die") }

// A request is what a tab asks for.
type request struct {
	tab   *tab
	kind  string // sse, frame, poll, or probe, which does not wait
	url   string
	query url.Values
	js    *goja.Object
}

// take takes a request from a tab.
func (b *browser) take(js *goja.Object) {
	r := &request{tab: b.tabs[js.Get("tab").ToInteger()], kind: js.Get("kind").String(), url: js.Get("url").String(), js: js}
	u, err := url.Parse(r.url)
	if err != nil {
		b.t.Fatal(err)
	}
	if r.query = u.Query(); r.query.Get("wait") == "0" {
		r.kind = "probe"
	}
	r.tab.requests = append(r.tab.requests, r)
	if b.answer != nil {
		b.answer(r)
	}
}

// open reports whether the tab has not given the request up.
func (r *request) open() bool { return r.js.Get("open").ToBoolean() }

// asks checks that the tab has one open request, of a kind and for what follows
// the event after, and returns it.
func (t *tab) asks(kind, after string) *request {
	t.b.t.Helper()
	open := t.open()
	if len(open) != 1 || open[0].kind != kind || open[0].query.Get("after") != after {
		t.b.t.Fatalf("the tab asks for %q, not for %s after %q", urls(open), kind, after)
	}
	return open[0]
}

// begins is asks, and begins the stream, if it is one.
func (t *tab) begins(kind, after string) *request {
	t.b.t.Helper()
	r := t.asks(kind, after)
	if kind != "poll" {
		r.begin()
	}
	return r
}

// asksNothing checks that the tab has no open request.
func (t *tab) asksNothing() {
	t.b.t.Helper()
	if open := t.open(); len(open) != 0 {
		t.b.t.Fatalf("the tab asks for %q", urls(open))
	}
}

// open returns the tab's open requests.
func (t *tab) open() []*request {
	t.b.settle()
	var open []*request
	for _, r := range t.requests {
		if r.open() {
			open = append(open, r)
		}
	}
	return open
}

func urls(requests []*request) []string {
	var all []string
	for _, r := range requests {
		all = append(all, r.kind+" "+r.url)
	}
	return all
}

// retry is the time that the tests' servers give to wait before another try.
const retry = 3 * time.Second

// transport returns what the request asks for, as the server would have it.
func (r *request) transport() stream.Transport {
	switch r.kind {
	case "sse":
		return stream.SSE{Retry: retry, Beat: true}
	case "frame":
		return Frame{Retry: retry, Beat: true}
	}
	return Poll{}
}

// begin sends the start of the stream, which has a first beat.
func (r *request) begin() *request {
	r.write(r.transport().AppendStart(nil))
	return r
}

// beat sends a heartbeat.
func (r *request) beat() { r.write(r.transport().AppendHeartbeat(nil)) }

// send sends events, together; for a poll they are the answer.
func (r *request) send(events ...stream.Event) {
	transport := r.transport()
	b := transport.AppendOpen(nil)
	for _, e := range events {
		b = transport.AppendEvent(b, e)
	}
	b = transport.AppendClose(b)
	if _, ok := transport.(Poll); ok {
		r.reply(string(b))
	} else {
		r.write(b)
	}
}

func (r *request) write(b []byte) { r.call("write", string(b)) }

// reply answers a poll.
func (r *request) reply(body string) { r.call("end", 200, body, map[string]string{}) }

// end ends the stream.
func (r *request) end() { r.call("end") }

// refuse answers with a status that is not 200; 0 stands for an error of the
// network.
func (r *request) refuse(status int) { r.call("refuse", status, map[string]string{}) }

// wait answers that the tab shall come back in so many seconds.
func (r *request) wait(status int, seconds string) {
	r.call("refuse", status, map[string]string{"Retry-After": seconds})
}

// die kills the stream and tells the page nothing.
func (r *request) die() { r.call("die") }

func (r *request) call(name string, arguments ...any) {
	r.tab.b.t.Helper()
	r.tab.b.call(r.js, name, arguments...)
	r.tab.b.settle()
}

// at returns an update as the event with an id; 0 is none.
func at(id uint64, u stream.Update) stream.Event { return stream.Event{ID: id, Update: u} }

// The ends of a stream, which the server makes itself.
var (
	done  = stream.Event{Update: stream.Update{Action: stream.ActionDone}}
	fail  = stream.Event{Update: stream.Update{Action: stream.ActionFail}}
	again = stream.Event{Update: stream.Update{Action: stream.ActionAgain}}
)
