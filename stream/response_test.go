package stream

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

// job is a page that sends two updates, each when next allows it.
func job(next <-chan struct{}) Source {
	return func(ctx context.Context, page *Page) error {
		for _, target := range []string{"a", "b"} {
			<-next
			page.Send(Remove(target))
		}
		return nil
	}
}

// always allows every update.
func always() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

func TestTheHeadersOfAStream(t *testing.T) {
	onEveryNetwork(t, func(t *testing.T, network string) {
		s := serve(t, network, func(s *site, req *fasthttp.RequestCtx) {
			req.Response.Header.Set("X-Mine", "kept")
			if string(req.Path()) == "/sse" {
				ServeSSE(req, job(always()))
			} else {
				ServePage(req, markup("<h1>"), job(always()))
			}
		})
		for path, kind := range map[string]string{"/": "text/html; charset=utf-8", "/sse": "text/event-stream; charset=utf-8"} {
			response, _ := s.get(t, path)
			for name, want := range map[string]string{
				"Content-Type":           kind,
				"Cache-Control":          "no-cache, no-store, no-transform",
				"X-Accel-Buffering":      "no",
				"X-Content-Type-Options": "nosniff",
				"X-Mine":                 "kept",
				"Content-Length":         "",
				"Etag":                   "",
				"Last-Modified":          "",
				"Connection":             "",
			} {
				if got := response.Header.Get(name); got != want {
					t.Errorf("%s: %s is %q, want %q", path, name, got, want)
				}
			}
			if response.StatusCode != 200 || !slices.Equal(response.TransferEncoding, []string{"chunked"}) {
				t.Errorf("%s: status %d, transfer encoding %q", path, response.StatusCode, response.TransferEncoding)
			}
			if policy := response.Header.Get("Content-Security-Policy"); (policy != "") != (path == "/") {
				t.Errorf("%s: the policy is %q", path, policy)
			}
		}
	})
}

func TestEveryFlushIsOneChunkAndLeavesAtOnce(t *testing.T) {
	onEveryNetwork(t, func(t *testing.T, network string) {
		next := make(chan struct{})
		s := serve(t, network, func(s *site, req *fasthttp.RequestCtx) {
			Response{Transport: plain{}, Shell: markup("<h1>"), Source: job(next)}.Serve(req)
		})
		c := s.connect(t)
		c.ask("GET /")
		c.head()
		want := func(want string) {
			t.Helper()
			if got := c.chunk(); got != want {
				t.Errorf("the chunk is %q, want %q", got, want)
			}
		}
		want("<h1>")
		next <- struct{}{}
		want("([remove a])")
		next <- struct{}{}
		want("([remove b])")
		want("([done ])")
		want("")
	})
}

func TestAHeadRequestGetsTheHeadersOnly(t *testing.T) {
	onEveryNetwork(t, func(t *testing.T, network string) {
		s := serve(t, network, func(s *site, req *fasthttp.RequestCtx) {
			ServePage(req, markup("<h1>"), func(context.Context, *Page) error {
				if req.IsHead() {
					t.Error("the source of a HEAD request runs")
				}
				return nil
			})
		})
		c := s.connect(t)
		for range 3 {
			c.ask("HEAD /")
			response := c.head()
			if response.StatusCode != 200 || response.Header.Get("Content-Type") != "text/html; charset=utf-8" {
				t.Errorf("%d %q", response.StatusCode, response.Header)
			}
		}
		c.ask("GET /")
		if c.head(); !strings.HasPrefix(c.body(), "<h1>") {
			t.Error("the connection does not go on to work")
		}
		old := s.connect(t)
		old.ask("HEAD / HTTP/1.0")
		if response := old.head(); len(response.TransferEncoding) > 0 || old.rest() != "" {
			t.Errorf("HTTP/1.0: %q", response.TransferEncoding)
		}
	})
}

func TestAnOldClientGetsABodyThatEndsWithTheConnection(t *testing.T) {
	onEveryNetwork(t, func(t *testing.T, network string) {
		s := serve(t, network, func(s *site, req *fasthttp.RequestCtx) {
			req.SetStatusCode(fasthttp.StatusNotFound)
			req.Response.Header.Set("X-Mine", "kept")
			Response{Transport: plain{}, Shell: markup("<h1>"), Source: job(always())}.Serve(req)
		})
		for _, header := range []string{"Connection: close", "Connection: keep-alive", "X-None: none"} {
			c := s.connect(t)
			c.ask("GET / HTTP/1.0", header)
			response := c.head()
			if len(response.TransferEncoding) > 0 || response.Header.Get("Content-Length") != "" || response.Header.Get("X-Mine") != "kept" {
				t.Errorf("%s: %q %q", header, response.TransferEncoding, response.Header)
			}
			if response.Header.Get("Connection") == "keep-alive" {
				t.Errorf("%s: the connection is kept", header)
			}
			if response.StatusCode != 404 {
				t.Errorf("%s: the status is %d, and the handler had set 404", header, response.StatusCode)
			}
			if got := c.rest(); got != "<h1>([remove a])([remove b])([done ])" {
				t.Errorf("%s: the body is %q", header, got)
			}
		}
	})
}

func TestAConnectionGoesOnAfterAStream(t *testing.T) {
	onEveryNetwork(t, func(t *testing.T, network string) {
		s := serve(t, network, func(s *site, req *fasthttp.RequestCtx) {
			if string(req.Path()) == "/plain" {
				req.SetBodyString("plain")
				return
			}
			Response{Transport: plain{}, Source: job(always())}.Serve(req)
		})
		c := s.connect(t)
		const want = "([remove a])([remove b])([done ])"
		for range 3 {
			c.ask("GET /")
			if c.head(); c.body() != want {
				t.Error("a stream behind a stream is broken")
			}
		}
		// pipelined, in one write: a connection in memory holds no more than that
		io.WriteString(c, strings.Repeat("GET / HTTP/1.1\r\nHost: example.com\r\n\r\nGET /plain HTTP/1.1\r\nHost: example.com\r\n\r\n", 3))
		for range 3 {
			if c.head(); c.body() != want {
				t.Error("a pipelined stream is broken")
			}
			body := make([]byte, c.head().ContentLength)
			if io.ReadFull(c.r, body); string(body) != "plain" {
				t.Errorf("the answer behind a stream is %q", body)
			}
		}
	})
}

func TestThePolicyOfAPageAllowsItsOwnScriptsOnly(t *testing.T) {
	s := serve(t, "memory", func(s *site, req *fasthttp.RequestCtx) {
		if string(req.Path()) == "/mine" {
			req.Response.Header.Set("Content-Security-Policy", "default-src 'self'")
		}
		ServePage(req, markup(`<script nonce="`+Nonce(req)+`">ff()`+"</script>"), job(always()))
	})
	c := s.connect(t)
	seen := make(map[string]bool)
	for range 10 {
		c.ask("GET /")
		policy := c.head().Header.Get("Content-Security-Policy")
		_, nonce, _ := strings.Cut(policy, "script-src 'nonce-")
		nonce, rest, _ := strings.Cut(nonce, "'")
		if len(nonce) < 22 || seen[nonce] {
			t.Errorf("the nonce of %q is short or not new", policy)
		}
		if rest != "; object-src 'none'; base-uri 'none'; frame-ancestors 'self'" {
			t.Errorf("the policy goes on with %q", rest)
		}
		seen[nonce] = true
		body := c.body()
		if n := strings.Count(body, `<script nonce="`+nonce+`">`); n != 4 || strings.Count(body, "<script") != 4 {
			t.Errorf("%d of the scripts have the nonce %q: %q", n, nonce, body)
		}
	}
	if response, _ := s.get(t, "/mine"); response.Header.Get("Content-Security-Policy") != "default-src 'self'" {
		t.Errorf("the handler's own policy becomes %q", response.Header.Get("Content-Security-Policy"))
	}
}

func TestAFinishedStreamIsNotAskedForAgain(t *testing.T) {
	s := serve(t, "memory", func(s *site, req *fasthttp.RequestCtx) {
		ServeSSE(req, func(_ context.Context, page *Page) error { return page.Send(Emit("", "1")) })
	})
	response, body := s.get(t, "/")
	events, _ := parseSSE(body)
	if len(events) != 2 || events[0].Retry == "" || events[0].Data != "1" || events[1] != (sseEvent{ID: "done", Name: "done"}) {
		t.Errorf("%d %+v", response.StatusCode, events)
	}
	if !strings.HasPrefix(body, "retry: ") || strings.HasPrefix(body[strings.Index(body, "\n"):], "\n\n") {
		t.Errorf("the retry is not in the first event's block: %q", body)
	}
	if response, body := s.get(t, "/", "Last-Event-ID: done"); response.StatusCode != http.StatusNoContent || body != "" {
		t.Errorf("%d %q, want 204", response.StatusCode, body)
	}
}

func TestAFailureEndsItsStreamOnly(t *testing.T) {
	torn := view(func(w io.Writer) { io.WriteString(w, "<p>"); panic("oh no") })
	mended := string(Script{}.AppendMend([]byte("<p>")))
	failures := map[string]struct {
		response Response
		starts   string
		logs     string
	}{
		"/panic":  {Response{Source: func(context.Context, *Page) error { panic("oh no") }}, "", "oh no|response_test.go"},
		"/shell":  {Response{Shell: torn}, mended, "oh no|response_test.go"},
		"/view":   {Response{Source: func(_ context.Context, p *Page) error { return p.Send(Append("a", torn)) }}, "", "oh no|response_test.go"},
		"/render": {Response{Source: func(_ context.Context, p *Page) error { return p.Render(torn) }}, mended, "oh no|response_test.go"},
		"/error":  {Response{Source: func(context.Context, *Page) error { return errors.New("no data") }}, "", `err="no data"`},
		"/update": {Response{Source: func(_ context.Context, p *Page) error { return p.Send(Remove("")) }}, "", "not an update: the target"},
		"/nil":    {Response{Source: func(context.Context, *Page) error { panic(nil) }}, "", "response_test.go"},
	}
	onEveryNetwork(t, func(t *testing.T, network string) {
		for path, failure := range failures {
			s := serve(t, network, func(s *site, req *fasthttp.RequestCtx) {
				r := failure.response
				r.Log = s.log.logger()
				r.Serve(req)
			})
			c := s.connect(t)
			for range 2 {
				c.ask("GET " + path)
				c.head()
				got, rest := updates(t, strings.TrimPrefix(c.body(), failure.starts))
				if len(got) != 1 || got[0].Update != (Update{Action: ActionFail}) || rest != "" {
					t.Errorf("%s: the page gets %v, %q", path, got, rest)
				}
			}
			record := "level=ERROR msg=page page=" + path + " transport=script|" + failure.logs
			s.log.want(t, record, record)
			s.server.want(t)
		}
		s := serve(t, network, func(s *site, req *fasthttp.RequestCtx) {
			Response{Transport: plain{}, Log: s.log.logger(), Source: func(context.Context, *Page) error { panic("oh no") }}.Serve(req)
		})
		c := s.connect(t)
		c.ask("GET / HTTP/1.0")
		if c.head(); c.rest() != "([fail ])" {
			t.Error("HTTP/1.0: the page is not told")
		}
		s.log.want(t, "oh no")
	})
}
