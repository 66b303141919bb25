package access

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttputil"
)

// caller returns a function that asks handler over a connection in memory.
func caller(t *testing.T, handler fasthttp.RequestHandler) func(method, path string, headers ...string) (*http.Response, string) {
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
	return func(method, path string, headers ...string) (*http.Response, string) {
		req, _ := http.NewRequest(method, "http://example.com"+path, nil)
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

func TestAnOriginIsWrittenAsBrowsersWriteIt(t *testing.T) {
	for origin, says := range map[string]string{
		"https://app.example":                 "",
		"http://localhost:3000":               "",
		"http://[::1]:3000":                   "",
		"capacitor://localhost":               "",
		"https://app.example:8443":            "",
		"http://app.example:443":              "",
		"*":                                   "name the origins one by one",
		"null":                                "name the origins one by one",
		"":                                    "it must be a scheme and a host",
		"app.example":                         "it must be a scheme and a host",
		"//app.example":                       "it must be a scheme and a host",
		"https://":                            "it must be a scheme and a host",
		"https:app.example":                   "it must be a scheme and a host",
		"https://app.example/":                "it must be a scheme and a host",
		"https://app.example/path":            "it must be a scheme and a host",
		"https://app.example?a":               "it must be a scheme and a host",
		"https://app.example#a":               "it must be a scheme and a host",
		"https://me@app.example":              "it must be a scheme and a host",
		"https://*.app.example":               "it must be a scheme and a host",
		"https://App.example":                 "it must be a scheme and a host",
		"HTTPS://app.example":                 "it must be a scheme and a host",
		"https://app.example:443":             "it must be a scheme and a host",
		"http://app.example:80":               "it must be a scheme and a host",
		"https://app.example:":                "it must be a scheme and a host",
		"https://a.example,https://b.example": "it must be a scheme and a host",
		" https://app.example":                "it must be a scheme and a host",
		"https://app.example\r\nX: y":         "it must be a scheme and a host",
	} {
		err := Origins{"https://first.example", origin}.Check()
		if says == "" && err != nil || says != "" && (err == nil || !strings.Contains(err.Error(), says)) {
			t.Errorf("%q: %v, want %q", origin, err, says)
		}
	}
}

func TestOnlyTheseOriginsAreAllowed(t *testing.T) {
	origins := Origins{"https://app.example", "https://b.example"}
	ask := caller(t, func(req *fasthttp.RequestCtx) {
		if req.IsOptions() {
			origins.Preflight(req)
			return
		}
		origins.Allow(req)
	})
	for origin, allowed := range map[string]bool{
		"https://app.example":      true,
		"https://b.example":        true,
		"https://app.example.evil": false,
		"https://sub.app.example":  false,
		"http://app.example":       false,
		"https://app.example:444":  false,
		"null":                     false,
		"*":                        false,
		"":                         false,
	} {
		for _, method := range []string{"GET", "OPTIONS"} {
			answer, _ := ask(method, "/", "Origin", origin, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization")
			header, want := answer.Header, origin
			if !allowed {
				want = ""
			}
			if header.Get("Access-Control-Allow-Origin") != want || (header.Get("Access-Control-Allow-Credentials") == "true") != allowed || header.Get("Vary") != "Origin" {
				t.Errorf("%s from %q: %v", method, origin, header)
			}
			if method == "OPTIONS" {
				if answer.StatusCode != 204 || (header.Get("Access-Control-Allow-Methods") == "GET, HEAD, POST, DELETE") != allowed || strings.Contains(header.Get("Access-Control-Allow-Headers"), "Authorization") != allowed {
					t.Errorf("%s from %q: %s %v", method, origin, answer.Status, header)
				}
			}
		}
	}
}
