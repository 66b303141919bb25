package demo

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

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

// An EventSource gives up for good when it gets 503; the page does not.
func TestAPageSurvivesAnAnswerOf503(t *testing.T) {
	site := &Site{}
	pages := site.Handler()
	var refused atomic.Int32
	address := serve(t, func(req *fasthttp.RequestCtx) {
		if strings.HasPrefix(string(req.Path()), "/feeds/") && refused.Add(1) <= 4 {
			req.Error("busy\n", fasthttp.StatusServiceUnavailable)
			req.Response.Header.Set(fasthttp.HeaderRetryAfter, "1")
			return
		}
		pages(req)
	})
	want := line(site, 1)
	tab := browser(t).Open(t, "")
	tab.Visit(address + "/demo/log")
	tab.Until(fmt.Sprintf("document.getElementById('lines').textContent == %q && ff.transport == 'sse'", want))
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

// A page that is left and come back to goes on where it was.
func TestAPageThatComesBackGoesOn(t *testing.T) {
	site := &Site{}
	address := serveSite(t, site)
	want := line(site, 1)
	tab := browser(t).Open(t, "")
	tab.Visit(address + "/demo/log")
	tab.Until(fmt.Sprintf("document.getElementById('lines').textContent == %q", want))
	tab.Visit(address + "/healthz")
	tab.Until("document.body.textContent.indexOf('ok') == 0")
	want += line(site, 2)
	tab.Value("history.back()")
	tab.Until(fmt.Sprintf("ff.state == 'open' && document.getElementById('lines').textContent == %q", want))
}
