package stream

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// A Broker numbers and keeps the events of hubs in several processes, so that
// all of them show the same ones, with the same ids and in the same order. It
// belongs to one hub; package stream/jetstream has one that is a connection to
// NATS, and package stream/brokertest has what hubs must do with any of them.
// Its methods may be called by several goroutines at once.
//
// Ids are as a Hub's: one row of growing numbers for all topics, of which those
// of a broker that has begun anew, without its events, are greater than all
// before.
type Broker interface {
	// Publish keeps updates in topic, all of them or none, with no other event
	// of the topic between them, and returns the id of the last when they are
	// safe; those before it have the ids before it. No updates are the topic's
	// end. With a key that is not empty it publishes once: for ten minutes or
	// more, the same topic, key and updates get the same id again, at any hub,
	// and other updates ErrKey. The error wraps ErrBroker if the broker cannot
	// be reached, or does not answer before ctx is done.
	Publish(ctx context.Context, topic, key string, updates []Update) (last uint64, err error)
	// Has reports whether topic has events, or its end, that are kept.
	Has(ctx context.Context, topic string) (bool, error)
	// Follow calls show with what of topic is kept, which may be nothing, and
	// then with all that is new, in order, until ctx is done. While the broker
	// cannot be reached it waits. It calls show from one goroutine at a time;
	// show waits, a second at most, for who has to write what was shown before.
	Follow(ctx context.Context, topic string, show func(News))
	// Sync returns when all that topics have up to the id upTo, or up to the
	// newest id that there is if that is smaller, has been shown. The topics are
	// those of which Follow has shown something; one that is not followed any
	// more does not count.
	Sync(ctx context.Context, topics []string, upTo uint64) error
	// Status returns how the broker is, at once.
	Status() BrokerStatus
}

// News is what there is more of a topic.
type News struct {
	// After is the id that this follows. One that is greater than UpTo of the
	// news before says that events in between are missing.
	After uint64
	// Records are in the order of their ids. Their Topic and After do not count.
	Records []Record
	// UpTo is the id up to which the topic has no other events, also none that
	// are on their way.
	UpTo uint64
}

// BrokerStatus is how a broker is.
type BrokerStatus struct {
	// Connected says that the broker can be reached.
	Connected bool
	// Pending is the number of publications that wait to be acknowledged, and
	// of messages that wait to be shown.
	Pending int
	// Redelivered is the number of messages that came again, or late, because
	// they were missing.
	Redelivered uint64
	// Lag is how long ago the hub has last made sure that it has all that there
	// is of its topics. A hub sets it; zero means that it has not yet.
	Lag time.Duration
}

var (
	// ErrBroker means that the hub's broker cannot be reached, or that it does
	// not answer in time. What was to be published may come all the same; with
	// a key it may be sent again.
	ErrBroker = errors.New("the broker is away: try again later")
	// ErrKey means that a key has been used for other updates.
	ErrKey = errors.New("the Idempotency-Key has been used for other updates: use a new one")
)

const (
	brokerWait  = 5 * time.Second        // for an answer of a broker
	brokerTick  = time.Second            // between looks for what is missing and for what is idle
	brokerIdle  = time.Minute            // until a topic that nobody uses is not followed any more
	brokerPause = 100 * time.Millisecond // before a broker that has failed is asked again
)

// Status returns how h's broker is, and false if it has none.
func (h *Hub) Status() (s BrokerStatus, ok bool) {
	if h.Broker == nil {
		return BrokerStatus{}, false
	}
	s = h.Broker.Status()
	s.Lag = h.carrier.lag()
	return s, true
}

// send brings updates to the broker.
func (h *Hub) send(topic string, updates []Update, r *Receipt) (last uint64, err error) {
	if err := CheckTopic(topic); err != nil {
		return 0, err
	}
	ended, key := false, ""
	h.find(topic, func(l *log) { ended = l.hasEnded() })
	if ended {
		return 0, ErrTopicEnded
	}
	if r != nil {
		key = r.Key
	}
	ctx, cancel := context.WithTimeout(context.Background(), brokerWait)
	defer cancel()
	return h.Broker.Publish(ctx, topic, key, updates)
}

// sendEnd brings topic's end to the broker. The topic is here from now on, so
// that it is known to have ended.
func (h *Hub) sendEnd(topic string) error {
	f, err := h.follow(0, []string{topic})
	if err != nil {
		return err
	}
	defer f.leave()
	ctx, cancel := context.WithTimeout(context.Background(), brokerWait)
	defer cancel()
	if err := f.until(ctx, func() bool { return f.complete() > 0 }); err != nil || f.logs[0].hasEnded() {
		return err
	}
	id, err := h.Broker.Publish(ctx, topic, "", nil)
	if err != nil {
		return err
	}
	return f.until(ctx, func() bool { return f.complete() >= id })
}

// hasFar reports whether the broker has topic. One that cannot be asked may have
// it.
func (h *Hub) hasFar(topic string) bool {
	if CheckTopic(topic) != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), brokerWait)
	defer cancel()
	has, err := h.Broker.Has(ctx, topic)
	return has || err != nil
}

// await returns when what the broker has of topics is here. If they are several,
// all of it is that was there when await was called; else that is what the first
// look has found.
func (h *Hub) await(topics []string) error {
	if h.Broker == nil {
		return nil
	}
	f, err := h.follow(0, topics)
	if err != nil {
		return err
	}
	defer f.leave()
	wait := brokerWait
	if !h.Broker.Status().Connected { // it may be changing from one server to another
		wait = brokerTick
	}
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	if err := f.until(ctx, func() bool { return len(f.logs) == 0 || f.complete() > 0 }); err != nil || len(f.logs) < 2 {
		return err
	}
	turn := h.carrier.want(f.logs, newestThereIs)
	f.until(ctx, func() bool { return h.carrier.answered(turn) }) // else what is here has to do
	return nil
}

// until returns when done does, which is asked at every change of a log, or
// ErrBroker when ctx is done.
func (f *follower) until(ctx context.Context, done func() bool) error {
	for !done() {
		select {
		case <-f.token:
		case <-ctx.Done():
			return ErrBroker
		}
	}
	return nil
}

// standing returns the newest id of the hub, or with a broker the one up to which
// all that f follows is here, zero if that is not known yet.
func (h *Hub) standing(f *follower) uint64 {
	if h.Broker == nil {
		return h.newest.Load()
	}
	return f.complete()
}

// holds reports whether a reader of topics at place need not wait for a broker to
// say whether there is such a place.
func (h *Hub) holds(topics []string, place uint64) bool {
	if h.Broker == nil {
		return true
	}
	for _, topic := range topics {
		newest := uint64(0)
		h.find(topic, func(l *log) { newest = l.newest.Load() })
		if newest == 0 || newest < place {
			return false
		}
	}
	return true
}

// certain returns after, or the id up to which h has all of topics if that is
// smaller.
func (h *Hub) certain(topics []string, after uint64) uint64 {
	if h.Broker == nil {
		return after
	}
	for _, topic := range topics {
		h.find(topic, func(l *log) { after = min(after, l.newest.Load()) })
	}
	return after
}

// writeBrokers writes how the brokers of all hubs are, if there are any.
func writeBrokers(w io.Writer) {
	sum, any := BrokerStatus{Connected: true}, false
	for _, h := range livingHubs() {
		if s, ok := h.Status(); ok {
			any = true
			sum.Connected = sum.Connected && s.Connected
			sum.Pending += s.Pending
			sum.Redelivered += s.Redelivered
			sum.Lag = max(sum.Lag, s.Lag)
		}
	}
	if !any {
		return
	}
	connected := uint64(0)
	if sum.Connected {
		connected = 1
	}
	metrics.WriteGaugeUint64(w, "foreverframe_broker_connected", connected)
	metrics.WriteGaugeUint64(w, "foreverframe_broker_pending", uint64(sum.Pending))
	metrics.WriteCounterUint64(w, "foreverframe_broker_redelivered_total", sum.Redelivered)
	metrics.WriteGaugeFloat64(w, "foreverframe_broker_lag_seconds", sum.Lag.Seconds())
}
