package bench

import (
	"math"
	"slices"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// A Figure is one thing that is measured.
type Figure struct {
	Name  string // in JSON, and with dashes for blanks in benchmark lines
	Title string // of its column
	Unit  string // in benchmark lines
	More  bool   // the more the better
	Help  string
}

// Figures are all that there are, in the order of the tables.
var Figures = []Figure{
	{"updates per second", "updates/s", "updates/s", true, "updates that arrived at all clients together"},
	{"pages per second", "pages/s", "pages/s", true, "whole pages, from request to end"},
	{"cpu", "CPU µs", "cpu-µs/update", false, "the server's processor time for each update at each client"},
	{"idle cpu", "idle CPU µs/s", "idle-cpu-µs/s", false, "the server's processor time for each open stream and second without updates"},
	{"first byte", "first byte ms", "first-byte-ms", false, "from a request to the head of its answer, median"},
	{"first byte p90", "first byte p90 ms", "first-byte-p90-ms", false, "its 90th percentile"},
	{"first update", "first update ms", "first-update-ms", false, "from a request to its first update, median"},
	{"latency p50", "p50 ms", "p50-ms", false, "from when an update was due until it had arrived: median"},
	{"latency p90", "p90 ms", "p90-ms", false, "90th percentile"},
	{"latency p99", "p99 ms", "p99-ms", false, "99th percentile"},
	{"latency max", "max ms", "max-ms", false, "the slowest of all"},
	{"reconnect p50", "back p50 ms", "reconnect-p50-ms", false, "from a lost connection to the head of the next answer: median"},
	{"reconnect max", "back max ms", "reconnect-max-ms", false, "the last to be back"},
	{"memory", "KB/stream", "KB/stream", false, "resident memory of the server, for each open stream"},
	{"goroutines", "gor./stream", "goroutines/stream", false, "goroutines of the server, for each open stream"},
	{"wire", "wire B", "wire-B/update", false, "bytes on the wire for each update, shell and heads of the answers included"},
	{"overhead", "over B", "overhead-B/update", false, "of these, bytes that are not the update's text"},
	{"chunks", "chunks", "chunks/update", false, "HTTP chunks for each update"},
	{"writes", "writes", "writes/update", false, "write calls of the server's process for each update"},
	{"requests", "requests", "requests", false, "requests of all clients"},
	{"browser cpu", "main thread s", "main-thread-s/10k", false, "processor time of the page's main thread for 10,000 updates"},
	{"browser heap", "heap KB", "heap-KB/10k", false, "what 10,000 updates add to the page's JavaScript heap"},
	{"browser nodes", "nodes", "nodes/update", false, "DOM nodes that an update adds, its text included"},
	{"client", "client CPU µs", "client-cpu-µs/update", false, "this program's own processor time for each update"},
	{"client busy", "client busy %", "client-busy-%", false, "of one processor; near 100 the client is what is measured"},
	{"lost", "lost", "lost", false, "updates that did not arrive"},
	{"doubled", "doubled", "doubled", false, "updates that arrived again"},
	{"reordered", "reordered", "reordered", false, "updates that arrived after one that follows them"},
	{"failed", "failed", "failed", false, "streams that were given up"},
}

// figure returns the figure of that name.
func figure(name string) Figure {
	i := slices.IndexFunc(Figures, func(f Figure) bool { return f.Name == name })
	return Figures[i]
}

// A Round is the figures of one run of a case, by name. What could not be
// measured is not there.
type Round map[string]float64

// set sets a figure unless it is no number.
func (r Round) set(name string, value float64) {
	if !math.IsNaN(value) && !math.IsInf(value, 0) {
		r[figure(name).Name] = value
	}
}

// A Case is what one side does in one scenario.
type Case struct {
	Scenario  string `json:"scenario"`
	Clients   int    `json:"clients"`
	Size      int    `json:"size"` // of an update's text, in bytes
	Transport string `json:"transport"`
	Gzip      bool   `json:"gzip,omitempty"`
	Side      string `json:"side"`
}

// technique is the transport and how it is compressed.
func (c Case) technique() string {
	if c.Gzip {
		return c.Transport + "+gzip"
	}
	return c.Transport
}

// A Result is all rounds of a case.
type Result struct {
	Case
	Rounds  []Round `json:"rounds"`
	Failure string  `json:"failure,omitempty"` // the first thing that went wrong
	// Distribution is the latencies of all rounds together.
	Distribution []Quantile `json:"distribution,omitempty"`

	latency *hdrhistogram.Histogram // of all rounds; nil if there are none
}

// A Quantile is a latency that so many percent of the updates had at the most.
type Quantile struct {
	Percentile float64 `json:"percentile"`
	MS         float64 `json:"ms"`
}

// percentiles are those of a distribution.
var percentiles = []float64{0, 25, 50, 75, 90, 95, 98, 99, 99.5, 99.9, 100}

// add adds the latencies of a round.
func (r *Result) add(latency *hdrhistogram.Histogram) {
	if latency == nil || latency.TotalCount() == 0 {
		return
	}
	if r.latency == nil {
		r.latency = latency
	} else {
		r.latency.Merge(latency)
	}
	r.Distribution = nil
	for _, p := range percentiles {
		r.Distribution = append(r.Distribution, Quantile{p, float64(r.latency.ValueAtQuantile(p)) / 1000})
	}
}

// sum returns the sum of a figure over all rounds.
func (r Result) sum(name string) (sum float64) {
	for _, v := range r.values(name) {
		sum += v
	}
	return sum
}

// values returns a figure in all rounds that have it, smallest first.
func (r Result) values(name string) []float64 {
	var values []float64
	for _, round := range r.Rounds {
		if v, ok := round[name]; ok {
			values = append(values, v)
		}
	}
	slices.Sort(values)
	return values
}

// Median returns the median of a figure over the rounds; it reports false if no
// round has it.
func (r Result) Median(name string) (float64, bool) {
	v := r.values(name)
	if len(v) == 0 {
		return 0, false
	}
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2, true
}

// Spread returns how far the rounds of a figure are apart: half of the distance
// between the quartiles, as a part of the median.
func (r Result) Spread(name string) float64 {
	v := r.values(name)
	median, ok := r.Median(name)
	if !ok || median == 0 {
		return 0
	}
	return (quantile(v, 0.75) - quantile(v, 0.25)) / 2 / math.Abs(median)
}

// quantile returns a quantile of sorted values, between them in proportion.
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	low := int(at)
	high := min(low+1, len(sorted)-1)
	return sorted[low] + (at-float64(low))*(sorted[high]-sorted[low])
}

// broken reports whether something was lost, doubled, reordered or given up.
func (r Result) broken() bool {
	for _, round := range r.Rounds {
		if round["lost"]+round["doubled"]+round["reordered"]+round["failed"] > 0 {
			return true
		}
	}
	return r.Failure != ""
}
