package demo

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"foreverframe/fallback"
	"foreverframe/stream"
	"foreverframe/templates"

	"github.com/valyala/fasthttp"
)

var ticksPage = templates.Page{
	Title:     "Fifty ticks, of which twenty come",
	Lead:      "A tick a second; the server ends the stream after twenty of fifty, and notices at once when you leave before.",
	From:      document004,
	Technique: "Server-sent events with an end: done, and 204 for a browser that asks again",
	Why:       "Without a word about the end an EventSource asks for the same ticks again, for ever.",
	Wire:      "/demo/ticks?transport=sse&wire=1",
	Feed:      "/demo/ticks",
}

const (
	allTicks  = 50
	sentTicks = 20
)

func (s *Site) tick(req *fasthttp.RequestCtx, page templates.Page) {
	if fallback.WantsPage(req) {
		fallback.ServePage(req, templates.Ticks{Page: page, Before: s.ticks.before()}, nil)
		return
	}
	fallback.Serve(req, stream.Response{Source: s.tickTock})
}

// tickTock sends ticks until it has sent enough, and remembers a visitor who
// does not wait for that.
func (s *Site) tickTock(ctx context.Context, page *stream.Page) error {
	for i := resume(page, allTicks); i < allTicks; i++ {
		if !wait(ctx, time.Second) {
			if errors.Is(context.Cause(ctx), stream.ErrClientGone) {
				s.ticks.left(i, time.Now())
			}
			return nil
		}
		if i >= sentTicks {
			return nil
		}
		text := "The 中文 time is: " + time.Now().Format("2006-01-02 15:04:05.000000")
		if err := page.SendEvents(stream.Event{ID: i + 1, Update: stream.Emit("", text)}); err != nil {
			return err
		}
	}
	return nil
}

// visits remembers how the visitor before has left.
type visits struct {
	mu   sync.Mutex // guards text
	text string
}

func (v *visits) left(ticks uint64, at time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.text = fmt.Sprintf("The visitor before left after %d ticks; the server noticed at %s.", ticks, at.Format("15:04:05.000"))
}

func (v *visits) before() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.text
}
