package client

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// A Frame is the transport of the forever frame: a document in a hidden frame,
// whose first script takes ff from the page and whose others call it.
type Frame struct{}

// Name returns "frame".
func (Frame) Name() string { return "frame" }

// Ask asks by name, as the runtime does.
func (Frame) Ask(header http.Header, query url.Values) {
	header.Set("Accept", "text/html")
	query.Set("transport", "frame")
}

var errNoHead = errors.New("the frame calls ff before it has taken it from its page")

// Read reads the document of a frame.
func (Frame) Read(body io.Reader, event func(Event) error) error {
	var s Script
	return s.Read(body, func(e Event) error {
		if !strings.Contains(s.Text.String(), "parent.ff.frame(window)") {
			return errNoHead
		}
		return event(e)
	})
}
