package stream

import "github.com/valyala/fasthttp"

// A Transport is how updates look on the wire. Its functions append to b and
// return it. Updates that leave together form a batch: AppendOpen, AppendEvent
// for each, AppendClose; what AppendEvent appends depends on the event alone,
// but for what separates it from the event before, so that all who follow a feed
// can share it.
//
// A Transport is a value: it does not change while it is used, and any number
// of goroutines may use it at once.
type Transport interface {
	// Name is the transport's name in URLs and logs.
	Name() string
	// Header sets the headers of the response: at least its content type.
	Header(h *fasthttp.ResponseHeader)
	// AppendStart appends what comes before everything else.
	AppendStart(b []byte) []byte
	AppendOpen(b []byte) []byte
	AppendEvent(b []byte, e Event) []byte
	AppendClose(b []byte) []byte
	// AppendHeartbeat appends what keeps a silent stream alive and changes
	// nothing in the browser. It may come between batches only.
	AppendHeartbeat(b []byte) []byte
}

// A Sharer is a Transport whose responses can share bytes: those that follow one
// feed are then served together, by a crowd.
type Sharer interface {
	Transport
	// Shared returns the transport without what belongs to one response, such
	// as a nonce. What AppendEvent and AppendClose append is the same for all
	// transports whose Shared are equal; each has its own of the others, but for
	// one that is equal to its Shared. Values are compared with ==; those that
	// cannot be share nothing.
	Shared() Transport
}

// A Mender is a Transport whose response is the page itself, so that a view which
// panics leaves it in the middle of anything.
type Mender interface {
	Transport
	// AppendMend appends what leads the browser's parser to where elements may
	// follow, wherever it is.
	AppendMend(b []byte) []byte
}
