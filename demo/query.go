package demo

import (
	"fmt"
	"strconv"
	"time"

	"foreverframe/stream"

	"github.com/valyala/fasthttp"
)

// A query reads the parameters of a request and keeps the first error.
type query struct {
	args *fasthttp.Args
	err  error
}

// number returns the whole number name, from least to most.
func (q *query) number(name string, otherwise, least, most int) int {
	text := string(q.args.Peek(name))
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		q.fail("%s=%q: it must be a whole number from %d to %d, for example %s=%d", name, text, least, most, name, otherwise)
	}
	return n
}

// duration returns the duration name, from zero to most.
func (q *query) duration(name string, otherwise, most time.Duration) time.Duration {
	text := string(q.args.Peek(name))
	if text == "" {
		return otherwise
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > most {
		q.fail("%s=%q: it must be a time from 0s to %s with its unit, for example %s=10ms", name, text, most, name)
	}
	return d
}

func (q *query) fail(format string, args ...any) {
	if q.err == nil {
		q.err = fmt.Errorf(format, args...)
	}
}

// refused answers req with 400 if a parameter was wrong.
func (q *query) refused(req *fasthttp.RequestCtx) bool {
	if q.err != nil {
		stream.Refuse(req, fasthttp.StatusBadRequest, q.err.Error())
	}
	return q.err != nil
}
