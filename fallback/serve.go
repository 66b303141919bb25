package fallback

import (
	"fmt"
	"strconv"

	"foreverframe/stream"

	"github.com/valyala/fasthttp"
)

// WantsPlain reports whether req wants a page in plain mode: it asks for that by
// "?transport=plain", or for no transport and is from a client that runs no
// scripts. It sets Vary.
func WantsPlain(req *fasthttp.RequestCtx) bool {
	if name := req.QueryArgs().Peek("transport"); len(name) > 0 {
		return string(name) == transportPlain
	}
	vary(req, fasthttp.HeaderUserAgent)
	return runsNoScripts(string(req.UserAgent()))
}

// PageTransport returns the transport of a page that brings its own updates, for
// a stream.Response: plain mode if WantsPlain says so, else scripts.
func PageTransport(req *fasthttp.RequestCtx) stream.Transport {
	if WantsPlain(req) {
		return Plain{}
	}
	return stream.Script{Nonce: stream.Nonce(req)}
}

// ServePage is stream.ServePage for every client: the page is in plain mode where
// WantsPlain says so.
func ServePage(req *fasthttp.RequestCtx, shell stream.View, source stream.Source) {
	stream.Response{Transport: PageTransport(req), Shell: shell, Source: source}.Serve(req)
}

// ServeFeedPage answers req with shell, a page that follows feed by itself. In
// plain mode, where nothing follows, what is kept of feed behind its place is
// part of the page: all of it if feed.After is 0.
func ServeFeedPage(req *fasthttp.RequestCtx, shell stream.View, feed stream.Feed) {
	if WantsPlain(req) {
		stream.Response{Transport: Plain{}, Shell: shell, Source: feed.Follow}.Serve(req)
		return
	}
	stream.ServePage(req, shell, nil)
}

// WantsPage reports whether req wants the page itself and not its updates: it
// asks for no transport, or for plain mode, and accepts HTML at least as much as
// an event stream. So one URL can serve both, as long as it says so; WantsPage
// sets Vary.
func WantsPage(req *fasthttp.RequestCtx) bool {
	if name := req.QueryArgs().Peek("transport"); len(name) > 0 {
		return string(name) == transportPlain
	}
	vary(req, fasthttp.HeaderAccept)
	name, err := choose(req, transportScript, transportSSE)
	return err == nil && name == transportScript
}

// Serve answers req with r over the transport that req asks for: if r has a
// shell, scripts for a page that brings its own updates or plain mode, as
// PageTransport has it; server-sent events; the forever frame. If req asks for none of them it answers 406, or 400
// for an unknown name, with a list.
func Serve(req *fasthttp.RequestCtx, r stream.Response) { serve(req, r, false) }

// serve answers an EventSource with 204 if there is nothing left to send.
func serve(req *fasthttp.RequestCtx, r stream.Response, finished bool) {
	offers := []string{transportSSE, transportFrame}
	if r.Shell != nil {
		offers = []string{transportScript, transportSSE, transportFrame, transportPlain}
	}
	vary(req, fasthttp.HeaderAccept)
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
		r.Transport = PageTransport(req)
	}
	r.Serve(req)
}

// vary tells caches that the answer depends on a header of req.
func vary(req *fasthttp.RequestCtx, header string) {
	for _, value := range req.Response.Header.PeekAll(fasthttp.HeaderVary) {
		if string(value) == header {
			return
		}
	}
	req.Response.Header.Add(fasthttp.HeaderVary, header)
}

// ServeFeed answers req with feed over the transport that req asks for: an event
// stream or, for text/html, the forever frame. It starts after the last event
// that the browser has seen: the header Last-Event-ID, else the query's "after",
// where 0 stands for all that is kept, else the feed's own place. An EventSource
// that has all of a feed that has ended gets 204, No Content.
func ServeFeed(req *fasthttp.RequestCtx, feed stream.Feed) {
	if err := stream.CheckTopic(feed.Topic); err != nil {
		req.Error(fmt.Sprintf("topic %q: %v\n", feed.Topic, err), fasthttp.StatusBadRequest)
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
