// Package jetstream is a stream.Broker on NATS JetStream: hubs in any number of
// processes share one stream, whose sequence numbers are the ids of their events.
//
// # How an event travels
//
// A hub publishes an event to the subject of its topic, "foreverframe.feed.log",
// and the stream, which keeps it on three servers, acknowledges it. The stream
// republishes it to a plain subject, "foreverframe.live.log", and each process
// has a plain subscription to those of the topics that have followers there. A
// message says its sequence number and that of the one before it on its subject,
// so whoever misses one knows, and reads it from the stream. What is missing at
// the end, where nothing follows it, is found by asking the stream for the last
// number of each subject, which a hub does once a second and whenever a reader of
// several topics needs to know that one of them is silent and not late.
//
// Nothing is kept for a topic that nobody follows, neither here nor in NATS, but
// its events.
//
// # What it needs
//
// NATS 2.15, with which it is tested; those before 2.12 do not keep events that
// are published together. An id is the time
// at which the stream was made, in microseconds since 1970, plus the sequence
// number; a stream that is made anew is therefore a gap for everybody.
package jetstream
