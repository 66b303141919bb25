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
// misses nothing. A publisher never waits and does not know who listens. The
// zero value is ready to use; set the fields before. All methods may be called
// by several goroutines at once.
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

	newest  atomic.Uint64 // the newest id; the hub's birth if there was none
	sweepAt atomic.Int64  // when to look for idle topics, in microseconds since 1970

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
	// ErrTopic is the error of a name that no topic can have.
	ErrTopic = errors.New("a topic's name is 1 to 100 characters of A-Z, a-z, 0-9, '_', '.' and '-'")
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

// Publish adds u to topic and returns its id. It does not wait for anybody. The
// error wraps ErrTopic, ErrTopics, ErrUpdate or ErrTopicEnded.
func (h *Hub) Publish(topic string, u Update) (id uint64, err error) {
	if err = u.Check(); err == nil {
		id, err = h.append(topic, []Update{u.valid()})
	}
	if err != nil {
		return 0, fmt.Errorf("publish %q: %w", topic, err)
	}
	return id, nil
}

// PublishAll adds updates to topic, all of them or none, and returns their ids.
// No other event of the topic comes between them. It does not wait for anybody.
// The error wraps one of Publish's or ErrBatch.
func (h *Hub) PublishAll(topic string, updates ...Update) (ids []uint64, err error) {
	all := make([]Update, len(updates))
	for i, u := range updates {
		if err := u.Check(); err != nil {
			return nil, fmt.Errorf("publish %q: update %d: %w", topic, i+1, err)
		}
		all[i] = u.valid()
	}
	last, err := h.append(topic, all)
	if err != nil {
		return nil, fmt.Errorf("publish %q: %w", topic, err)
	}
	for i := range updates {
		ids = append(ids, last-uint64(len(updates)-1-i))
	}
	return ids, nil
}

// append adds valid updates to topic and returns the id of the last of them.
func (h *Hub) append(topic string, updates []Update) (last uint64, err error) {
	if len(updates) > 1 && !h.retention().holds(updates) {
		return 0, ErrBatch
	}
	at := now()
	wrong := h.with(topic, func(l *log) { last, err = l.append(at, updates) })
	if wrong != nil {
		return 0, wrong
	}
	h.sweep(at)
	return last, err
}

// End ends topic: those who follow it are told that it is done, and so is
// whoever asks for it before it is dropped.
func (h *Hub) End(topic string) error {
	if err := h.with(topic, (*log).end); err != nil {
		return fmt.Errorf("end %q: %w", topic, err)
	}
	return nil
}

// Has reports whether topic exists: whether it has been published to or a Feed
// of it has been made, and it has not been dropped since.
func (h *Hub) Has(topic string) bool {
	return h.find(topic, func(*log) {})
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
// you pass a stranger's name. A Feed that the hub cannot make says so in Err; a
// Feed of no topics has ended.
func (h *Hub) Feed(topics ...string) Feed {
	f := Feed{Topics: topics, hub: h}
	for _, topic := range topics {
		err := h.with(topic, func(l *log) { f.After = max(f.After, l.visit()) })
		if err != nil {
			return Feed{Topics: topics, hub: h, err: fmt.Errorf("feed %q: %w", topic, err)}
		}
	}
	h.sweep(now())
	return f
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
	}
	l := &log{
		retention: h.retention(),
		latest:    h.Latest != nil && h.Latest(topic),
		newest:    &h.newest,
		floor:     h.floor,
		used:      at,
	}
	h.topics[topic] = l
	return l
}

// sweep drops the topics that are idle at the time at, if it is time to look for
// them again. A topic that is made anew cannot tell which of its old events a
// place has seen, so the hub's floor makes every place before them a gap.
func (h *Hub) sweep(at int64) {
	due, idle := h.sweepAt.Load(), orDefault(h.DropAfter, defaultDropAfter).Microseconds()
	if at < due || h.DropAfter < 0 || !h.sweepAt.CompareAndSwap(due, at+idle/8) {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for topic, l := range h.topics {
		if l.idle(at, idle) { // and stays so, because only with gives it away
			h.floor = max(h.floor, l.place())
			delete(h.topics, topic)
		}
	}
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
