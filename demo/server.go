package demo

import (
	"errors"
	"fmt"
	"time"

	"github.com/valyala/fasthttp"
)

// maxBody is the size in bytes of the largest body of a request.
const maxBody = 1 << 20

// Server returns a server of the site, which has yet to listen.
func (s *Site) Server() *fasthttp.Server {
	return &fasthttp.Server{
		Name:               "foreverframe",
		Handler:            s.Handler(),
		ErrorHandler:       badRequest,
		MaxRequestBodySize: maxBody,
		ReadTimeout:        30 * time.Second,
		IdleTimeout:        2 * time.Minute,
		CloseOnShutdown:    true,
	}
}

// badRequest answers what cannot be read as a request.
func badRequest(req *fasthttp.RequestCtx, err error) {
	switch {
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		req.Error(fmt.Sprintf("the body is too large: send at most %d bytes\n", maxBody), fasthttp.StatusRequestEntityTooLarge)
	case errors.As(err, new(*fasthttp.ErrSmallBuffer)):
		req.Error("the headers are too large\n", fasthttp.StatusRequestHeaderFieldsTooLarge)
	default:
		req.Error("the request cannot be read\n", fasthttp.StatusBadRequest)
	}
}
