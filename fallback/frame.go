package fallback

import "foreverframe/stream"

// Frame is the transport of the forever frame: a document without an end, in a
// hidden frame of the page, whose scripts call the page. It works in browsers
// that have no EventSource.
type Frame struct {
	stream.Script
}

// Name returns "frame".
func (Frame) Name() string { return "frame" }

// AppendStart appends the head of the document. Its ff is the page's own, which
// changes the page and removes scripts from the frame; a document that is not in
// a frame of such a page does nothing.
func (f Frame) AppendStart(b []byte) []byte {
	b = append(b, "<!doctype html><meta charset=utf-8><title>Foreverframe</title>"...)
	b = f.AppendOpen(b)
	return append(b, "var ff=parent!=window&&parent.ff?parent.ff.frame(window):function(){};ff()\n</script>"...)
}
