package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// state is what is known of the stream.
type state struct {
	born        uint64 // when it was made, in microseconds since 1970
	first, last uint64 // the sequence numbers that it has
}

// keysKept is how long the stream knows the keys of what was published.
const keysKept = 10 * time.Minute

// streamConfig returns how the stream is to be.
func (c Config) streamConfig() jetstream.StreamConfig {
	orAny := func(n int64) int64 {
		if n == 0 {
			return -1
		}
		return n
	}
	return jetstream.StreamConfig{
		Name:               c.Stream,
		Description:        "The events of Foreverframe's feeds",
		Subjects:           []string{c.Subject + ".feed.*", c.mark()},
		Storage:            jetstream.FileStorage,
		Retention:          jetstream.LimitsPolicy,
		Discard:            jetstream.DiscardOld,
		Replicas:           c.Replicas,
		MaxMsgsPerSubject:  int64(c.PerTopic),
		MaxAge:             c.MaxAge,
		MaxBytes:           orAny(c.MaxBytes),
		MaxMsgs:            orAny(c.MaxMessages),
		MaxMsgSize:         -1,
		Duplicates:         c.duplicates(),
		AllowDirect:        true,
		AllowAtomicPublish: true,
		RePublish:          &jetstream.RePublish{Source: c.Subject + ".feed.*", Destination: c.Subject + ".live.{{wildcard(1)}}"},
	}
}

// duplicates returns how long keys are known, which cannot be longer than what
// was published with them.
func (c Config) duplicates() time.Duration {
	if c.MaxAge > 0 && c.MaxAge < keysKept {
		return c.MaxAge
	}
	return keysKept
}

// makeStream makes the stream if there is none. One that is there must be as it
// is to be.
func (b *Broker) makeStream(ctx context.Context) error {
	want := b.config.streamConfig()
	s, err := b.js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		s, err = b.js.CreateStream(ctx, want)
	}
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another process was faster
		s, err = b.js.Stream(ctx, want.Name)
	}
	if err != nil {
		return fmt.Errorf("the stream %q: %w: JetStream has to be on (nats-server --jetstream), and to have %d servers: see --nats-replicas", want.Name, err, want.Replicas)
	}
	if differing := differences(want, s.CachedInfo().Config); len(differing) > 0 {
		return fmt.Errorf("the stream %q %w: %s. Give the flags that it was made with, or change it with \"nats stream edit\"", want.Name, errDiffers, strings.Join(differing, "; "))
	}
	return nil
}

var errDiffers = errors.New("is not as it is to be")

// differences says what of a stream's configuration is not as it is to be.
func differences(want, got jetstream.StreamConfig) (all []string) {
	compare := func(what string, want, got any) {
		if w, g := fmt.Sprint(want), fmt.Sprint(got); w != g {
			all = append(all, fmt.Sprintf("%s: %s, not %s", what, g, w))
		}
	}
	republish := func(r *jetstream.RePublish) string {
		if r == nil {
			return "none"
		}
		if r.HeadersOnly {
			return "headers only"
		}
		return r.Source + " to " + r.Destination
	}
	compare("subjects", want.Subjects, got.Subjects)
	compare("storage", want.Storage, got.Storage)
	compare("retention", want.Retention, got.Retention)
	compare("discard", want.Discard, got.Discard)
	compare("replicas", want.Replicas, got.Replicas)
	compare("messages per subject", want.MaxMsgsPerSubject, got.MaxMsgsPerSubject)
	compare("max age", want.MaxAge, got.MaxAge)
	compare("max bytes", want.MaxBytes, got.MaxBytes)
	compare("max messages", want.MaxMsgs, got.MaxMsgs)
	compare("largest message", want.MaxMsgSize, got.MaxMsgSize)
	compare("duplicate window", want.Duplicates, got.Duplicates)
	compare("direct access", want.AllowDirect, got.AllowDirect)
	compare("atomic publish", want.AllowAtomicPublish, got.AllowAtomicPublish)
	compare("republished", republish(want.RePublish), republish(got.RePublish))
	compare("sealed", false, got.Sealed)
	compare("mirror", false, got.Mirror != nil)
	compare("sources", 0, len(got.Sources))
	return all
}

// look asks the stream's leader for its state. A stream that is gone is made
// anew.
func (b *Broker) look(ctx context.Context) (state, error) {
	s, err := b.js.Stream(ctx, b.config.Stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if err := b.makeStream(ctx); err != nil {
			return state{}, away(err)
		}
		s, err = b.js.Stream(ctx, b.config.Stream)
	}
	if err != nil {
		return state{}, away(err)
	}
	info := s.CachedInfo()
	now := state{born: uint64(info.Created.UnixMicro()), first: info.State.FirstSeq, last: info.State.LastSeq}
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.born >= b.state.born { // else it is late
		b.state = now
	}
	return b.state, nil
}

// known returns what was last known of the stream.
func (b *Broker) known() state {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state
}
