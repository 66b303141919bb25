package fallback

import (
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
// WantsPlain says so. Another transport than "script" and "plain" gets 400: a page
// whose source can be sent over others as well is for Serve.
func ServePage(req *fasthttp.RequestCtx, shell stream.View, source stream.Source) {
	if req.QueryArgs().Has("transport") {
		if _, err := choose(req, transportScript, transportPlain); err != nil {
			stream.Refuse(req, fasthttp.StatusBadRequest, err.Error())
			return
		}
	}
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
	name, err := choose(req, transportScript, transportSSE, transportPoll)
	return err == nil && name == transportScript
}
