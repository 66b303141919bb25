package demo

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"foreverframe/stream"

	"github.com/valyala/fasthttp"
)

// The largest sizes in bytes of what the site takes: a request's first line and
// headers, the body of a publication, and one that comes without an
// Authorization. A body's memory is taken as soon as its length is known, so
// strangers get little. With an Authorization the server reads twice the size of
// a publication, so that who sends a little too much gets an answer and not a
// closed connection.
const (
	maxHead     = 16 << 10
	maxBody     = 1 << 20
	maxStranger = 64 << 10
)

// How long a client may take: for a whole request, between requests, for the
// answer to one where that is no stream, which has its own bound, and for a
// refusal.
const (
	defaultReadTimeout = 30 * time.Second
	defaultIdleTimeout = 2 * time.Minute
	writeTimeout       = 30 * time.Second
	refusalTimeout     = 5 * time.Second
)

// Server returns a server of the site, which has yet to listen, best to a
// Listener.
func (s *Site) Server() *fasthttp.Server {
	return &fasthttp.Server{
		Name:               "foreverframe",
		Handler:            strict(s.Handler()),
		ErrorHandler:       s.badRequest,
		HeaderReceived:     s.limits,
		MaxRequestBodySize: maxStranger,
		ReadBufferSize:     s.maxHead(),
		ReadTimeout:        s.readTimeout(),
		WriteTimeout:       writeTimeout,
		IdleTimeout:        cmp.Or(s.IdleTimeout, defaultIdleTimeout),
		CloseOnShutdown:    true,
		Logger:             serverLog{},
	}
}

func (s *Site) maxBody() int { return cmp.Or(s.MaxBody, maxBody) }

func (s *Site) maxHead() int { return cmp.Or(s.MaxHead, maxHead) }

func (s *Site) readTimeout() time.Duration { return cmp.Or(s.ReadTimeout, defaultReadTimeout) }

// limits returns what is special for a request.
func (s *Site) limits(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
	if len(h.Peek(fasthttp.HeaderAuthorization)) > 0 {
		return fasthttp.RequestConfig{MaxRequestBodySize: max(2*s.maxBody(), maxStranger)}
	}
	return fasthttp.RequestConfig{}
}

// strict refuses what is not HTTP/1, which fasthttp takes for HTTP/1.0, and closes
// the connection after a request that has two lengths, because a proxy may have
// gone by the other (RFC 9112, section 6.1).
func strict(next fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(req *fasthttp.RequestCtx) {
		header := &req.Request.Header
		if !bytes.HasPrefix(header.Protocol(), []byte("HTTP/1.")) {
			stream.Refuse(req, fasthttp.StatusHTTPVersionNotSupported, "this server speaks HTTP/1.1 and HTTP/1.0")
			req.SetConnectionClose()
			return
		}
		if raw := header.RawHeaders(); hasField(raw, "Transfer-Encoding") && hasField(raw, "Content-Length") {
			req.SetConnectionClose()
		}
		next(req)
	}
}

// hasField reports whether a line of raw begins with name, in letters of any case.
func hasField(raw []byte, name string) bool {
	for line := range bytes.Lines(raw) {
		if len(line) > len(name) && bytes.EqualFold(line[:len(name)], []byte(name)) {
			return true
		}
	}
	return false
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
func (s *Site) badRequest(req *fasthttp.RequestCtx, err error) {
	req.Conn().SetWriteDeadline(time.Now().Add(refusalTimeout)) // fasthttp sets none here
	var late net.Error
	switch {
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		stream.Refuse(req, fasthttp.StatusRequestEntityTooLarge, fmt.Sprintf("the body is too large: send at most %d bytes, or %d with the header Authorization", maxStranger, s.maxBody()))
	case errors.As(err, new(*fasthttp.ErrSmallBuffer)):
		stream.Refuse(req, fasthttp.StatusRequestHeaderFieldsTooLarge, fmt.Sprintf("the request line and the headers are too large: send at most %d bytes", s.maxHead()))
	case errors.As(err, &late) && late.Timeout():
		stream.Refuse(req, fasthttp.StatusRequestTimeout, fmt.Sprintf("the request did not come in time: send all of it within %v", s.readTimeout()))
	default:
		stream.Refuse(req, fasthttp.StatusBadRequest, "the request cannot be read as HTTP: check its first line, its headers and its length")
	}
}
