package stream

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"
)

// A Hub carries updates from those who publish to those who follow, by topic,
// and keeps the recent past of each topic, so that a browser which comes back
// misses nothing. A publisher never waits and does not know who listens. The
// zero value is ready to use; set the fields before. All methods may be called
// by several goroutines at once.
type Hub struct {
	// KeepEvents is the number of events kept of each topic, for browsers that
	// come back or are slow. Zero means 1024.
	KeepEvents int
	// KeepBytes bounds the bytes kept of each topic. Zero means 4 MB. The
	// newest event is always kept.
	KeepBytes int
	// KeepAge bounds the age of what is kept. Zero means for ever.
	KeepAge time.Duration

	mu     sync.RWMutex // guards topics
	topics map[string]*log
}

const (
	defaultKeepEvents = 1024
	defaultKeepBytes  = 4 << 20
)

var (
	// ErrTopic is the error of a name that no topic can have.
	ErrTopic = errors.New("a topic's name is 1 to 100 characters of A-Z, a-z, 0-9, '_', '.' and '-'")
	// ErrTopicEnded means that the topic has ended: it takes no more events
	// and sends no more.
	ErrTopicEnded = errors.New("the topic has ended")
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
// error wraps ErrTopic, ErrUpdate or ErrTopicEnded.
func (h *Hub) Publish(topic string, u Update) (id uint64, err error) {
	log, err := h.log(topic)
	if err == nil {
		err = u.Check()
	}
	if err == nil {
		id, err = log.append(u.valid())
	}
	if err != nil {
		return 0, fmt.Errorf("publish %q: %w", topic, err)
	}
	return id, nil
}

// End ends topic: those who follow it are told that it is done, and so is
// whoever asks for it later.
func (h *Hub) End(topic string) error {
	log, err := h.log(topic)
	if err != nil {
		return fmt.Errorf("end %q: %w", topic, err)
	}
	log.end()
	return nil
}

// Has reports whether topic exists: whether it has been published to or a Feed
// of it has been made.
func (h *Hub) Has(topic string) bool {
	return h.find(topic) != nil
}

// find returns the log of topic, nil if there is none.
func (h *Hub) find(topic string) *log {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.topics[topic]
}

// Subscribe returns the events of topic that follow the id after, and goes on
// with new ones as they come, until the loop ends, ctx is done or the topic
// ends. Each turn has all that there is by then, at least one event; the slices
// must not be changed. An error is the last turn: it wraps ErrGap if events
// after the id are missing, and there is none after the end of ctx or the
// topic. The id 0 stands before the oldest event that is kept.
func (h *Hub) Subscribe(ctx context.Context, topic string, after uint64) iter.Seq2[[]Event, error] {
	return func(yield func([]Event, error) bool) {
		log, err := h.log(topic)
		if err != nil {
			yield(nil, fmt.Errorf("subscribe %q: %w", topic, err))
			return
		}
		for ctx.Err() == nil {
			events, more, err := log.after(after)
			switch {
			case errors.Is(err, ErrTopicEnded):
				return
			case err != nil:
				yield(nil, fmt.Errorf("subscribe %q after %d: %w", topic, after, err))
				return
			case more != nil:
				select {
				case <-more:
				case <-ctx.Done():
				}
				continue
			}
			if !yield(events, nil) {
				return
			}
			after = events[len(events)-1].ID
		}
	}
}

// Feed returns topic as it stands now: what follows this moment, for a page that
// is about to be rendered. The topic exists from now on.
func (h *Hub) Feed(topic string) Feed {
	f := Feed{Topic: topic, hub: h}
	if log, err := h.log(topic); err == nil {
		f.After = log.place()
	}
	return f
}

// log returns the log of topic, and makes it if there is none.
func (h *Hub) log(topic string) (*log, error) {
	if l := h.find(topic); l != nil {
		return l, nil
	}
	if err := CheckTopic(topic); err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if l := h.topics[topic]; l != nil {
		return l, nil
	}
	if h.topics == nil {
		h.topics = make(map[string]*log)
	}
	l := newLog(h.retention())
	h.topics[topic] = l
	return l, nil
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
