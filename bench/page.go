package bench

import (
	"fmt"
	"io"
	"sync"

	"foreverframe/fallback"
	"foreverframe/stream"
	"foreverframe/templates"

	"github.com/valyala/fasthttp"
)

// WriteHTML writes the report as a page that needs nothing beside it.
func (r *Report) WriteHTML(w io.Writer) error {
	page := r.page()
	page.Plots = r.plots()
	page.Verdict, page.Broken = r.Verdict(), r.broken()
	b := &errWriter{to: w}
	page.WriteHTML(b)
	return b.err
}

// An errWriter keeps the error of a template's writes.
type errWriter struct {
	to  io.Writer
	err error
}

func (w *errWriter) Write(b []byte) (n int, err error) {
	if n, err = w.to.Write(b); w.err == nil {
		w.err = err
	}
	return n, err
}

// page returns the tables of the report.
func (r *Report) page() templates.Bench {
	p := templates.Bench{Machine: r.Machine.String(), Method: r.method(), Legend: r.legend()}
	for _, g := range r.groups() {
		table := templates.BenchGroup{Title: g.title(), Help: g.Help, Head: r.head(g)}
		for _, result := range g.results {
			table.Rows = append(table.Rows, r.benchRow(g, result))
		}
		p.Groups = append(p.Groups, table)
	}
	return p
}

func (r *Report) benchRow(g group, result Result) templates.BenchRow {
	id := fmt.Sprintf("%s-%d-%d-%s-%s", result.Scenario, result.Clients, result.Size, result.technique(), result.Side)
	return templates.BenchRow{ID: id, Cells: r.row(g, result), Broken: result.broken()}
}

// A Watch is the report of a run that is under way, as a page that fills: it is
// served by what it measures. The zero value is ready to use.
type Watch struct {
	hub stream.Hub

	mu   sync.Mutex // guards page
	page templates.Bench
}

const watchTopic = "bench"

// Handle serves the page at /bench, and its feed.
func (w *Watch) Handle(req *fasthttp.RequestCtx) {
	feed := w.hub.Feed(watchTopic) // its place before the page is rendered
	switch string(req.Path()) {
	case "/bench/feed":
		fallback.ServeFeed(req, feed)
	case "/bench":
		w.mu.Lock()
		page := w.page
		w.mu.Unlock()
		page.Nonce, page.Runtime, page.Feed = stream.Nonce(req), fallback.Runtime, "/bench/feed?"+feed.Query()
		fallback.ServeFeedPage(req, page, feed)
	default:
		req.Redirect("/bench", fasthttp.StatusFound)
	}
}

// show brings the page to where the report is.
func (w *Watch) show(r *Report, done, of int) {
	before := w.turn(r.page(), fmt.Sprintf("%d of %d rounds have been run.", done, of))
	for i, g := range w.page.Groups {
		for k, row := range g.Rows {
			if len(before.Groups) == 0 || fmt.Sprint(before.Groups[i].Rows[k]) != fmt.Sprint(row) {
				w.hub.Publish(watchTopic, stream.Replace(row.ID, row))
			}
		}
	}
	w.hub.Publish(watchTopic, stream.Inner("progress", stream.Text(w.page.Progress)))
}

// turn puts page in the place of what was shown, which it returns.
func (w *Watch) turn(page templates.Bench, progress string) (before templates.Bench) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before, w.page = w.page, page
	w.page.Progress = progress
	return before
}

// end shows what comes last, and that it is the end.
func (w *Watch) end(r *Report) {
	page := r.page()
	page.Plots, page.Verdict, page.Broken = r.plots(), r.Verdict(), r.broken()
	w.turn(page, "The run is over.")
	w.hub.Publish(watchTopic, stream.Inner("progress", stream.Text(w.page.Progress)))
	w.hub.Publish(watchTopic, stream.Inner("end", templates.BenchEnd{Verdict: page.Verdict, Broken: page.Broken}))
	w.hub.Publish(watchTopic, stream.Inner("plots", templates.BenchPlots(page.Plots)))
	w.hub.End(watchTopic)
}
