package fallback

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"
)

// The names of the transports, as "?transport=" takes them.
const (
	transportScript = "script"
	transportSSE    = "sse"
	transportFrame  = "frame"
	transportPoll   = "poll"
	transportPlain  = "plain"
)

// mediaTypes are what a request accepts when it wants a transport.
var mediaTypes = map[string]string{
	transportScript: "text/html",
	transportFrame:  "text/html",
	transportPlain:  "text/html",
	transportSSE:    "text/event-stream",
	transportPoll:   "application/json",
}

// choose returns the transport that req asks for among offers, by the query's
// "transport", else by the header Accept (RFC 9110, section 12.5.1). Of those
// that are accepted alike the first wins; without either, offers[0] does.
func choose(req *fasthttp.RequestCtx, offers ...string) (string, error) {
	if name := string(req.QueryArgs().Peek("transport")); name != "" {
		for _, offer := range offers {
			if offer == name {
				return offer, nil
			}
		}
		return "", fmt.Errorf("there is no transport %q here: transport must be one of %s", name, strings.Join(offers, ", "))
	}
	accept := string(req.Request.Header.Peek(fasthttp.HeaderAccept))
	if accept == "" {
		return offers[0], nil
	}
	best, bestQuality := "", 0.0
	for _, offer := range offers {
		if q := quality(accept, mediaTypes[offer]); q > bestQuality {
			best, bestQuality = offer, q
		}
	}
	if best == "" {
		return "", fmt.Errorf("nothing here is of a type in %q: accept %s, or choose with ?transport= one of %s", accept, strings.Join(types(offers), ", "), strings.Join(offers, ", "))
	}
	return best, nil
}

// types returns the media types of offers, each once.
func types(offers []string) []string {
	var all []string
	for _, offer := range offers {
		if t := mediaTypes[offer]; !slices.Contains(all, t) {
			all = append(all, t)
		}
	}
	return all
}

// quality returns how much an Accept header wants a media type: 0 to 1, by the
// most specific range that matches.
func quality(accept, mediaType string) float64 {
	best, specific := 0.0, -1
	for r := range strings.SplitSeq(accept, ",") {
		name, parameters, _ := strings.Cut(r, ";")
		if s := specificity(strings.ToLower(strings.TrimSpace(name)), mediaType); s > specific {
			best, specific = weight(parameters), s
		}
	}
	return best
}

// specificity returns how exactly a media range matches, -1 if not at all.
func specificity(mediaRange, mediaType string) int {
	kind, _, _ := strings.Cut(mediaType, "/")
	switch mediaRange {
	case mediaType:
		return 2
	case kind + "/*":
		return 1
	case "*/*":
		return 0
	}
	return -1
}

// weight returns the q of a range's parameters, 1 if there is none.
func weight(parameters string) float64 {
	for p := range strings.SplitSeq(parameters, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		if strings.EqualFold(name, "q") {
			q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil || !(q >= 0 && q <= 1) {
				return 0
			}
			return q
		}
	}
	return 1
}
