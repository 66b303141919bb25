package demo

import (
	"context"
	"fmt"
	"time"

	"foreverframe/fallback"
	"foreverframe/stream"
	"foreverframe/templates"

	"github.com/valyala/fasthttp"
)

var helloPage = templates.Page{
	Title:     "Hello, by snippets",
	Lead:      "One word, a letter a second, in one response that ends after the last letter.",
	From:      document001,
	Technique: "JavaScript snippets in the page itself (the infinite iframe)",
	Why:       "The job is finite: the page ends with it, and nothing asks for it again. It needs no EventSource.",
	Wire:      "/demo/hello?wire=1",
}

func (s *Site) hello(req *fasthttp.RequestCtx, page templates.Page) {
	fallback.Serve(req, stream.Response{Shell: templates.Hello{Page: page}, Source: spell})
}

// spell replaces the text of #data by the letters of hello.
func spell(ctx context.Context, page *stream.Page) error {
	for i, letter := range "hello" {
		if i > 0 && !wait(ctx, time.Second) {
			return nil
		}
		if err := page.Send(stream.Inner("data", stream.Text(fmt.Sprintf("%d %c", i, letter)))); err != nil {
			return err
		}
	}
	return nil
}
