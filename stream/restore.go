package stream

import "fmt"

// Restore takes over what store has kept, and keeps in it, from now on, all that
// is published: Publish, PublishAll and End return when it is safe there, and
// only then does anybody see it. Call it before all else of h. A browser that
// followed the hub before its process ended goes on where it was; if the store
// may have lost something, it reloads. Retention holds as it does in memory; a
// topic's time until it is dropped starts anew. An error means that the store
// cannot be read or written, and h is not to be used.
func (h *Hub) Restore(store Store) error {
	at := now()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.topics = make(map[string]*log)
	h.register()
	newest := uint64(at)
	kept, err := store.Load(func(r Record) {
		newest = max(newest, r.ID)
		h.restore(r, at)
	})
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	h.newest.Store(newest)
	first := Changes{Gap: kept.Gap}
	if h.floor = kept.Floor; h.floor == 0 {
		h.floor = newest
	}
	if kept.Lossy {
		h.floor, first.Gap = newest, newest
	}
	first.Floor = h.floor
	h.committer = &committer{store: store, newest: &h.newest, given: newest}
	h.trim(at, first.Gap)
	h.receipts.restore(kept.Receipts)
	if err := store.Write(first); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	return nil
}

// restore adds r to its log.
func (h *Hub) restore(r Record, at int64) {
	l := h.topics[r.Topic]
	if l == nil {
		l = h.add(r.Topic)
		l.floor, l.used = r.After, 0
	}
	l.use(r.At)
	l.take(r)
	l.record, l.ending = r.ID, l.ended
}

// trim forgets what is too old at the time at, and makes every place before gap
// a gap.
func (h *Hub) trim(at int64, gap uint64) {
	for topic, l := range h.topics {
		l.forgetOld(at)
		if id := l.forgettable(); id > 0 {
			h.committer.forget(Changes{Forget: []Place{{topic, id}}})
		}
		l.floor = max(l.floor, gap)
		l.use(at)
	}
}
