package stream

import (
	"errors"
	"log/slog"
	"sync/atomic"
	"time"
)

// This file is which topics a hub has: how their names look, how they are made,
// and how those that nobody uses are dropped.

// ErrTopic is the error of a name that no topic can have.
var ErrTopic = errors.New("a topic's name is 1 to 100 characters of A-Z, a-z, 0-9, '_', '.' and '-'")

// CheckTopic returns nil if a topic can have the name, else ErrTopic.
func CheckTopic(name string) error {
	if len(name) < 1 || len(name) > 100 {
		return ErrTopic
	}
	for _, c := range []byte(name) {
		switch {
		case c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '_', c == '.', c == '-':
		default:
			return ErrTopic
		}
	}
	return nil
}

// with calls f with the log of topic, and makes it if there is none. The log is
// not dropped meanwhile, and f must not wait.
func (h *Hub) with(topic string, f func(*log)) error {
	if h.find(topic, f) {
		return nil
	}
	if err := CheckTopic(topic); err != nil {
		return err
	}
	h.sweep(now())
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.topics[topic]
	if l == nil {
		if most := h.maxTopics(); most > 0 && len(h.topics) >= most {
			return ErrTopics
		}
		l = h.add(topic)
	}
	f(l)
	return nil
}

// find calls f with the log of topic, and reports whether there is one.
func (h *Hub) find(topic string, f func(*log)) bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	l := h.topics[topic]
	if l == nil {
		return false
	}
	f(l)
	return true
}

// add makes the log of topic. The first one is the hub's birth.
func (h *Hub) add(topic string) *log {
	at := now()
	if h.topics == nil {
		h.topics = make(map[string]*log)
		h.floor = uint64(at)
		h.newest.Store(h.floor)
		h.register()
	}
	l := &log{
		topic:     topic,
		retention: h.retention(),
		latest:    h.isLatest(topic),
		newest:    &h.newest,
		floor:     h.floor,
		record:    h.floor,
		used:      at,
	}
	h.topics[topic] = l
	if h.Broker != nil {
		l.newest = new(atomic.Uint64)
		h.carrier.follow(l)
	}
	return l
}

// isLatest calls Latest, whose panic counts as false.
func (h *Hub) isLatest(topic string) (latest bool) {
	var err error
	defer func() {
		if err != nil {
			slog.Error("hub", "topic", topic, "err", err)
		}
	}()
	defer recoverTo(&err, inCallback)
	return h.Latest != nil && h.Latest(topic)
}

// sweep drops the topics that are idle at the time at, if it is time to look for
// them again. A topic that is made anew cannot tell which of its old events a
// place has seen, so the hub's floor makes every place before them a gap.
func (h *Hub) sweep(at int64) {
	due, after := h.sweepAt.Load(), h.dropAfter()
	idle := after.Microseconds()
	if at < due || after < 0 || !h.sweepAt.CompareAndSwap(due, at+idle/8) {
		return
	}
	if dropped := h.drop(at, idle); h.committer != nil && len(dropped) > 0 {
		h.committer.commit(nil)
	}
}

// drop drops the topics that nobody has used for the microseconds idle before
// the time at, and returns what of them a store keeps.
func (h *Hub) drop(at, idle int64) (dropped []Place) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for topic, l := range h.topics {
		if l.idle(at, idle) { // and stays so, because only with gives it away
			h.floor = max(h.floor, l.place())
			delete(h.topics, topic)
			l.drop()
			dropped = append(dropped, Place{topic, l.record})
		}
	}
	if h.committer != nil { // before a topic is made anew
		h.committer.forget(Changes{Forget: dropped, Floor: h.floor})
	}
	return dropped
}

// dropAfter returns how long a topic is kept that nobody uses, less than zero for
// ever. A broker keeps it for longer.
func (h *Hub) dropAfter() time.Duration {
	switch {
	case h.Broker != nil && (h.DropAfter <= 0 || h.DropAfter > brokerIdle):
		return brokerIdle
	case h.DropAfter == 0:
		return defaultDropAfter
	}
	return h.DropAfter
}

func (h *Hub) maxTopics() int {
	if h.MaxTopics == 0 {
		return defaultMaxTopics
	}
	return h.MaxTopics
}

func (h *Hub) retention() retention {
	r := retention{events: h.KeepEvents, bytes: h.KeepBytes, age: h.KeepAge}
	if r.events <= 0 {
		r.events = defaultKeepEvents
	}
	if r.bytes <= 0 {
		r.bytes = defaultKeepBytes
	}
	return r
}
