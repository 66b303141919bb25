package fallback

import (
	"errors"
	"fmt"
	"strconv"

	"foreverframe/stream"

	"github.com/valyala/fasthttp"
)

// WantsPage reports whether req wants the page itself and not its updates: it
// asks for no transport and accepts HTML at least as much as an event stream. So
// one URL can serve both, as long as it says so; WantsPage sets Vary.
func WantsPage(req *fasthttp.RequestCtx) bool {
	if req.QueryArgs().Has("transport") {
		return false
	}
	vary(req)
	name, err := choose(req, transportScript, transportSSE)
	return err == nil && name == transportScript
}

// Serve answers req with r over the transport that req asks for: r.Transport as
// it is for a page that brings its own updates, if r has a shell; server-sent
// events; the forever frame. If req asks for none of them it answers 406, or 400
// for an unknown name, with a list.
func Serve(req *fasthttp.RequestCtx, r stream.Response) { serve(req, r, false) }

// serve answers an EventSource with 204 if there is nothing left to send.
func serve(req *fasthttp.RequestCtx, r stream.Response, finished bool) {
	offers := []string{transportSSE, transportFrame}
	if r.Shell != nil {
		offers = []string{transportScript, transportSSE, transportFrame}
	}
	vary(req)
	name, err := choose(req, offers...)
	switch {
	case err != nil && req.QueryArgs().Has("transport"):
		req.Error(err.Error()+"\n", fasthttp.StatusBadRequest)
		return
	case err != nil:
		req.Error(err.Error()+"\n", fasthttp.StatusNotAcceptable)
		return
	case name == transportSSE && finished:
		req.SetStatusCode(fasthttp.StatusNoContent)
		return
	case name == transportSSE:
		r.Shell = nil
		if _, ok := r.Transport.(stream.SSE); !ok {
			r.Transport = stream.SSE{}
		}
	case name == transportFrame:
		r.Shell = nil
		r.Transport = Frame{stream.Script{Nonce: stream.Nonce(req)}}
	default:
		r.Transport = nil
	}
	r.Serve(req)
}

// vary tells caches that the answer depends on what req accepts.
func vary(req *fasthttp.RequestCtx) {
	for _, value := range req.Response.Header.PeekAll(fasthttp.HeaderVary) {
		if string(value) == fasthttp.HeaderAccept {
			return
		}
	}
	req.Response.Header.Add(fasthttp.HeaderVary, fasthttp.HeaderAccept)
}

// ServeFeed answers req with feed over the transport that req asks for: an event
// stream or, for text/html, the forever frame. It starts after the last event
// that the browser has seen: the header Last-Event-ID, else the query's "after",
// where 0 stands for all that is kept, else the feed's own place. An EventSource
// that has all of a feed that has ended gets 204, No Content.
func ServeFeed(req *fasthttp.RequestCtx, feed stream.Feed) {
	switch err := feed.Err(); {
	case errors.Is(err, stream.ErrTopics):
		req.Error(err.Error()+"\n", fasthttp.StatusTooManyRequests)
		req.Response.Header.Set(fasthttp.HeaderRetryAfter, "60")
		return
	case err != nil:
		req.Error(err.Error()+"\n", fasthttp.StatusBadRequest)
		return
	}
	if after := req.QueryArgs().Peek("after"); len(after) > 0 {
		if _, err := strconv.ParseUint(string(after), 10, 64); err != nil {
			req.Error(fmt.Sprintf("after=%q: it must be the id of an event, or 0 for all that is kept\n", after), fasthttp.StatusBadRequest)
			return
		}
	}
	last := stream.LastEventID(req)
	finished := feed.Ended() && !req.QueryArgs().Has("after") && (last == 0 || last >= feed.After)
	if last == 0 && req.QueryArgs().Has("after") {
		feed.After = 0
	}
	serve(req, stream.Response{Source: feed.Follow}, finished)
}
