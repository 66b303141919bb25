package stream

import (
	"fmt"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// A histogram is counted in the buckets that every Prometheus knows.
type histogram struct {
	bounds  []float64 // in seconds
	buckets []*metrics.Counter
	sum     *metrics.FloatCounter
	count   *metrics.Counter
}

func newHistogram(name string, bounds ...float64) *histogram {
	h := &histogram{bounds: bounds, sum: registry.NewFloatCounter(name + "_sum"), count: registry.NewCounter(name + "_count")}
	for _, bound := range bounds {
		h.buckets = append(h.buckets, registry.NewCounter(fmt.Sprintf("%s_bucket{le=\"%v\"}", name, bound)))
	}
	h.buckets = append(h.buckets, registry.NewCounter(name+`_bucket{le="+Inf"}`))
	return h
}

func (h *histogram) observe(d time.Duration) {
	seconds := d.Seconds()
	for i, bound := range h.bounds {
		if seconds <= bound {
			h.buckets[i].Inc()
		}
	}
	h.buckets[len(h.bounds)].Inc()
	h.sum.Add(seconds)
	h.count.Inc()
}
