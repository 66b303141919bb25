package server

import (
	"context"
	"net"
	"net/url"
	"strings"
	"time"

	"foreverframe/fallback"
	"foreverframe/stream"
	"foreverframe/templates"

	"github.com/valyala/fasthttp"
)

// Key may publish.
const Key = "bench"

// serveForeverframe serves with the packages stream and fallback alone, as the
// handlers of an application would.
func serveForeverframe(l net.Listener) error {
	hub := &stream.Hub{MaxTopics: -1}
	publisher := &stream.Publisher{Hub: hub, Keys: []string{Key}}
	server := &fasthttp.Server{
		Handler: func(req *fasthttp.RequestCtx) {
			path := string(req.Path())
			topic, feed := strings.CutPrefix(path, "/feeds/")
			switch {
			case feed && req.IsPost():
				publisher.Publish(req, topic)
			case feed:
				fallback.Serve(req, stream.Response{Feed: hub.Feed(topic), Compress: true})
			case path == "/job":
				serveJob(req)
			case path == "/page":
				servePage(req, hub)
			case path == "/counters":
				req.SetBody(counters())
			default:
				stream.Refuse(req, fasthttp.StatusNotFound, "there is no such page")
			}
		},
		NoDefaultServerHeader: true,
		IdleTimeout:           time.Minute,
	}
	return server.Serve(l)
}

func serveJob(req *fasthttp.RequestCtx) {
	query, _ := url.ParseQuery(string(req.QueryArgs().QueryString()))
	j := readJob(query)
	fallback.Serve(req, stream.Response{
		Compress: true,
		Shell:    j.view(stream.Nonce(req)),
		Source: func(ctx context.Context, page *stream.Page) error {
			for i := page.LastEventID + 1; i <= j.n && ctx.Err() == nil; i++ {
				if err := page.SendEvents(j.event(i)); err != nil {
					return err
				}
			}
			return nil
		},
	})
}

// servePage serves a page for a browser, which has its updates in itself or, for
// another transport than script, follows them over that.
func servePage(req *fasthttp.RequestCtx, hub *stream.Hub) {
	topic, transport := string(req.QueryArgs().Peek("topic")), string(req.QueryArgs().Peek("over"))
	feed := hub.Feed(topic)
	shell := templates.BenchPage{Nonce: stream.Nonce(req), Runtime: fallback.Runtime}
	if transport == "script" {
		stream.ServePage(req, shell, feed.Follow)
		return
	}
	shell.Feed, shell.Road = "/feeds/"+topic+"?"+feed.Query(), transport
	stream.ServePage(req, shell, nil)
}
