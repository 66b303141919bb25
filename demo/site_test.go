package demo

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"foreverframe/stream"

	"github.com/valyala/fasthttp"
)

// ask sends a request and returns the answer's status and body.
func ask(t *testing.T, method, url, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(text)
}

func TestWrongInputIsToldWhatWouldBeRight(t *testing.T) {
	site := &Site{Keys: []string{"key"}}
	address := serveSite(t, site)
	site.Hub.Publish("ended", stream.Title("x"))
	site.Hub.End("ended")
	authorized := []string{"Authorization", "Bearer key", "Content-Type", "application/json"}
	for _, test := range []struct {
		method, path, body string
		headers            []string
		status             int
		says               string
	}{
		{"GET", "/demo/job?n=-1", "", nil, 400, "whole number from 0 to 1000000"},
		{"GET", "/demo/job?n=many", "", nil, 400, "whole number"},
		{"GET", "/demo/job?size=0", "", nil, 400, "from 1 to 1048576"},
		{"GET", "/demo/job?delay=abc", "", nil, 400, "for example delay=10ms"},
		{"GET", "/demo/job?delay=-1s", "", nil, 400, "from 0s to 1m0s"},
		{"GET", "/demo/job?transport=pigeon", "", nil, 400, "one of script, sse, frame"},
		{"GET", "/demo/template?buffer=0", "", nil, 400, "from 1 to 1000"},
		{"GET", "/demo/nothing", "", nil, 404, "/ lists what there is"},
		{"PUT", "/demo/hello", "", nil, 405, "use GET, HEAD"},
		{"GET", "/feeds/nothing", "", nil, 404, "publish to it first"},
		{"GET", "/feeds/log,nothing", "", nil, 404, "no feed \"nothing\" now: publish to it first"},
		{"GET", "/feeds/no%20topic", "", nil, 400, "1 to 100 characters"},
		{"GET", "/feeds/log,no%20topic", "", nil, 400, "feed \"no topic\": a topic's name"},
		{"GET", "/feeds/log,", "", nil, 400, "1 to 100 characters"},
		{"GET", "/feeds/log?after=yesterday", "", nil, 400, "the id of an event, or 0"},
		{"GET", "/feeds/log?transport=pigeon", "", nil, 400, "one of sse, frame"},
		{"GET", "/feeds/log", "", []string{"Accept", "image/png"}, 406, "text/event-stream, text/html"},
		{"GET", "/compare/pane?name=x", "", nil, 400, "job-script"},
		{"POST", "/feeds/log", "{}", nil, 401, "Authorization: Bearer KEY"},
		{"POST", "/feeds/log", "{}", []string{"Authorization", "Bearer other"}, 401, "Authorization: Bearer KEY"},
		{"POST", "/feeds/log", "{}", []string{"Authorization", "Bearer key"}, 415, "text/plain or application/json"},
		{"POST", "/feeds/log", "{}", authorized, 400, `send {"action"`},
		{"POST", "/feeds/log", `{"action":"explode","target":"x","html":""}`, authorized, 400, "must be one of append"},
		{"POST", "/feeds/log", `{"data":"` + strings.Repeat("x", maxBody) + `"}`, authorized, 413, "at most 1048576 bytes"},
		{"POST", "/feeds/log", "{\"data\":\"1\"}\n{}", append([]string{"Content-Type", "application/x-ndjson"}, authorized[:2]...), 400, "line 2 has fields"},
		{"POST", "/feeds/log", `{"data":"x"}`, append([]string{"Idempotency-Key", "a b"}, authorized...), 400, "visible ASCII"},
		{"POST", "/feeds/log", `{"data":"` + strings.Repeat("x", 256<<10) + `"}`, authorized, 413, "it may have at most 262144"},
		{"POST", "/feeds/log,clock", `{"data":"x"}`, authorized, 400, "1 to 100 characters"},
		{"POST", "/feeds/no%20topic", `{"data":"x"}`, authorized, 400, "1 to 100 characters"},
		{"POST", "/feeds/ended", `{"data":"x"}`, authorized, 410, "has ended"},
		{"DELETE", "/feeds/nothing", "", authorized, 404, "no topic"},
		{"DELETE", "/feeds/log", "", nil, 401, "Authorization: Bearer KEY"},
		{"GET", "/feeds/ended", "", nil, 204, ""},
	} {
		answer, text := ask(t, test.method, address+test.path, test.body, test.headers...)
		if answer.StatusCode != test.status || !strings.Contains(text, test.says) {
			t.Errorf("%s %s: %d %q, not %d with %q", test.method, test.path, answer.StatusCode, text, test.status, test.says)
		}
	}
}

func TestOneURLServesSeveralTopics(t *testing.T) {
	site := &Site{}
	address := serveSite(t, site)
	for n, topic := range []string{"a", "b", "c", "a"} {
		site.Hub.Publish(topic, stream.Emit("", topic+strconv.Itoa(n)))
	}
	site.Hub.End("a")
	site.Hub.End("b")
	_, text := ask(t, "GET", address+"/feeds/b%2Ca?after=0&transport=sse", "")
	var got []string
	for line := range strings.Lines(text) {
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			got = append(got, strings.TrimSpace(data))
		}
	}
	if want := []string{"a0", "b1", "a3", ""}; !slices.Equal(got, want) {
		t.Errorf("the stream has %q, not %q", got, want)
	}
}

func TestTheSitesOwnFeedsAreThereBeforeTheirFirstEvent(t *testing.T) {
	address := serveSite(t, &Site{})
	answer, err := http.Get(address + "/feeds/clock,log?transport=sse")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Error(answer.Status)
	}
}

func TestOneURLServesThePageAndItsStream(t *testing.T) {
	address := serveSite(t, &Site{})
	for accept, want := range map[string]string{
		"":                                   "text/html; charset=utf-8",
		"*/*":                                "text/html; charset=utf-8",
		"text/html":                          "text/html; charset=utf-8",
		"text/event-stream":                  "text/event-stream; charset=utf-8",
		"text/html;q=0.5, text/event-stream": "text/event-stream; charset=utf-8",
	} {
		req, _ := http.NewRequest("GET", address+"/demo/spinner", nil)
		req.Header.Set("Accept", accept)
		answer, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if got := answer.Header.Get("Content-Type"); got != want || answer.Header.Get("Vary") != "Accept" || answer.Header.Get("ETag") != "" {
			t.Errorf("Accept %q: %s, Vary %q, ETag %q", accept, got, answer.Header.Get("Vary"), answer.Header.Get("ETag"))
		}
		answer.Body.Close()
	}
}

func TestOnlyAllowedOriginsReadWithCookies(t *testing.T) {
	address := serveSite(t, &Site{Origins: []string{"https://app.example"}})
	for origin, allowed := range map[string]string{
		"https://app.example":      "https://app.example",
		"https://app.example.evil": "",
		"null":                     "",
		"":                         "",
	} {
		req, _ := http.NewRequest("GET", address+"/demo/ping?transport=sse", nil)
		req.Header.Set("Origin", origin)
		answer, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		header := answer.Header
		if got := header.Get("Access-Control-Allow-Origin"); got != allowed || (header.Get("Access-Control-Allow-Credentials") == "true") != (allowed != "") || !strings.Contains(strings.Join(header.Values("Vary"), ","), "Origin") {
			t.Errorf("origin %q: %v", origin, header)
		}
	}
}

func TestThePipeShowsLinesToThoseWhoComeLate(t *testing.T) {
	site := &Site{}
	address := serveSite(t, site)
	input := "first\r\nsecond <b>\n" + strings.Repeat("x", maxLine+10) + "\n" + strings.Repeat("x", maxLine-1) + "中文\nlast without an end"
	if err := site.Pipe(t.Context(), strings.NewReader(input)); err != nil {
		t.Fatal(err)
	}
	answer, err := http.Get(address + "/feeds/log?transport=sse&after=0")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 2*maxLine)
	var got []string
	for len(got) < 7 && lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), "data: <span>"); ok {
			got = append(got, text)
		}
	}
	want := []string{"first", "second &lt;b&gt;", strings.Repeat("x", maxLine), strings.Repeat("x", 10), strings.Repeat("x", maxLine-1), "中文", "last without an end"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the lines are %.100q, not %.100q", got, want)
	}
}

func TestAFinishedStreamSaysSo(t *testing.T) {
	address := serveSite(t, &Site{})
	_, text := ask(t, "GET", address+"/demo/job?n=2&delay=0s&transport=sse", "")
	if !strings.HasSuffix(text, "id: done\nevent: done\ndata: \n\n") {
		t.Errorf("the stream ends with %q", text)
	}
	answer, _ := ask(t, "GET", address+"/demo/job?n=2&delay=0s&transport=sse", "", "Last-Event-ID", "done")
	if answer.StatusCode != http.StatusNoContent {
		t.Errorf("who has seen the end gets %s", answer.Status)
	}
	_, text = ask(t, "GET", address+"/demo/job?n=3&delay=0s&transport=sse", "", "Last-Event-ID", "2")
	if strings.Contains(text, "ev-2-") || !strings.Contains(text, "ev-3-") {
		t.Errorf("after update 2 comes %q", text)
	}
}

func TestAPanicInAHandlerIsAnswered(t *testing.T) {
	address := serve(t, func(req *fasthttp.RequestCtx) {
		defer func() { panicked(req, recover()) }()
		panic("on purpose")
	})
	answer, text := ask(t, "GET", address+"/", "")
	if answer.StatusCode != 500 || strings.Contains(text, "on purpose") {
		t.Errorf("%s: %q", answer.Status, text)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	(&Site{}).Run(ctx)
}
