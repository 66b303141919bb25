package demo

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"foreverframe/stream"

	"github.com/valyala/fasthttp"
)

// The largest sizes in bytes of what the site takes: a request's first line and
// headers, the body of a publication, and any body. The last is larger, so that
// who sends a little too much gets an answer and not a closed connection.
const (
	maxHead = 16 << 10
	maxBody = 1 << 20
	maxRead = 8 << 20
)

// Server returns a server of the site, which has yet to listen.
func (s *Site) Server() *fasthttp.Server {
	return &fasthttp.Server{
		Name:               "foreverframe",
		Handler:            s.Handler(),
		ErrorHandler:       badRequest,
		MaxRequestBodySize: maxRead,
		ReadBufferSize:     maxHead,
		ReadTimeout:        30 * time.Second,
		IdleTimeout:        2 * time.Minute,
		CloseOnShutdown:    true,
		Logger:             serverLog{},
	}
}

// serverLog logs what fasthttp says, but not what is wrong with a single
// connection: that can have a part of a request in it, a cookie too, in spite of
// SecureErrorLogMessage, and it is the client's fault.
type serverLog struct{}

func (serverLog) Printf(format string, args ...any) {
	if !strings.HasPrefix(format, "error when serving connection") {
		slog.Error("server", "err", fmt.Sprintf(format, args...))
	}
}

// badRequest answers what cannot be read as a request.
func badRequest(req *fasthttp.RequestCtx, err error) {
	switch {
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		stream.Refuse(req, fasthttp.StatusRequestEntityTooLarge, fmt.Sprintf("the body is too large: send at most %d bytes", maxRead))
	case errors.As(err, new(*fasthttp.ErrSmallBuffer)):
		stream.Refuse(req, fasthttp.StatusRequestHeaderFieldsTooLarge, fmt.Sprintf("the request line and the headers are too large: send at most %d bytes", maxHead))
	default:
		stream.Refuse(req, fasthttp.StatusBadRequest, "the request cannot be read as HTTP: check its first line, its headers and its length")
	}
}
