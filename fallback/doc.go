// Package fallback serves the browsers that cannot take what package stream
// sends: it chooses a transport by what a request accepts, and has the forever
// frame, plain mode for those without scripts, and the browser's half of every
// transport.
package fallback
