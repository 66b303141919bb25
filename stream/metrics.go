package stream

import (
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/valyala/fasthttp"
)

// This file is what an operator sees: every metric, and how it is counted. A
// page counts for itself, under its own lock, and what it has counted is added
// here at its pulse, every few seconds, and at its end: a flush costs nothing.

// WriteMetrics writes all metrics of the process's streams and hubs to w, as
// text in Prometheus' format. It may be called by several goroutines at once.
func WriteMetrics(w io.Writer) {
	registry.WritePrometheus(w)
	writeHoldings(w)
	writeBrokers(w)
}

var registry = metrics.NewSet()

// The metrics of a transport, each with the label transport, the name that it
// gives itself.
type transportMetrics struct {
	open    *metrics.Gauge   // streams that are open now
	served  *metrics.Counter // streams that have begun
	updates *metrics.Counter // updates that have left, rows of templates too
	bytes   *metrics.Counter // bytes that have left, as they are before compression and without the framing of HTTP
	flushes *metrics.Counter // writes that have succeeded

	// ended is the number of streams that have ended, by the label cause.
	ended map[string]*metrics.Counter
}

var (
	// flushSeconds is how long a write takes, in seconds. It is sampled: each
	// page's first write after a pulse, and the first write at all of one page
	// in sixteen.
	flushSeconds = newHistogram("foreverframe_flush_seconds", 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 1, 3)

	// backlog is the number of bytes that had not left the open pages, each at
	// its last pulse, those of a write under way included.
	backlog atomic.Int64
	_       = registry.NewGauge("foreverframe_backlog_bytes", func() float64 { return float64(backlog.Load()) })

	// dropped is the number of updates that never left, because their browser
	// was too slow or had gone.
	dropped = registry.NewCounter("foreverframe_dropped_updates_total")

	// conflated is the number of events that Hub.Latest has left out.
	conflated = registry.NewCounter("foreverframe_conflated_events_total")

	// gaps is the number of followers whose place was outside the log.
	gaps = registry.NewCounter("foreverframe_gaps_total")

	// replays is the number of followers that came with an old place, and
	// replayed the number of events that they got at once.
	replays  = registry.NewCounter("foreverframe_replays_total")
	replayed = registry.NewCounter("foreverframe_replayed_events_total")
)

// Where a panic has been contained.
const (
	inShell      = "shell"      // a view that a page renders
	inSource     = "source"     // a Source
	inSlot       = "slot"       // a slot's View or Failed, or the view that they return
	inEncoder    = "encoder"    // a Transport or a Document
	inConnection = "connection" // a write
	inCallback   = "callback"   // a function of a Hub
)

// countPanic counts a panic that has been contained, by the label stage.
func countPanic(stage string) {
	registry.GetOrCreateCounter(fmt.Sprintf("foreverframe_panics_total{stage=%q}", stage)).Inc()
}

// CountPanic counts a panic that has been contained outside of a stream, in a
// "handler" for example. The stages are to be few.
func CountPanic(stage string) { countPanic(stage) }

// countPublish counts a request to publish to a topic or to end one, by the
// label status of its answer.
func countPublish(req *fasthttp.RequestCtx) {
	registry.GetOrCreateCounter(fmt.Sprintf("foreverframe_publish_requests_total{status=\"%d\"}", req.Response.StatusCode())).Inc()
}

var transports = struct {
	sync.RWMutex // guards named
	named        map[string]*transportMetrics
}{named: make(map[string]*transportMetrics)}

// metricsOf returns the metrics of the transport of that name.
func metricsOf(name string) *transportMetrics {
	transports.RLock()
	m := transports.named[name]
	transports.RUnlock()
	if m != nil {
		return m
	}
	transports.Lock()
	defer transports.Unlock()
	if transports.named[name] == nil {
		transports.named[name] = newTransportMetrics(name)
	}
	return transports.named[name]
}

func newTransportMetrics(name string) *transportMetrics {
	counter := func(metric string) *metrics.Counter {
		return registry.GetOrCreateCounter(fmt.Sprintf("foreverframe_%s_total{transport=%q}", metric, name))
	}
	m := &transportMetrics{
		open:    registry.GetOrCreateGauge(fmt.Sprintf("foreverframe_streams_open{transport=%q}", name), nil),
		served:  counter("streams"),
		updates: counter("updates"),
		bytes:   counter("bytes"),
		flushes: counter("flushes"),
		ended:   make(map[string]*metrics.Counter),
	}
	for _, cause := range causes {
		m.ended[cause.name] = registry.GetOrCreateCounter(fmt.Sprintf("foreverframe_streams_ended_total{transport=%q,cause=%q}", name, cause.name))
	}
	return m
}

// count adds to the metrics what p has counted since it did so last. The page's
// lock is held.
func (p *Page) count() {
	p.metrics.updates.Add(p.stats.Updates - p.counted.Updates)
	p.metrics.flushes.Add(p.stats.Flushes - p.counted.Flushes)
	p.metrics.bytes.Add(p.stats.Bytes - p.counted.Bytes)
	p.counted = p.stats
	unsent := p.leaving
	if p.unsent != nil {
		unsent += len(*p.unsent)
	}
	backlog.Add(int64(unsent - p.backlog))
	p.backlog = unsent
}

func (m *transportMetrics) begin() {
	m.served.Inc()
	m.open.Inc()
}

func (m *transportMetrics) end(cause string) {
	m.open.Dec()
	m.ended[cause].Inc()
}

// sampled reports whether the first write of a page is to be timed.
func sampled() bool { return rand.N(16) == 0 }

// timedWrite writes b to w and observes how long that takes.
func timedWrite(w io.Writer, b []byte) error {
	began := time.Now()
	_, err := w.Write(b)
	flushSeconds.observe(time.Since(began))
	return err
}
