package stream

import (
	"errors"
	"time"

	"github.com/valyala/fasthttp"
)

// ErrUnauthorized means that a request does not say, or not credibly, who sent
// it: its answer is 401, and it may be sent again with credentials.
var ErrUnauthorized = errors.New("who asks is not known")

// Authorize says who may follow a topic: it returns nil if the sender of req
// may, else an error, whose text the sender gets. If it wraps ErrUnauthorized
// the status is 401, else 403. It is asked once for each topic, in the handler,
// and must not keep req.
//
//	if !authorize.Allows(req, "news", "prices") {
//		return
//	}
//	fallback.ServeFeed(req, hub.Feed("news", "prices"))
type Authorize func(req *fasthttp.RequestCtx, topic string) error

// Allows reports whether the sender of req may follow all of topics, and answers
// req if not. A nil Authorize allows everything. Ask before Hub.Feed and
// Hub.Has, so that a stranger makes no topics and learns of none. The runtime
// stops at such an answer, and so does an EventSource.
func (a Authorize) Allows(req *fasthttp.RequestCtx, topics ...string) bool {
	if a == nil {
		return true
	}
	for _, topic := range topics {
		if err := a(req, topic); err != nil {
			forbid(req, err)
			return false
		}
	}
	return true
}

// forbid answers req with why its sender may not do what it asks for.
func forbid(req *fasthttp.RequestCtx, err error) {
	if !errors.Is(err, ErrUnauthorized) {
		Refuse(req, fasthttp.StatusForbidden, err.Error())
		return
	}
	Refuse(req, fasthttp.StatusUnauthorized, err.Error())
	if len(req.Response.Header.Peek(fasthttp.HeaderWWWAuthenticate)) == 0 {
		req.Response.Header.Set(fasthttp.HeaderWWWAuthenticate, "Bearer")
	}
}

type expiryKey struct{}

// ExpireAt makes the streams that answer req end at t with ErrExpired, as what
// allows them does: a token, a session. The earliest time counts. The client
// comes back with its place, and is asked anew who it is.
func ExpireAt(req *fasthttp.RequestCtx, t time.Time) {
	if at := expiry(req); at.IsZero() || t.Before(at) {
		req.SetUserValue(expiryKey{}, t)
	}
}

// expiry returns when the streams that answer req end, zero for never.
func expiry(req *fasthttp.RequestCtx) time.Time {
	at, _ := req.UserValue(expiryKey{}).(time.Time)
	return at
}
