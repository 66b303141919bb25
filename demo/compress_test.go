package demo

import (
	"fmt"
	"sync/atomic"
	"testing"

	"foreverframe/fallback/browsertest"

	"github.com/valyala/fasthttp"
)

// Browsers take a feed compressed, and show each update before the next one
// exists.
func TestBrowsersReadACompressedFeedAsItComes(t *testing.T) {
	for _, name := range browsertest.Names {
		t.Run(name, func(t *testing.T) {
			site := &Site{}
			pages := site.Handler()
			var compressed atomic.Int32
			address := serve(t, func(req *fasthttp.RequestCtx) {
				pages(req)
				if string(req.Path()) == "/feeds/log" && string(req.Response.Header.Peek(fasthttp.HeaderContentEncoding)) == "gzip" {
					compressed.Add(1)
				}
			})
			want := line(site, 1)
			tab := browsertest.Start(t, name).Open(t, "")
			tab.Visit(address + "/demo/log")
			for n := range 20 {
				tab.Until(fmt.Sprintf("ff.transport == 'sse' && document.getElementById('lines').textContent == %q", want))
				want += line(site, n+2)
			}
			tab.Until(fmt.Sprintf("document.getElementById('lines').textContent == %q", want))
			if compressed.Load() == 0 {
				t.Error("it was not compressed")
			}
			tab.Quiet()
		})
	}
}
