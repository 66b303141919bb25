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

var spinnerPage = templates.Page{
	Title:     "An endless spinner",
	Lead:      "One URL: a page for a browser, the stream for an EventSource.",
	From:      document001,
	Technique: "Server-sent events, or a forever frame where there is no EventSource",
	Why:       "The stream has no end, so it is not part of the page, whose loading would have none either.",
	Wire:      "/demo/spinner?transport=sse&wire=1",
	Feed:      "/demo/spinner",
}

func (s *Site) spinner(req *fasthttp.RequestCtx, page templates.Page) {
	if fallback.WantsPage(req) {
		fallback.ServePage(req, templates.Spinner{Page: page}, nil)
		return
	}
	fallback.Serve(req, stream.Response{Source: spin})
}

// spin sends a turn of the spinner every tenth of a second.
func spin(ctx context.Context, page *stream.Page) error {
	const turns = `\|/-`
	for i := 0; ; i++ {
		if err := page.Send(stream.Emit("", fmt.Sprintf("%c %d", turns[i%len(turns)], i))); err != nil {
			return err
		}
		if !wait(ctx, 100*time.Millisecond) {
			return nil
		}
	}
}
