// Package stream renders HTML progressively and pushes updates to browsers, on
// fasthttp.
//
// # The story of an update
//
// An author's Source has something new: it makes an Update, one change to one
// element, by rendering a View. It sends the update to its Page, one browser's
// page that is still open; or a program publishes it to a topic of a Hub, and
// every page that follows the topic's Feed gets it. The page's Transport puts it
// on the wire: Script as a script at the end of the page itself, SSE as a
// server-sent event, those of package fallback in other ways. In the browser one
// function, apply(action, target, html), puts it into the page, whatever the
// road was.
//
// A transport for those without scripts is a Composer: page and updates become
// one Document, which leaves in its own order.
//
// A Response is one such stream from its first byte to its last. Who sends writes,
// on fasthttp's connection goroutine or his own, one write for all that is ready;
// for a source that is faster than its browser another goroutine does, so that
// what it makes meanwhile is ready together.
//
// A Response whose updates are those of a Feed need not have a goroutine: it is
// served by the crowd, a few workers that write bytes encoded once to all who
// follow the same topics. That is so for HTTP/1.1 on Linux, over plain TCP and over
// the TLS of NewTLSListener, which encrypts for each by itself, if the Transport is
// a Sharer (SSE, and the forever frame of package fallback), with no Shell, no Wait
// and the zero Flush. It compresses too, once for all, if a response has Compress
// and batches without a head of its own (SSE).
// Everywhere else it has its goroutine: over TLS of another listener, on other
// systems, for HTTP/1.0 and for every other transport. Both ways send the same and
// keep the same promises.
//
// # Promises
//
//   - Order: whoever follows a topic, or several as one feed, sees the events in
//     one order, each once, also over several connections, or is told to reload.
//   - Isolation: a slow or dead browser costs its own memory only, bounded, and
//     is cut off when it does not take a write in time. A panic in a Source,
//     a slot or a template ends one stream; a goroutine that a Source starts by
//     itself has to recover by itself, so let Page.Fill start it.
//   - Lifetimes: a stream ends when its Source returns, the browser leaves, a
//     write misses its deadline or the server shuts down. Then its context is
//     done, and when Serve's stream has ended nothing of it is left.
//   - Draining: Streams.Drain lets pages that end have their time, and ends those
//     that follow a feed one after the other, so that their browsers do not come
//     back all at once.
//   - Durability: with a Store, what Publish has answered survives the end of
//     the process, and nobody sees it before it does.
//   - Injection: no content leaves the place that it was put in. Text, AppendJS and
//     the transports see to it; what is markup, the HTML of a View and the name of
//     an attribute, is the author's word, and so are scripts in it, which the
//     policy of Script and of plain mode does not run. Put what strangers wrote
//     into a page with Text, or as the value of an attribute that is no URL and no
//     script. Who has a key of a Publisher is an author.
package stream
