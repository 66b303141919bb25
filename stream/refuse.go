package stream

import "github.com/valyala/fasthttp"

// Refuse answers req with status and a line of text that says what is wrong. In
// contrast to req.Error it keeps the headers that are set already: Allow, Vary,
// Retry-After, those of other origins.
func Refuse(req *fasthttp.RequestCtx, status int, text string) {
	req.Response.ResetBody()
	req.SetStatusCode(status)
	req.SetContentType("text/plain; charset=utf-8")
	req.Response.Header.Set(fasthttp.HeaderXContentTypeOptions, "nosniff")
	req.SetBodyString(text + "\n")
}
