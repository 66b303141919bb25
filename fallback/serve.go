package fallback

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"time"

	"foreverframe/stream"

	"github.com/valyala/fasthttp"
)

// A forever frame takes memory in the browser for every script that has run in
// it, until it is replaced: about 2 KB in the engines of today. It stands in the
// place of a Limit that is not set.
var frameLimit = stream.Limit{Flushes: 2000, Bytes: 4 << 20, Age: 30 * time.Minute}

// pollFlush lets updates that come close together share one answer to a poll.
var pollFlush = stream.Flush{Every: 1 << 20, Delay: 5 * time.Millisecond}

const (
	defaultWait = 25 * time.Second // of a poll
	maxWait     = 60 * time.Second
	maxBeat     = 60 * time.Second // between heartbeats that the runtime asks for
)

// Serve answers req with r over the transport that req asks for, by the query's
// "transport" or the header Accept: "script", the page itself with its updates,
// and "plain", the page without scripts, if r has a shell; "sse", server-sent
// events; "frame", the forever frame; "poll", long polling, which waits for the
// query's "wait" in seconds. A client that runs no scripts gets the page plain.
// If req asks for none of them it answers 406, or 400 for an unknown name, with
// a list.
// The query's "beat" asks for heartbeats that scripts can see, after so many
// seconds of silence. A Feed in the place of a Source is served as by ServeFeed.
func Serve(req *fasthttp.RequestCtx, r stream.Response) {
	if r.Source == nil && len(r.Feed.Topics) > 0 {
		serveFeed(req, r)
		return
	}
	serve(req, r, place{})
}

// A place is what a feed knows of where a browser is in it.
type place struct {
	finished bool          // nothing is left to send
	catchUp  stream.Source // sends what there is and does not wait; nil if that is not known
}

func serve(req *fasthttp.RequestCtx, r stream.Response, at place) {
	vary(req, fasthttp.HeaderAccept)
	name, err := choose(req, offers(r)...)
	if err != nil {
		stream.Refuse(req, refusal(req), err.Error())
		return
	}
	beat, err := seconds(req, "beat", 0, maxBeat)
	if err != nil {
		stream.Refuse(req, fasthttp.StatusBadRequest, err.Error())
		return
	}
	wait, err := seconds(req, "wait", defaultWait, maxWait)
	if err != nil {
		stream.Refuse(req, fasthttp.StatusBadRequest, err.Error())
		return
	}
	if err := checkPlace(req); err != nil {
		stream.Refuse(req, fasthttp.StatusBadRequest, err.Error())
		return
	}
	if beat > 0 {
		r.Heartbeat = beat
	}
	if name != transportScript && name != transportPlain {
		r.Shell = nil
	}
	switch name {
	case transportScript, transportPlain:
		r.Transport = PageTransport(req)
	case transportSSE:
		if at.finished {
			req.SetStatusCode(fasthttp.StatusNoContent)
			return
		}
		sse, _ := r.Transport.(stream.SSE)
		sse.Beat = beat > 0
		r.Transport = sse
	case transportFrame:
		r.Transport = Frame{Script: stream.Script{Nonce: stream.Nonce(req)}, Beat: beat > 0, Prelude: preludeFor(string(req.UserAgent()))}
		r.Limit = cmp.Or(r.Limit, frameLimit)
	case transportPoll:
		r.Transport, r.Flush, r.Wait = Poll{}, pollFlush, wait
		if wait == 0 {
			r.Wait = time.Second // for a source that cannot tell whether there is more
			if at.catchUp != nil {
				r.Source, r.Feed = at.catchUp, stream.Feed{}
			}
		}
	}
	r.Serve(req)
}

// offers returns the transports that r can be served over.
func offers(r stream.Response) []string {
	all := []string{transportSSE, transportFrame, transportPoll}
	if r.Shell != nil {
		all = append([]string{transportScript}, append(all, transportPlain)...)
	}
	return all
}

// refusal is the status for a request that asks for no transport there is.
func refusal(req *fasthttp.RequestCtx) int {
	if req.QueryArgs().Has("transport") {
		return fasthttp.StatusBadRequest
	}
	return fasthttp.StatusNotAcceptable
}

// checkPlace returns an error if the query's "after" is no place. A Last-Event-ID
// that is none is a gap: an EventSource would give up at a refusal.
func checkPlace(req *fasthttp.RequestCtx) error {
	after := req.QueryArgs().Peek("after")
	if _, err := strconv.ParseUint(string(after), 10, 64); err != nil && len(after) > 0 {
		return fmt.Errorf("after=%q: it must be the id of an event, or 0 for all that is kept", after)
	}
	return nil
}

// seconds returns the time that the query gives by name.
func seconds(req *fasthttp.RequestCtx, name string, otherwise, most time.Duration) (time.Duration, error) {
	text := string(req.QueryArgs().Peek(name))
	if text == "" {
		return otherwise, nil
	}
	if n, err := strconv.Atoi(text); err == nil && n >= 0 && n <= int(most.Seconds()) {
		return time.Duration(n) * time.Second, nil
	}
	return 0, fmt.Errorf("%s=%q: it must be a whole number of seconds from 0 to %d", name, text, int(most.Seconds()))
}

// vary tells caches that the answer depends on a header of req.
func vary(req *fasthttp.RequestCtx, header string) {
	for _, value := range req.Response.Header.PeekAll(fasthttp.HeaderVary) {
		if string(value) == header {
			return
		}
	}
	req.Response.Header.Add(fasthttp.HeaderVary, header)
}

// ServeFeed answers req with feed over the transport that req asks for: an event
// stream or, for text/html, the forever frame, or, for application/json, a poll.
// It starts after the last event that the browser has seen: the header
// Last-Event-ID, else the query's "after", where 0 stands for all that is kept,
// else the feed's own place. An EventSource that has all of a feed that has ended
// gets 204, No Content.
func ServeFeed(req *fasthttp.RequestCtx, feed stream.Feed) {
	serveFeed(req, stream.Response{Feed: feed})
}

func serveFeed(req *fasthttp.RequestCtx, r stream.Response) {
	switch err := r.Feed.Err(); {
	case errors.Is(err, stream.ErrTopics):
		stream.Refuse(req, fasthttp.StatusTooManyRequests, err.Error())
		req.Response.Header.Set(fasthttp.HeaderRetryAfter, "60")
		return
	case errors.Is(err, stream.ErrBroker):
		stream.Refuse(req, fasthttp.StatusServiceUnavailable, err.Error())
		req.Response.Header.Set(fasthttp.HeaderRetryAfter, "5")
		return
	case err != nil:
		stream.Refuse(req, fasthttp.StatusBadRequest, err.Error())
		return
	}
	feed, last := r.Feed, stream.LastEventID(req)
	finished := feed.Ended() && !req.QueryArgs().Has("after") && (last == 0 || last >= feed.After)
	if last == 0 && req.QueryArgs().Has("after") {
		r.Feed.After = 0
	}
	serve(req, r, place{finished: finished, catchUp: r.Feed.CatchUp})
}
