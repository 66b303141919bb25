package stream

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

// receipts are what publishers have been answered, so that a request which is
// sent again publishes nothing. The zero value has none.
type receipts struct {
	mu    sync.Mutex // guards the rest
	all   map[occasion]*receipt
	order []occasion // those that are answered, oldest first
}

const (
	maxReceipts    = 1024
	keptAsReceipts = 10 * time.Minute
)

// An occasion is what happens once.
type occasion struct{ topic, key string }

type receipt struct {
	digest   [sha256.Size]byte // of the updates
	answered chan struct{}     // closed when the rest is there, or nothing was published
	ids      []uint64
	at       time.Time
}

// once returns the ids that m has got already, or else calls publish and
// remembers what it returns. Whoever comes meanwhile with the same key waits.
func (r *receipts) once(topic string, m publication, publish func(*Receipt) ([]uint64, error)) ([]uint64, error) {
	o, mine := occasion{topic, m.key}, &receipt{digest: digest(m.updates), answered: make(chan struct{})}
	for old := r.claim(o, mine); old != mine; old = r.claim(o, mine) {
		if old.digest != mine.digest {
			return nil, refused(fasthttp.StatusUnprocessableEntity, "the Idempotency-Key %q has been used for other updates: use a new one", m.key)
		}
		<-old.answered
		if old.ids != nil {
			return old.ids, nil
		}
	}
	var ids []uint64
	defer func() { r.answer(o, mine, ids) }()
	ids, err := publish(&Receipt{Topic: topic, Key: m.key, Digest: mine.digest})
	return ids, err
}

// claim returns the receipt of o, which is mine if there is no other.
func (r *receipts) claim(o occasion, mine *receipt) *receipt {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget()
	if old := r.all[o]; old != nil {
		return old
	}
	if r.all == nil {
		r.all = make(map[occasion]*receipt)
	}
	r.all[o] = mine
	return mine
}

// answer says what has become of o: ids, or nothing if there are none.
func (r *receipts) answer(o occasion, mine *receipt, ids []uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer close(mine.answered)
	if ids == nil {
		delete(r.all, o)
		return
	}
	mine.ids, mine.at = ids, time.Now()
	if len(r.order) == maxReceipts {
		r.drop()
	}
	r.order = append(r.order, o)
}

// restore takes over what a store has kept, in the order of the ids.
func (r *receipts) restore(kept []Receipt) {
	answered := make(chan struct{})
	close(answered)
	r.all = make(map[occasion]*receipt)
	for _, k := range slices.Backward(kept) {
		if o := (occasion{k.Topic, k.Key}); r.all[o] == nil && len(r.order) < maxReceipts {
			r.all[o] = &receipt{k.Digest, answered, k.ids(), time.UnixMicro(k.At)}
			r.order = append(r.order, o)
		}
	}
	slices.Reverse(r.order)
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

// forgotten returns the id up to which no receipt is needed; zero if none is
// there.
func (r *receipts) forgotten() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.order) == 0 {
		return 0
	}
	return r.all[r.order[0]].ids[0] - 1
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
