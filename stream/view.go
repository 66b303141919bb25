package stream

import (
	"io"
	"sync"
)

// A View writes itself as HTML. What quicktemplate generates for
// {% func (p Page) HTML() %} is one. A view that may be rendered by several
// goroutines at once must not change while it writes.
type View interface {
	WriteHTML(w io.Writer)
}

// Text is a View of plain text: it stands in the page as it is, whatever it
// holds.
type Text string

// WriteHTML writes t with every character that HTML would take for markup
// escaped.
func (t Text) WriteHTML(w io.Writer) {
	b := acquireBuffer()
	defer releaseBuffer(b)
	*b = AppendHTML(*b, string(t))
	w.Write(*b)
}

// render returns what view writes; nil is an empty view.
func render(view View) string {
	if view == nil {
		return ""
	}
	if t, ok := view.(Text); ok {
		return string(AppendHTML(make([]byte, 0, len(t)+len(t)/8), string(t)))
	}
	b := acquireBuffer()
	defer releaseBuffer(b)
	view.WriteHTML(b)
	return string(*b)
}

// A buffer is bytes that can be written to.
type buffer []byte

func (b *buffer) Write(p []byte) (int, error) {
	*b = append(*b, p...)
	return len(p), nil
}

// maxPooled is the size in bytes of the largest buffer that is kept for reuse.
const maxPooled = 128 << 10

var buffers = sync.Pool{New: func() any { return new(buffer) }}

func acquireBuffer() *buffer { return buffers.Get().(*buffer) }

func releaseBuffer(b *buffer) {
	if cap(*b) <= maxPooled {
		*b = (*b)[:0]
		buffers.Put(b)
	}
}
