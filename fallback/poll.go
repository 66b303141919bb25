package fallback

import (
	"strconv"

	"foreverframe/stream"

	"github.com/valyala/fasthttp"
)

// Poll is the transport of long polling: an answer is one batch, a JSON array
// (RFC 8259) of what follows the browser's place. An update is
//
//	{"id":7,"action":"append","target":"log","html":"…"}
//
// and an event of the application {"id":8,"event":"name","data":"…"}; what has
// no id leaves it out. It is for a stream.Response that has a Wait.
type Poll struct{}

// Name returns "poll".
func (Poll) Name() string { return "poll" }

// Header makes the response JSON.
func (Poll) Header(h *fasthttp.ResponseHeader) { h.SetContentType("application/json") }

// AppendStart appends nothing.
func (Poll) AppendStart(b []byte) []byte { return b }

// AppendOpen appends the start of the array.
func (Poll) AppendOpen(b []byte) []byte { return append(b, '[') }

// AppendEvent appends e, with a comma in front unless it is the first of its
// array.
func (Poll) AppendEvent(b []byte, e stream.Event) []byte {
	if len(b) > 0 && b[len(b)-1] == '}' {
		b = append(b, ',')
	}
	b = append(b, '{')
	if e.ID != 0 {
		b = append(b, `"id":`...)
		b = strconv.AppendUint(b, e.ID, 10)
		b = append(b, ',')
	}
	if e.Action == stream.ActionEmit {
		b = append(b, `"event":`...)
		b = stream.AppendJS(b, e.Target)
		b = append(b, `,"data":`...)
		b = stream.AppendJS(b, e.HTML)
		return append(b, '}')
	}
	b = append(b, `"action":`...)
	b = stream.AppendJS(b, e.Action)
	b = append(b, `,"target":`...)
	b = stream.AppendJS(b, e.Target)
	b = append(b, `,"html":`...)
	b = stream.AppendJS(b, e.HTML)
	return append(b, '}')
}

// AppendClose appends the end of the array.
func (Poll) AppendClose(b []byte) []byte { return append(b, "]\n"...) }

// AppendHeartbeat appends a blank, which JSON allows in front of the array.
func (Poll) AppendHeartbeat(b []byte) []byte { return append(b, ' ') }
