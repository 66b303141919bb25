// Package bench measures what a stream costs: the encoders, one flush, a whole
// page and the hub, each beside the other ways to stream from a Go server, on
// equal content. README.md has the figures and how to get them.
package bench
