package fallback

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"foreverframe/stream"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttputil"
)

// markup is HTML as it is.
type markup string

func (m markup) WriteHTML(w io.Writer) { io.WriteString(w, string(m)) }

// view is a View of a function.
type view func(w io.Writer)

func (v view) WriteHTML(w io.Writer) { v(w) }

// A reader reads an answer as it comes.
type reader struct {
	t    *testing.T
	conn net.Conn
	head *http.Response
	body io.Reader
	seen string // of the body
}

// begin asks handler for a page over TCP, of which version says the HTTP, and
// returns when the head of the answer is there.
func begin(t *testing.T, handler fasthttp.RequestHandler, method, version string) *reader {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &fasthttp.Server{Handler: handler}
	if method != "HEAD" {
		server.WriteTimeout = time.Millisecond // that of a stream counts in its place
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Shutdown()
		<-served
	})
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(time.Minute)) // a test that hangs fails
	fmt.Fprintf(conn, "%s /page HTTP/%s\r\nHost: example.com\r\n\r\n", method, version)
	return &reader{t: t, conn: conn}
}

// answer reads the head.
func (r *reader) answer(method string) *http.Response {
	r.t.Helper()
	if r.head == nil {
		head, err := http.ReadResponse(bufio.NewReader(r.conn), &http.Request{Method: method})
		if err != nil {
			r.t.Fatal(err)
		}
		r.head, r.body = head, head.Body
	}
	return r.head
}

// until reads until the body ends with text.
func (r *reader) until(text string) {
	r.t.Helper()
	r.answer("GET")
	b := make([]byte, 1)
	for !strings.HasSuffix(r.seen, text) {
		if _, err := r.body.Read(b); err != nil {
			r.t.Fatalf("%v after %q, waiting for %q", err, r.seen, text)
		}
		r.seen += string(b)
	}
}

// rest reads to the end.
func (r *reader) rest() string {
	r.t.Helper()
	r.answer("GET")
	b, err := io.ReadAll(r.body)
	if err != nil {
		r.t.Fatal(err)
	}
	r.seen += string(b)
	return r.seen
}

var quiet = slog.New(slog.DiscardHandler)

// serving is a handler of one page in plain mode.
func serving(shell stream.View, source stream.Source) fasthttp.RequestHandler {
	return func(req *fasthttp.RequestCtx) {
		stream.Response{Transport: Plain{}, Shell: shell, Source: source, Log: quiet}.Serve(req)
	}
}

// slot is a slot that shows what comes through its channel.
func slot(target string, from <-chan any) stream.Slot {
	return stream.Slot{
		Target: target,
		View: func(ctx context.Context) (stream.View, error) {
			select {
			case v := <-from:
				if err, failed := v.(error); failed {
					return nil, err
				}
				return stream.Text(fmt.Sprint(v)), nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		},
		Failed: func(err error) stream.View { return stream.Text("failed: " + err.Error()) },
	}
}

const threeSlots = `<!doctype html><title>t</title><h1>h</h1><p id="a">wait</p><h2>2</h2><p id="b">wait</p><h2>3</h2><p id="c">wait</p><footer>end</footer>`

func TestSlotsLeaveInTheOrderOfTheDocument(t *testing.T) {
	for _, version := range []string{"1.0", "1.1"} {
		a, b, c := make(chan any), make(chan any), make(chan any)
		r := begin(t, serving(markup(threeSlots), func(ctx context.Context, p *stream.Page) error {
			return p.Fill(ctx, slot("a", a), slot("b", b), slot("c", c))
		}), "GET", version)
		b <- "B <b>"
		a <- "A"
		r.until(`<p id="b">B &lt;b&gt;</p><h2>3</h2>`)
		c <- "C"
		const want = `<!DOCTYPE html><html><head><title>t</title></head><body><h1>h</h1><p id="a">A</p><h2>2</h2><p id="b">B &lt;b&gt;</p><h2>3</h2><p id="c">C</p><footer>end</footer></body></html>`
		if got := r.rest(); got != want {
			t.Errorf("HTTP/%s: the page is\n%s\nnot\n%s", version, got, want)
		}
		if head := r.answer("GET"); head.StatusCode != 200 || head.Header.Get("Content-Type") != "text/html; charset=utf-8" || !strings.Contains(head.Header.Get("Content-Security-Policy"), "script-src 'none'") {
			t.Errorf("HTTP/%s: the head is %v", version, head)
		}
	}
}

func TestWhatIsAppendedLeavesAsItComes(t *testing.T) {
	lines := make(chan string)
	r := begin(t, serving(markup(`<h1>h</h1><ul id="log"></ul><p>end`), func(ctx context.Context, p *stream.Page) error {
		for line := range lines {
			if err := p.Send(stream.Append("log", markup("<li>"+line))); err != nil {
				return err
			}
		}
		return nil
	}), "GET", "1.1")
	for _, line := range []string{"one", "two", "three"} {
		lines <- line
		r.until("<li>" + line + "</li>")
	}
	close(lines)
	if got := r.rest(); !strings.HasSuffix(got, "<li>three</li></ul><p>end</p></body></html>") {
		t.Errorf("the page is %s", got)
	}
}

func TestRowsLeaveAsTheyComeWithoutTheirScripts(t *testing.T) {
	rows := make(chan string)
	all := iter.Seq[string](func(yield func(string) bool) {
		for row := range rows {
			if !yield(row) {
				return
			}
		}
	})
	script := stream.Script{Nonce: "n"}
	r := begin(t, serving(nil, func(ctx context.Context, p *stream.Page) error {
		return p.Render(view(func(w io.Writer) {
			io.WriteString(w, `<!doctype html><title>t</title><p id="n">none</p><table>`)
			for row := range stream.Rows(ctx, p, all) {
				io.WriteString(w, "<tr><td>")
				stream.Text(row).WriteHTML(w)
				script.Snippet(stream.Inner("n", stream.Text("row "+row))).WriteHTML(w)
				io.WriteString(w, "</td></tr>")
			}
			io.WriteString(w, "</table><p>end</p>")
		}))
	}), "GET", "1.1")
	for _, row := range []string{"1", "2", "<3>"} {
		rows <- row
		r.until("<tr><td>" + strings.NewReplacer("<", "&lt;", ">", "&gt;").Replace(row) + "</td></tr>")
	}
	close(rows)
	const want = `<!DOCTYPE html><html><head><title>t</title></head><body><p id="n">row 1</p><table><tbody><tr><td>1</td></tr><tr><td>2</td></tr><tr><td>&lt;3&gt;</td></tr></tbody></table><p>end</p><div>row &lt;3&gt;</div></body></html>`
	if got := r.rest(); got != want {
		t.Errorf("the page is\n%s\nnot\n%s", got, want)
	}
}

func TestTheStatusSaysWhatTheHeadIsSentWith(t *testing.T) {
	broken := errors.New("broken")
	missing := fmt.Errorf("article 7: %w", stream.ErrNotFound)
	fill := func(values ...any) stream.Source { // values of the slots a, b, c, in the order in which they come
		return func(ctx context.Context, p *stream.Page) error {
			var slots []stream.Slot
			var before chan struct{}
			for i, v := range values {
				after := make(chan struct{})
				wait := before
				s := slot(string(rune('a'+i)), nil)
				s.View = func(context.Context) (stream.View, error) {
					if err, failed := v.(error); failed {
						defer close(after)
						return nil, err
					}
					if wait != nil {
						<-wait
					}
					defer close(after)
					return stream.Text(fmt.Sprint(v)), nil
				}
				before = after
				slots = append(slots, s)
			}
			return p.Fill(ctx, slots...)
		}
	}
	for name, test := range map[string]struct {
		source stream.Source
		status int
		shows  string
	}{
		"no source":               {nil, 200, ">wait<"},
		"a source that fails":     {func(context.Context, *stream.Page) error { return broken }, 500, ">wait<"},
		"a source that panics":    {func(context.Context, *stream.Page) error { panic("on purpose") }, 500, ">wait<"},
		"a source of nothing":     {func(context.Context, *stream.Page) error { return missing }, 404, ">wait<"},
		"an update that is none":  {func(_ context.Context, p *stream.Page) error { return p.Send(stream.Remove("")) }, 500, ">wait<"},
		"a slot that is filled":   {fill("A"), 200, ">A<"},
		"a slot that fails":       {fill(broken), 500, ">failed: broken<"},
		"a slot of nothing":       {fill(missing, "B", "C"), 404, "article 7"},
		"a slot that panics":      {fillPanics, 500, ">not available<"},
		"a later slot that fails": {func(ctx context.Context, p *stream.Page) error { fill("A")(ctx, p); return broken }, 200, ">A<"},
		"a failure before an event": {func(ctx context.Context, p *stream.Page) error {
			p.Send(stream.Inner("a", stream.Text("A")))
			return broken
		}, 500, ">A<"},
		"a failure after an append": {func(ctx context.Context, p *stream.Page) error {
			p.Send(stream.Append("a", stream.Text("A")))
			return broken
		}, 200, ">waitA<"},
		"a gap": {func(context.Context, *stream.Page) error { return fmt.Errorf("x: %w", stream.ErrGap) }, 200, ">wait<"},
	} {
		for _, version := range []string{"1.0", "1.1"} {
			r := begin(t, serving(markup(threeSlots), test.source), "GET", version)
			if got := r.rest(); r.head.StatusCode != test.status || !strings.Contains(got, test.shows) || !strings.HasSuffix(got, "</html>") {
				t.Errorf("%s, HTTP/%s: %s, not %d with %q: %s", name, version, r.head.Status, test.status, test.shows, got)
			}
			head := begin(t, serving(markup(threeSlots), test.source), "HEAD", version)
			if got := head.answer("HEAD"); got.StatusCode != test.status {
				t.Errorf("%s, HEAD, HTTP/%s: %s, not %d", name, version, got.Status, test.status)
			}
		}
	}
}

func fillPanics(ctx context.Context, p *stream.Page) error {
	return p.Fill(ctx, stream.Slot{Target: "a", View: func(context.Context) (stream.View, error) { panic("on purpose") }})
}

// A slot that fails behind one that is still missing is not sent with the head.
func TestAFailureBehindAMissingSlotDoesNotCount(t *testing.T) {
	b, failed := make(chan any), make(chan struct{})
	r := begin(t, serving(markup(threeSlots), func(ctx context.Context, p *stream.Page) error {
		last := slot("c", nil)
		last.View = func(context.Context) (stream.View, error) { return nil, errors.New("broken") }
		last.Failed = func(error) stream.View { close(failed); return stream.Text("broken") }
		first := slot("a", nil)
		first.View = func(context.Context) (stream.View, error) { <-failed; return stream.Text("A"), nil }
		return p.Fill(ctx, first, slot("b", b), last)
	}), "GET", "1.1")
	r.until("<h2>2</h2>")
	b <- "B"
	if got := r.rest(); r.head.StatusCode != 200 || !strings.Contains(got, ">broken<") {
		t.Errorf("%s: %s", r.head.Status, got)
	}
}

func TestAStatusOfTheHandlerStands(t *testing.T) {
	r := begin(t, func(req *fasthttp.RequestCtx) {
		req.SetStatusCode(http.StatusGone)
		req.Response.Header.Set("Content-Security-Policy", "default-src 'self'")
		serving(markup("<p>x"), nil)(req)
	}, "GET", "1.1")
	if r.rest(); r.head.StatusCode != http.StatusGone || r.head.Header.Get("Content-Security-Policy") != "default-src 'self'" {
		t.Errorf("the head is %v", r.head)
	}
}

func TestATornViewIsShownAsFarAsItIs(t *testing.T) {
	torn := view(func(w io.Writer) { io.WriteString(w, "<p>begun <b>bold"); panic("on purpose") })
	r := begin(t, serving(torn, nil), "GET", "1.1")
	if got := r.rest(); r.head.StatusCode != 500 || got != "<html><head></head><body><p>begun <b>bold</b></p></body></html>" {
		t.Errorf("%s: %s", r.head.Status, got)
	}
}

func TestWhatIsNestedTooDeeplyIsAnError(t *testing.T) {
	r := begin(t, serving(markup(strings.Repeat("<div>", 1000)+"<script>"), nil), "GET", "1.1")
	if got := r.rest(); r.head.StatusCode != 500 || !strings.Contains(got, "exceeds 512") {
		t.Errorf("%s: %s", r.head.Status, got)
	}
}

func TestAPageEndsWithItsClient(t *testing.T) {
	for _, version := range []string{"1.0", "1.1"} {
		for _, begun := range []bool{false, true} {
			started, ended := make(chan struct{}), make(chan error, 1)
			r := begin(t, serving(markup(`<p id="a">x</p>`), func(ctx context.Context, p *stream.Page) error {
				if begun {
					p.Send(stream.Append("a", stream.Text("y")))
				}
				close(started)
				<-ctx.Done()
				ended <- context.Cause(ctx)
				return nil
			}), "GET", version)
			<-started
			if begun {
				r.until("xy")
			}
			r.conn.Close()
			if err := <-ended; !errors.Is(err, stream.ErrClientGone) {
				t.Errorf("HTTP/%s, begun %v: the cause is %v", version, begun, err)
			}
		}
	}
}

func TestAShutdownEndsAPageWhereItStands(t *testing.T) {
	listener := fasthttputil.NewInmemoryListener()
	started := make(chan struct{})
	server := &fasthttp.Server{Handler: serving(markup(`<p id="a">wait</p>`), func(ctx context.Context, p *stream.Page) error {
		close(started)
		return p.Fill(ctx, slot("a", nil))
	})}
	var serving sync.WaitGroup
	serving.Go(func() { server.Serve(listener) })
	conn, err := listener.Dial()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n")
	<-started
	serving.Go(func() { server.Shutdown() })
	r := &reader{t: t, conn: conn}
	if got := r.rest(); r.head.StatusCode != 503 || got != `<html><head></head><body><p id="a"></p></body></html>` {
		t.Errorf("%s: %s", r.head.Status, got)
	}
	serving.Wait()
}

// A silent document is kept alive where that shows nothing.
func TestHeartbeatsShowNothing(t *testing.T) {
	done := make(chan struct{})
	r := begin(t, func(req *fasthttp.RequestCtx) {
		stream.Response{Transport: Plain{}, Shell: markup(`<pre id="a"></pre>`), Heartbeat: time.Millisecond, Source: func(ctx context.Context, p *stream.Page) error {
			p.Send(stream.Append("a", stream.Text("x")))
			<-done
			return nil
		}}.Serve(req)
	}, "GET", "1.1")
	r.until(`<pre id="a">x<!-- -->`)
	close(done)
	if got := strings.ReplaceAll(r.rest(), "<!-- -->", ""); !strings.HasSuffix(got, "<body><pre id=\"a\">x</pre></body></html>") {
		t.Errorf("the page is %s", got)
	}
}

func TestAFollowedFeedIsWhatIsKept(t *testing.T) {
	var hub stream.Hub
	hub.Publish("log", stream.Append("lines", stream.Text("before;")))
	feed := hub.Feed("log")
	hub.Publish("log", stream.Append("lines", stream.Text("after;")))
	all := feed
	all.After = 0
	gap := feed
	gap.After = 1
	ended := hub.Feed("ended")
	hub.End("ended")
	const shell = markup(`<head></head><body data-ff-feed="/feed"><pre id="lines"></pre></body>`)
	ask := caller(t, func(req *fasthttp.RequestCtx) {
		switch string(req.Path()) {
		case "/feed":
			ServeFeedPage(req, shell, feed)
		case "/all":
			ServeFeedPage(req, shell, all)
		case "/ended":
			ServeFeedPage(req, shell, ended)
		case "/source":
			ServePage(req, markup(`<pre id="lines"></pre>`), feed.Follow)
		case "/gap":
			ServeFeedPage(req, shell, gap)
		}
	})
	const head, refresh = "<html><head>", `<meta http-equiv="refresh" content="30">`
	for path, want := range map[string]string{
		"/feed":   head + refresh + `</head><body><pre id="lines">after;</pre></body></html>`,
		"/all":    head + refresh + `</head><body><pre id="lines">before;after;</pre></body></html>`,
		"/ended":  head + refresh + `</head><body><pre id="lines"></pre></body></html>`,
		"/source": head + `</head><body><pre id="lines">after;</pre></body></html>`,
		"/gap":    head + refresh + `</head><body><pre id="lines"></pre></body></html>`,
	} {
		answer, body := ask(path + "?transport=plain")
		if answer.StatusCode != 200 || body != want {
			t.Errorf("%s: %s %s, not %s", path, answer.Status, body, want)
		}
	}
	if _, body := ask("/feed"); body != string(shell) {
		t.Errorf("with scripts it is %s", body)
	}
}

func TestClientsWithoutScriptsGetPlainMode(t *testing.T) {
	ask := caller(t, func(req *fasthttp.RequestCtx) {
		if string(req.Path()) == "/serve" {
			Serve(req, stream.Response{Shell: markup("<script></script>")})
			return
		}
		ServePage(req, markup("<script></script>"), nil)
	})
	for agent, plain := range map[string]bool{
		"Lynx/2.9.0dev.12 libwww-FM/2.14 SSL-MM/1.4.1 GNUTLS/3.7.8": true,
		"w3m/0.5.3+git20230121":                                                    true,
		"Links (2.28; Linux 6.1 x86_64; GNU C 12.2; dump)":                         true,
		"ELinks/0.13.2 (textmode; Linux 6.1 x86_64; -)":                            true,
		"NetSurf/3.10 (Linux)":                                                     true,
		"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)": true,
		"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/156 Safari/537": false,
		"curl/7.88.1": false,
		"Wget/1.21":   false,
		"":            false,
	} {
		for _, path := range []string{"/", "/serve"} {
			answer, body := ask(path, "User-Agent", agent)
			if strings.Contains(body, "<script") == plain || !strings.Contains(strings.Join(answer.Header.Values("Vary"), ","), "User-Agent") {
				t.Errorf("%s for %q: %v %s", path, agent, answer.Header, body)
			}
			if _, body := ask(path+"?transport=script", "User-Agent", agent); !strings.Contains(body, "<script") {
				t.Errorf("%s for %q, which asks for scripts: %s", path, agent, body)
			}
			if _, body := ask(path+"?transport=plain", "User-Agent", agent); strings.Contains(body, "<script") {
				t.Errorf("%s for %q, which asks for plain mode: %s", path, agent, body)
			}
		}
		if answer, _ := ask("/serve", "User-Agent", agent, "Accept", "text/event-stream"); answer.Header.Get("Content-Type") != "text/event-stream; charset=utf-8" {
			t.Errorf("%q accepts an event stream and gets %s", agent, answer.Header.Get("Content-Type"))
		}
	}
}
