package demo

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"sync"
	"time"

	"foreverframe/fallback"
	"foreverframe/stream"
	"foreverframe/templates"

	"github.com/valyala/fasthttp"
)

const (
	beatTopic     = "beat" // an update a second, the feed that is compared
	countersTopic = "counters"
	maxRuns       = 100 // comparisons whose counters are kept
)

var comparePage = templates.Page{
	Title:     "Snippets and server-sent events, side by side",
	Lead:      "The same finite job and the same endless feed over both techniques, with what each costs and what happens at the end.",
	From:      document001 + "; " + document004,
	Technique: "Both, with the counters by a feed of their own",
	Why:       "The documents' rule, shown: snippets for what ends, server-sent events for what does not.",
	Wire:      "/compare/stream?name=job-sse&run=wire&wire=1&transport=sse",
}

// panes are the streams that are compared.
var panes = []struct {
	templates.Pane
	feed   bool // the endless feed, else the finite job
	inPage bool // by snippets in the pane's own response
}{
	{templates.Pane{Name: "job-script", Title: "A job by snippets",
		End:    "The page ends with the job, in the one request that it took.",
		Reload: "Runs the job again."}, false, true},
	{templates.Pane{Name: "job-sse", Title: "A job by server-sent events",
		End:    "It needs a word: done, and 204 for who asks again. Without it the browser runs the job again every few seconds.",
		Reload: "Goes on after its last event by itself; a reload runs the job again."}, false, false},
	{templates.Pane{Name: "feed-script", Title: "A feed by snippets",
		End:    "It has none, so the page never finishes loading.",
		Reload: "A lost connection ends it for good; a reload begins anew, and what came in between is missing."}, true, true},
	{templates.Pane{Name: "feed-sse", Title: "A feed by server-sent events",
		End:    "It has none; the page has long finished loading.",
		Reload: "Connects again by itself and gets what it has missed."}, true, false},
}

func (s *Site) compare(req *fasthttp.RequestCtx, page templates.Page) {
	name := rand.Text()
	if !fallback.WantsPlain(req) { // where nothing can be counted
		s.runs.start(name)
		page.Feed = "/compare/counters?run=" + name + "&after=0"
	}
	shell := templates.Compare{Page: page}
	for _, pane := range panes {
		pane.URL = "/compare/pane?name=" + pane.Name + "&run=" + name
		shell.Panes = append(shell.Panes, pane.Pane)
	}
	fallback.ServePage(req, shell, nil)
}

// comparePane serves the page in a pane, with its stream or beside it.
func (s *Site) comparePane(req *fasthttp.RequestCtx) {
	run, name, ok := s.paneOf(req)
	if !ok {
		return
	}
	shell := templates.ComparePane{Page: s.fill(req, templates.Page{Title: name}), Name: name}
	for _, pane := range panes {
		if pane.Name == name && !pane.inPage {
			shell.Feed = "/compare/stream?name=" + name + "&run=" + string(req.QueryArgs().Peek("run"))
			run.request(name)
			fallback.ServePage(req, shell, nil)
			return
		}
	}
	fallback.ServePage(req, shell, s.paneSource(run, name))
}

// compareStream serves the stream of a pane by itself.
func (s *Site) compareStream(req *fasthttp.RequestCtx) {
	if run, name, ok := s.paneOf(req); ok {
		fallback.Serve(req, stream.Response{Source: s.paneSource(run, name)})
	}
}

// compareCounters serves the counters of a comparison.
func (s *Site) compareCounters(req *fasthttp.RequestCtx) {
	name := string(req.QueryArgs().Peek("run"))
	run := s.runs.find(name)
	if run == nil {
		stream.Refuse(req, fasthttp.StatusNotFound, fmt.Sprintf("there is no comparison %q now: open /compare", name))
		return
	}
	fallback.ServeFeed(req, run.hub.Feed(countersTopic))
}

// paneOf returns the comparison and the pane that req is for, or answers it.
func (s *Site) paneOf(req *fasthttp.RequestCtx) (*run, string, bool) {
	name := string(req.QueryArgs().Peek("name"))
	for _, pane := range panes {
		if pane.Name == name {
			run := s.runs.find(string(req.QueryArgs().Peek("run")))
			if run == nil {
				run = newRun() // which nobody looks at
			}
			return run, name, true
		}
	}
	stream.Refuse(req, fasthttp.StatusBadRequest, fmt.Sprintf("name=%q: it must be job-script, job-sse, feed-script or feed-sse", name))
	return nil, "", false
}

// paneSource returns the stream of a pane, which counts itself.
func (s *Site) paneSource(run *run, name string) stream.Source {
	source := work(10, 64, 300*time.Millisecond)
	for _, pane := range panes {
		if pane.Name == name && pane.feed {
			source = s.Hub.Feed(beatTopic).Follow
		}
	}
	run.request(name)
	return func(ctx context.Context, page *stream.Page) error {
		context.AfterFunc(ctx, func() { run.end(name, page.Stats()) })
		var counting sync.WaitGroup
		defer counting.Wait()
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		counting.Go(func() {
			for wait(ctx, 500*time.Millisecond) {
				run.count(name, page.Stats())
			}
			run.count(name, page.Stats())
		})
		return source(ctx, page)
	}
}

// runBeat publishes an update a second.
func (s *Site) runBeat(ctx context.Context) {
	for i := 1; wait(ctx, time.Second); i++ {
		text := fmt.Sprintf("beat %d at %s", i, time.Now().Format("15:04:05"))
		s.Hub.Publish(beatTopic, stream.Append("log", templates.CompareLine{Text: text}))
	}
}

// A run is one visitor's comparison: how many requests each pane has made, and a
// hub of its own for its counters.
type run struct {
	hub stream.Hub

	mu       sync.Mutex // guards requests
	requests map[string]int
}

// request counts a request of a pane.
func (r *run) request(pane string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests[pane]++
	r.show(pane, "requests", r.requests[pane])
}

// count shows what a pane's stream has sent.
func (r *run) count(pane string, sent stream.Stats) {
	r.show(pane, "updates", sent.Updates)
	r.show(pane, "writes", sent.Flushes)
	r.show(pane, "bytes", sent.Bytes)
}

// end shows what a pane's stream has sent in the end, the word of its end
// included, which is no update.
func (r *run) end(pane string, sent stream.Stats) {
	r.show(pane, "writes", sent.Flushes)
	r.show(pane, "bytes", sent.Bytes)
}

func (r *run) show(pane, what string, n int) {
	r.hub.Publish(countersTopic, stream.Inner(pane+"-"+what, stream.Text(strconv.Itoa(n))))
}

// runs are the newest comparisons.
type runs struct {
	mu    sync.Mutex // guards the rest
	names []string   // oldest first
	all   map[string]*run
}

// start makes the comparison name, and forgets the oldest if there are too many.
func (r *runs) start(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all == nil {
		r.all = make(map[string]*run)
	}
	if len(r.names) == maxRuns {
		delete(r.all, r.names[0])
		r.names = r.names[1:]
	}
	r.names = append(r.names, name)
	r.all[name] = newRun()
}

// find returns the comparison name, nil if there is none.
func (r *runs) find(name string) *run {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.all[name]
}

func newRun() *run { return &run{requests: make(map[string]int)} }
