package stream

import (
	"encoding/json"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

// kinds are the media types of publications, and others.
var kinds = []string{"text/plain", "application/json", "application/x-ndjson", "text/plain; charset=utf-8", "text/html", ""}

// Whatever is published, either all events of it are updates that every transport
// carries, or the answer is one line that says why not.
func FuzzAPublicationIsUpdatesOrRefused(f *testing.F) {
	for i, s := range seeds() {
		text, _ := json.Marshal(s)
		field := string(text)
		f.Add(kinds[i%len(kinds)], "key", "log", s)
		f.Add(s, s, s, s)
		f.Add("application/json", "", "log", `{"action":"append","target":"log","html":`+field+`}`)
		f.Add("application/json", "", "log", `{"action":"attr","target":"log","name":`+field+`,"value":`+field+`}`)
		f.Add("application/json", "", "log", `{"action":"title","text":`+field+`}`)
		f.Add("application/json", "", "log", `{"action":`+field+`,"target":`+field+`,"text":""}`)
		f.Add("application/x-ndjson", "", "log", `{"event":`+field+`,"data":`+field+"}\n{"+field+`:1}`)
	}
	f.Fuzz(func(t *testing.T, kind, key, topic, body string) {
		p := publisher()
		response := post(p, topic, kind, body, "Idempotency-Key: "+key)
		answer := string(response.Body())
		if response.StatusCode() != fasthttp.StatusCreated {
			if status := response.StatusCode(); status < 400 || status >= 500 {
				t.Errorf("the status is %d", status)
			}
			if strings.Index(answer, "\n") != len(answer)-1 || string(response.Header.ContentType()) != "text/plain; charset=utf-8" || string(response.Header.Peek("X-Content-Type-Options")) != "nosniff" {
				t.Errorf("it is refused with %q as %s", answer, response.Header.ContentType())
			}
			return
		}
		var ids struct {
			ID  uint64
			IDs []uint64
		}
		if err := json.Unmarshal([]byte(answer), &ids); err != nil {
			t.Errorf("%v in the answer %q", err, answer)
		}
		events, err := p.Hub.Feed(topic).kept(0)
		if err != nil || len(events) != max(1, len(ids.IDs)) {
			t.Fatalf("the hub has %v, %v", events, err)
		}
		for _, e := range events {
			if err := e.Check(); err != nil || e.valid() != e.Update {
				t.Errorf("%v is in the hub; %v", e, err)
			}
			if got, rest := updates(t, batchOf(Script{}, e)); len(got) != 1 || got[0] != e || rest != "" {
				t.Errorf("over script, %v is %v and %q", e, got, rest)
			}
			if got, unknown := parseSSE(batchOf(SSE{}, e)); len(got) != 1 || len(unknown) > 0 {
				t.Errorf("over SSE, %v is %q with %q", e, got, unknown)
			}
		}
	})
}

var topicName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,100}$`)

// A topic stands in a path as it is.
func FuzzATopicIsOnePartOfAPath(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, name string) {
		ok := CheckTopic(name) == nil
		if want := topicName.MatchString(name) && !strings.HasSuffix(name, "\n"); ok != want {
			t.Fatalf("CheckTopic(%q): %v, want %v", name, ok, want)
		}
		if ok && url.PathEscape(name) != name {
			t.Errorf("%q is %q in a path", name, url.PathEscape(name))
		}
		var hub Hub
		if _, err := hub.Publish(name, Title("a")); (err == nil) != ok {
			t.Errorf("publishing to %q: %v", name, err)
		}
	})
}

// A place is a number, or one where nothing is; a browser that says anything else
// has to reload.
func FuzzAPlaceIsANumber(f *testing.F) {
	for _, s := range append([]string{"0", "7", "+7", "07", "-1", "1e3", "0x7", "18446744073709551616", "done"}, seeds()...) {
		f.Add(s, "")
		f.Add("", s)
	}
	f.Fuzz(func(t *testing.T, header, after string) {
		req := new(fasthttp.RequestCtx)
		req.Request.Header.Set("Last-Event-ID", header)
		req.QueryArgs().Set("after", after)
		said := string(req.Request.Header.Peek("Last-Event-ID")) // without line ends
		if said == "" {
			said = after
		}
		want, err := strconv.ParseUint(said, 10, 64)
		switch {
		case said == "":
			want = 0
		case err != nil:
			want = noEvent
		}
		if got := LastEventID(req); got != want {
			t.Errorf("%q and %q are the place %d, want %d", header, after, got, want)
		}
	})
}
