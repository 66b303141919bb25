package demo

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"time"

	"foreverframe/fallback"
	"foreverframe/stream"
	"foreverframe/templates"

	"github.com/valyala/fasthttp"
)

var templatePage = templates.Page{
	Title:     "Hello × 10, by a template",
	Lead:      "The loop of a compiled template waits for its rows; each appears when it is there. ?buffer=5 sends five at a time.",
	From:      document001,
	Technique: "A template that streams while it renders",
	Why:       "The template has no flush in it: rows leave by the page's flush policy, Jinja's enable_buffering.",
	Wire:      "/demo/template?wire=1",
}

func (s *Site) template(req *fasthttp.RequestCtx, page templates.Page) {
	q := query{args: req.QueryArgs()}
	buffer := q.number("buffer", 1, 1, 1000)
	if q.refused(req) {
		return
	}
	script := stream.Script{Nonce: page.Nonce}
	stream.Response{
		Transport: fallback.PageTransport(req),
		Flush:     stream.Flush{Every: buffer},
		Source: func(ctx context.Context, p *stream.Page) error {
			rows := stream.Rows(ctx, p, letters(ctx, script))
			return p.Render(templates.Template{Page: page, Letters: rows})
		},
	}.Serve(req)
}

// letters has a letter every tenth of a second.
func letters(ctx context.Context, script stream.Script) iter.Seq[templates.Letter] {
	return func(yield func(templates.Letter) bool) {
		for i, letter := range strings.Repeat("hello", 10) {
			if !wait(ctx, 100*time.Millisecond) {
				return
			}
			text := fmt.Sprintf("%d %c", i, letter)
			if !yield(templates.Letter{Text: text, Snippet: script.Snippet(stream.Inner("data", stream.Text(text)))}) {
				return
			}
		}
	}
}
