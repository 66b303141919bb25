package client

import (
	"io"
	"net/http"
	"net/url"
	"strconv"
)

// A Transport is the browser's half of one transport.
type Transport interface {
	// Name is what "?transport=" calls it.
	Name() string
	// Ask adds to a request for a feed what this transport wants of it; what
	// follows the cursor is asked for already.
	Ask(header http.Header, query url.Values)
	// Read reads the body of an answer until it ends, and calls event for each
	// update that is complete, as soon as it is. It returns the first error of
	// event, an error about what cannot be read, or nil.
	Read(body io.Reader, event func(Event) error) error
}

// after returns the address to follow a feed at, given its URL: the cursor of
// the page, if it has one or the URL has, is in the place of the URL's own.
func (p *Page) after(feed *url.URL) url.Values {
	query := feed.Query()
	known := query.Has("after")
	if id, err := strconv.ParseUint(query.Get("after"), 10, 64); err == nil && id > p.Last {
		p.Last = id
	}
	if known || p.Last != 0 {
		query.Set("after", strconv.FormatUint(p.Last, 10))
	}
	return query
}
