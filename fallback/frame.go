package fallback

import (
	"strings"
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
	// Prelude is the number of blanks at the start, for browsers that hold the
	// first bytes of a document back.
	Prelude int
}

// preludes are what browsers hold back before they run the first script, in
// bytes, by what their User-Agent has; the first that fits counts. Of the
// browsers of today WebKitGTK does, whose User-Agent is that of Safari: it sniffs
// the type of HTML, also where nosniff says that it must not.
var preludes = []struct {
	has   string
	bytes int
}{
	{"MSIE ", 256},       // sniffs the content's type
	{"Android 1.", 4096}, // and the other stock browsers of Android, up to 4
	{"Android 2.", 4096},
	{"Android 3.", 4096},
	{"Android 4.", 4096},
	{"AppleWebKit/4", 1024}, // Safari 2 and 3
	{"AppleWebKit/52", 1024},
	{"AppleWebKit/53", 1024}, // Safari up to 7
	{"AppleWebKit/", 512},
}

// preludeFor returns the prelude that a browser needs.
func preludeFor(userAgent string) int {
	for _, p := range preludes {
		if strings.Contains(userAgent, p.has) && !strings.Contains(userAgent, "Chrome/") {
			return p.bytes
		}
	}
	return 0
}

// Name returns "frame".
func (Frame) Name() string { return "frame" }

// Shared returns f without its nonce and its prelude.
func (f Frame) Shared() stream.Transport { return Frame{Retry: f.Retry, Beat: f.Beat} }

// AppendStart appends the head of the document. Its ff is the page's own, which
// changes the page and removes scripts from the frame; a document that is not in
// a frame of such a page does nothing.
func (f Frame) AppendStart(b []byte) []byte {
	b = append(b, "<!doctype html><meta charset=utf-8><title>Foreverframe</title>"...)
	for range f.Prelude {
		b = append(b, ' ')
	}
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
