package fallback

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"foreverframe/stream"

	"github.com/valyala/fasthttp"
)

func TestAPollIsAJSONArray(t *testing.T) {
	p := Poll{}
	b := p.AppendOpen(nil)
	b = p.AppendEvent(b, stream.Event{ID: 7, Update: stream.Append("log", stream.Text("<a>"))})
	b = p.AppendEvent(b, stream.Event{ID: 8, Update: stream.Emit("news", `{"a": 1}`)})
	b = p.AppendEvent(b, stream.Event{Update: stream.Emit("", "]}")})
	b = p.AppendClose(b)
	want := `[{"id":7,"action":"append","target":"log","html":"\u0026lt;a\u0026gt;"},` +
		`{"id":8,"event":"news","data":"{\"a\": 1}"},{"event":"message","data":"]}"}]` + "\n"
	if string(b) != want {
		t.Errorf("the answer is\n%s, not\n%s", b, want)
	}
	if !json.Valid(b) {
		t.Error("it is not JSON")
	}
}

func TestAPollAnswersWhatThereIsAndGoesOnFromThere(t *testing.T) {
	var hub stream.Hub
	place := hub.Feed("news")
	first, _ := hub.Publish("news", stream.Append("log", stream.Text("first")))
	second, _ := hub.Publish("news", stream.Append("log", stream.Text("second")))
	ask := caller(t, func(req *fasthttp.RequestCtx) { ServeFeed(req, hub.Feed("news")) })

	answer, body := ask("/?"+place.Query(), "Accept", "application/json")
	if answer.Header.Get("Content-Type") != "application/json" || strings.Count(body, `"id"`) != 2 || !strings.Contains(body, "first") {
		t.Errorf("from the page's place: %v %s", answer.Header, body)
	}
	if _, body = ask("/?transport=poll&after=" + id(first)); strings.Contains(body, "first") || !strings.Contains(body, "second") {
		t.Errorf("after the first event: %s", body)
	}
	if _, body = ask("/?transport=poll&wait=0&after=" + id(second)); body != "[]\n" {
		t.Errorf("who has all and does not wait gets %s", body)
	}
	if _, body = ask("/?transport=poll&after=1"); !strings.Contains(body, `"action":"reload"`) || !strings.Contains(body, id(second)) {
		t.Errorf("a place of another life gets %s", body)
	}
	hub.End("news")
	if _, body = ask("/?transport=poll&after=" + id(second)); body != `[{"action":"done","target":"","html":""}]`+"\n" {
		t.Errorf("after the end: %s", body)
	}
}

func TestAPollWaitsForTheNextEvent(t *testing.T) {
	var hub stream.Hub
	place := hub.Feed("news")
	waiting := make(chan struct{})
	ask := caller(t, func(req *fasthttp.RequestCtx) {
		ServeFeed(req, hub.Feed("news"))
		close(waiting)
	})
	go func() {
		<-waiting
		hub.Publish("news", stream.Title("now"))
	}()
	if _, body := ask("/?transport=poll&" + place.Query()); !strings.Contains(body, "now") {
		t.Errorf("the answer is %s", body)
	}
}

func TestWrongTimesAreRefused(t *testing.T) {
	ask := caller(t, func(req *fasthttp.RequestCtx) { Serve(req, stream.Response{}) })
	for _, query := range []string{"wait=-1", "wait=61", "wait=x", "beat=1.5", "beat=1000", "beat=18446744074", "wait=18446744074"} {
		if answer, body := ask("/?transport=poll&" + query); answer.StatusCode != 400 || !strings.Contains(body, "whole number of seconds from 0 to 60") {
			t.Errorf("%s: %s %s", query, answer.Status, body)
		}
	}
}

// A frame ends after so many scripts and tells the page to open the next one,
// and no event is lost or doubled between them.
func TestAFrameIsRecycledWithoutLoss(t *testing.T) {
	const events = 5000
	source := func(_ context.Context, page *stream.Page) error {
		for i := page.LastEventID; i < events; i++ {
			if err := page.SendEvents(stream.Event{ID: i + 1, Update: stream.Append("log", stream.Text(id(i+1)))}); err != nil {
				return err
			}
		}
		return nil
	}
	ask := caller(t, func(req *fasthttp.RequestCtx) { Serve(req, stream.Response{Source: source}) })
	place, frames := 0, 0
	for done := false; !done; frames++ {
		_, body := ask("/?transport=frame&after=" + id(uint64(place)))
		if n := strings.Count(body, "<script"); n > frameLimit.Flushes+1 {
			t.Fatalf("a frame has %d scripts", n)
		}
		for rest := body; ; place++ {
			_, after, found := strings.Cut(rest, `"append","log","`)
			if !found {
				break
			}
			if !strings.HasPrefix(after, id(uint64(place+1))+`"`) {
				t.Fatalf("after event %d comes %.20q", place, after)
			}
			rest = after
		}
		done = strings.Contains(body, `ff("done"`)
		if again := strings.Contains(body, `ff("again"`); again == done {
			t.Fatalf("a frame ends with %q", body[max(0, len(body)-100):])
		}
	}
	if place != events || frames != 3 {
		t.Errorf("%d events in %d frames", place, frames)
	}
}
