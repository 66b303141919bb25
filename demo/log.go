package demo

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"time"
	"unicode/utf8"

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
// done; it notices the latter with the next line. Lines that are there together
// leave together, at most fifty times a second, so that a program that writes
// without end is read at a pace that browsers can follow. A line of more than
// 16 KB is broken.
func (s *Site) Pipe(ctx context.Context, r io.Reader) error {
	lines := bufio.NewReaderSize(r, maxLine)
	for ctx.Err() == nil {
		text, err := readLines(lines)
		for line := range strings.Lines(text) {
			if err := s.publishLine(ctx, strings.TrimRight(line, "\r\n")); err != nil {
				return err
			}
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case lines.Buffered() > 0:
			wait(ctx, 20*time.Millisecond)
		}
	}
	return nil
}

// publishLine publishes one line; while the hub's store or broker fails it tries
// again.
func (s *Site) publishLine(ctx context.Context, line string) error {
	for {
		_, err := s.Hub.Publish(logTopic, stream.Append("lines", templates.Line{Text: line}))
		if !errors.Is(err, stream.ErrStore) && !errors.Is(err, stream.ErrBroker) || !wait(ctx, time.Second) {
			return err
		}
	}
}

// readLines reads a line, and what else is there by then up to the end of a line.
// A line that is longer than the reader's buffer is broken between characters.
func readLines(r *bufio.Reader) (string, error) {
	for need := 1; ; need = r.Buffered() + 1 {
		_, err := r.Peek(min(need, r.Size()))
		there, _ := r.Peek(r.Buffered())
		end := bytes.LastIndexByte(there, '\n') + 1
		switch {
		case end > 0:
		case err != nil && len(there) == 0:
			return "", err
		case err != nil:
			end = len(there)
		case len(there) == r.Size():
			end = wholeCharacters(there)
		default:
			continue
		}
		text := string(there[:end])
		r.Discard(end)
		return text, nil
	}
}

// wholeCharacters returns the length of text without a character that is cut.
func wholeCharacters(text []byte) int {
	for end := len(text); end > len(text)-utf8.UTFMax; end-- {
		if c, size := utf8.DecodeLastRune(text[:end]); c != utf8.RuneError || size > 1 {
			return end
		}
	}
	return len(text) // it is not UTF-8
}
