package stream

import (
	"encoding/json"
	"io"
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"
)

// Script is the transport of a page that brings its own updates: each batch is
// a script element at the end of the document, which runs as soon as it has
// arrived and then removes itself. The page must have the browser's half,
// fallback.Runtime, in a script of its own before the first update. It works in
// every browser that runs scripts, and is right for work that ends.
type Script struct {
	// Nonce allows the scripts under the response's content security policy
	// (CSP Level 3, section 2.3.1). Empty means that there is none.
	Nonce string
}

// Name returns "script".
func (Script) Name() string { return "script" }

// Header makes the response an HTML page which, unless a policy is set already,
// may run scripts with this nonce only.
func (s Script) Header(h *fasthttp.ResponseHeader) {
	h.SetContentType("text/html; charset=utf-8")
	if len(h.Peek(fasthttp.HeaderContentSecurityPolicy)) == 0 && s.Nonce != "" {
		h.Set(fasthttp.HeaderContentSecurityPolicy, "script-src 'nonce-"+s.Nonce+"'; object-src 'none'; base-uri 'none'; frame-ancestors 'self'")
		h.Set(fasthttp.HeaderXFrameOptions, "SAMEORIGIN") // for browsers without frame-ancestors
	}
}

// AppendStart appends nothing: the page's own view comes first.
func (Script) AppendStart(b []byte) []byte { return b }

// AppendOpen appends the start tag of a script.
func (s Script) AppendOpen(b []byte) []byte {
	b = append(b, "<script"...)
	if s.Nonce != "" {
		b = append(b, ` nonce="`...)
		b = AppendHTML(b, s.Nonce)
		b = append(b, '"')
	}
	return append(b, '>')
}

// AppendEvent appends a call of the browser's half: ff(action, target, html)
// with the event's id as the fourth argument where it has one.
func (Script) AppendEvent(b []byte, e Event) []byte {
	b = append(b, "ff("...)
	b = AppendJS(b, e.Action)
	b = append(b, ',')
	b = AppendJS(b, e.Target)
	b = append(b, ',')
	b = AppendJS(b, e.HTML)
	if e.ID != 0 {
		b = append(b, ',')
		b = strconv.AppendUint(b, e.ID, 10)
	}
	return append(b, ");"...)
}

// AppendClose appends a call without arguments, which removes the script that
// it stands in, and the end tag. The line feed is inside the script, so that it
// leaves no text behind.
func (Script) AppendClose(b []byte) []byte {
	return append(b, "ff()\n</script>"...)
}

// ParseScript returns the events of a batch, of which text is what stands between
// the tags of the script element. It reports false if text is anything else.
func ParseScript(text string) (events []Event, ok bool) {
	for text != "ff()\n" {
		var e Event
		if text, ok = parseCall(text, &e); !ok {
			return nil, false
		}
		events = append(events, e)
	}
	return events, len(events) > 0
}

// parseCall reads what AppendEvent has appended, and returns what follows.
func parseCall(text string, e *Event) (rest string, ok bool) {
	text, ok = strings.CutPrefix(text, "ff(")
	for i, argument := range []any{&e.Action, &e.Target, &e.HTML, &e.ID} {
		if rest, end := strings.CutPrefix(text, ");"); end {
			return rest, ok && i >= 3
		}
		if i > 0 && ok {
			text, ok = strings.CutPrefix(text, ",")
		}
		literals := json.NewDecoder(strings.NewReader(text))
		if !ok || literals.Decode(argument) != nil {
			return "", false
		}
		text = text[literals.InputOffset():]
	}
	return strings.CutPrefix(text, ");")
}

// AppendHeartbeat appends a line feed.
func (Script) AppendHeartbeat(b []byte) []byte { return append(b, '\n') }

// AppendMend appends the ends of all that a view can be in the middle of: an
// element whose content is text, a script with a comment in it, a tag and its
// attribute's value, maybe of such an element, a comment. Where there is nothing
// to end, it shows nothing.
func (Script) AppendMend(b []byte) []byte {
	b = append(b, endsOfText...)
	b = append(b, `<br hidden a='">'>`...)
	b = append(b, endsOfText...)
	return append(b, "<!---->"...)
}

const endsOfText = "</textarea></title></style></xmp></iframe></noembed></noframes></noscript></script></script>"

// Snippet returns u as a View, for a template that brings its own updates: a
// whole script element under the policy of s.
func (s Script) Snippet(u Update) View { return snippet{s, u.valid()} }

type snippet struct {
	script Script
	update Update
}

func (s snippet) WriteHTML(w io.Writer) {
	b := acquireBuffer()
	defer releaseBuffer(b)
	*b = s.script.AppendOpen(*b)
	*b = s.script.AppendEvent(*b, Event{Update: s.update})
	*b = s.script.AppendClose(*b)
	w.Write(*b)
}
