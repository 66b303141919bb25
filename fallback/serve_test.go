package fallback

import (
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"foreverframe/stream"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttputil"
)

// A caller asks a handler over an in-memory connection.
func caller(t *testing.T, handler fasthttp.RequestHandler) func(path string, headers ...string) (*http.Response, string) {
	listener := fasthttputil.NewInmemoryListener()
	served := make(chan error, 1)
	go func() { served <- fasthttp.Serve(listener, handler) }()
	client := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return listener.Dial()
	}}}
	t.Cleanup(func() {
		client.CloseIdleConnections()
		listener.Close()
		<-served
	})
	return func(path string, headers ...string) (*http.Response, string) {
		req, _ := http.NewRequest("GET", "http://example.com"+path, nil)
		for i := 0; i < len(headers); i += 2 {
			req.Header.Set(headers[i], headers[i+1])
		}
		answer, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer, string(body)
	}
}

func TestOneURLServesAFeedOverEveryTransport(t *testing.T) {
	var hub stream.Hub
	before := hub.Feed("news")
	first, _ := hub.Publish("news", stream.Append("log", stream.Text("first")))
	hub.Publish("news", stream.Append("log", stream.Text("second")))
	hub.End("news")
	ask := caller(t, func(req *fasthttp.RequestCtx) { ServeFeed(req, hub.Feed("news")) })

	answer, body := ask("/?after=0", "Accept", "text/event-stream")
	if answer.Header.Get("Content-Type") != "text/event-stream; charset=utf-8" || !strings.Contains(body, "first") || !strings.Contains(body, "second") || !strings.Contains(body, "event: done") {
		t.Errorf("as SSE: %v %q", answer.Header, body)
	}
	answer, body = ask("/?after=0", "Accept", "text/html")
	if answer.Header.Get("Content-Type") != "text/html; charset=utf-8" || !strings.Contains(body, "<!doctype html>") || !strings.Contains(body, `"first"`) || !strings.Contains(body, `ff("done"`) {
		t.Errorf("as a frame: %v %q", answer.Header, body)
	}
	if policy := answer.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "frame-ancestors 'self'") {
		t.Errorf("the frame's policy is %q", policy)
	}
	_, body = ask("/?"+before.Query(), "Accept", "text/event-stream", "Last-Event-ID", id(first))
	if strings.Contains(body, "first") || !strings.Contains(body, "second") {
		t.Errorf("the header does not win over the query: %q", body)
	}
	_, body = ask("/?after=1", "Accept", "text/event-stream")
	if !strings.Contains(body, "id: "+id(first+1)+"\nevent: reload\n") || strings.Contains(body, "second") || strings.Contains(body, "done") {
		t.Errorf("a place of another life gives %q", body)
	}
}

func id(n uint64) string { return strconv.FormatUint(n, 10) }

func TestAFeedThatCannotBeFollowedSaysWhy(t *testing.T) {
	hub := stream.Hub{MaxTopics: 1}
	ask := caller(t, func(req *fasthttp.RequestCtx) { ServeFeed(req, hub.Feed(string(req.QueryArgs().Peek("topic")))) })
	if answer, body := ask("/?topic=a+b"); answer.StatusCode != 400 || !strings.Contains(body, stream.ErrTopic.Error()) {
		t.Errorf("a name that is none: %s %q", answer.Status, body)
	}
	hub.Feed("one")
	if answer, body := ask("/?topic=two"); answer.StatusCode != 429 || answer.Header.Get("Retry-After") != "60" || !strings.Contains(body, stream.ErrTopics.Error()) {
		t.Errorf("one topic too many: %s %v %q", answer.Status, answer.Header, body)
	}
}

func TestAnEndedFeedAnswersAnEventSourceWith204(t *testing.T) {
	var hub stream.Hub
	last, _ := hub.Publish("news", stream.Title("x"))
	hub.End("news")
	ask := caller(t, func(req *fasthttp.RequestCtx) { ServeFeed(req, hub.Feed("news")) })
	for _, headers := range [][]string{
		{"Accept", "text/event-stream"},
		{"Accept", "text/event-stream", "Last-Event-ID", id(last)},
		{"Accept", "text/event-stream", "Last-Event-ID", "done"},
	} {
		if answer, _ := ask("/", headers...); answer.StatusCode != 204 {
			t.Errorf("%q: %s", headers, answer.Status)
		}
	}
	if answer, body := ask("/", "Accept", "text/event-stream", "Last-Event-ID", id(last-1)); answer.StatusCode != 200 || !strings.Contains(body, "event: title") {
		t.Errorf("who lacks an event gets %s %q", answer.Status, body)
	}
	if answer, body := ask("/", "Accept", "text/html"); answer.StatusCode != 200 || !strings.Contains(body, `ff("done"`) {
		t.Errorf("the frame of an ended feed is %s %q", answer.Status, body)
	}
}

func TestAResponseKeepsItsShellForThePageOnly(t *testing.T) {
	ask := caller(t, func(req *fasthttp.RequestCtx) {
		Serve(req, stream.Response{Shell: stream.Text("the shell"), Transport: stream.SSE{Retry: 1e9}})
	})
	for path, want := range map[string]bool{"/?transport=script": true, "/?transport=sse": false, "/?transport=frame": false, "/": true} {
		if _, body := ask(path); strings.Contains(body, "the shell") != want {
			t.Errorf("%s: %q", path, body)
		}
	}
	if _, body := ask("/?transport=sse"); !strings.HasPrefix(body, "retry: 1000\n") {
		t.Errorf("the retry of the response is lost: %q", body)
	}
	if answer, body := ask("/", "Accept", "image/png"); answer.StatusCode != 406 || !strings.Contains(body, "text/html, text/event-stream") {
		t.Errorf("what nobody offers: %s %q", answer.Status, body)
	}
}
