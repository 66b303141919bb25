package access

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"
)

// Origins are the other origins whose pages may read answers, with their
// visitors' cookies, and publish, with a key or a token of their own: for
// example "https://app.example.com". They are compared as a whole; none stands
// for several, because a page that may use cookies is to be known by name.
type Origins []string

// Check returns an error if one of o is no origin, as browsers write it.
func (o Origins) Check() error {
	for _, origin := range o {
		if err := checkOrigin(origin); err != nil {
			return fmt.Errorf("the origin %q: %w", origin, err)
		}
	}
	return nil
}

var errOrigin = errors.New("it must be a scheme and a host, in small letters, with the port if it is not the scheme's own, and nothing behind it: for example https://app.example.com")

func checkOrigin(origin string) error {
	switch origin {
	case "*":
		return errors.New("any page could read with its visitor's cookies: name the origins one by one")
	case "null":
		return errors.New("it is that of any page in a sandbox: name the origins one by one")
	}
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" || origin != strings.ToLower(u.Scheme+"://"+u.Host) || strings.ContainsAny(u.Host, "*, ") || strings.HasSuffix(u.Host, ":") {
		return errOrigin
	}
	if port := u.Port(); u.Scheme == "https" && port == "443" || u.Scheme == "http" && port == "80" {
		return errOrigin
	}
	return nil
}

// Allow lets the page that has sent req read the answer, if it is of one of
// these origins (Fetch, section 3.3). Call it before anything is refused, so that
// the page can read that too.
func (o Origins) Allow(req *fasthttp.RequestCtx) { o.allow(req) }

func (o Origins) allow(req *fasthttp.RequestCtx) bool {
	header := &req.Response.Header
	header.Add(fasthttp.HeaderVary, fasthttp.HeaderOrigin)
	origin := string(req.Request.Header.Peek(fasthttp.HeaderOrigin))
	if !slices.Contains(o, origin) {
		return false
	}
	header.Set(fasthttp.HeaderAccessControlAllowOrigin, origin)
	header.Set(fasthttp.HeaderAccessControlAllowCredentials, "true")
	header.Set(fasthttp.HeaderAccessControlExposeHeaders, fasthttp.HeaderRetryAfter)
	return true
}

// Preflight answers an OPTIONS request with what a page of one of these origins
// may send: what publishing needs, and what following by fetch does. Cookies do
// not let anybody publish, so there is nothing that such a page could do in its
// visitor's name.
func (o Origins) Preflight(req *fasthttp.RequestCtx) {
	const methods = "GET, HEAD, POST, DELETE"
	req.SetStatusCode(fasthttp.StatusNoContent)
	header := &req.Response.Header
	header.Set(fasthttp.HeaderAllow, methods+", OPTIONS")
	if o.allow(req) {
		header.Set(fasthttp.HeaderAccessControlAllowMethods, methods)
		header.Set(fasthttp.HeaderAccessControlAllowHeaders, "Authorization, Content-Type, Idempotency-Key, Last-Event-ID")
		header.Set(fasthttp.HeaderAccessControlMaxAge, "600")
	}
}
