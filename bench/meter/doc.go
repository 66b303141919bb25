// Package meter follows many streams at once and measures them: what arrives,
// when, in how many bytes and chunks, and whether it is whole, once and in order.
//
// # What is measured
//
// A server sends updates whose text is a marker, the update's number, and the
// time at which it was due, in microseconds since 1970: "ev-17-1790000000000000-".
// The meter looks for these texts in the body of an answer, whatever is around
// them, so that it measures a page, an event stream or a poll of any server
// alike. An update has arrived when a browser could run it: at the end of its
// script element or of its event, or of the answer.
//
// The time in the text is the one that was meant and not the one at which it was
// sent. So what a server that stalls could not send in time counts as late too
// (what is known as coordinated omission does not happen), on the condition that
// both ends have one clock.
//
// # What it costs
//
// On Linux one goroutine waits for all connections of a Meter by epoll, and an
// update costs it a fraction of what it costs a server to write one. Elsewhere,
// and for answers that are compressed, each connection has a goroutine.
package meter
