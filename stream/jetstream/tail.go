package jetstream

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"foreverframe/stream"

	"github.com/nats-io/nats.go"
)

// A tail is the end of one topic, as far as it has been shown. It belongs to the
// goroutine of Follow.
type tail struct {
	broker  *Broker
	topic   string
	subject string // in the stream
	show    func(stream.News)

	live chan *nats.Msg // what the stream republishes; one that finds it full is read from the stream
	ask  chan reach
	gone chan struct{} // closed at the end of Follow

	born uint64        // of the stream that upTo is a number of; zero means none
	upTo atomic.Uint64 // up to here all has been shown
}

// A reach says how far a topic goes.
type reach struct {
	state
	last uint64 // the topic's last number, if it is greater than the tail's
	upTo uint64 // up to here there is no other
	done chan<- error
}

const (
	livePending = 512 // messages of one topic that wait to be shown
	liveAtOnce  = 64  // that are shown together
)

// Follow subscribes to the plain subject of topic, shows what the stream has of
// it, and goes on with what comes. What it misses it reads from the stream.
func (b *Broker) Follow(ctx context.Context, topic string, show func(stream.News)) {
	t := &tail{
		broker:  b,
		topic:   topic,
		subject: b.config.feed(topic),
		show:    show,
		live:    make(chan *nats.Msg, livePending),
		ask:     make(chan reach),
		gone:    make(chan struct{}),
	}
	b.add(t)
	defer b.remove(t)
	for ctx.Err() == nil {
		subscription, err := b.conn.ChanSubscribe(b.config.live(topic), t.live)
		if err == nil {
			defer subscription.Unsubscribe()
			break
		}
		pause(ctx, reconnectWait)
	}
	for ctx.Err() == nil {
		if err := t.run(ctx); err != nil && ctx.Err() == nil {
			slog.Debug("broker", "topic", topic, "err", err)
			pause(ctx, reconnectWait)
		}
	}
}

func (b *Broker) add(t *tail) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tails[t.topic] = t
}

func (b *Broker) remove(t *tail) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.tails[t.topic] == t {
		delete(b.tails, t.topic)
	}
	close(t.gone)
}

// run shows what there is and what comes, until ctx is done or the stream cannot
// be read.
func (t *tail) run(ctx context.Context) error {
	if t.born == 0 {
		if err := t.begin(ctx); err != nil {
			return err
		}
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case m := <-t.live:
			if err := t.receive(ctx, m); err != nil {
				return err
			}
		case r := <-t.ask:
			err := t.reach(ctx, r)
			r.done <- err
			if err != nil {
				return err
			}
		}
	}
}

// begin shows what the stream has, from its first message on.
func (t *tail) begin(ctx context.Context) error {
	t.born = 0
	now, err := t.broker.look(ctx)
	if err != nil {
		return err
	}
	numbers, upTo, err := t.broker.last(ctx, []string{t.subject}, 0)
	if err != nil {
		return err
	}
	messages, first, err := t.read(ctx, now.born, 0, numbers[t.subject])
	if err != nil {
		return err
	}
	t.born = now.born
	after := t.after(0, first, messages)
	t.upTo.Store(after)
	t.show(stream.News{After: t.born + after, UpTo: t.born + after}) // also if there is nothing
	t.add(after, messages, max(upTo, after))
	return nil
}

// receive shows m and what has come with it, as far as it follows what has been
// shown; else the stream is asked for what is missing.
func (t *tail) receive(ctx context.Context, m *nats.Msg) error {
	after := t.upTo.Load()
	upTo, missing := after, uint64(0)
	var records []stream.Record
	for more := true; more && missing == 0; {
		switch d, err := decode(m); {
		case err == errNoMessage:
		case d.seq <= upTo:
			t.broker.redelivered.Add(1)
		case d.before > upTo:
			missing = d.seq
		case err != nil:
			tellForeign(t.subject, d.seq, err)
			upTo = d.seq
		default:
			records = append(records, d.record(t.born))
			upTo = d.seq
		}
		if more = missing == 0 && len(records) < liveAtOnce; more {
			select {
			case m = <-t.live:
			default:
				more = false
			}
		}
	}
	if upTo > after {
		t.advance(after, records, upTo)
	}
	if missing == 0 {
		return nil
	}
	return t.reach(ctx, reach{state: t.broker.known(), last: missing, upTo: missing})
}

// reach shows all up to r. A stream that is not the one of before begins anew.
func (t *tail) reach(ctx context.Context, r reach) error {
	if r.born != t.born {
		return t.begin(ctx)
	}
	have := t.upTo.Load()
	if r.last <= have {
		if r.upTo > have {
			t.add(t.after(have, r.first, nil), nil, r.upTo)
		}
		return nil
	}
	messages, first, err := t.read(ctx, r.born, have, r.last)
	if err != nil {
		return err
	}
	t.broker.redelivered.Add(uint64(len(messages)))
	t.add(t.after(have, first, messages), messages, r.upTo)
	return nil
}

// add shows messages, which follow the number after, and that there are no others
// up to the greater of upTo and the last of them.
func (t *tail) add(after uint64, messages []message, upTo uint64) {
	records := make([]stream.Record, 0, len(messages))
	for _, d := range messages {
		upTo = max(upTo, d.seq)
		if d.end || d.update != (stream.Update{}) {
			records = append(records, d.record(t.born))
		}
	}
	t.advance(after, records, max(upTo, after))
}

// advance shows records, which follow the number after, and that there are no
// others up to upTo.
func (t *tail) advance(after uint64, records []stream.Record, upTo uint64) {
	t.upTo.Store(upTo)
	t.broker.see(t.born + upTo)
	t.show(stream.News{After: t.born + after, Records: records, UpTo: t.born + upTo})
}

// read returns the messages that follow the number have, at least up to last if
// that is still kept, and the first number that the stream had afterwards. It
// fails if the stream is not the one that was born then.
func (t *tail) read(ctx context.Context, born, have, last uint64) (messages []message, first uint64, err error) {
	for last > have {
		some, more, err := t.broker.next(ctx, t.subject, have)
		if err != nil {
			return nil, 0, err
		}
		messages = append(messages, some...)
		if n := len(messages); n > 0 {
			have = messages[n-1].seq
		}
		if more || last <= have {
			continue
		}
		pause(ctx, 2*time.Millisecond) // the server that has answered is behind, or it was forgotten
		numbers, _, err := t.broker.last(ctx, []string{t.subject}, have)
		if err != nil {
			return nil, 0, err
		}
		last = numbers[t.subject]
	}
	now, err := t.broker.look(ctx)
	if err == nil && now.born != born {
		err = errAnew
	}
	return messages, now.first, err
}

var errAnew = errors.New("the stream was made anew")

// after returns where messages that were read after the number have really begin:
// there, if the stream can have forgotten nothing in between. It forgets the
// oldest of all topics, before its first number, and the oldest of a topic that
// has as many as may be.
func (t *tail) after(have, first uint64, messages []message) uint64 {
	if len(messages) >= t.broker.config.PerTopic {
		return max(have, messages[0].seq-1)
	}
	if first > have+1 {
		have = first - 1
		if len(messages) > 0 {
			have = min(have, messages[0].seq-1)
		}
	}
	return have
}

// tellForeign logs that a message is none of ours.
func tellForeign(subject string, seq uint64, err error) {
	slog.Warn("broker: a message is left out, because it is not an update", "subject", subject, "sequence", seq, "err", err)
}
