package stream

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"
)

// This file is why a stream has ended, for the log and the metrics.

// The causes that are no cause of a context.
const (
	causeEnded  = "ended"  // its source has, or what it had to send is sent
	causeGap    = "gap"    // events are missing
	causeFailed = "failed" // its source, or something that panicked
)

// causes are all causes, with the errors that they are of contexts.
var causes = []struct {
	name string
	err  error // nil if it is none of a context
}{
	{causeEnded, ErrEnded},
	{causeGap, nil},
	{causeFailed, nil},
	{"client_gone", ErrClientGone},
	{"slow", ErrSlow},
	{"shutdown", ErrShutdown},
	{"expired", ErrExpired},
}

// causeOf returns why a page ends whose context is ctx and whose source has
// returned err.
func causeOf(ctx context.Context, err error) string {
	switch {
	case err != nil && errors.As(err, new(*PanicError)):
		return causeFailed
	case errors.Is(err, ErrGap):
		return causeGap
	case ctx.Err() != nil:
		return causeName(context.Cause(ctx))
	case err == nil, err == errCaughtUp:
		return causeEnded
	}
	return causeFailed
}

func causeName(err error) string {
	for _, cause := range causes {
		if cause.err != nil && errors.Is(err, cause.err) {
			return cause.name
		}
	}
	if errors.As(err, new(*PanicError)) {
		return causeFailed
	}
	return causeEnded
}

// ended counts and logs the end of page, which is closed, and what its transport
// has panicked with. The last of it may not have left, whatever cause it had.
func (s *session) ended(page *Page, cause string) {
	page.mu.Lock()
	defer page.mu.Unlock()
	if page.err != ErrEnded {
		cause = causeName(page.err)
	}
	page.metrics.end(cause)
	log := s.logger()
	if err := new(PanicError); errors.As(page.err, &err) {
		log.Error("page", "page", s.path, "transport", s.Transport.Name(), "err", err)
	}
	logEnd(log, ending{s.path, s.Transport.Name(), page.topics, cause, page.pulse.born, page.stats})
}

// An ending is what the log says of a stream that has ended.
type ending struct {
	path, transport string
	topics          []string // that it followed
	cause           string
	began           time.Time
	stats           Stats
}

func logEnd(log *slog.Logger, e ending) {
	if !log.Enabled(context.Background(), slog.LevelInfo) {
		return
	}
	about := []any{"page", e.path, "transport", e.transport}
	if len(e.topics) > 0 {
		about = append(about, "topic", strings.Join(e.topics, ","))
	}
	log.Info("stream", append(about, "cause", e.cause, "duration", time.Since(e.began), "updates", e.stats.Updates, "bytes", e.stats.Bytes)...)
}
