package demo

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"foreverframe/fallback"
	"foreverframe/fallback/browsertest"
	"foreverframe/stream"
	"foreverframe/templates"

	"github.com/valyala/fasthttp"
)

// A server that can be stopped and started again at the same address.
type server struct {
	t       *testing.T
	handler fasthttp.RequestHandler
	address string // host and port; empty before the first start
	stop    func()
}

func (s *server) start() {
	s.t.Helper()
	address := s.address
	if address == "" {
		address = "127.0.0.1:0"
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.address = listener.Addr().String()
	running := &fasthttp.Server{Handler: s.handler}
	served := make(chan error, 1)
	go func() { served <- running.Serve(listener) }()
	s.stop = func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		running.ShutdownWithContext(ctx)
		<-served
		s.stop = func() {}
	}
	s.t.Cleanup(func() { s.stop() })
}

// line publishes a line to the log of site and returns its text.
func line(site *Site, i int) string {
	site.Hub.Publish(logTopic, stream.Append("lines", templates.Line{Text: fmt.Sprint(i, ";")}))
	return fmt.Sprintf("%d;\n", i)
}

func TestAPageSurvivesARestartOfItsServer(t *testing.T) {
	for name, before := range map[string]string{"sse": "", "frame": noEventSource} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			site := &Site{}
			s := &server{t: t, handler: site.Handler()}
			s.start()
			want := line(site, 0)
			tab := browser(t).Open(t, before)
			tab.Visit("http://" + s.address + "/demo/log")
			tab.Until("ff.state == 'open'")
			for i := range 3 {
				want += line(site, 1+2*i)
				s.stop()
				tab.Until("ff.state == 'waiting'")
				want += line(site, 2+2*i) // while nobody is connected
				s.start()
				tab.Until(fmt.Sprintf("document.getElementById('lines').textContent == %q", want))
			}
		})
	}
}

// An EventSource gives up for good when it gets 503; the page does not, though it
// has no other road.
func TestAPageSurvivesAnAnswerOf503(t *testing.T) {
	site := &Site{}
	pages := site.Handler()
	var refused atomic.Int32
	address := serve(t, func(req *fasthttp.RequestCtx) {
		switch {
		case string(req.Path()) == "/":
			stream.ServePage(req, shell(req, "/feeds/log?after=0", "sse"), nil)
		case strings.HasPrefix(string(req.Path()), "/feeds/") && refused.Add(1) <= 4:
			req.Error("busy\n", fasthttp.StatusServiceUnavailable)
			req.Response.Header.Set(fasthttp.HeaderRetryAfter, "1")
		default:
			pages(req)
		}
	})
	want := line(site, 1)
	tab := browser(t).Open(t, "")
	tab.Visit(address)
	tab.Until(fmt.Sprintf("document.getElementById('lines').textContent == %q", want))
}

// A page whose place is lost loads itself again, once, and has all that is kept.
func TestAPageReloadsWhenEventsAreMissing(t *testing.T) {
	first := &Site{Hub: stream.Hub{KeepEvents: 2}}
	s := &server{t: t, handler: first.Handler()}
	s.start()
	want := line(first, 1)
	tab := browser(t).Open(t, "")
	tab.Visit("http://" + s.address + "/demo/log")
	tab.Until(fmt.Sprintf("document.getElementById('lines').textContent == %q", want))
	tab.Value("window.before = true")
	s.stop()

	second := &Site{} // knows nothing of the first one's events
	s.handler = second.Handler()
	want = line(second, 2)
	s.start()
	tab.Until(fmt.Sprintf("!window.before && document.getElementById('lines').textContent == %q", want))
}

func TestAPageIsToldThatItsFeedHasEnded(t *testing.T) {
	for name, before := range map[string]string{"sse": "", "frame": noEventSource} {
		t.Run(name, func(t *testing.T) {
			site := &Site{Keys: []string{"key"}}
			address := serveSite(t, site)
			tab := browser(t).Open(t, before)
			tab.Visit(address + "/demo/log")
			tab.Until("ff.state == 'open'")
			if answer, _ := ask(t, "DELETE", address+"/feeds/log", "", "Authorization", "Bearer key"); answer.StatusCode != http.StatusNoContent {
				t.Fatal(answer.Status)
			}
			tab.Until("ff.state == 'done'")
			tab.Visit(address + "/demo/log")
			tab.Until("ff.state == 'done'")
		})
	}
}

// inEachBrowser shows the log over server-sent events and over frames in a tab of
// each browser.
func inEachBrowser(t *testing.T, test func(t *testing.T, tab *browsertest.Tab, address string, site *Site)) {
	for _, name := range browsertest.Names {
		t.Run(name, func(t *testing.T) {
			browser := browsertest.Start(t, name)
			for transport, before := range map[string]string{"sse": "", "frame": noEventSource} {
				t.Run(transport, func(t *testing.T) {
					site := &Site{}
					pages := site.Handler()
					address := serve(t, func(req *fasthttp.RequestCtx) {
						switch string(req.Path()) {
						case "/download":
							req.Response.Header.Set(fasthttp.HeaderContentDisposition, "attachment; filename=file.bin")
							req.SetContentType("application/octet-stream")
							req.SetBodyString("a file")
						case "/nothing":
							req.SetStatusCode(fasthttp.StatusNoContent)
						default:
							pages(req)
						}
					})
					want := line(site, 1)
					tab := browser.Open(t, before)
					tab.Visit(address + "/demo/log")
					tab.Until(fmt.Sprintf("ff.state == 'open' && ff.transport == %q && document.getElementById('lines').textContent == %q", transport, want))
					test(t, tab, address, site)
				})
			}
		})
	}
}

// A page that is left and come back to goes on where it was.
func TestAPageThatComesBackGoesOn(t *testing.T) {
	inEachBrowser(t, func(t *testing.T, tab *browsertest.Tab, address string, site *Site) {
		tab.Visit(address + "/healthz")
		tab.Until("document.body.textContent.indexOf('ok') == 0")
		line(site, 2)
		tab.Value("setTimeout(function () { history.back() }, 100)") // when this is answered
		tab.Until(fmt.Sprintf("window.ff && ff.state == 'open' && document.getElementById('lines').textContent == %q", "1;\n2;\n"))
	})
}

// A click on a link that is a download, or has no content, stops the streams of
// the page in some browsers, and says nothing.
func TestAPageSurvivesAClickOnADownload(t *testing.T) {
	inEachBrowser(t, func(t *testing.T, tab *browsertest.Tab, address string, site *Site) {
		want := "1;\n"
		for i, path := range []string{"/download", "/nothing"} {
			tab.Value(fmt.Sprintf(`(function () {
				var link = document.createElement("a");
				link.href = %q;
				document.body.appendChild(link);
				link.click();
				return "";
			})()`, path))
			// two seconds later the page makes sure of its connection
			for n := range 3 {
				want += line(site, 10*i+n+2)
				tab.Until(fmt.Sprintf("document.getElementById('lines').textContent == %q", want))
			}
		}
	})
}

// Frames that come and go leave no entry in the history.
func TestFramesAreNotInTheHistory(t *testing.T) {
	for _, name := range browsertest.Names {
		t.Run(name, func(t *testing.T) {
			browser := browsertest.Start(t, name)
			site := &Site{}
			pages := site.Handler()
			var frames atomic.Int32
			address := serve(t, func(req *fasthttp.RequestCtx) {
				if string(req.Path()) != "/feeds/log" {
					pages(req)
					return
				}
				frames.Add(1)
				feed := site.Hub.Feed(logTopic)
				feed.After = 0
				fallback.Serve(req, stream.Response{Source: feed.Follow, Limit: stream.Limit{Flushes: 2}})
			})
			want := line(site, 0)
			tab := browser.Open(t, noEventSource)
			tab.Visit(address + "/demo/log")
			tab.Until(fmt.Sprintf("ff.state == 'open' && document.getElementById('lines').textContent == %q", want))
			before := tab.Value("String(history.length)")
			for i := range 5 {
				want += line(site, 1+i)
				tab.Until(fmt.Sprintf("document.getElementById('lines').textContent == %q", want))
			}
			if after := tab.Value("String(history.length)"); after != before || frames.Load() < 5 {
				t.Errorf("the history had %s entries and has %s after %d frames", before, after, frames.Load())
			}
		})
	}
}
