package demo

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"

	"foreverframe/fallback"
	"foreverframe/stream"
	"foreverframe/templates"

	"github.com/valyala/fasthttp"
)

// logTopic is the topic of /demo/log, which Pipe and anybody with a key may
// publish to.
const logTopic = "log"

// maxLine is the number of bytes at which a long line is broken.
const maxLine = 16 << 10

var logPage = templates.Page{
	Title:     "Log",
	Lead:      "Lines of a program's output, live, to any number of browsers; who comes late gets the last ones too.",
	Technique: "A topic of the hub, followed from the oldest line that is kept",
	Why:       "A topic is a log of its recent past, and a browser no more than a place in it.",
	Wire:      "/feeds/log?transport=sse&after=0&wire=1",
}

func (s *Site) log(req *fasthttp.RequestCtx, page templates.Page) {
	if s.LogTitle != "" {
		page.Title = s.LogTitle
	}
	feed := s.Hub.Feed(logTopic)
	feed.After = 0 // from the oldest line
	page.Feed = "/feeds/" + logTopic + "?" + feed.Query()
	fallback.ServeFeedPage(req, templates.Log{Page: page, Command: "tail -f app.log | go run . pipe --title app"}, feed)
}

// Pipe publishes the lines of r to the page of the log until r ends or ctx is
// done; it notices the latter with the next line. A line of more than 16 KB is
// broken.
func (s *Site) Pipe(ctx context.Context, r io.Reader) error {
	lines := bufio.NewReaderSize(r, maxLine)
	for ctx.Err() == nil {
		line, err := lines.ReadSlice('\n')
		if len(line) > 0 {
			text := strings.TrimRight(string(line), "\r\n")
			if _, err := s.Hub.Publish(logTopic, stream.Append("lines", templates.Line{Text: text})); err != nil {
				return err
			}
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return err
		}
	}
	return nil
}
