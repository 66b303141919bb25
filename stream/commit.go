package stream

import (
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// A committer brings what is published to a Store, and shows it when it is safe
// there: nobody sees what the end of the process could take back. What comes
// while the store writes is gathered and goes there together, so that many
// publishers share one wait for the disk.
//
// Only one goroutine writes at a time, the first of its group; so all ids are
// given and all events are shown in one order, and whoever reads the hub's
// counter finds every event up to what it has read.
type committer struct {
	store  Store
	newest *atomic.Uint64 // the newest id that is shown

	mu        sync.Mutex    // guards the rest
	gathering *group        // nil until somebody comes
	last      chan struct{} // closed when the last group is written; nil if there was none
	forgets   Changes       // what is not needed any more, without records

	// The rest belongs to the group whose turn it is.
	given   uint64 // the newest id that was given to a record, also one that could not be kept
	failing bool   // the last group could not be kept
}

// A group is what goes to the store together.
type group struct {
	writes []*write
	turn   <-chan struct{} // closed when the group before is written; nil if there is none
	done   chan struct{}   // closed when this one is
}

// A write is one publication on its way to the store.
type write struct {
	topic   string
	log     *log
	at      int64
	updates []Update // none ends the topic
	receipt *Receipt // nil if there is none

	id    uint64 // of the record
	after uint64 // the record before
	err   error
}

// commit returns when w has been kept and shown, or w.err says why not. A nil w
// only brings to the store what is not needed any more.
func (c *committer) commit(w *write) {
	g, first := c.join(w)
	if !first {
		<-g.done
		return
	}
	defer close(g.done)
	if g.turn != nil {
		<-g.turn
		runtime.Gosched() // who was answered just now may publish again, and join
	}
	c.write(g.writes, c.close())
}

// join adds w to the group that is gathering, and reports whether it is the
// first of it.
func (c *committer) join(w *write) (g *group, first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if first = c.gathering == nil; first {
		c.gathering = &group{turn: c.last, done: make(chan struct{})}
		c.last = c.gathering.done
	}
	if w != nil {
		w.err = ErrStore // until it is kept
		c.gathering.writes = append(c.gathering.writes, w)
	}
	return c.gathering, first
}

// close ends the gathering, and returns what is to be forgotten with the group.
func (c *committer) close() Changes {
	c.mu.Lock()
	defer c.mu.Unlock()
	forgets := c.forgets
	c.gathering, c.forgets = nil, Changes{}
	return forgets
}

// forget adds to what is not needed any more.
func (c *committer) forget(more Changes) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forgets.Forget = append(c.forgets.Forget, more.Forget...)
	c.forgets.ForgetReceipts = max(c.forgets.ForgetReceipts, more.ForgetReceipts)
	c.forgets.Floor = max(c.forgets.Floor, more.Floor)
	c.forgets.Gap = max(c.forgets.Gap, more.Gap)
}

// write brings writes to the store, with what is to be forgotten, and shows
// them.
func (c *committer) write(writes []*write, forgets Changes) {
	changes := forgets
	var kept, late []*write
	for _, w := range writes {
		if w.log.ending {
			late = append(late, w)
			continue
		}
		kept = append(kept, w)
		c.record(w, &changes)
	}
	err := c.store.Write(changes)
	c.tell(err)
	if err != nil {
		c.forget(forgets)
		undo(slices.Concat(kept, late), err)
		return
	}
	for _, w := range late {
		w.err = ErrTopicEnded
		w.log.unpin()
	}
	var done Changes
	for _, w := range kept {
		if p := w.show(c.newest); p.ID > 0 {
			done.Forget = append(done.Forget, p)
		}
	}
	c.forget(done)
}

// record gives w an id and adds what w is to changes.
func (c *committer) record(w *write, changes *Changes) {
	c.given += uint64(max(len(w.updates), 1))
	w.id, w.after = c.given, w.log.record
	w.log.record, w.log.ending = w.id, len(w.updates) == 0
	changes.Records = append(changes.Records, Record{Topic: w.topic, ID: w.id, After: w.after, At: w.at, Updates: w.updates})
	if r := w.receipt; r != nil {
		r.ID, r.Updates, r.At = w.id, len(w.updates), w.at
		changes.Receipts = append(changes.Receipts, *r)
	}
}

// undo leaves the logs of writes as they were: err has kept them from the store.
func undo(writes []*write, err error) {
	for _, w := range slices.Backward(writes) {
		w.err = fmt.Errorf("%w: %w", ErrStore, err)
		if w.id > 0 {
			w.log.record, w.log.ending = w.after, false
		}
		w.log.unpin()
	}
}

// tell logs when the store begins to fail, and when it works again.
func (c *committer) tell(err error) {
	switch {
	case err != nil && !c.failing:
		slog.Error("store: nothing can be published until it works again", "err", err)
	case err == nil && c.failing:
		slog.Info("store: it works again")
	}
	c.failing = err != nil
}

// show adds what has been kept to its log, and returns up to where the store may
// forget the topic.
func (w *write) show(newest *atomic.Uint64) Place {
	l := w.log
	l.mu.Lock()
	defer l.mu.Unlock()
	l.use(w.at)
	if len(w.updates) == 0 {
		l.ended = true
	}
	l.add(w.id, w.at, w.updates)
	newest.Store(w.id)
	l.wake()
	l.pending--
	w.err = nil
	return Place{w.topic, l.forgettable()}
}
