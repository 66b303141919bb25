package demo

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"foreverframe/fallback"
	"foreverframe/fallback/browsertest"
	"foreverframe/stream"
	"foreverframe/stream/hostiletest"

	"github.com/valyala/fasthttp"
)

// These tests bring hostile texts into Chromium in every place and over every
// transport: no script runs, and each text arrives as it was or has been refused.

// An attack is a hostile text in all places of updates.
type attack struct {
	text    string
	element string         // the id of the element that it goes to
	markup  view           // that element and, if the text can be an id, one that has it
	events  []stream.Event // those that can be sent
	named   bool           // an event has it in its name
	id      bool           // it is the id of an element
}

func attacks(t *testing.T) []attack {
	var all []attack
	refused, next := 0, uint64(1)
	for i, text := range hostiletest.Texts() {
		a := attack{text: text, element: "t" + strconv.Itoa(i)}
		send := func(u stream.Update) bool {
			if err := u.Check(); err != nil {
				refused++
				return false
			}
			a.events = append(a.events, stream.Event{ID: next, Update: u})
			next++
			return true
		}
		a.id = !strings.Contains(text, "\ufdd0") && stream.Remove(text).Check() == nil
		a.markup = view(`<p id="` + a.element + `"></p>`)
		if a.id {
			a.markup += view(`<i id="` + string(stream.AppendHTML(nil, text)) + `"></i>`)
		}
		send(stream.Append("lines", a.markup))
		send(stream.Inner(a.element, stream.Text(text)))
		send(stream.Attr(a.element, "title", text))
		send(stream.Attr(a.element, text, text))
		send(stream.Emit("hostile", text))
		a.named = send(stream.Emit("x"+text, strconv.Itoa(i)))
		if a.id {
			send(stream.Inner(text, stream.Text(a.element)))
		}
		send(stream.Title(text))
		send(stream.Emit("titled", ""))
		all = append(all, a)
	}
	if refused == 0 || refused > 3*len(all) {
		t.Errorf("%d updates were refused", refused)
	}
	return all
}

// source sends the attacks, each in one batch.
func source(all []attack) stream.Source {
	return func(_ context.Context, page *stream.Page) error {
		for _, a := range all {
			for len(a.events) > 0 && a.events[0].ID <= page.LastEventID {
				a.events = a.events[1:]
			}
			if err := page.SendEvents(a.events...); err != nil {
				return err
			}
		}
		return nil
	}
}

// literals returns texts as an array of JavaScript.
func literals(texts []string) string {
	b := []byte("[")
	for _, text := range texts {
		b = append(stream.AppendJS(b, text), ',')
	}
	return string(b) + "]"
}

// traps run before every document's own scripts: they count scripts that run, and
// violations of the content security policy.
const traps = `
	window.hit = window.alert = function () { top.hits = (top.hits || 0) + 1; };
	document.addEventListener("securitypolicyviolation", function (e) { top.violations = (top.violations || "") + e.violatedDirective + " " + e.sample + ";"; });
	if (window.top === window) { window.hits = 0; window.violations = ""; }
`

// listening takes down what a page hears.
func listening(all []attack) string {
	var names []string
	for _, a := range all {
		if a.named {
			names = append(names, "x"+a.text)
		}
	}
	return `if (window.top === window) { Object.defineProperty(window, "ff", {configurable: true, set: function (f) {
		Object.defineProperty(window, "ff", {value: f});
		window.data = []; window.titles = []; window.named = {}; window.troubles = [];
		f.on("hostile", function (text) { data.push(text); });
		f.on("titled", function () { titles.push(document.querySelector("title").textContent); });
		f.on("trouble", function (text) { if (!/^attr t\d/.test(text)) { troubles.push(text); } }); // a name that this browser does not take
		` + literals(names) + `.forEach(function (name) { f.on(name, function (number) { named[number] = name; }); });
	}}); }` + "\n"
}

// unharmed fails the test if a script has run or the browser complains.
func unharmed(t *testing.T, tab *browsertest.Tab) {
	t.Helper()
	if got := tab.Value("hits + violations"); got != "0" {
		t.Errorf("scripts and violations: %s", got)
	}
	tab.Quiet()
}

// What a text is when it has arrived: in an element, in an attribute, in an event
// or title.
var (
	lineFeed = strings.NewReplacer("\r\n", "\n", "\r", "\n")
	nulAgain = strings.NewReplacer("\ufdd0", "\x00")
	noNUL    = strings.NewReplacer("\x00", "\ufffd", "\ufdd0", "\ufffd")
	noRawNUL = strings.NewReplacer("\x00", "\ufffd")
)

func asText(s string) string      { return nulAgain.Replace(string([]rune(s))) }
func asPlainText(s string) string { return noNUL.Replace(string([]rune(s))) }
func asAttribute(s string) string {
	return noNUL.Replace(lineFeed.Replace(strings.ToValidUTF8(s, "\ufffd")))
}
func asEvent(s string) string {
	return noRawNUL.Replace(lineFeed.Replace(strings.ToValidUTF8(s, "\ufffd")))
}

// all returns what the texts are by as.
func each(all []attack, as func(string) string) []string {
	var texts []string
	for _, a := range all {
		texts = append(texts, as(a.text))
	}
	return texts
}

// wrong is an expression for the first of the elements whose text, title or id is not
// what it has to be.
func wrong(all []attack, text func(string) string) string {
	var ids []string
	for _, a := range all {
		if a.id {
			ids = append(ids, a.text)
		} else {
			ids = append(ids, "")
		}
	}
	return `(function (texts, titles, ids) {
		for (var i = 0; i < texts.length; i++) {
			var element = document.getElementById("t" + i);
			if (element.querySelector("*") || element.textContent !== texts[i]) { return "text " + i + " is " + escape(element.innerHTML); }
			if (element.getAttribute("title") !== titles[i]) { return "title " + i + " is " + escape(element.getAttribute("title")); }
			if (ids[i] && document.getElementById(ids[i]).innerHTML !== "t" + i) { return "element " + escape(ids[i]) + " is " + document.getElementById(ids[i]).innerHTML; }
		}
		return "";
	})(` + literals(each(all, text)) + "," + literals(each(all, asAttribute)) + "," + literals(ids) + ")"
}

// unlike is an expression for the first of the texts in a list that is another.
func unlike(list string, want []string) string {
	return `(function (got, want) {
		for (var i = 0; i < want.length; i++) {
			if (got[i] !== want[i]) { return i + " is " + escape(got[i]) + ", not " + escape(want[i]); }
		}
		return got.length === want.length ? "" : got.length;
	})(` + list + "," + literals(want) + ")"
}

func TestHostileTextArrivesAsItWasAndRunsNowhere(t *testing.T) {
	all := attacks(t)
	address := serveSource(t, source(all))
	chromium := browser(t)
	for _, road := range roads {
		t.Run(road.name, func(t *testing.T) {
			tab := chromium.Open(t, traps+listening(all)+road.before)
			tab.Visit(address + road.path)
			tab.Until("data.length == " + strconv.Itoa(len(all)) + " && ff.state == 'done'")
			for what, is := range map[string]string{
				"elements": wrong(all, asText),
				"events":   unlike("data", each(all, asEvent)),
				"titles":   unlike("titles", each(all, asEvent)),
				"troubles": unlike("troubles", nil) + " && troubles.join(';')",
			} {
				if got := tab.Value(is); got != "" {
					t.Errorf("%s: %s", what, got)
				}
			}
			for i, a := range all {
				if a.named && tab.Value("named["+strconv.Itoa(i)+"]") != "x"+a.text {
					t.Errorf("nobody heard the event %q", "x"+a.text)
				}
			}
			unharmed(t, tab)
		})
	}
}

func TestHostileTextInPlainModeRunsNowhere(t *testing.T) {
	all := attacks(t)
	page := view("<!doctype html><title>old</title>")
	for i, a := range all {
		page += a.markup // and not what is appended, which leaves before the text that goes into it
		all[i].events = a.events[1:]
	}
	address := serve(t, func(req *fasthttp.RequestCtx) { fallback.ServePage(req, page, source(all)) })
	tab := browser(t).Open(t, traps)
	tab.Visit(address + "/?transport=plain")
	tab.Until("document.readyState == 'complete'")
	if got := tab.Value(wrong(all, asPlainText)); got != "" {
		t.Error(got)
	}
	unharmed(t, tab)
}

// Each text is in the query of a page of the site, and in the place of something
// that the answer names when it refuses it.
func TestHostileRequestsRunNothing(t *testing.T) {
	address := serveSite(t, &Site{})
	paths := []string{"/feeds/%s", "/demo/%s", "/demo/job?n=%s", "/feeds/log?transport=%s", "/compare/pane?name=%s", "/feeds/log?after=%s", "/feeds/log?beat=%s", "/demo/echo?wire&text=%s"}
	var urls, texts []string
	for i, text := range hostiletest.Texts() {
		if text == "" || len(text) > 4000 {
			continue // what is right, and for what a request has no room
		}
		urls = append(urls, "/demo/echo?text="+percent(text), fmt.Sprintf(paths[i%len(paths)], percent(text)))
		texts = append(texts, asText(text), "")
	}
	tab := browser(t).Open(t, traps)
	tab.Visit(address + "/healthz")
	tab.Until("document.readyState == 'complete'")
	tab.Value(`(function (urls) {
		var next = 0;
		window.got = []; window.over = 0;
		function load(frame) {
			var i = next++;
			if (i >= urls.length) { return; }
			frame.onload = function () {
				var inside = frame.contentDocument, out = inside.getElementById("out"), after = inside.getElementById("after");
				got[i] = out && after && after.textContent === "done" ? out.textContent : inside.contentType === "text/plain" ? "" : "no answer: " + inside.contentType + " " + urls[i];
				over++;
				load(frame);
			};
			frame.src = urls[i];
		}
		for (var i = 0; i < 8; i++) { load(document.body.appendChild(document.createElement("iframe"))); }
	})(` + literals(urls) + ")")
	tab.Until(fmt.Sprintf("over == %d", len(urls)))
	if got := tab.Value(unlike("got", texts)); got != "" {
		t.Error(got)
	}
	if got := tab.Value("hits + violations"); got != "0" {
		t.Errorf("scripts and violations: %s", got)
	}
	for _, complaint := range tab.Complaints() {
		if !strings.Contains(complaint, "Failed to load resource: the server responded with a status of 4") {
			t.Error(complaint)
		}
	}
}

// Markup and attributes are the author's, and may hold scripts; the policy of the
// page still lets none of them run.
func TestThePolicyRunsNoScriptOfAnUpdate(t *testing.T) {
	address := serveSource(t, func(_ context.Context, page *stream.Page) error {
		for _, u := range []stream.Update{
			stream.Append("lines", view(`<script>hit()</script><img src=data:, onerror=hit()><svg onload=hit()></svg><a id=a>a</a><iframe id=frame></iframe>`)),
			stream.Attr("a", "onclick", "hit()"),
			stream.Attr("a", "href", "javascript:hit()"),
			stream.Attr("frame", "srcdoc", "<script>hit()</script><img src=data:, onerror=hit()><p>loaded"),
			stream.Emit("ready", ""),
		} {
			if err := page.Send(u); err != nil {
				return err
			}
		}
		return nil
	})
	chromium := browser(t)
	for _, road := range roads {
		tab := chromium.Open(t, traps+road.before)
		tab.Visit(address + road.path)
		tab.Until("document.getElementById('frame').contentDocument.querySelector('p') && ff.state == 'done'")
		tab.Value("document.getElementById('a').click()")
		for _, directive := range []string{"script-src-elem", "script-src-attr"} {
			tab.Until("violations.indexOf('" + directive + "') >= 0")
		}
		tab.Until("violations.match(/script-src/g).length >= 5") // of the image, the click, the link, and both in the frame
		if got := tab.Value("hits"); got != "0" {
			t.Errorf("over %s, %s scripts ran: %s", road.name, got, tab.Value("violations"))
		}
	}
}
