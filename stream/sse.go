package stream

import (
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"
)

// SSE is the transport of server-sent events (HTML, section 9.2), right for
// streams without an end. An update is an event named after its action, its
// first line of data the target, the others the HTML; what Emit makes is a
// plain named event, so that any EventSource can read it, unless the browser's
// half does.
type SSE struct {
	// Retry is how long a browser waits before it connects again. Zero means
	// a random time from two to four seconds, so that browsers which lost
	// their connections together do not come back together.
	Retry time.Duration
	// Beat is for the browser's half. It makes heartbeats events named "beat",
	// which scripts can see, the first at the start; their data is the retry
	// time in milliseconds. Without it they are comments. And it makes what Emit
	// makes an update like the others, its name the target: a script hears only
	// the names that it knows, but a page that shares its stream must pass all on.
	Beat bool
}

// doneID is the id of a finished stream's last event. An EventSource that
// connects again sends it back, and gets 204: it gives up.
const doneID = "done"

// Name returns "sse".
func (SSE) Name() string { return "sse" }

// Header makes the response an event stream.
func (SSE) Header(h *fasthttp.ResponseHeader) {
	h.SetContentType("text/event-stream; charset=utf-8")
}

// Shared returns s.
func (s SSE) Shared() Transport { return s }

// AppendStart appends the retry field. It is not a block of its own, which many
// clients take for an empty event: it belongs to the block of the first event.
func (s SSE) AppendStart(b []byte) []byte {
	retry := Jitter(s.Retry)
	b = AppendField(b, "retry", strconv.FormatInt(retry.Milliseconds(), 10))
	if s.Beat {
		b = s.AppendEvent(b, Beat(retry))
	}
	return b
}

// Jitter returns retry, or a random time from two to four seconds if it is not
// set: how long a browser should wait before it connects again.
func Jitter(retry time.Duration) time.Duration {
	if retry > 0 {
		return retry
	}
	return 2*time.Second + rand.N(2*time.Second)
}

// Beat is a heartbeat that scripts can see, with the time after which a browser
// should connect again if it loses its connection.
func Beat(retry time.Duration) Event {
	return Event{Update: Update{ActionBeat, strconv.FormatInt(retry.Milliseconds(), 10), ""}}
}

// AppendOpen appends nothing.
func (SSE) AppendOpen(b []byte) []byte { return b }

// AppendEvent appends the fields of e and the blank line that ends them.
func (s SSE) AppendEvent(b []byte, e Event) []byte {
	switch {
	case e.Action == ActionDone:
		b = AppendField(b, "id", doneID)
	case e.ID != 0:
		b = append(b, "id: "...)
		b = strconv.AppendUint(b, e.ID, 10)
		b = append(b, '\n')
	}
	if e.Action == ActionEmit && !s.Beat {
		if e.Target != "message" {
			b = AppendField(b, "event", e.Target)
		}
		b = AppendData(b, e.HTML)
		return append(b, '\n')
	}
	b = AppendField(b, "event", e.Action)
	b = AppendField(b, "data", e.Target)
	if e.HTML != "" {
		b = AppendData(b, e.HTML)
	}
	return append(b, '\n')
}

// AppendClose appends nothing.
func (SSE) AppendClose(b []byte) []byte { return b }

// AppendHeartbeat appends a comment: a lone line, because a block of its own is
// an empty event to many clients. With Beat it appends an event.
func (s SSE) AppendHeartbeat(b []byte) []byte {
	if s.Beat {
		return s.AppendEvent(b, Beat(Jitter(s.Retry)))
	}
	return append(b, ":\n"...)
}
