package bench

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"foreverframe/bench/server"

	"github.com/valyala/fasthttp"
)

// A publisher publishes numbered updates to one feed, one after the other over a
// connection that is kept.
type publisher struct {
	client fasthttp.Client
	to     Publish
	url    string
	marker string
	size   int
	last   uint64 // the number of the newest
}

func newPublisher(t *trial) *publisher {
	p := &publisher{to: t.Publish, marker: t.marker(), size: t.Size}
	p.url = strings.NewReplacer("{url}", strings.TrimSuffix(t.base.String(), "/"), "{topic}", t.topic).Replace(t.Publish.Path)
	if strings.HasPrefix(p.url, "/") {
		p.url = strings.TrimSuffix(t.base.String(), "/") + p.url
	}
	return p
}

// next publishes the next update, which was due then; the zero time means that
// it was due at no certain time.
func (p *publisher) next(due time.Time) error {
	p.last++
	at := int64(0)
	if !due.IsZero() {
		at = due.UnixMicro()
	}
	text := p.marker + strings.TrimPrefix(server.Text(p.last, at, p.size-len(p.marker)+len("ev-")), "ev-")
	req, answer := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(answer)
	req.SetRequestURI(p.url)
	req.Header.SetMethod(cmp.Or(p.to.Method, fasthttp.MethodPost))
	for name, value := range p.to.Header {
		req.Header.Set(name, value)
	}
	req.SetBodyString(strings.ReplaceAll(cmp.Or(p.to.Body, "{text}"), "{text}", text))
	if err := p.client.DoTimeout(req, answer, 10*time.Second); err != nil {
		return fmt.Errorf("publish to %s: %w", p.url, err)
	}
	if answer.StatusCode() >= 300 {
		return fmt.Errorf("publish to %s: the answer is %d: %.200s", p.url, answer.StatusCode(), answer.Body())
	}
	return nil
}
