package fallback

import (
	"time"

	"foreverframe/stream"
)

// Frame is the transport of the forever frame: a document without an end, in a
// hidden frame of the page, whose scripts call the page. It works in browsers
// that have no EventSource.
type Frame struct {
	stream.Script
	// Retry is how long a browser should wait before it connects again, if it
	// asks for heartbeats. Zero means a random time from two to four seconds.
	Retry time.Duration
	// Beat makes heartbeats calls that scripts can see, the first at the start.
	Beat bool
}

// Name returns "frame".
func (Frame) Name() string { return "frame" }

// AppendStart appends the head of the document. Its ff is the page's own, which
// changes the page and removes scripts from the frame; a document that is not in
// a frame of such a page does nothing.
func (f Frame) AppendStart(b []byte) []byte {
	b = append(b, "<!doctype html><meta charset=utf-8><title>Foreverframe</title>"...)
	b = f.AppendOpen(b)
	b = append(b, "var ff=parent!=window&&parent.ff?parent.ff.frame(window):function(){};"...)
	if f.Beat {
		b = f.AppendEvent(b, stream.Beat(stream.Jitter(f.Retry)))
	}
	return f.AppendClose(b)
}

// AppendHeartbeat appends a line feed or, with Beat, a call.
func (f Frame) AppendHeartbeat(b []byte) []byte {
	if !f.Beat {
		return f.Script.AppendHeartbeat(b)
	}
	b = f.AppendOpen(b)
	b = f.AppendEvent(b, stream.Beat(stream.Jitter(f.Retry)))
	return f.AppendClose(b)
}
