package stream

import (
	"crypto/sha256"
	"fmt"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

// receipts are what publishers have been answered, so that a request which is
// sent again publishes nothing. The zero value has none.
type receipts struct {
	mu    sync.Mutex // guards the rest, also while something is published
	all   map[occasion]receipt
	order []occasion // oldest first
}

const (
	maxReceipts    = 1024
	keptAsReceipts = 10 * time.Minute
)

// An occasion is what happens once.
type occasion struct{ topic, key string }

type receipt struct {
	digest [sha256.Size]byte // of the updates
	ids    []uint64
	at     time.Time
}

// once returns the ids that m has got already, or else calls publish and
// remembers what it returns. Whoever comes meanwhile waits, which is not for
// long, because a hub makes nobody wait.
func (r *receipts) once(topic string, m publication, publish func() ([]uint64, error)) ([]uint64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget()
	o, digest := occasion{topic, m.key}, digest(m.updates)
	if old, ok := r.all[o]; ok {
		if old.digest != digest {
			return nil, refused(fasthttp.StatusUnprocessableEntity, "the Idempotency-Key %q has been used for other updates: use a new one", m.key)
		}
		return old.ids, nil
	}
	ids, err := publish()
	if err == nil {
		r.add(o, receipt{digest, ids, time.Now()})
	}
	return ids, err
}

func (r *receipts) add(o occasion, got receipt) {
	if r.all == nil {
		r.all = make(map[occasion]receipt)
	}
	if len(r.order) == maxReceipts {
		r.drop()
	}
	r.all[o] = got
	r.order = append(r.order, o)
}

// forget drops the receipts that are too old.
func (r *receipts) forget() {
	for len(r.order) > 0 && time.Since(r.all[r.order[0]].at) > keptAsReceipts {
		r.drop()
	}
}

// drop drops the oldest receipt.
func (r *receipts) drop() {
	delete(r.all, r.order[0])
	r.order = r.order[1:]
}

// digest returns a fingerprint of updates.
func digest(updates []Update) (sum [sha256.Size]byte) {
	h := sha256.New()
	for _, u := range updates {
		fmt.Fprintf(h, "%q %q %q\n", u.Action, u.Target, u.HTML)
	}
	h.Sum(sum[:0])
	return sum
}
