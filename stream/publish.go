package stream

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"
)

// A Publisher lets programs publish to a hub with one HTTP request: those that
// have one of its keys, or whom Authorize lets. Set the fields and do not copy it
// afterwards. Its methods may be called by several goroutines at once.
//
// A browser's page of another site cannot publish in its visitor's name: what
// counts is the header Authorization with the scheme Bearer, and that a browser
// does not add by itself, in contrast to cookies and to the scheme Basic.
type Publisher struct {
	Hub *Hub
	// Keys are the keys that may publish, in the header "Authorization: Bearer
	// KEY". Who has one can put any HTML into the pages that follow the hub, as
	// their authors can: a program that passes on what strangers wrote sends it
	// as "text".
	Keys []string
	// KeyFile has further keys. Nil means none.
	KeyFile *KeyFile
	// Authorize says whether the sender of a request with another Bearer in
	// that header may publish to a topic, or end it: it returns a name for the
	// sender, who has a Rate of its own, or an error as that of the type
	// Authorize. It must not go by cookies or by the query, which a browser
	// sends for any page that says so. Nil means nobody.
	Authorize func(req *fasthttp.RequestCtx, topic string) (who string, err error)
	// MaxBody is the size in bytes of the largest body. Zero means 1 MB. What
	// the server itself refuses, by its MaxRequestBodySize, does not get here.
	MaxBody int
	// MaxUpdate is the size in bytes of the largest update, target and content
	// together. Zero means 256 KB.
	MaxUpdate int
	// Rate is how many events a second each key, or whom Authorize names, may
	// publish in the long run. Zero means any number.
	Rate float64
	// Burst is how many events they may publish at once after a silence. Zero
	// means those of one second, and at least one. A request with more events
	// needs as long a silence, and those beyond Burst count against later ones.
	Burst int

	rates rates
}

const (
	defaultMaxBody   = 1 << 20
	defaultMaxUpdate = 256 << 10
)

// Publish answers a POST: it publishes the body to topic and answers 201 with
// {"id":ID} when the event is in the hub. A body of type text/plain becomes the
// data of one plain message; one of type application/json is an update,
//
//	{"action":"append","target":"log","html":"<p>…</p>"}
//
// with "text" in the place of "html" for content that is not HTML, "name" and
// "value" for the action attr, or an event {"event":"name","data":"…"}, where
// "event" may be left out. A body of type application/x-ndjson is any number of
// these, one a line; they are published together or not at all, and the answer
// is {"ids":[ID,…]}.
//
// A request with the header Idempotency-Key may be sent again: within ten
// minutes and 1,024 keys, one with the same key, topic and updates publishes
// nothing and gets the same answer; with other updates it gets 422. It waits for
// one that is on its way.
//
// Whatever else is wrong gets a 4xx that says why: 413 what is too large, 410 a
// topic that has ended, 429 with Retry-After what comes too fast; and 503 with
// Retry-After what the hub's store cannot keep or its broker does not take.
func (p *Publisher) Publish(req *fasthttp.RequestCtx, topic string) {
	defer countPublish(req)
	key, ok := p.sender(req, topic)
	if !ok {
		return
	}
	m, err := p.read(req)
	var ids []uint64
	if err == nil {
		ids, err = p.publish(key, topic, m)
	}
	if err != nil {
		refuse(req, err)
		return
	}
	req.SetStatusCode(fasthttp.StatusCreated)
	req.SetContentType("application/json")
	req.SetBody(appendAnswer(nil, ids, m.batch))
}

// publish publishes m to topic with a key of p.
func (p *Publisher) publish(key, topic string, m publication) (ids []uint64, err error) {
	publish := func(r *Receipt) ([]uint64, error) {
		if wait := p.rates.take(key, len(m.updates), p.Rate, p.Burst); wait > 0 {
			return nil, &refusal{fasthttp.StatusTooManyRequests, fmt.Sprintf("too many events: this key may publish %v a second; come back in %v", p.Rate, wait), wait}
		}
		return p.Hub.publish(topic, m.updates, r)
	}
	if m.key == "" {
		return publish(nil)
	}
	return p.Hub.receipts.once(topic, m, publish)
}

// appendAnswer appends the answer to what has been published.
func appendAnswer(b []byte, ids []uint64, batch bool) []byte {
	if !batch {
		return fmt.Appendf(b, "{\"id\":%d}\n", ids[0])
	}
	b = append(b, `{"ids":[`...)
	for i, id := range ids {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, id, 10)
	}
	return append(b, "]}\n"...)
}

// End answers a DELETE: it ends topic and answers 204, or 503 with Retry-After
// if the hub's store cannot keep that or its broker does not take it.
func (p *Publisher) End(req *fasthttp.RequestCtx, topic string) {
	defer countPublish(req)
	_, ok := p.sender(req, topic)
	switch {
	case !ok:
	case !p.Hub.Has(topic):
		Refuse(req, fasthttp.StatusNotFound, fmt.Sprintf("there is no topic %q", topic))
	default:
		if err := p.Hub.End(topic); err != nil {
			refuse(req, err)
			return
		}
		req.SetStatusCode(fasthttp.StatusNoContent)
	}
}

// A refusal is why a request is not served.
type refusal struct {
	status int
	reason string
	wait   time.Duration // until it may be served; zero means that it will not be
}

func refused(status int, format string, args ...any) error {
	return &refusal{status: status, reason: fmt.Sprintf(format, args...)}
}

func (r *refusal) Error() string { return "publish: " + r.reason }

// When to come back to a hub that has too many topics, and to one whose store or
// broker fails.
const (
	topicsWait = time.Minute
	storeWait  = 5 * time.Second
)

// refuse answers req with err.
func refuse(req *fasthttp.RequestCtx, err error) {
	r := &refusal{status: fasthttp.StatusBadRequest}
	switch {
	case errors.As(err, &r):
	case errors.Is(err, ErrTopicEnded):
		r.status = fasthttp.StatusGone
	case errors.Is(err, ErrBatch):
		r.status = fasthttp.StatusRequestEntityTooLarge
	case errors.Is(err, ErrTopics):
		r.status, r.wait = fasthttp.StatusTooManyRequests, topicsWait
	case errors.Is(err, ErrKey):
		r.status = fasthttp.StatusUnprocessableEntity
	case errors.Is(err, ErrStore), errors.Is(err, ErrBroker):
		r.status, r.wait = fasthttp.StatusServiceUnavailable, storeWait
	}
	Refuse(req, r.status, err.Error())
	if r.wait > 0 {
		req.Response.Header.Set(fasthttp.HeaderRetryAfter, strconv.Itoa(int(math.Ceil(r.wait.Seconds()))))
	}
}

// sender returns the key that req has, or the name of its sender, and answers it
// if it may not publish to topic.
func (p *Publisher) sender(req *fasthttp.RequestCtx, topic string) (name string, ok bool) {
	scheme, token, _ := bytes.Cut(req.Request.Header.Peek(fasthttp.HeaderAuthorization), []byte(" "))
	token = bytes.TrimSpace(token)
	if len(token) > 0 && bytes.EqualFold(scheme, []byte("Bearer")) {
		if key, ok := p.key(token); ok {
			return key, true
		}
		if p.Authorize != nil {
			who, err := p.Authorize(req, topic)
			if err != nil {
				forbid(req, err)
			}
			return who, err == nil
		}
	}
	forbid(req, errNoKey)
	return "", false
}

var errNoKey = fmt.Errorf("%w: publishing needs the header \"Authorization: Bearer KEY\" with a key of this server: see --publish-key, or what it printed at its start", ErrUnauthorized)

// key returns which of the keys token is. It takes the same time for every wrong
// one.
func (p *Publisher) key(token []byte) (key string, ok bool) {
	keys := p.Keys
	if p.KeyFile != nil {
		keys = slices.Concat(keys, p.KeyFile.Keys())
	}
	given := sha256.Sum256(token)
	found := -1
	for i, key := range keys {
		want := sha256.Sum256([]byte(key))
		found = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(given[:], want[:]), i, found)
	}
	if found < 0 || keys[found] == "" {
		return "", false
	}
	return keys[found], true
}
