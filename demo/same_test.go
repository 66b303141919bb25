package demo

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"foreverframe/fallback"
	"foreverframe/stream"
	"foreverframe/templates"

	"github.com/valyala/fasthttp"
)

// serve serves handler until the test has ended, and returns its address.
func serve(t *testing.T, handler fasthttp.RequestHandler) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &fasthttp.Server{Handler: handler, MaxIdleWorkerDuration: 100 * time.Millisecond}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		server.ShutdownWithContext(ctx)
		<-served
	})
	return "http://" + listener.Addr().String()
}

// serveSource serves a page that brings source's updates, one that follows them,
// and the stream that it follows.
func serveSource(t *testing.T, source stream.Source) string {
	t.Helper()
	site := (&Site{}).Handler()
	return serve(t, func(req *fasthttp.RequestCtx) {
		switch string(req.Path()) {
		case "/script":
			stream.ServePage(req, shell(req, "", ""), source)
		case "/follow":
			stream.ServePage(req, shell(req, "/stream", ""), nil)
		case "/poll":
			stream.ServePage(req, shell(req, "/stream", "poll"), nil)
		case "/stream":
			fallback.Serve(req, stream.Response{Source: source})
		default:
			site(req)
		}
	})
}

// roads are the ways of an update from a source into a page.
var roads = []struct{ name, path, before string }{
	{"script", "/script", ""},
	{"sse", "/follow", ""},
	{"frame", "/follow", noEventSource},
	{"poll", "/poll", ""},
	{"poll without JSON", "/poll", "window.kept = JSON.stringify; delete window.JSON; delete window.fetch;"},
}

// shell is a page with the elements that sameUpdates change.
func shell(req *fasthttp.RequestCtx, feed, roads string) stream.View {
	return templates.Log{Page: templates.Page{Nonce: stream.Nonce(req), Runtime: fallback.Runtime, Feed: feed, Roads: roads}}
}

// sameUpdates use every action, with content that is hard to carry.
func sameUpdates() []stream.Update {
	return []stream.Update{
		stream.Inner("lines", view(`<p id="a">A</p><p id="b">B</p>`)),
		stream.Append("lines", view("<p>end</p>\r\n<!-- comment --><table><tbody id=rows></tbody></table>")),
		stream.Prepend("lines", stream.Text("start </script><!--<script>")),
		stream.Before("b", view("<i>before b</i>")),
		stream.After("a", view("<i>after a</i>")),
		stream.Replace("b", view(`<p id="b" class="new">new B</p>`)),
		stream.Append("rows", view("<tr><td>1</td></tr><tr><td>2</td></tr>")),
		stream.Append("b", stream.Text(hostile)),
		stream.Attr("b", "title", "line 1\nline 2 \"quoted\" </script>"),
		stream.Remove("a"),
		stream.Title("a title </title> & more"),
		stream.Emit("news", "{\"a\": \"b\"}\nsecond line"),
		stream.Append("lines", view("")),
	}
}

// hostile is text that breaks what is not escaped.
const hostile = "</script><script>alert(1)</script><!-- <script> ]]> &amp; \" ' ` ${x} \\ \r \n \r\n \u2028 \u2029 \x00 \u00ad \ufeff \u200d 😀👩‍👧 中文 \x7f end"

// A view is HTML as it is.
type view string

func (v view) WriteHTML(w io.Writer) { io.WriteString(w, string(v)) }

func TestTheSameSourceMakesTheSamePageOverEveryTransport(t *testing.T) {
	source := func(_ context.Context, page *stream.Page) error {
		for i, u := range sameUpdates() {
			if err := page.SendEvents(stream.Event{ID: uint64(i + 1), Update: u}); err != nil {
				return err
			}
		}
		return nil
	}
	address := serveSource(t, source)
	chromium := browser(t)
	// Listeners must be there before the page's own updates: a script page sends
	// them before it is interactive.
	const early = "if (window.top === window) Object.defineProperty(window, 'ff', {configurable: true, set: function (f) { Object.defineProperty(window, 'ff', {value: f}); window.news = []; f.on('news', function (d) { news.push(d) }) }});"
	pages := map[string]string{}
	for _, road := range roads {
		tab := chromium.Open(t, road.before+early)
		tab.Visit(address + road.path)
		tab.Until("news.length && ff.state == 'done'") // also the shell of a page that follows is done
		pages[road.name] = tab.Value("document.title + '|' + (window.kept || JSON.stringify)(news) + '|' + document.getElementById('lines').innerHTML")
		got := tab.Value("escape(document.getElementById('b').lastChild.data)")
		want := tab.Value("escape(" + string(stream.AppendJS(nil, hostile)) + ")")
		if got != want {
			t.Errorf("over %s the text arrives as\n%s, not\n%s", road.name, got, want)
		}
		tab.Quiet()
	}
	for name, page := range pages {
		if page != pages["script"] {
			t.Errorf("over %s the page is\n%q, over script\n%q", name, page, pages["script"])
		}
	}
	for _, want := range []string{"a title </title> & more", `"{\"a\": \"b\"}\nsecond line"`, `<i>after a</i>`, `<tr><td>1</td></tr>`, `class="new"`} {
		if !strings.Contains(pages["script"], want) {
			t.Errorf("the page lacks %q: %q", want, pages["script"])
		}
	}
}

// The page shows each update before the next one exists.
func TestUpdatesAreSeenAsTheyArrive(t *testing.T) {
	for _, road := range roads {
		t.Run(road.name, func(t *testing.T) {
			next := make(chan string)
			source := func(ctx context.Context, page *stream.Page) error {
				for {
					select {
					case text, ok := <-next:
						if !ok {
							return nil
						}
						if err := page.Send(stream.Append("lines", stream.Text(text))); err != nil {
							return err
						}
					case <-ctx.Done():
						return nil
					}
				}
			}
			address := serveSource(t, source)
			tab := browser(t).Open(t, road.before)
			tab.Visit(address + road.path)
			tab.Until("document.getElementById('lines')") // the shell, before any update exists
			want := ""
			for i := range 5 {
				text := fmt.Sprintf("%d;", i)
				next <- text
				want += text
				tab.Until(fmt.Sprintf("document.getElementById('lines').textContent == %q", want))
			}
			close(next)
			tab.Until("ff.state == 'done'")
			tab.Quiet()
		})
	}
}

func TestPublishedTextArrivesAsThatText(t *testing.T) {
	site := &Site{Keys: []string{"key"}}
	address := serveSite(t, site)
	publish := func(body string) {
		t.Helper()
		req, _ := http.NewRequest("POST", address+"/feeds/log", strings.NewReader(body))
		req.Header.Set("Authorization", "Bearer key")
		req.Header.Set("Content-Type", "application/json")
		answer, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != 201 {
			t.Fatalf("publish: %s", answer.Status)
		}
	}
	publish(`{"action":"append","target":"lines","text":` + string(stream.AppendJS(nil, hostile)) + `}`)
	if _, err := site.Hub.Publish(logTopic, stream.Append("lines", stream.Text(hostile))); err != nil {
		t.Fatal(err)
	}
	publish(`{"action":"append","target":"lines","html":"<b id=last>last</b>"}`)

	chromium := browser(t)
	for name, before := range map[string]string{"sse": "", "frame": noEventSource} {
		t.Run(name, func(t *testing.T) {
			tab := chromium.Open(t, before)
			tab.Visit(address + "/demo/log")
			tab.Until("document.getElementById('last')")
			got := tab.Value("JSON.stringify(document.getElementById('lines').textContent)")
			want := tab.Value("JSON.stringify(" + string(stream.AppendJS(nil, hostile+hostile+"last")) + ")")
			if got != want {
				t.Errorf("the text arrives as\n%s, not\n%s", got, want)
			}
			tab.Quiet()
		})
	}
}

func TestEchoShowsAnyTextAsText(t *testing.T) {
	address := serveSite(t, &Site{})
	tab := browser(t).Open(t, "")
	tab.Visit(address + "/demo/echo?text=" + percent(hostile))
	tab.Until("document.getElementById('after').textContent == 'done'")
	got := tab.Value("JSON.stringify(document.getElementById('out').textContent)")
	want := tab.Value("JSON.stringify(" + string(stream.AppendJS(nil, hostile)) + ")")
	if got != want {
		t.Errorf("the text arrives as\n%s, not\n%s", got, want)
	}
	tab.Quiet()
}

// percent encodes every byte of text for a URL.
func percent(text string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		fmt.Fprintf(&b, "%%%02x", c)
	}
	return b.String()
}
