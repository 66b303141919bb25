package demo

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"

	"foreverframe/fallback"
	"foreverframe/stream"

	"github.com/valyala/fasthttp"
)

// swallower puts a proxy in front of the server at address that holds every
// answer until its end, and returns where it listens.
func swallower(t *testing.T, address string) string {
	target, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ModifyResponse = func(answer *http.Response) error {
		whole, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		answer.Body = io.NopCloser(bytes.NewReader(whole))
		return err
	}
	proxy.ErrorHandler = func(http.ResponseWriter, *http.Request, error) {} // the browser has left
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	return server.URL
}

// Behind a proxy that holds streams the page finds out that nothing comes, and
// gets its updates by polling, each before the next one exists.
func TestAPageBehindAProxyThatHoldsStreamsPolls(t *testing.T) {
	chromium := browser(t)
	for name, before := range map[string]string{"with EventSource": "", "without": noEventSource} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var hub stream.Hub
			proxied := swallower(t, serve(t, func(req *fasthttp.RequestCtx) { lively(req, hub.Feed("x")) }))
			tab := chromium.Open(t, before)
			tab.Visit(proxied + "/")
			tab.Until("ff.state")
			want := ""
			for i := range 5 {
				text := fmt.Sprintf("%d;", i)
				hub.Publish("x", stream.Append("log", stream.Text(text)))
				want += text
				tab.Until(fmt.Sprintf("document.getElementById('log').textContent == %q", want))
			}
			tab.Until("ff.transport == 'poll' && ff.state == 'open'")
			tab.Quiet()
		})
	}
}

// lively serves feed at /feed, and a page that follows it and is impatient.
func lively(req *fasthttp.RequestCtx, feed stream.Feed) {
	if string(req.Path()) == "/feed" {
		fallback.ServeFeed(req, feed)
		return
	}
	const page = `<!doctype html><title>t</title><link rel=icon href="data:,"><script nonce="%s">%s</script>` +
		`<body data-ff-feed="/feed?%s" data-ff-beat="1"><div id=log></div>`
	stream.ServePage(req, view(fmt.Sprintf(page, stream.Nonce(req), fallback.Runtime, feed.Query())), nil)
}
