package stream

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

// In 2026 one library of server-sent events after the other was found to write
// line ends of others into its stream, most often a lone CR. Each test here is
// the attack of one of those reports.

// refusesName checks that no event has name: the constructor's update cannot be
// sent, a publisher gets 400, and the encoder makes one event of it all the same.
func refusesName(t *testing.T, name string) {
	t.Helper()
	u := Emit(name, "hello")
	if err := u.Check(); !errors.Is(err, ErrUpdate) {
		t.Errorf("%q is a name: %v", name, err)
	}
	refusesJSON(t, map[string]any{"event": name, "data": "hello"}, "the event name")
	if got, unknown := parseSSE("retry: 1\n" + batchOf(SSE{}, Event{ID: 7, Update: u})); len(unknown) > 0 || len(got) != 1 || got[0].ID != "7" || got[0].Data != "hello" || got[0].Retry != "1" {
		t.Errorf("%q is encoded as %q with the fields %q", name, got, unknown)
	}
}

// refusesJSON checks that message cannot be published, and that the answer says
// why.
func refusesJSON(t *testing.T, message map[string]any, says string) {
	t.Helper()
	body, err := json.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	p := publisher()
	if response := post(p, "log", "application/json", string(body)); response.StatusCode() != 400 || !strings.Contains(string(response.Body()), says) {
		t.Errorf("%s: %d %s", body, response.StatusCode(), response.Body())
	}
	if p.Hub.Has("log") {
		t.Errorf("%s has made a topic", body)
	}
}

// refusesField checks that a publisher cannot choose a field.
func refusesField(t *testing.T, field string, value any) {
	t.Helper()
	refusesJSON(t, map[string]any{"data": "hello", field: value}, "unknown field")
}

// isData checks that text is the data of one event and nothing else, in both forms
// and published in both ways.
func isData(t *testing.T, text string) {
	t.Helper()
	want := lineFeeds.Replace(text)
	body, err := json.Marshal(map[string]string{"event": "message", "data": text})
	if err != nil {
		t.Fatal(err)
	}
	events := []Event{{ID: 7, Update: Emit("message", text)}}
	for kind, body := range map[string]string{"text/plain": text, "application/json": string(body)} {
		p := publisher()
		if response := post(p, "log", kind, body); response.StatusCode() != 201 {
			t.Fatalf("%s: %d %s", kind, response.StatusCode(), response.Body())
		}
		events = append(events, newest(t, p.Hub, "log"))
	}
	for _, e := range events {
		id := formatID(e.ID)
		for sse, want := range map[SSE]sseEvent{
			{Retry: 1e9}:             {id, "message", want, "1000"},
			{Retry: 1e9, Beat: true}: {id, "emit", "message\n" + want, ""},
		} {
			got, unknown := parseSSE(string(sse.AppendStart(nil)) + batchOf(sse, e))
			if sse.Beat {
				got = got[1:] // the first is a beat
			}
			if !slices.Equal(got, []sseEvent{want}) || len(unknown) > 0 {
				t.Errorf("%q is %q with the fields %q, want %q", text, got, unknown, want)
			}
		}
	}
}

// isNoPlace checks that an id that a browser says it has seen does not come back:
// it is a place where nothing is.
func isNoPlace(t *testing.T, id string) {
	t.Helper()
	var place uint64
	s := serve(t, "memory", func(_ *site, req *fasthttp.RequestCtx) {
		ServeSSE(req, func(_ context.Context, page *Page) error {
			place = page.LastEventID
			return page.Send(Emit("", "hello"))
		})
	})
	response, body := s.get(t, "/?after="+url.QueryEscape(id))
	if got, unknown := parseSSE(body); len(got) != 2 || got[0].ID != "" || got[0].Data != "hello" || got[1].Name != ActionDone || len(unknown) > 0 {
		t.Errorf("after %q come %q with the fields %q", id, got, unknown)
	}
	if place != noEvent || len(response.Header["Set-Cookie"]) > 0 {
		t.Errorf("%q is the place %d; the head is %v", id, place, response.Header)
	}
}

// GHSA-22cc-p3c6-wpvm, CVE-2026-33128: id, event, data and comment were written as
// they were.
func TestAdvisoryH3FieldsLF(t *testing.T) {
	refusesName(t, "message\nevent: admin\ndata: ALL_USERS_HACKED")
	isData(t, "bob: hi\n\nevent: system\ndata: Reset: evil.example\n\n")
	isData(t, "x\nretry: 1")
	isData(t, "x\nid: 0")
	isNoPlace(t, "1\nevent: admin\ndata: x\n\n")
}

// GHSA-4hxc-9384-m385: data and comment were split at LF only.
func TestAdvisoryH3DataCR(t *testing.T) {
	isData(t, "legit\revent: evil\rdata: injected\r\rdata: more")
	isData(t, "legit\r\n\revent: evil")
	isData(t, "\r")
}

// GHSA-p6xx-57qc-3wxr, CVE-2026-29085: event, id and retry had no check for CR and
// LF.
func TestAdvisoryHonoEventFieldCRLF(t *testing.T) {
	for _, end := range []string{"\n", "\r", "\r\n"} {
		refusesName(t, "test"+end+"event: injected")
		refusesName(t, "test"+end+"data: <img src=x onerror=hit()>"+end+end)
		isNoPlace(t, "1"+end+"data: injected")
	}
}

// honojs/hono#5299: retry still had none.
func TestAdvisoryHonoRetryCRLF(t *testing.T) {
	refusesField(t, "retry", "0\r\nevent: admin\r\ndata: pwned\r\n\r\n")
	refusesField(t, "retry", 1)
	refusesJSON(t, map[string]any{"event": ActionBeat, "data": "0\r\nevent: admin"}, "reserved") // which sets the time of the browser's half
}

// fanout/django-eventstream#185: event_type and event_id as they were, data split
// at LF only.
func TestAdvisoryDjangoEventstream(t *testing.T) {
	refusesName(t, "x\nevent: spoofed")
	refusesName(t, "x\n\nevent: spoofed\ndata: {}\n\n")
	isNoPlace(t, "1\nevent: spoofed")
	isData(t, "x\revent: spoofed\rdata: {}\r\r")
}

// singingwolfboy/flask-sse#40: type, id and retry as they were.
func TestAdvisoryFlaskSSE(t *testing.T) {
	refusesName(t, "greeting\ndata:injected\n\nevent:fake")
	refusesField(t, "type", "x\n\ndata:injected")
	refusesField(t, "id", "1\n\nevent:fake\ndata:injected\n\n")
	refusesField(t, "retry", "1\n\nevent:fake\ndata:injected\n\n")
}

// dpskvn/express-sse#60: id and event as they were.
func TestAdvisoryExpressSSE(t *testing.T) {
	refusesField(t, "id", "abc\ndata: injected-event\n\nid: next")
	refusesName(t, "msg\ndata: injected-event\n\nid: next")
	isNoPlace(t, "abc\ndata: injected-event\n\nid: next")
}

// mpetrunic/fastify-sse-v2#110: data split at LF only; event, id and comment as
// they were.
func TestAdvisoryFastifySSEV2(t *testing.T) {
	isData(t, "hello\revent: admin\rdata: {\"role\":\"admin\"}\r\r")
	refusesName(t, "x\revent: admin")
	refusesField(t, "comment", "x\n\nevent: admin\ndata: y\n\n")
	refusesField(t, "id", "1\revent: admin")
}

// yklykl530/koa-sse#13: all fields as they were, data too.
func TestAdvisoryKoaSSE(t *testing.T) {
	refusesName(t, "update\ndata:fake\n\n")
	isData(t, "x\n\nevent:update\ndata:fake\n\n")
	isData(t, "x\rid:1")
}

// javalin/javalin#2579: event and id as they were.
func TestAdvisoryJavalin(t *testing.T) {
	refusesName(t, "ping\ndata: malicious")
	refusesName(t, "ping\r\ndata: malicious\r\n\r\n")
	isNoPlace(t, "1\r\ndata: malicious")
}

// fastapi/fastapi#15187: event and id as they were, so that a name in a query was
// enough.
func TestAdvisoryFastAPI(t *testing.T) {
	query, err := url.ParseQuery("type=chat%0Adata:%20injected&id=1%0D%0Aevent:%20admin")
	if err != nil {
		t.Fatal(err)
	}
	refusesName(t, query.Get("type"))
	isNoPlace(t, query.Get("id"))
	for _, topic := range []string{query.Get("type"), "log\r", "log\n\ndata: x"} {
		if response := post(publisher(), topic, "text/plain", "x"); response.StatusCode() != 400 || !strings.Contains(string(response.Body()), ErrTopic.Error()) {
			t.Errorf("the topic %q: %d %s", topic, response.StatusCode(), response.Body())
		}
	}
}

// GHSA-84hm-wfh8-c5pg, CVE-2026-44217, rexxars/sse-channel#42: event, retry and id
// as they were.
func TestAdvisorySSEChannel(t *testing.T) {
	refusesName(t, "message\n\nevent: spoofed\ndata: x\n\n")
	refusesField(t, "retry", "1\nevent: spoofed")
	refusesField(t, "id", "1\nevent: spoofed")
}

// GHSA-m9g3-3g99-mhpx: eventsource-encoder had event and id as they were.
func TestAdvisoryEventSourceEncoder(t *testing.T) {
	for _, end := range []string{"\n", "\r", "\r\n"} {
		refusesName(t, "message"+end+"event: admin"+end+`data: {"role":"admin"}`)
		isNoPlace(t, "1"+end+"event: admin")
	}
}
