package stream_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"foreverframe/fallback"
	"foreverframe/stream"
	"foreverframe/templates"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttputil"
)

// page is what the templates of this example's pages need of a request.
func page(req *fasthttp.RequestCtx, title, feed string) templates.Page {
	return templates.Page{Title: title, Feed: feed, Nonce: stream.Nonce(req), Runtime: fallback.Runtime}
}

// weather stands for a service that takes its time.
func weather(_ context.Context, city string) (stream.View, error) {
	return stream.Text("sunny in " + city), nil
}

// A page that fills: the shell is in the browser at once, each slot follows when
// its data is there.
func ExampleServePage() {
	dashboard := func(req *fasthttp.RequestCtx) {
		city := string(req.QueryArgs().Peek("city")) // copy what you need: req ends with this function
		shell := templates.Dashboard{Page: page(req, "Dashboard", ""), Gauges: []templates.Gauge{{ID: "weather", Title: "Weather"}}}

		stream.ServePage(req, shell, func(ctx context.Context, page *stream.Page) error {
			return page.Fill(ctx, stream.Slot{
				Target:  "weather",
				Timeout: 2 * time.Second,
				View:    func(ctx context.Context) (stream.View, error) { return weather(ctx, city) },
				Failed:  func(error) stream.View { return stream.Text("no weather today") },
			})
		})
	}
	printUpdates(dashboard, "/?city=Rome", "")
	// Output:
	// ff("inner","weather","sunny in Rome");ff()
	// ff("done","","");ff()
}

// A page that follows: anybody publishes to a topic, and every page that shows
// it changes.
func ExampleHub() {
	var hub stream.Hub
	hub.Publish("clock", stream.Inner("time", templates.Time{Now: "noon"})) // anywhere

	site := func(req *fasthttp.RequestCtx) {
		switch string(req.Path()) {
		case "/":
			feed := hub.Feed("clock") // its place now, before the page is rendered
			shell := templates.Clock{Page: page(req, "Clock", "/feed?"+feed.Query()), Now: "noon"}
			stream.ServePage(req, shell, nil)
		case "/feed":
			fallback.ServeFeed(req, hub.Feed("clock"))
		}
	}
	hub.End("clock") // so that this example has an end
	printUpdates(site, "/feed?after=0", "text/event-stream")
	// Output:
	// event: inner
	// data: time
	// data: <time>noon</time>
	//
	// id: done
	// event: done
	// data:
}

// printUpdates prints the updates of a page or a stream, without what differs
// from one answer to the next.
func printUpdates(handler fasthttp.RequestHandler, path, accept string) {
	listener := fasthttputil.NewInmemoryListener()
	defer listener.Close()
	go fasthttp.Serve(listener, handler)
	client := http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return listener.Dial()
	}}}
	req, _ := http.NewRequest("GET", "http://example.com"+path, nil)
	req.Header.Set("Accept", accept)
	answer, err := client.Do(req)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body)
	text := string(body)
	if accept == "" {
		text = text[strings.LastIndex(text, "</html>"):]
	}
	for line := range strings.Lines(text) {
		_, script, found := strings.Cut(line, `">ff(`)
		switch {
		case found:
			fmt.Print("ff(" + script)
		case accept != "" && !strings.HasPrefix(line, "retry: ") && !strings.HasPrefix(line, "id: 1"):
			fmt.Println(strings.TrimSpace(line))
		}
	}
}
