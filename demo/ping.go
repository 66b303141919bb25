package demo

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"foreverframe/fallback"
	"foreverframe/stream"
	"foreverframe/templates"

	"github.com/valyala/fasthttp"
)

var pingPage = templates.Page{
	Title:     "Pings and messages",
	Lead:      "A named event with JSON every second, a plain message now and then, a button that closes the stream.",
	From:      document003,
	Technique: "Server-sent events: named events, plain messages, comments that keep the connection alive",
	Why:       "The application's own events travel as any EventSource knows them, and over the forever frame as well.",
	Wire:      "/demo/ping?transport=sse&wire=1",
	Feed:      "/demo/ping",
}

func (s *Site) ping(req *fasthttp.RequestCtx, page templates.Page) {
	s.Origins.Allow(req)
	if fallback.WantsPage(req) {
		fallback.ServePage(req, templates.Ping{Page: page}, nil)
		return
	}
	fallback.Serve(req, stream.Response{Source: pings, Heartbeat: 500 * time.Millisecond})
}

// pings sends a ping every second, and a message after every one to ten of them.
func pings(ctx context.Context, page *stream.Page) error {
	for left := 1 + rand.N(10); ; left-- {
		at := time.Now().Format("2006-01-02T15:04:05-0700") // ISO 8601
		events := []stream.Event{{Update: stream.Emit("ping", `{"time": "`+at+`"}`)}}
		if left == 1 {
			events = append(events, stream.Event{Update: stream.Emit("", fmt.Sprintf("This is a message at time %s", at))})
			left = 2 + rand.N(10)
		}
		if err := page.SendEvents(events...); err != nil {
			return err
		}
		if !wait(ctx, time.Second) {
			return nil
		}
	}
}
