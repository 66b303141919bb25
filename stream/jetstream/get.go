package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"foreverframe/stream"

	"github.com/nats-io/nats.go"
)

// This file reads from the stream: from any server that keeps it, without a
// consumer, so that nothing is left in NATS of a process that ends.

// request is what a stream's servers are asked for (JSApiMsgGetRequest).
type request struct {
	Seq       uint64   `json:"seq,omitempty"`
	Next      string   `json:"next_by_subj,omitempty"`
	MultiLast []string `json:"multi_last,omitempty"`
	Batch     int      `json:"batch,omitempty"`
	MaxBytes  int      `json:"max_bytes,omitempty"`
}

const (
	batchSize  = 500     // messages of one answer, the most
	batchBytes = 1 << 20 // about
	tryWait    = 2 * time.Second
)

var errNotKept = errors.New("no server has it")

// get returns the messages that r asks for, and the header of the answer's end.
// The error is errNotKept if there are none.
func (b *Broker) get(ctx context.Context, r request) (messages []*nats.Msg, end nats.Header, err error) {
	ctx, cancel := context.WithTimeout(ctx, tryWait)
	defer cancel()
	question, _ := json.Marshal(r)
	inbox := b.conn.NewInbox()
	answers := make(chan *nats.Msg, batchSize+1)
	subscription, err := b.conn.ChanSubscribe(inbox, answers)
	if err != nil {
		return nil, nil, away(err)
	}
	defer subscription.Unsubscribe()
	if err := b.conn.PublishRequest("$JS.API.DIRECT.GET."+b.config.Stream, inbox, question); err != nil {
		return nil, nil, away(err)
	}
	for {
		select {
		case <-ctx.Done():
			return nil, nil, away(ctx.Err())
		case m := <-answers:
			switch status := m.Header.Get("Status"); status {
			case "":
				messages = append(messages, m)
			case "204":
				return messages, m.Header, nil
			case "404":
				return nil, nil, errNotKept
			default:
				return nil, nil, away(fmt.Errorf("the stream answers %s %s", status, m.Header.Get("Description")))
			}
		}
	}
}

// last returns the last numbers of subjects that are greater than after, and the
// number up to which they are. A server that answers may be a little behind.
//
// An answer about subjects without messages does not say how far it goes, so the
// mark is one of them, a message that says nothing.
func (b *Broker) last(ctx context.Context, subjects []string, after uint64) (numbers map[string]uint64, upTo uint64, err error) {
	r := request{Seq: after + 1, MultiLast: append([]string{b.config.mark()}, subjects...)}
	answers, end, err := b.get(ctx, r)
	if err == errNotKept {
		if _, err := b.ask(ctx, nats.NewMsg(b.config.mark())); err != nil {
			return nil, 0, away(err)
		}
		answers, end, err = b.get(ctx, r)
	}
	if err != nil {
		return nil, 0, away(err)
	}
	numbers = make(map[string]uint64)
	for _, m := range answers {
		numbers[m.Header.Get(jsSubject)], _ = strconv.ParseUint(m.Header.Get(jsSequence), 10, 64)
	}
	upTo, err = strconv.ParseUint(end.Get(jsUpTo), 10, 64)
	if err != nil {
		return nil, 0, away(err)
	}
	if end.Get(jsPending) != "0" {
		return nil, 0, away(errCut)
	}
	return numbers, upTo, nil
}

var errCut = errors.New("an answer was cut off")

// next returns the messages of a subject that follow the number after, and
// whether there are more.
func (b *Broker) next(ctx context.Context, subject string, after uint64) (messages []message, more bool, err error) {
	answers, end, err := b.get(ctx, request{Seq: after + 1, Next: subject, Batch: batchSize, MaxBytes: batchBytes})
	if err == errNotKept {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	for _, m := range answers {
		d, err := decode(m)
		if err == errNoMessage {
			return nil, false, away(err)
		}
		if err != nil {
			tellForeign(subject, d.seq, err)
			d.update = stream.Update{}
		}
		messages = append(messages, d)
	}
	return messages, end.Get(jsPending) != "0", nil
}
