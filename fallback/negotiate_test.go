package fallback

import (
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

// asking returns a request for path with an Accept header, none if it is empty.
func asking(path, accept string) *fasthttp.RequestCtx {
	req := &fasthttp.RequestCtx{}
	req.Request.SetRequestURI("http://example.com" + path)
	if accept != "" {
		req.Request.Header.Set(fasthttp.HeaderAccept, accept)
	}
	return req
}

func TestTheQueryChoosesTheTransport(t *testing.T) {
	for _, name := range []string{"script", "sse", "frame"} {
		got, err := choose(asking("/?transport="+name, "image/png"), transportScript, transportSSE, transportFrame)
		if got != name || err != nil {
			t.Errorf("transport=%s chooses %q, %v", name, got, err)
		}
	}
	_, err := choose(asking("/?transport=script", ""), transportSSE, transportFrame)
	if err == nil || !strings.Contains(err.Error(), "one of sse, frame") {
		t.Errorf("a transport that is not offered: %v", err)
	}
}

func TestTheAcceptHeaderChoosesTheTransport(t *testing.T) {
	for accept, want := range map[string]string{
		"":                                  "sse",
		"*/*":                               "sse",
		"text/event-stream":                 "sse",
		"text/html":                         "frame",
		"TEXT/HTML":                         "frame",
		"text/html, text/event-stream":      "sse",
		"text/html;level=1;q=0.9,*/*;q=0.8": "frame",
		"text/html;q=0.2, text/event-stream;q=0.3":   "sse",
		"text/*;q=0.5, text/event-stream;q=0.1":      "frame",
		"text/event-stream;q=0, */*":                 "frame",
		"text/event-stream;q=nonsense, text/html":    "frame",
		"text/event-stream; q=NaN, text/html;q=0.01": "frame",
	} {
		if got, err := choose(asking("/", accept), transportSSE, transportFrame); got != want || err != nil {
			t.Errorf("Accept %q chooses %q, %v, not %q", accept, got, err, want)
		}
	}
	for _, accept := range []string{"image/png", "text/html;q=0, text/event-stream;q=0", "text"} {
		_, err := choose(asking("/", accept), transportSSE, transportFrame)
		if err == nil || !strings.Contains(err.Error(), "text/event-stream, text/html") {
			t.Errorf("Accept %q: %v", accept, err)
		}
	}
}

func TestAPageIsWantedUnlessAStreamIs(t *testing.T) {
	for _, test := range []struct {
		path, accept string
		want         bool
	}{
		{"/", "", true},
		{"/", "text/html", true},
		{"/", "*/*", true},
		{"/", "text/event-stream", false},
		{"/?transport=sse", "text/html", false},
		{"/?transport=frame", "text/html", false},
	} {
		req := asking(test.path, test.accept)
		if got := WantsPage(req); got != test.want {
			t.Errorf("%s with Accept %q: %v", test.path, test.accept, got)
		}
	}
}
