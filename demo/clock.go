package demo

import (
	"context"
	"time"

	"foreverframe/fallback"
	"foreverframe/stream"
	"foreverframe/templates"

	"github.com/valyala/fasthttp"
)

const clockTopic = "clock"

var clockPage = templates.Page{
	Title:     "A clock",
	Lead:      "The server's time, every five seconds, the same for everyone who looks.",
	From:      document002,
	Technique: "A topic of the hub, followed by server-sent events or a forever frame",
	Why:       "One timer publishes for all visitors; nobody's stream sleeps and looks at the time in turns.",
	Wire:      "/feeds/clock?transport=sse&after=0&wire=1",
}

func (s *Site) clock(req *fasthttp.RequestCtx, page templates.Page) {
	feed := s.Hub.Feed(clockTopic)
	page.Feed = "/feeds/" + clockTopic + "?" + feed.Query()
	fallback.ServeFeedPage(req, templates.Clock{Page: page, Now: now()}, feed)
}

func (s *Site) runClock(ctx context.Context) {
	for wait(ctx, 5*time.Second) {
		s.Hub.Publish(clockTopic, stream.Inner("time", templates.Time{Now: now()}))
	}
}

func now() string { return time.Now().Format("2006-01-02 15:04:05") }
