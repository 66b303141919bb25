package demo

import (
	"bufio"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"foreverframe/stream/hostiletest"

	"github.com/valyala/fasthttp/fasthttputil"
)

const allowedOrigin = "https://app.example"

// heads are the headers that the site answers with, and all that each may be.
var heads = map[string]*regexp.Regexp{
	"Server":                           whole("foreverframe"),
	"Date":                             whole(`[A-Za-z]{3}, [0-9A-Za-z :]+`),
	"Content-Type":                     whole(`(text/(plain|html|css|javascript|event-stream); charset=utf-8|application/json)`),
	"Content-Length":                   whole(`\d+`),
	"Transfer-Encoding":                whole(`chunked`),
	"Connection":                       whole(`close`),
	"Content-Encoding":                 whole(`gzip|br|zstd`),
	"Cache-Control":                    whole(`no-cache, no-store, no-transform|max-age=60`),
	"X-Accel-Buffering":                whole(`no`),
	"X-Content-Type-Options":           whole(`nosniff`),
	"X-Frame-Options":                  whole(`SAMEORIGIN`),
	"Content-Security-Policy":          whole(`script-src '(none|nonce-[A-Za-z0-9+/]{22})'; object-src 'none'; base-uri 'none'; frame-ancestors 'self'`),
	"Vary":                             whole(`Origin|Accept|Accept-Encoding|User-Agent`),
	"Access-Control-Allow-Origin":      whole(regexp.QuoteMeta(allowedOrigin)),
	"Access-Control-Allow-Credentials": whole(`true`),
	"Www-Authenticate":                 whole(`Bearer`),
	"Retry-After":                      whole(`\d+`),
	"Allow":                            whole(`[A-Z]+(, [A-Z]+)*`),
}

func whole(pattern string) *regexp.Regexp { return regexp.MustCompile(`^(` + pattern + `)$`) }

// said are the headers in which a client says something.
var said = []string{
	"Accept", "Accept-Encoding", "Authorization", "Content-Encoding", "Content-Type", "Cookie", "Idempotency-Key", "If-None-Match", "Last-Event-ID",
	"Origin", "Range", "Referer", "User-Agent", "X-Forwarded-For", "X-Forwarded-Host", "X-HTTP-Method-Override", "X-Request-ID",
}

// oneLine keeps text from ending a line of a request; that is for tests of HTTP.
var oneLine = strings.NewReplacer("\r", "", "\n", "")

// Whatever a client says, the head of the answer is the site's own.
func FuzzTheHeadOfAnAnswerIsTheSitesOwn(f *testing.F) {
	methods := []string{"GET", "POST", "HEAD", "DELETE", "OPTIONS"}
	paths := []string{"/", "/demo/echo?text=", "/demo/job?n=", "/feeds/log", "/feeds/log?after=", "/feeds/log?transport=", "/feeds/", "/DEMO/echo/?", "/compare/pane?name=job-sse&run="}
	for i, text := range hostiletest.Seeds() {
		query := text
		if i%2 == 0 {
			query = percent(text)
		}
		f.Add(uint8(i/2), paths[i%len(paths)], query, text)
	}
	f.Add(uint8('g'), "feEds/", "%00", "0")
	listener := fasthttputil.NewInmemoryListener()
	server := (&Site{Keys: []string{"key"}, Origins: []string{allowedOrigin}}).Server()
	server.Logger = silent{}
	go server.Serve(listener) // ends with the listener
	f.Cleanup(func() { listener.Close() })

	f.Fuzz(func(t *testing.T, method uint8, path, query, header string) {
		if len(path)+len(query)+len(said)*len(header) > maxHead/2 {
			header = "too long" // for a request
		}
		conn, err := listener.Dial()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		name := methods[int(method)%len(methods)]
		request := name + " /" + strings.TrimPrefix(oneLine.Replace(path+query), "/") + " HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n"
		for _, name := range said {
			request += name + ": " + oneLine.Replace(header) + "\r\n"
		}
		go fmt.Fprintf(conn, "%s\r\n", request) // which a server that refuses it does not read to the end
		answer, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: "HEAD"})
		if err != nil {
			t.Fatalf("%v after %q", err, request)
		}
		for name, values := range answer.Header {
			for _, value := range values {
				if may := heads[name]; may == nil || !may.MatchString(value) {
					t.Errorf("%q is answered with %s: %q", request, name, value)
				}
			}
		}
		kind := answer.Header.Get("Content-Type")
		if (answer.StatusCode >= 400 || answer.Header.Get("X-Accel-Buffering") != "") && answer.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%q: %s without nosniff", request, kind)
		}
		if strings.HasPrefix(kind, "text/html") && answer.Header.Get("Content-Security-Policy") == "" {
			t.Errorf("%q: a page without a policy", request)
		}
	})
}

// silent is a log of which nobody wants anything.
type silent struct{}

func (silent) Printf(string, ...any) {}
