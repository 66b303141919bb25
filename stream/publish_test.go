package stream

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

// post has p publish body, of the type kind, to topic, with header lines on top
// ("Name: value"), and returns the answer.
func post(p *Publisher, topic, kind, body string, header ...string) *fasthttp.Response {
	req := new(fasthttp.Request)
	req.Header.SetMethod("POST")
	req.Header.SetContentType(kind)
	req.Header.Set("Authorization", "Bearer key")
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Set(name, value)
	}
	req.SetBodyString(body)
	ctx := new(fasthttp.RequestCtx)
	ctx.Init(req, nil, nil)
	p.Publish(ctx, topic)
	return &ctx.Response
}

// publisher returns one with the key "key", of a new hub.
func publisher() *Publisher { return &Publisher{Hub: new(Hub), Keys: []string{"key"}} }

// newest returns the newest event of topic.
func newest(t *testing.T, hub *Hub, topic string) (e Event) {
	t.Helper()
	feed := hub.Feed(topic)
	for events, err := range hub.Subscribe(t.Context(), feed.After-1, topic) {
		if err != nil {
			t.Fatal(err)
		}
		return events[0]
	}
	return e
}

func TestWhatIsPublishedIsInTheHub(t *testing.T) {
	for _, test := range []struct {
		kind, body string
		want       Update
	}{
		{"text/plain", "hello", Update{"emit", "message", "hello"}},
		{"text/plain; charset=utf-8", "héllo\r\n", Update{"emit", "message", "héllo\n"}},
		{"TEXT/PLAIN", "", Update{"emit", "message", ""}},
		{"application/json", `{"action":"append","target":"log","html":"<p>a</p>"}`, Update{"append", "log", "<p>a</p>"}},
		{"application/json; charset=utf-8", `{"action":"inner","target":"log","text":"<p>"}`, Update{"inner", "log", "&lt;p&gt;"}},
		{"application/json", ` {"action":"replace","target":"log","html":""} ` + "\n", Update{"replace", "log", ""}},
		{"application/json", `{"action":"prepend","target":"log","html":"\ud83d\ude00\u2028"}`, Update{"prepend", "log", "😀\u2028"}},
		{"application/json", `{"action":"before","target":"log","text":"a"}`, Update{"before", "log", "a"}},
		{"application/json", `{"action":"after","target":"log","text":"a"}`, Update{"after", "log", "a"}},
		{"application/json", `{"action":"remove","target":"log"}`, Update{"remove", "log", ""}},
		{"application/json", `{"action":"attr","target":"log","name":"title","value":"a\nb"}`, Update{"attr", "log", "title\na\nb"}},
		{"application/json", `{"action":"attr","target":"log","name":"hidden","value":""}`, Update{"attr", "log", "hidden\n"}},
		{"application/json", `{"action":"title","text":"a < b"}`, Update{"title", "", "a < b"}},
		{"application/json", `{"action":"reload"}`, Update{"reload", "", ""}},
		{"application/json", `{"event":"tick","data":"1"}`, Update{"emit", "tick", "1"}},
		{"application/json", `{"event":"","data":"1"}`, Update{"emit", "message", "1"}},
		{"application/json", `{"data":""}`, Update{"emit", "message", ""}},
	} {
		p := publisher()
		response := post(p, "log", test.kind, test.body)
		if response.StatusCode() != 201 || string(response.Header.ContentType()) != "application/json" {
			t.Errorf("%s: %d %q", test.body, response.StatusCode(), response.Body())
			continue
		}
		e := newest(t, p.Hub, "log")
		if want := fmt.Sprintf("{\"id\":%d}\n", e.ID); string(response.Body()) != want {
			t.Errorf("%s: the answer is %q, want %q", test.body, response.Body(), want)
		}
		if e.Update != test.want {
			t.Errorf("%s: the update is %q, want %q", test.body, e.Update, test.want)
		}
	}
}

// Whatever a text holds arrives as this text on every way to a page.
func TestPublishedTextArrivesAsText(t *testing.T) {
	for _, test := range escapes {
		body, err := json.Marshal(map[string]string{"action": "append", "target": "log", "text": test.in})
		if err != nil {
			t.Fatal(err)
		}
		p := publisher()
		if response := post(p, "log", "application/json", string(body)); response.StatusCode() != 201 {
			t.Errorf("%s: %d %q", test.name, response.StatusCode(), response.Body())
			continue
		}
		e := newest(t, p.Hub, "log")
		if want := strings.ReplaceAll(string(AppendHTML(nil, runes(test.in))), "\x00", "\ufdd0"); e.HTML != want {
			t.Errorf("%s: the update is %q, want %q", test.name, e.HTML, want)
		}
		if got, rest := updates(t, batchOf(Script{}, e)); len(got) != 1 || got[0] != e || rest != "" {
			t.Errorf("%s: a page gets %v and %q", test.name, got, rest)
		}
	}
}

func TestPublishingNeedsAKey(t *testing.T) {
	const says = `"Authorization: Bearer KEY"`
	for _, test := range []struct {
		name   string
		keys   []string
		header string
		status int
	}{
		{"the key", []string{"one", "two"}, "Bearer two", 201},
		{"the other key", []string{"one", "two"}, "Bearer one", 201},
		{"a key given twice", []string{"one", "one"}, "Bearer one", 201},
		{"no header", []string{"one"}, "", 401},
		{"a wrong key", []string{"one"}, "Bearer two", 401},
		{"a longer key", []string{"one"}, "Bearer one1", 401},
		{"a shorter key", []string{"one"}, "Bearer on", 401},
		{"another case", []string{"one"}, "Bearer ONE", 401},
		{"another scheme", []string{"one"}, "Basic one", 401},
		{"no scheme", []string{"one"}, "one", 401},
		{"the scheme in another case", []string{"one"}, "bearer one", 201},
		{"no keys", nil, "Bearer one", 401},
		{"no keys and no key", nil, "", 401},
		{"an empty key opens nothing", []string{""}, "", 401},
		{"an empty key opens nothing, with a scheme", []string{""}, "Bearer ", 401},
	} {
		p := &Publisher{Hub: new(Hub), Keys: test.keys}
		response := post(p, "log", "text/plain", "a", "Authorization: "+test.header)
		if response.StatusCode() != test.status {
			t.Errorf("%s: %d, want %d", test.name, response.StatusCode(), test.status)
			continue
		}
		if test.status == 401 {
			if !strings.Contains(string(response.Body()), says) || string(response.Header.Peek("WWW-Authenticate")) != "Bearer" {
				t.Errorf("%s: %q", test.name, response)
			}
			if p.Hub.Has("log") {
				t.Errorf("%s: the topic exists", test.name)
			}
		}
	}
}

func TestPublishRefusesAndSaysWhatWouldBeRight(t *testing.T) {
	const (
		plainText = "text/plain"
		asJSON    = "application/json"
		fields    = `send {"action":"append","target":"log","html":"<p>…</p>"}, the same with "text", or {"event":"name","data":"…"}`
		anID      = "it must be the id of an element"
	)
	for _, test := range []struct {
		topic, kind, body string
		status            int
		says              string
	}{
		{"log", "", "a", 415, "it must be text/plain or application/json"},
		{"log", "text/html", "a", 415, `"text/html": it must be text/plain or application/json`},
		{"log", "application/x-www-form-urlencoded", "a=b", 415, "it must be text/plain or application/json"},
		{"log", plainText, "a\xff", 400, "not UTF-8"},
		{"log", asJSON, "{\"data\":\"\xff\"}", 400, "not UTF-8"},
		{"log", asJSON, ``, 400, fields},
		{"log", asJSON, `{`, 400, fields},
		{"log", asJSON, `hello`, 400, fields},
		{"log", asJSON, `"hello"`, 400, fields},
		{"log", asJSON, `[]`, 400, fields},
		{"log", asJSON, `null`, 400, fields},
		{"log", asJSON, `{}`, 400, fields},
		{"log", asJSON, `{"data":1}`, 400, fields},
		{"log", asJSON, `{"data":"a","more":1}`, 400, `unknown field "more"`},
		{"log", asJSON, `{"data":"a"}{"data":"b"}`, 400, "goes on after the update; " + fields},
		{"log", asJSON, `{"data":"a"} x`, 400, "goes on after the update; " + fields},
		{"log", asJSON, `{"event":"tick"}`, 400, fields},
		{"log", asJSON, `{"event":"tick","html":"a"}`, 400, fields},
		{"log", asJSON, `{"target":"log","html":"a"}`, 400, fields},
		{"log", asJSON, `{"action":"append","target":"log"}`, 400, fields},
		{"log", asJSON, `{"action":"append","target":"log","html":"a","text":"b"}`, 400, fields},
		{"log", asJSON, `{"action":"append","target":"log","html":"a","name":"b"}`, 400, fields},
		{"log", asJSON, `{"action":"append","target":"log","html":"a","event":"b"}`, 400, fields},
		{"log", asJSON, `{"action":"append","target":"log","data":"a"}`, 400, fields},
		{"log", asJSON, `{"action":"remove","target":"log","html":"a"}`, 400, fields},
		{"log", asJSON, `{"action":"attr","target":"log","html":"title\na"}`, 400, fields},
		{"log", asJSON, `{"action":"attr","target":"log","name":"title"}`, 400, fields},
		{"log", asJSON, `{"action":"title","html":"a"}`, 400, fields},
		{"log", asJSON, `{"action":"title","text":"a","target":"log"}`, 400, fields},
		{"log", asJSON, `{"action":"reload","target":"log"}`, 400, fields},
		{"log", asJSON, `{"action":"emit","target":"tick","text":"a"}`, 400, fields},
		{"log", asJSON, `{"action":"append","html":"a"}`, 400, anID},
		{"log", asJSON, `{"action":"append","target":"a b","html":"a"}`, 400, anID},
		{"log", asJSON, `{"action":"remove"}`, 400, anID},
		{"log", asJSON, `{"action":"attr","target":"log","name":"a b","value":""}`, 400, "it needs one or more characters other than"},
		{"log", asJSON, `{"action":"explode","target":"log","html":"a"}`, 400, "it must be one of append, prepend"},
		{"log", asJSON, `{"action":"done","target":"","html":""}`, 400, "it must be one of append, prepend"},
		{"log", asJSON, `{"event":"append","data":"a"}`, 400, "choose another one"},
		{"log", asJSON, `{"event":"a\nb","data":"a"}`, 400, "no control character"},
		{"a b", plainText, "a", 400, ErrTopic.Error()},
		{"", plainText, "a", 400, ErrTopic.Error()},
		{strings.Repeat("a", 101), asJSON, `{"data":"a"}`, 400, ErrTopic.Error()},
		{"over", plainText, "a", 410, ErrTopicEnded.Error()},
	} {
		p := publisher()
		p.Hub.End("over")
		response := post(p, test.topic, test.kind, test.body)
		if response.StatusCode() != test.status || !strings.Contains(string(response.Body()), test.says) {
			t.Errorf("%s to %q: %d %q, want %d with %q", test.body, test.topic, response.StatusCode(), response.Body(), test.status, test.says)
		}
		if !strings.HasSuffix(string(response.Body()), "\n") || !strings.HasPrefix(string(response.Header.ContentType()), "text/plain") {
			t.Errorf("%s: the answer is not a line of text: %q", test.body, response)
		}
		if p.Hub.Has(test.topic) && test.topic != "over" {
			t.Errorf("%s: the topic exists", test.body)
		}
	}
}

func TestPublishRefusesAnEncodedBody(t *testing.T) {
	response := post(publisher(), "log", "text/plain", "a", "Content-Encoding: gzip")
	if response.StatusCode() != 415 || !strings.Contains(string(response.Body()), `"gzip": send the body as it is`) {
		t.Errorf("%d %q", response.StatusCode(), response.Body())
	}
}

func TestEndingATopicOverHTTP(t *testing.T) {
	p := publisher()
	end := func(topic, key string) *fasthttp.Response {
		ctx := new(fasthttp.RequestCtx)
		ctx.Request.Header.SetMethod("DELETE")
		ctx.Request.Header.Set("Authorization", "Bearer "+key)
		p.End(ctx, topic)
		return &ctx.Response
	}
	post(p, "log", "text/plain", "a")
	for _, test := range []struct {
		topic, key string
		status     int
		says       string
	}{
		{"log", "wrong", 401, "Authorization"},
		{"other", "key", 404, `there is no topic "other"`},
		{"a b", "key", 404, `there is no topic "a b"`},
		{"log", "key", 204, ""},
		{"log", "key", 204, ""},
	} {
		response := end(test.topic, test.key)
		if response.StatusCode() != test.status || !strings.Contains(string(response.Body()), test.says) {
			t.Errorf("%q: %d %q, want %d with %q", test.topic, response.StatusCode(), response.Body(), test.status, test.says)
		}
		if test.status != 204 && p.Hub.Feed("log").Ended() {
			t.Errorf("%q has ended the topic log", test.topic)
		}
	}
	if !p.Hub.Feed("log").Ended() {
		t.Error("the topic has not ended")
	}
}
