package stream

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A Hub carries updates from those who publish to those who follow, by topic,
// and keeps the recent past of each topic, so that a browser which comes back
// misses nothing. A publisher never waits for a reader and does not know who
// listens; it waits, for a second at most, when it is faster than what it publishes
// can be written. The zero value is ready to use, and keeps all in memory; set the
// fields before, and call Restore before all else if a Store is to keep it. All
// methods may be called by several goroutines at once.
//
// The ids of events grow over all topics and from one life of a hub to the next:
// an id is the hub's birth in microseconds since 1970 plus the event's count.
type Hub struct {
	// KeepEvents is the number of events kept of each topic, for browsers that
	// come back or are slow. Zero means 1024.
	KeepEvents int
	// KeepBytes bounds the bytes kept of each topic. Zero means 4 MB. The
	// newest event is always kept.
	KeepBytes int
	// KeepAge bounds the age of what is kept: nobody gets an event that is
	// older. Zero means for ever.
	KeepAge time.Duration
	// DropAfter is how long a topic is kept, with all its events, while nobody
	// publishes to it, follows it or makes a Feed of it; then it is forgotten,
	// within an eighth of DropAfter, as if it had never been. Zero means one
	// hour, less than zero for ever.
	DropAfter time.Duration
	// MaxTopics is the largest number of topics. Zero means 10,000, less than
	// zero any number.
	MaxTopics int
	// Latest reports whether a topic is one of which a reader that is behind
	// wants the newest state only, such as prices or gauges. Among the events
	// that such a topic hands to a reader at once, a Replace, an Inner or an
	// Attr is left out if a later one has the same action and target (and
	// attribute name) and none in between has this target with another action,
	// but for Inner and Attr, which do not touch each other. The page comes out
	// the same if what replaces an element is one element with the same id, and
	// if an id that is in one target's content does not move to another's. Nil
	// means no topic. It is called when a topic is made, and must not use the
	// hub.
	Latest func(topic string) bool
	// Broker carries the events between this hub and those of other processes,
	// and numbers and keeps them; Run has to run then. A topic is here only while
	// somebody uses it, and for at most a minute after that. A hub that has ended
	// a topic, or that has followers of it, knows of its end; what another one
	// publishes after it begins the topic anew. Nil means that the hub is alone.
	Broker Broker

	newest    atomic.Uint64 // the newest id; the hub's birth if there was none; idle with a broker
	sweepAt   atomic.Int64  // when to look for idle topics, in microseconds since 1970
	committer *committer    // nil without a store
	carrier   carrier       // idle without a broker
	receipts  receipts

	mu     sync.RWMutex // guards the rest
	topics map[string]*log
	floor  uint64 // the newest id of a topic that is dropped; the birth if none is
}

const (
	defaultKeepEvents = 1024
	defaultKeepBytes  = 4 << 20
	defaultDropAfter  = time.Hour
	defaultMaxTopics  = 10_000
)

var (
	// ErrTopicEnded means that the topic has ended: it takes no more events
	// and sends no more.
	ErrTopicEnded = errors.New("the topic has ended")
	// ErrTopics means that the hub has as many topics as it may have: a new
	// one needs an old one to fall idle.
	ErrTopics = errors.New("there are too many topics: use one that there is, or come back when others have fallen idle")
	// ErrBatch means that a topic cannot keep all the updates that were to be
	// published together.
	ErrBatch = errors.New("a topic cannot keep so many updates at once: publish fewer together")
)

// Publish adds u to topic and returns its id. It waits for nobody but a store or
// a broker, for the latter at most five seconds, and for the processor, as Hub
// says. The error wraps ErrTopic,
// ErrTopics, ErrUpdate, ErrTopicEnded, ErrStore or ErrBroker.
func (h *Hub) Publish(topic string, u Update) (id uint64, err error) {
	if err = u.Check(); err == nil {
		id, err = h.append(topic, []Update{u.valid()}, nil)
	}
	if err != nil {
		return 0, fmt.Errorf("publish %q: %w", topic, err)
	}
	return id, nil
}

// PublishAll adds updates to topic, all of them or none, and returns their ids.
// No other event of the topic comes between them. It waits as Publish does. The
// error wraps one of Publish's or ErrBatch.
func (h *Hub) PublishAll(topic string, updates ...Update) (ids []uint64, err error) {
	return h.publish(topic, updates, nil)
}

// publish is PublishAll with a receipt, which may be nil, for the store.
func (h *Hub) publish(topic string, updates []Update, r *Receipt) (ids []uint64, err error) {
	all := make([]Update, len(updates))
	for i, u := range updates {
		if err := u.Check(); err != nil {
			return nil, fmt.Errorf("publish %q: update %d: %w", topic, i+1, err)
		}
		all[i] = u.valid()
	}
	last, err := h.append(topic, all, r)
	if err != nil {
		return nil, fmt.Errorf("publish %q: %w", topic, err)
	}
	return idsUpTo(last, len(updates)), nil
}

// append adds valid updates to topic and returns the id of the last of them.
func (h *Hub) append(topic string, updates []Update, r *Receipt) (last uint64, err error) {
	if len(updates) > 1 && !h.retention().holds(updates) {
		return 0, ErrBatch
	}
	if h.Broker != nil && len(updates) > 0 {
		return h.send(topic, updates, r)
	}
	at := now()
	if h.committer != nil && len(updates) > 0 {
		last, err = h.keep(&write{topic: topic, at: at, updates: updates, receipt: r})
		h.sweep(at)
		return last, err
	}
	var to *log
	wrong := h.with(topic, func(l *log) {
		to = l
		last, err = l.append(at, updates)
	})
	if wrong != nil {
		return 0, wrong
	}
	to.yield()
	h.sweep(at)
	return last, err
}

// keep brings w to the store, and returns its id when it is shown.
func (h *Hub) keep(w *write) (id uint64, err error) {
	pinned := false
	if err := h.with(w.topic, func(l *log) { w.log, pinned = l, l.pin() }); err != nil {
		return 0, err
	}
	if !pinned {
		return 0, ErrTopicEnded
	}
	if w.receipt != nil {
		h.committer.forget(Changes{ForgetReceipts: h.receipts.forgotten()})
	}
	h.committer.commit(w)
	w.log.yield()
	return w.id, w.err
}

// End ends topic: those who follow it are told that it is done, and so is
// whoever asks for it before it is dropped. It waits as Publish does. The error
// wraps ErrTopic, ErrTopics, ErrStore or ErrBroker.
func (h *Hub) End(topic string) error {
	if err := h.end(topic); err != nil {
		return fmt.Errorf("end %q: %w", topic, err)
	}
	return nil
}

func (h *Hub) end(topic string) error {
	if h.Broker != nil {
		return h.sendEnd(topic)
	}
	if h.committer == nil {
		return h.with(topic, (*log).end)
	}
	if _, err := h.keep(&write{topic: topic, at: now()}); !errors.Is(err, ErrTopicEnded) {
		return err
	}
	return nil
}

// Has reports whether topic exists: whether it has been published to or a Feed
// of it has been made, and it has not been dropped since. It may wait for a
// broker, at most five seconds.
func (h *Hub) Has(topic string) bool {
	return h.find(topic, func(*log) {}) || h.Broker != nil && h.hasFar(topic)
}

// Subscribe returns the events of topics that follow the id after, in the order
// of their ids, and goes on with new ones as they come, until the loop ends, ctx
// is done or all the topics have ended. Each turn has all that there is by then,
// at least one event; the slices must not be changed. An error is the last turn:
// it wraps ErrGap if events after the id are missing, ErrTopic or ErrTopics, and
// there is none after the end of ctx or the topics. The id 0 stands before the
// oldest events that are kept.
func (h *Hub) Subscribe(ctx context.Context, after uint64, topics ...string) iter.Seq2[[]Event, error] {
	return func(yield func([]Event, error) bool) {
		f, err := h.follow(after, topics)
		if err != nil {
			yield(nil, fmt.Errorf("subscribe %q: %w", strings.Join(topics, ","), err))
			return
		}
		defer f.leave()
		for ctx.Err() == nil {
			events, err := f.next(ctx)
			switch {
			case errors.Is(err, ErrTopicEnded), ctx.Err() != nil:
				return
			case err != nil:
				yield(nil, fmt.Errorf("subscribe %q after %d: %w", strings.Join(topics, ","), after, err))
				return
			}
			if !yield(events, nil) {
				return
			}
			after = events[len(events)-1].ID
		}
	}
}

// Feed returns topics as they stand now: what follows this moment, for a page
// that is about to be rendered. The topics exist from now on, so ask Has before
// you pass a stranger's name. It may wait for a broker, at most five seconds. A
// Feed that the hub cannot make says so in Err; a Feed of no topics has ended.
func (h *Hub) Feed(topics ...string) Feed {
	f := Feed{Topics: topics, hub: h}
	err := h.await(topics)
	for _, topic := range topics {
		if err == nil {
			err = h.with(topic, func(l *log) { f.After = max(f.After, l.visit()) })
		}
		if err != nil {
			return Feed{Topics: topics, hub: h, err: fmt.Errorf("feed %q: %w", topic, err)}
		}
	}
	f.After = h.certain(topics, f.After)
	h.sweep(now())
	return f
}
