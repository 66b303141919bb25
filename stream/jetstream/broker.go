package jetstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"foreverframe/stream"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A Broker is a connection to NATS, and the stream that it shares with others.
// Connect makes it.
type Broker struct {
	config Config
	conn   *nats.Conn
	js     jetstream.JetStream

	waiting      atomic.Int64 // publications that are not acknowledged yet
	redelivered  atomic.Uint64
	newest       atomic.Uint64 // the greatest id that there is for certain
	disconnected atomic.Int64  // since when, in nanoseconds since 1970; zero if connected

	mu    sync.Mutex // guards the rest
	state state
	tails map[string]*tail // what is followed
}

var _ stream.Broker = (*Broker)(nil)

// Connect connects to NATS, and makes the stream if there is none. It tries until
// that is done or ctx is; a connection that is lost later comes back by itself.
// An error says what to do.
func Connect(ctx context.Context, config Config) (*Broker, error) {
	b := &Broker{config: config.complete(), tails: make(map[string]*tail)}
	if err := b.config.check(); err != nil {
		return nil, err
	}
	options, err := b.options()
	if err != nil {
		return nil, err
	}
	for {
		err := b.connect(ctx, options)
		if err == nil {
			return b, nil
		}
		if b.conn != nil {
			b.conn.Close()
		}
		if pause(ctx, reconnectWait); ctx.Err() != nil || errors.Is(err, errDiffers) || errors.Is(err, nats.ErrAuthorization) {
			return nil, err
		}
	}
}

func (b *Broker) connect(ctx context.Context, options []nats.Option) (err error) {
	ctx, cancel := context.WithTimeout(ctx, connectWait)
	defer cancel()
	if b.conn, err = nats.Connect(b.config.URL, options...); err != nil {
		return fmt.Errorf("NATS cannot be reached: %w", err)
	}
	if b.js, err = jetstream.New(b.conn); err != nil {
		return err
	}
	if err = b.makeStream(ctx); err != nil {
		return err
	}
	_, err = b.look(ctx)
	return err
}

// Close ends the connection. What waits for an acknowledgement gets none.
func (b *Broker) Close() { b.conn.Close() }

const (
	connectWait   = 5 * time.Second        // for one attempt to connect: a cluster that begins may forget a question
	reconnectWait = 200 * time.Millisecond // until a server is tried again that cannot be reached
)

// options returns how to connect. Nothing is sent later than it is said to be:
// what cannot be sent now fails.
func (b *Broker) options() ([]nats.Option, error) {
	secure, err := b.config.secure()
	if err != nil {
		return nil, err
	}
	return append(secure,
		nats.Name("foreverframe"),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(reconnectWait, reconnectWait),
		nats.ReconnectBufSize(-1),
		nats.PingInterval(2*time.Second),
		nats.MaxPingsOutstanding(2),
		nats.DisconnectErrHandler(func(*nats.Conn, error) { b.disconnected.Store(time.Now().UnixNano()) }),
		nats.ReconnectHandler(func(*nats.Conn) { b.disconnected.Store(0) }),
		nats.ErrorHandler(b.tell),
	), nil
}

// tell logs what NATS says on its own. A subscription that cannot keep up is no
// trouble: what it misses is read from the stream.
func (b *Broker) tell(_ *nats.Conn, _ *nats.Subscription, err error) {
	if !errors.Is(err, nats.ErrSlowConsumer) {
		slog.Warn("broker", "err", err)
	}
}

// away reports whether NATS has been away for longer than the change from one
// server to another takes.
func (b *Broker) away() bool {
	since := b.disconnected.Load()
	return since != 0 && time.Since(time.Unix(0, since)) > time.Second
}

// Status returns how the connection is.
func (b *Broker) Status() stream.BrokerStatus {
	b.mu.Lock()
	defer b.mu.Unlock()
	pending := int(b.waiting.Load())
	for _, t := range b.tails {
		pending += len(t.live)
	}
	return stream.BrokerStatus{Connected: b.conn.IsConnected(), Pending: pending, Redelivered: b.redelivered.Load()}
}

// Has reports whether the stream has a message of topic.
func (b *Broker) Has(ctx context.Context, topic string) (bool, error) {
	subject := b.config.feed(topic)
	s, err := b.js.Stream(ctx, b.config.Stream)
	if err != nil {
		return false, away(err)
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(subject))
	if err != nil {
		return false, away(err)
	}
	return info.State.Subjects[subject] > 0, nil
}

// away says that NATS did not do what it was asked for.
func away(err error) error { return fmt.Errorf("%w: %w", stream.ErrBroker, err) }

// pause waits for d or until ctx is done.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
