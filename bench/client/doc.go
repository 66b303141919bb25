// Package client has stand-ins for the browser's half of every transport, for
// tests and benchmarks that need many browsers or need to cut them off. It is
// written after the standards and fallback/runtime.js, and shares no code with
// the packages that it reads, so that a mistake there is not repeated here.
//
// # The story of a page
//
// A Client loads a URL, or opens a Page on a document of the caller's own. A
// Transport asks for what follows the page's cursor, reads the answer as it
// comes and hands on each Event as soon as a browser would run it. The page
// drops what it has seen, moves its cursor and changes its Document. When a
// connection ends before the feed does, the client follows again, over whichever
// transport it likes.
package client
