package demo

import (
	"context"
	"fmt"
	"strings"
	"time"

	"foreverframe/fallback"
	"foreverframe/stream"
	"foreverframe/templates"

	"github.com/valyala/fasthttp"
)

var jobPage = templates.Page{
	Title:     "A synthetic job",
	Lead:      "A small shell, then n equal updates: what the benchmarks measure. Set n, size, delay and transport in the URL.",
	Technique: "Snippets by default; transport=sse, frame and plain send the same updates otherwise",
	Why:       "The same Source over every transport, so that they can be compared.",
	Wire:      "/demo/job?n=10&delay=300ms&wire=1",
}

func (s *Site) job(req *fasthttp.RequestCtx, page templates.Page) {
	q := query{args: req.QueryArgs()}
	n := q.number("n", 100, 0, 1_000_000)
	size := q.number("size", 64, 1, 1<<20)
	delay := q.duration("delay", 10*time.Millisecond, time.Minute)
	if q.refused(req) {
		return
	}
	url := fmt.Sprintf("/demo/job?n=%d&size=%d&delay=%s", n, size, delay)
	shell := templates.Job{Nonce: page.Nonce, Plain: page.Plain, N: n, Size: size, Delay: delay.String(), Other: url + "&follow=1", Wire: url + "&wire=1"}
	if req.QueryArgs().Has("follow") && !fallback.WantsPlain(req) {
		shell.Feed, shell.Other, shell.Wire = url, url, url+"&transport=sse&wire=1"
		fallback.ServePage(req, shell, nil)
		return
	}
	fallback.Serve(req, stream.Response{Shell: shell, Source: work(uint64(n), size, delay), Compress: true})
}

// work returns a Source of n updates of size bytes, delay apart. Update i, from
// 1 to n, has the id i, so that a browser that comes back goes on after its last
// one.
func work(n uint64, size int, delay time.Duration) stream.Source {
	return func(ctx context.Context, page *stream.Page) error {
		for i := page.LastEventID; i < n; i++ {
			if i > page.LastEventID && delay > 0 && !wait(ctx, delay) {
				return nil
			}
			line := stream.Append("log", templates.JobLine{Text: jobText(i+1, size)})
			if err := page.SendEvents(stream.Event{ID: i + 1, Update: line}); err != nil {
				return err
			}
		}
		return nil
	}
}

// jobText returns "ev-i-", padded with x to size bytes.
func jobText(i uint64, size int) string {
	text := fmt.Sprintf("ev-%d-", i)
	return text + strings.Repeat("x", max(0, size-len(text)))
}
