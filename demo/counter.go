package demo

import (
	"context"
	"strconv"
	"time"

	"foreverframe/fallback"
	"foreverframe/stream"
	"foreverframe/templates"

	"github.com/valyala/fasthttp"
)

var counterPage = templates.Page{
	Title:     "A counter",
	Lead:      "An event a second, appended to a list. A browser that comes back goes on where it was.",
	From:      document000,
	Technique: "Server-sent events with retry: 1000 and an id each",
	Why:       "The browser connects again by itself, after one second, and says which event it saw last. No ETag, no cache.",
	Wire:      "/demo/counter?transport=sse&wire=1",
	Feed:      "/demo/counter",
}

func (s *Site) counter(req *fasthttp.RequestCtx, page templates.Page) {
	if fallback.WantsPage(req) {
		fallback.ServePage(req, templates.Counter{Page: page}, nil)
		return
	}
	fallback.Serve(req, stream.Response{Transport: stream.SSE{Retry: time.Second}, Source: count})
}

// count sends a number every second, from the one that the browser needs next.
func count(ctx context.Context, page *stream.Page) error {
	for i := resume(page, 1<<52); ; i++ {
		number := stream.Event{ID: i + 1, Update: stream.Emit("", strconv.FormatUint(i, 10))}
		if err := page.SendEvents(number); err != nil {
			return err
		}
		if !wait(ctx, time.Second) {
			return nil
		}
	}
}
