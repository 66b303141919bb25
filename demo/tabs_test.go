package demo

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"foreverframe/fallback"
	"foreverframe/fallback/browsertest"
	"foreverframe/stream"
	"foreverframe/templates"

	"github.com/valyala/fasthttp"
)

// Over HTTP/1.1 a browser has six connections to a host. Twenty tabs on one feed
// share one of them; when the tab that has it closes, another goes on at its
// place.
func TestTwentyTabsShareOneConnection(t *testing.T) {
	site := &Site{}
	pages := site.Handler()
	var opened, live atomic.Int32 // streams
	address := serve(t, func(req *fasthttp.RequestCtx) {
		if string(req.Path()) != "/feeds/log" || string(req.QueryArgs().Peek("transport")) == "poll" {
			pages(req)
			return
		}
		opened.Add(1)
		fallback.Serve(req, stream.Response{Source: counted(&live, site.Hub.Feed(logTopic))})
	})
	site.Hub.Feed(logTopic)
	publish := func(i int) {
		site.Hub.Publish(logTopic, stream.Append("lines", templates.Line{Text: fmt.Sprint(i, ";")}))
	}

	const count = 20
	var tabs []*browsertest.Tab
	want := ""
	for i := range count {
		var tab *browsertest.Tab
		if i == 0 {
			tab = browser(t).Open(t, "")
		} else {
			tab = tabs[0].Beside()
		}
		tab.Visit(address + "/demo/log")
		tab.Until("window.ff && ff.state == 'open'")
		tabs = append(tabs, tab)
		publish(i)
		want += fmt.Sprintf("%d;\n", i)
	}
	shows := func(tab *browsertest.Tab) {
		t.Helper()
		tab.Until(fmt.Sprintf("document.getElementById('lines').textContent == %q", want))
	}
	for _, tab := range tabs {
		shows(tab)
	}
	if live.Load() != 1 || opened.Load() != 1 {
		t.Errorf("%d tabs have %d streams, %d were opened", count, live.Load(), opened.Load())
	}

	leader := -1
	for i, tab := range tabs {
		if tab.Value("ff.transport") != "tab" {
			leader = i
		}
	}
	if leader < 0 {
		t.Fatal("no tab has the connection")
	}
	publish(count)
	tabs[leader].Close()
	publish(count + 1)
	want += fmt.Sprintf("%d;\n%d;\n", count, count+1)
	for i, tab := range tabs {
		if i != leader {
			shows(tab)
			tab.Quiet()
		}
	}
	if opened.Load() != 2 {
		t.Errorf("%d streams were opened before and after the first tab closed", opened.Load())
	}
}

// counted follows feed and counts itself while it does.
func counted(live *atomic.Int32, feed stream.Feed) stream.Source {
	feed.After = 0
	return func(ctx context.Context, page *stream.Page) error {
		live.Add(1)
		defer live.Add(-1)
		return feed.Follow(ctx, page)
	}
}
