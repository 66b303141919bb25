package meter

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// A Tally is what has been measured, of all streams together.
type Tally struct {
	Updates uint64 // that have arrived
	Pages   uint64 // jobs that have arrived to their end
	Bytes   uint64 // on the wire: heads, framing and bodies
	Body    uint64 // of the bodies, as they are on the wire
	Chunks  uint64 // of the chunked coding; zero where there is none

	Requests  uint64
	Connected uint64 // connections that were made

	Lost      uint64 // updates that did not arrive
	Doubled   uint64 // updates that arrived again
	Reordered uint64 // updates that arrived after one that follows them
	Failed    uint64 // streams that were given up
	Failure   error  // why the first of them was; nil if none

	// The times are in microseconds and have three significant digits, up to
	// two minutes.
	FirstByte   *hdrhistogram.Histogram // from the request to the head of its answer
	FirstUpdate *hdrhistogram.Histogram // from the request to the first update
	Latency     *hdrhistogram.Histogram // from when an update was due until it arrived
	Reconnect   *hdrhistogram.Histogram // from a lost connection to the head of the next answer
}

const longest = 2 * time.Minute

func newTally() *Tally {
	times := func() *hdrhistogram.Histogram { return hdrhistogram.New(1, longest.Microseconds(), 3) }
	return &Tally{FirstByte: times(), FirstUpdate: times(), Latency: times(), Reconnect: times()}
}

// record records a time, which histograms take from 1 µs on.
func record(h *hdrhistogram.Histogram, d time.Duration) {
	h.RecordValue(min(max(d.Microseconds(), 1), longest.Microseconds()))
}

// add adds what other has.
func (t *Tally) add(other *Tally) {
	t.Updates += other.Updates
	t.Pages += other.Pages
	t.Bytes += other.Bytes
	t.Body += other.Body
	t.Chunks += other.Chunks
	t.Requests += other.Requests
	t.Connected += other.Connected
	t.Lost += other.Lost
	t.Doubled += other.Doubled
	t.Reordered += other.Reordered
	t.Failed += other.Failed
	if t.Failure == nil {
		t.Failure = other.Failure
	}
	t.FirstByte.Merge(other.FirstByte)
	t.FirstUpdate.Merge(other.FirstUpdate)
	t.Latency.Merge(other.Latency)
	t.Reconnect.Merge(other.Reconnect)
}

// Whole reports whether all that was sent arrived, once and in order.
func (t *Tally) Whole() bool {
	return t.Lost == 0 && t.Doubled == 0 && t.Reordered == 0 && t.Failed == 0
}
