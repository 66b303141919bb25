package stream

import (
	"io"
	"sync"
	"weak"

	"github.com/VictoriaMetrics/metrics"
)

// holdings are what hubs hold. They are counted when somebody asks, so that
// nobody who publishes pays for it.
type holdings struct{ topics, events, bytes int }

// writeHoldings writes what all hubs hold now.
func writeHoldings(w io.Writer) {
	var sum holdings
	for _, h := range livingHubs() {
		h.addTo(&sum)
	}
	// The number of topics, of the events that they keep, and of the bytes of
	// these events.
	metrics.WriteGaugeUint64(w, "foreverframe_topics", uint64(sum.topics))
	metrics.WriteGaugeUint64(w, "foreverframe_kept_events", uint64(sum.events))
	metrics.WriteGaugeUint64(w, "foreverframe_kept_bytes", uint64(sum.bytes))
}

func (h *Hub) addTo(sum *holdings) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	sum.topics += len(h.topics)
	for _, l := range h.topics {
		l.addTo(sum)
	}
}

func (l *log) addTo(sum *holdings) {
	l.mu.Lock()
	defer l.mu.Unlock()
	sum.events += len(l.events)
	sum.bytes += l.bytes
}

// hubs are all that have had a topic and are still in use.
var hubs = struct {
	sync.Mutex // guards all
	all        map[weak.Pointer[Hub]]bool
}{all: make(map[weak.Pointer[Hub]]bool)}

// register makes h one of the hubs that are counted.
func (h *Hub) register() {
	hubs.Lock()
	defer hubs.Unlock()
	hubs.all[weak.Make(h)] = true
}

// livingHubs returns the hubs and forgets those that nobody uses any more.
func livingHubs() (living []*Hub) {
	hubs.Lock()
	defer hubs.Unlock()
	for p := range hubs.all {
		if h := p.Value(); h != nil {
			living = append(living, h)
		} else {
			delete(hubs.all, p)
		}
	}
	return living
}
