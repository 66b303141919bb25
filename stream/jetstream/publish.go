package jetstream

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"foreverframe/stream"

	"github.com/nats-io/nats.go"
)

// Publish returns when the stream has acknowledged updates. It tries again, which
// is safe, while NATS changes from one server to another.
func (b *Broker) Publish(ctx context.Context, topic, key string, updates []stream.Update) (last uint64, err error) {
	var trouble error
	b.waiting.Add(1)
	defer b.waiting.Add(-1)
	messages := b.encode(topic, key, updates)
	if err := b.fits(messages); err != nil {
		return 0, err
	}
	for {
		a, err := b.try(ctx, messages)
		switch {
		case err == nil && a.Duplicate && key != "" && !b.same(ctx, messages[0], a.Seq-uint64(len(messages)-1)):
			return 0, stream.ErrKey
		case err == nil:
			return b.id(ctx, a), nil
		case errors.Is(err, stream.ErrBatch):
			return 0, err
		case ctx.Err() == nil:
			trouble = err
		}
		if ctx.Err() != nil || b.away() || b.conn.IsClosed() {
			return 0, away(cmp.Or(trouble, err))
		}
		pause(ctx, 50*time.Millisecond)
	}
}

// id returns the id of what a is about. A number that is not greater than those
// that there were says that the stream may have been made anew.
func (b *Broker) id(ctx context.Context, a ack) uint64 {
	now := b.known()
	if !a.Duplicate && a.Seq <= now.last {
		if later, err := b.look(ctx); err == nil {
			now = later
		}
	}
	b.see(now.born + a.Seq)
	return now.born + a.Seq
}

// fits reports what is too large for NATS.
func (b *Broker) fits(messages []*nats.Msg) error {
	most := b.conn.MaxPayload()
	for _, m := range messages {
		if size := int64(m.Size() + headerRoom); most > 0 && size > most {
			return fmt.Errorf("%w: with its headers it has %d bytes, and NATS takes %d: raise max_payload of its servers", stream.ErrUpdate, size, most)
		}
	}
	return nil
}

// headerRoom is what headers may take that are added on the way.
const headerRoom = 1024

// An ack is what a stream answers to a publication (JSPubAckResponse).
type ack struct {
	Stream    string    `json:"stream"`
	Seq       uint64    `json:"seq"`
	Duplicate bool      `json:"duplicate"`
	Error     *apiError `json:"error"`
}

type apiError struct {
	Code        int    `json:"err_code"`
	Description string `json:"description"`
}

func (e *apiError) Error() string { return fmt.Sprintf("%s (%d)", e.Description, e.Code) }

// The errors of a stream that have a meaning here.
const (
	codeBatchTooLarge  = 10199
	codeBatchDuplicate = 10201
)

// try publishes messages once.
func (b *Broker) try(ctx context.Context, messages []*nats.Msg) (ack, error) {
	if len(messages) == 1 {
		return b.ask(ctx, messages[0])
	}
	id := rand.Text()
	for i, m := range messages {
		m.Header.Set("Nats-Batch-Id", id)
		m.Header.Set("Nats-Batch-Sequence", strconv.Itoa(i+1))
		if i == len(messages)-1 {
			m.Header.Set("Nats-Batch-Commit", "1")
		} else if err := b.conn.PublishMsg(m); err != nil {
			return ack{}, err
		}
	}
	a, err := b.ask(ctx, messages[len(messages)-1])
	var refused *apiError
	if !errors.As(err, &refused) {
		return a, err
	}
	switch refused.Code {
	case codeBatchTooLarge:
		err = fmt.Errorf("%w: %w", stream.ErrBatch, err)
	case codeBatchDuplicate:
		if a, err = b.original(ctx, messages[0]); err == nil {
			a.Seq += uint64(len(messages)) - 1
		}
	}
	return a, err
}

// ask sends m and returns the stream's answer to it.
func (b *Broker) ask(ctx context.Context, m *nats.Msg) (a ack, err error) {
	ctx, cancel := context.WithTimeout(ctx, tryWait)
	defer cancel()
	answer, err := b.conn.RequestMsgWithContext(ctx, m)
	switch {
	case err != nil:
		return a, err
	case json.Unmarshal(answer.Data, &a) != nil:
		return a, fmt.Errorf("the answer is not that of a stream: %q", answer.Data)
	case a.Error != nil:
		return a, a.Error
	case a.Stream != b.config.Stream:
		return a, fmt.Errorf("the stream %q keeps the subject, and not %q", a.Stream, b.config.Stream)
	}
	return a, nil
}

// original returns where the first message of a batch was stored that has been
// published before. The question is a message that no stream stores, because its
// rollup is none: but the stream looks for its id first.
func (b *Broker) original(ctx context.Context, first *nats.Msg) (ack, error) {
	m := nats.NewMsg(first.Subject)
	m.Header.Set(nats.MsgIdHdr, first.Header.Get(nats.MsgIdHdr))
	m.Header.Set(nats.MsgRollup, "none")
	return b.ask(ctx, m)
}

// same reports whether what was stored at seq was published with the same updates as m.
func (b *Broker) same(ctx context.Context, m *nats.Msg, seq uint64) bool {
	answers, _, err := b.get(ctx, request{Seq: seq, Batch: 1})
	if err != nil || len(answers) == 0 || answers[0].Header.Get(nats.MsgIdHdr) != m.Header.Get(nats.MsgIdHdr) {
		return true // it is not kept any more
	}
	return answers[0].Header.Get(digestHeader) == m.Header.Get(digestHeader)
}
