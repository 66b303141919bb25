// Package clients tests feeds with clients that were written elsewhere: curl, the
// npm package eventsource, and the Go modules tmaxmax/go-sse and r3labs/sse. It
// is a module of its own, so that whoever uses Foreverframe does not get theirs.
package clients
