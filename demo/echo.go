package demo

import (
	"context"

	"foreverframe/fallback"
	"foreverframe/stream"
	"foreverframe/templates"

	"github.com/valyala/fasthttp"
)

var echoPage = templates.Page{
	Title:     "Echo",
	Lead:      "Any text, pushed into the page as text: markup, quotes, line ends, emoji.",
	Technique: "JavaScript snippets, the text escaped once for HTML and once for the script",
	Why:       "No content may leave the place that it was put in.",
	Wire:      "/demo/echo?text=%3C/script%3E%3C!--%20%22quotes%22&wire=1",
}

func (s *Site) echo(req *fasthttp.RequestCtx, page templates.Page) {
	text := string(req.FormValue("text"))
	action := "/demo/echo"
	if fallback.WantsPlain(req) {
		action += "?transport=plain"
	}
	fallback.ServePage(req, templates.Echo{Page: page, Text: text, Action: action}, func(_ context.Context, p *stream.Page) error {
		if err := p.Send(stream.Inner("out", stream.Text(text))); err != nil {
			return err
		}
		return p.Send(stream.Inner("after", stream.Text("done")))
	})
}
