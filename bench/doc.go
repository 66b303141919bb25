// Package bench measures what a stream costs: each way to push updates, side by
// side on equal content, for this server and for any other.
//
// # The story of a figure
//
// A Scenario is run for each side, number of clients and transport: a Case. In
// each of several rounds all cases take turns, so that what else the machine does
// meets all of them; a case starts its server, a process of its own on other
// processors than the client's, follows its streams by package meter, and reads
// from outside what the server has used. That is a Round, a set of figures. A
// Result is the rounds of a case, a Report all results, with their medians and
// their spread. README.md has the figures and how to get them.
//
// The Go benchmarks of this directory measure the parts: the encoders, one flush,
// a whole page and the hub.
package bench
