// Package fallback serves the browsers that cannot take what package stream
// sends: it chooses a transport by what a request accepts, and has the forever
// frame and the browser's half of every transport.
package fallback
