package stream

import (
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

func TestWhereAFeedIsServedInACrowd(t *testing.T) {
	var hub Hub
	feed := hub.Feed("log")
	for name, test := range map[string]struct {
		network, version string
		r                Response
		want             bool
	}{
		"server-sent events":      {"tcp", "1.1", Response{Transport: SSE{}}, true},
		"batches with a head":     {"tcp", "1.1", Response{Transport: framed{nonce: "n"}}, true},
		"a limit":                 {"tcp", "1.1", Response{Transport: SSE{}, Limit: Limit{Flushes: 9}}, true},
		"TLS":                     {"tls", "1.1", Response{Transport: SSE{}}, true},
		"TLS with a head":         {"tls", "1.1", Response{Transport: framed{nonce: "n"}}, true},
		"TLS by another listener": {"std tls", "1.1", Response{Transport: SSE{}}, false},
		"in memory":               {"memory", "1.1", Response{Transport: SSE{}}, false},
		"HTTP/1.0":                {"tcp", "1.0", Response{Transport: SSE{}}, false},
		"a shell":                 {"tcp", "1.1", Response{Transport: SSE{}, Shell: markup("<h1>")}, false},
		"a flush policy":          {"tcp", "1.1", Response{Transport: SSE{}, Flush: Flush{Every: 2}}, false},
		"a poll":                  {"tcp", "1.1", Response{Transport: SSE{}, Wait: time.Minute}, false},
		"a source of one's own":   {"tcp", "1.1", Response{Transport: SSE{}, Source: feed.Follow}, false},
		"a transport for oneself": {"tcp", "1.1", Response{Transport: Script{}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			goroutines := func() (n int) {
				for _, stack := range ours() {
					if strings.Contains(stack, "Subscribe") {
						n++
					}
				}
				return n
			}
			streams := new(Streams)
			test.r.Feed = feed
			s := serve(t, test.network, func(s *site, req *fasthttp.RequestCtx) { streams.Handler(test.r.Serve)(req) })
			c := s.connect(t)
			c.ask("GET / HTTP/" + test.version)
			eventually(t, func() bool { return len(streams.endless()) == 1 })
			eventually(t, func() bool { return (goroutines() == 0) == test.want })
			c.Close()
			if test.network != "memory" {
				eventually(t, func() bool { return streams.Len() == 0 && goroutines() == 0 })
			}
		})
	}
}
