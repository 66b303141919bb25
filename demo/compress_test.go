package demo

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"foreverframe/fallback/browsertest"
	"foreverframe/stream"

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

// A markup is a View of its own text.
type markup string

func (m markup) WriteHTML(w io.Writer) { io.WriteString(w, string(m)) }

// A packed page says what its browser accepts, and then has a paragraph for each
// value of next, compressed with coding whether the browser prefers it or not.
type packed struct {
	coding  string
	next    chan struct{}
	accepts chan string
}

func (p *packed) serve(req *fasthttp.RequestCtx) {
	if string(req.Path()) != "/" {
		stream.Refuse(req, fasthttp.StatusNotFound, "there is only one page")
		return
	}
	accepts := string(req.Request.Header.Peek(fasthttp.HeaderAcceptEncoding))
	req.Request.Header.Set(fasthttp.HeaderAcceptEncoding, p.coding)
	stream.Response{Compress: true, Shell: markup("<!doctype html><title>packed</title>"), Source: func(ctx context.Context, page *stream.Page) error {
		p.accepts <- accepts
		for i := 1; ; i++ {
			select {
			case _, more := <-p.next:
				if !more {
					return nil
				}
			case <-ctx.Done():
				return ctx.Err()
			}
			if err := page.Render(markup(fmt.Sprintf("<p>paragraph %d</p>", i))); err != nil {
				return err
			}
		}
	}}.Serve(req)
}

// A browser shows each paragraph of a compressed page before there is the next.
func TestBrowsersReadACompressedPageAsItComes(t *testing.T) {
	for _, name := range browsertest.Names {
		t.Run(name, func(t *testing.T) {
			b := browsertest.Start(t, name)
			for _, coding := range []string{"gzip", "br", "zstd"} {
				t.Run(coding, func(t *testing.T) { readsAsItComes(t, b, coding) })
			}
		})
	}
}

func readsAsItComes(t *testing.T, b *browsertest.Browser, coding string) {
	page := &packed{coding: coding, next: make(chan struct{}), accepts: make(chan string, 1)}
	address := serve(t, page.serve)
	tab := b.Open(t, "")
	tab.Visit(address + "/")
	if accepts := <-page.accepts; !strings.Contains(accepts, coding) {
		close(page.next)
		t.Skipf("over plain HTTP it accepts %q only", accepts)
	}
	for i := 1; i <= 5; i++ {
		page.next <- struct{}{}
		tab.Until(fmt.Sprintf("document.querySelectorAll('p').length === %d", i))
	}
	close(page.next)
	tab.Until("document.readyState === 'complete'")
	if text := tab.Value("document.querySelector('p:last-of-type').textContent"); text != "paragraph 5" {
		t.Errorf("the last paragraph is %q", text)
	}
}
