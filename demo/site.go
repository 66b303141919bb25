// Package demo is the site that the server shows: every program of the documents
// that Foreverframe comes from, and pages that go beyond them. One file is one
// demo; the table in this file is all of them.
package demo

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"foreverframe/access"
	"foreverframe/fallback"
	"foreverframe/stream"
	"foreverframe/templates"

	"github.com/VictoriaMetrics/metrics"
	"github.com/fasthttp/router"
	"github.com/valyala/fasthttp"
)

// A Site is the pages, the feeds and the hub behind them. Set the fields and
// call Handler and Run; the zero value is a site to which nobody may publish.
type Site struct {
	// Hub has the topics of the site.
	Hub stream.Hub
	// Streams are the site's open streams.
	Streams stream.Streams
	// Keys are the keys that may publish, and KeyFile has further ones.
	Keys    []string
	KeyFile *stream.KeyFile
	// Tokens lets those publish and follow who have a token that says so. Nil
	// means that nobody has one, and that anybody may follow. The topics of the
	// site's own pages are open to all, as the pages are.
	Tokens *access.Tokens
	// Rate and Burst bound what each key publishes, as in stream.Publisher.
	Rate  float64
	Burst int
	// Origins are the other origins whose pages may use feeds.
	Origins access.Origins
	// MaxBody is the size in bytes of the largest body of a publication. Zero
	// means 1 MB.
	MaxBody int
	// MaxUpdate is the size in bytes of the largest update that is published.
	// Zero means 256 KB.
	MaxUpdate int
	// MaxHead is the size in bytes of the largest request line with its headers.
	// Zero means 16 KB.
	MaxHead int
	// ReadTimeout is how long a client may take to send a request, from its
	// first byte on, or from the start of the connection. Zero means 30 s.
	ReadTimeout time.Duration
	// IdleTimeout is how long a connection is kept between requests. Zero means
	// 2 minutes. A proxy in front must let go sooner.
	IdleTimeout time.Duration
	// LogTitle is the title of the page of the log. Empty means "log".
	LogTitle string
	// Address is where the site is reached, for the commands that it shows:
	// "http://127.0.0.1:8080".
	Address string

	ticks visits
	runs  runs
}

// A demo is a page of the site.
type demo struct {
	path  string
	page  templates.Page
	serve func(s *Site, req *fasthttp.RequestCtx, page templates.Page)
}

const (
	document000 = "document 000, “server push with Django”"
	document001 = "document 001, a question about Flask streams"
	document002 = "document 002, “refresh a Django page with SSE”"
	document003 = "document 003, MDN: “using server-sent events”"
	document004 = "document 004, “text/event-stream in Django”"
)

var demos = []demo{
	{"/demo/hello", helloPage, (*Site).hello},
	{"/demo/template", templatePage, (*Site).template},
	{"/demo/spinner", spinnerPage, (*Site).spinner},
	{"/demo/counter", counterPage, (*Site).counter},
	{"/demo/clock", clockPage, (*Site).clock},
	{"/demo/ping", pingPage, (*Site).ping},
	{"/demo/ticks", ticksPage, (*Site).tick},
	{"/demo/dashboard", dashboardPage, (*Site).dashboard},
	{"/demo/log", logPage, (*Site).log},
	{"/demo/echo", echoPage, (*Site).echo},
	{"/demo/job", jobPage, (*Site).job},
	{"/compare", comparePage, (*Site).compare},
}

// Handler returns the handler of all requests of the site.
func (s *Site) Handler() fasthttp.RequestHandler {
	r := router.New()
	r.RedirectFixedPath, r.RedirectTrailingSlash = false, false // it sends who asks for /a%00/ to "http:///"
	r.PanicHandler = panicked
	r.NotFound = notFound
	r.MethodNotAllowed = methodNotAllowed
	get := func(path string, handler fasthttp.RequestHandler) {
		r.GET(path, handler)
		r.HEAD(path, handler)
	}

	get("/", s.index)
	for _, d := range demos {
		get(d.path, func(req *fasthttp.RequestCtx) { d.serve(s, req, s.fill(req, d.page)) })
	}
	r.POST("/demo/echo", func(req *fasthttp.RequestCtx) { s.echo(req, s.fill(req, echoPage)) })
	get("/compare/pane", s.comparePane)
	get("/compare/stream", s.compareStream)
	get("/compare/counters", s.compareCounters)

	publisher := s.publisher()
	get("/feeds/{topic}", s.feed)
	r.POST("/feeds/{topic}", func(req *fasthttp.RequestCtx) {
		s.Origins.Allow(req)
		publisher.Publish(req, topic(req))
	})
	r.DELETE("/feeds/{topic}", func(req *fasthttp.RequestCtx) {
		s.Origins.Allow(req)
		publisher.End(req, topic(req))
	})
	r.OPTIONS("/feeds/{topic}", s.Origins.Preflight)

	get("/style.css", asset("text/css", templates.Style))
	get("/site.js", asset("text/javascript", templates.Script))
	get("/ff.js", asset("text/javascript", []byte(fallback.Runtime)))
	get("/metrics", seen)
	get("/healthz", func(req *fasthttp.RequestCtx) { req.SetBodyString("ok\n") })
	get("/readyz", s.ready)
	return s.Streams.Handler(wire(r.Handler))
}

func (s *Site) publisher() *stream.Publisher {
	p := &stream.Publisher{Hub: &s.Hub, Keys: s.Keys, KeyFile: s.KeyFile, MaxBody: s.maxBody(), MaxUpdate: s.MaxUpdate, Rate: s.Rate, Burst: s.Burst}
	if s.Tokens != nil {
		p.Authorize = s.Tokens.Publish
	}
	return p
}

// Run publishes what the site's own feeds carry, until ctx is done. Hub.Run has
// to run if the hub has a broker.
func (s *Site) Run(ctx context.Context) {
	var publishing sync.WaitGroup
	publishing.Go(func() { s.runClock(ctx) })
	publishing.Go(func() { s.runDashboard(ctx) })
	publishing.Go(func() { s.runBeat(ctx) })
	publishing.Wait()
}

// ready tells a balancer whether the site takes new streams.
func (s *Site) ready(req *fasthttp.RequestCtx) {
	if s.Streams.Draining() {
		stream.Refuse(req, fasthttp.StatusServiceUnavailable, "the server is about to end")
		return
	}
	status, shared := s.Hub.Status()
	if shared && (!status.Connected || status.Lag > brokerLate) {
		stream.Refuse(req, fasthttp.StatusServiceUnavailable, "the broker is away: "+say(status))
		return
	}
	req.SetBodyString("ok\n")
	if shared {
		req.Response.AppendBodyString("broker: " + say(status) + "\n")
	}
}

// brokerLate is how old the last answer of a broker is that is away though it is
// connected: one that has lost most of its servers.
const brokerLate = 15 * time.Second

func say(s stream.BrokerStatus) string {
	return fmt.Sprintf("connected %v, pending %d, redelivered %d, lag %v", s.Connected, s.Pending, s.Redelivered, s.Lag.Round(time.Millisecond))
}

func (s *Site) index(req *fasthttp.RequestCtx) {
	index := templates.Index{
		Page: s.fill(req, templates.Page{
			Title:     "Pages that arrive as they happen",
			Lead:      "The shell of a page is in the browser at once; each update follows as soon as its data exists, over whichever transport the browser can take.",
			Technique: "Compiled templates on fasthttp; each demo names its own.",
		}),
		Shell: s.Address + "/feeds/" + logTopic,
	}
	for _, d := range demos {
		index.Demos = append(index.Demos, templates.Demo{Path: d.path, Page: d.page})
	}
	fallback.ServePage(req, index, nil)
}

// ownTopics are the topics of the site's own pages. They can be followed before
// their first event, and by anybody.
var ownTopics = []string{clockTopic, dashboardTopic, logTopic, beatTopic}

// feed serves a topic of the hub, or several with commas between them.
func (s *Site) feed(req *fasthttp.RequestCtx) {
	s.Origins.Allow(req)
	topics := strings.Split(topic(req), ",")
	if !s.mayFollow(req, topics) {
		return
	}
	for _, name := range topics {
		if stream.CheckTopic(name) == nil && !s.Hub.Has(name) && !slices.Contains(ownTopics, name) {
			stream.Refuse(req, fasthttp.StatusNotFound, fmt.Sprintf("there is no feed %q now: publish to it first, with POST /feeds/%s", name, name))
			return
		}
	}
	// what it takes a token to read may be a secret, and its size would tell of it
	fallback.Serve(req, stream.Response{Feed: s.Hub.Feed(topics...), Compress: s.Tokens == nil})
}

// mayFollow reports whether the sender of req may follow topics, and answers req
// if not: before it learns which there are.
func (s *Site) mayFollow(req *fasthttp.RequestCtx, topics []string) bool {
	var authorize stream.Authorize
	if s.Tokens != nil {
		authorize = s.Tokens.Subscribe
	}
	closed := slices.DeleteFunc(slices.Clone(topics), func(name string) bool { return slices.Contains(ownTopics, name) })
	return authorize.Allows(req, closed...)
}

// topic returns the part of the path that names a topic or several; a client may
// have escaped its commas.
func topic(req *fasthttp.RequestCtx) string {
	part := req.UserValue("topic").(string)
	if plain, err := url.PathUnescape(part); err == nil {
		return plain
	}
	return part
}

// fill adds to page what belongs to the request.
func (s *Site) fill(req *fasthttp.RequestCtx, page templates.Page) templates.Page {
	page.Plain = plainURL(req)
	page.Nonce = stream.Nonce(req)
	page.Runtime = fallback.Runtime
	return page
}

// plainURL returns the URL of the same page in plain mode, empty if there is
// none: what has been posted cannot be asked for.
func plainURL(req *fasthttp.RequestCtx) string {
	if req.IsPost() {
		return ""
	}
	args := fasthttp.AcquireArgs()
	defer fasthttp.ReleaseArgs(args)
	req.QueryArgs().CopyTo(args)
	args.Set("transport", "plain")
	return string(req.Path()) + "?" + string(args.QueryString())
}

// wire shows a stream as text when the query has "wire".
func wire(next fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(req *fasthttp.RequestCtx) {
		next(req)
		if req.QueryArgs().Has("wire") {
			req.SetContentType("text/plain; charset=utf-8")
		}
	}
}

func asset(contentType string, body []byte) fasthttp.RequestHandler {
	return func(req *fasthttp.RequestCtx) {
		req.SetContentType(contentType + "; charset=utf-8")
		req.Response.Header.Set(fasthttp.HeaderCacheControl, "max-age=60")
		req.Response.Header.Set(fasthttp.HeaderXContentTypeOptions, "nosniff")
		req.SetBody(body)
	}
}

// seen answers with all metrics, those of the process too.
func seen(req *fasthttp.RequestCtx) {
	req.SetContentType("text/plain; version=0.0.4; charset=utf-8")
	req.Response.Header.Set(fasthttp.HeaderCacheControl, "no-store")
	stream.WriteMetrics(req)
	metrics.WriteProcessMetrics(req)
	metrics.WriteFDMetrics(req)
}

func notFound(req *fasthttp.RequestCtx) {
	stream.Refuse(req, fasthttp.StatusNotFound, fmt.Sprintf("there is no page %q: / lists what there is", req.Path()))
}

func methodNotAllowed(req *fasthttp.RequestCtx) {
	stream.Refuse(req, fasthttp.StatusMethodNotAllowed, fmt.Sprintf("%s is not for %q: use %s", req.Method(), req.Path(), req.Response.Header.Peek(fasthttp.HeaderAllow)))
}

func panicked(req *fasthttp.RequestCtx, value any) {
	stream.CountPanic("handler")
	slog.Error("handler", "page", string(req.Path()), "err", fmt.Sprintf("panic: %v\n%s", value, debug.Stack()))
	stream.Refuse(req, fasthttp.StatusInternalServerError, "the server made a mistake")
}

// resume returns the number of the last event that the browser of page has seen,
// 0 if it says one that there cannot be.
func resume(page *stream.Page, most uint64) uint64 {
	if page.LastEventID > most {
		return 0
	}
	return page.LastEventID
}

// wait waits for d, and reports false at once when ctx is done.
func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}
