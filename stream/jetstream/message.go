package jetstream

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"foreverframe/stream"

	"github.com/nats-io/nats.go"
)

// The headers of a message that are not NATS's own.
const (
	endHeader    = "Foreverframe-End"    // it is the topic's end
	digestHeader = "Foreverframe-Digest" // of all updates that were published with the same key
)

// body is how an update looks in a message.
type body struct {
	Action string `json:"action"`
	Target string `json:"target,omitempty"`
	HTML   string `json:"html,omitempty"`
}

// encode returns the messages that updates are, one each, or that of the topic's
// end. The first has what tells a repetition.
func (b *Broker) encode(topic, key string, updates []stream.Update) []*nats.Msg {
	messages := make([]*nats.Msg, max(len(updates), 1))
	digest := sha256.New()
	for i := range messages {
		m := nats.NewMsg(b.config.feed(topic))
		if len(updates) == 0 {
			m.Header.Set(endHeader, "1")
		} else {
			m.Data = encodeUpdate(updates[i])
			fmt.Fprintf(digest, "%d %s\n", len(m.Data), m.Data)
		}
		messages[i] = m
	}
	id := rand.Text() // what is published without a key is published once, too
	if key != "" {
		id = topic + "/" + key // the ids are those of the stream, not of a subject
		messages[0].Header.Set(digestHeader, hex.EncodeToString(digest.Sum(nil)))
	}
	messages[0].Header.Set(nats.MsgIdHdr, id)
	return messages
}

func encodeUpdate(u stream.Update) []byte {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.Encode(body(u)) // strings cannot fail
	return bytes.TrimSuffix(text.Bytes(), []byte("\n"))
}

// A message is what the stream has under one sequence number.
type message struct {
	seq    uint64
	before uint64 // the number before it on its subject, if the stream has republished it
	at     int64  // when it came, in microseconds since 1970
	update stream.Update
	end    bool
}

var errNoMessage = errors.New("it is not a message of a stream")

// decode returns what m is. An update that is none, because somebody else has
// published to the subject, is an error together with the rest.
func decode(m *nats.Msg) (d message, err error) {
	d.seq, err = strconv.ParseUint(m.Header.Get(jsSequence), 10, 64)
	at, wrong := time.Parse(time.RFC3339Nano, m.Header.Get(jsTime))
	if err != nil || wrong != nil {
		return d, errNoMessage
	}
	d.at = at.UnixMicro()
	d.before, _ = strconv.ParseUint(m.Header.Get(jsLastSequence), 10, 64)
	if d.end = m.Header.Get(endHeader) != ""; d.end {
		return d, nil
	}
	var u body
	if err := json.Unmarshal(m.Data, &u); err != nil {
		return d, err
	}
	d.update = stream.Update(u)
	return d, d.update.Check()
}

// The headers that NATS sets.
const (
	jsSequence     = "Nats-Sequence"
	jsLastSequence = "Nats-Last-Sequence"
	jsTime         = "Nats-Time-Stamp"
	jsSubject      = "Nats-Subject"
	jsPending      = "Nats-Num-Pending"
	jsUpTo         = "Nats-UpTo-Sequence"
)

// record returns d as a record of a stream that was born then.
func (d message) record(born uint64) stream.Record {
	r := stream.Record{ID: born + d.seq, At: d.at}
	if !d.end {
		r.Updates = []stream.Update{d.update}
	}
	return r
}
