package demo

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"

	"foreverframe/stream"
	"foreverframe/templates"

	"github.com/valyala/fasthttp"
)

// A feed is what a page follows in these tests, and what it is in the end.
type feed struct {
	url   string       // of the feed
	page  string       // of a page that brings the same updates itself
	shell string       // the document before the first update, up to its last end tag
	first uint64       // the id of the first event
	count int          // of the events
	want  string       // what the page looks like in the end
	saw   func(uint64) // told the id of each event that the page applies; may be nil
	close func()       // ends what publishes; may be nil
}

// A cutSite is a site with pages that follow a feed in their own response.
type cutSite struct {
	Site
	finite feed
	plans  []plan
}

func (s *cutSite) handler() fasthttp.RequestHandler {
	pages := s.Handler()
	return func(req *fasthttp.RequestCtx) {
		if string(req.Path()) != "/page" {
			pages(req)
			return
		}
		topic := string(req.QueryArgs().Peek("topic"))
		stream.ServePage(req, view(cutShell), s.Hub.Feed(topic).Follow)
	}
}

// plan returns one of the plans.
func (s *cutSite) plan(rng *rand.Rand) plan { return s.plans[rng.IntN(len(s.plans))] }

// job returns the feed of a finite job, which knows its place by id.
func (s *cutSite) job(*rand.Rand, int) feed { return s.finite }

func jobFeed() feed {
	const n, size = 20, 40
	url := fmt.Sprintf("/demo/job?n=%d&size=%d&delay=0s", n, size)
	var shell strings.Builder
	templates.Job{N: n, Size: size, Delay: "0s"}.WriteHTML(&shell)
	f := feed{url: url, page: url, shell: strings.TrimSpace(shell.String()), first: 1, count: n}
	var updates []stream.Update
	for i := range n {
		updates = append(updates, stream.Append("log", templates.JobLine{Text: jobText(uint64(i+1), size)}))
	}
	f.want = expected(f.shell, updates)
	return f
}

// hubFeed returns the feed of a topic of its own, which updates are to be
// published to.
func (s *cutSite) hubFeed(topic string, p plan) feed {
	place := s.Hub.Feed(topic)
	return feed{
		url:   "/feeds/" + topic + "?" + place.Query(),
		page:  "/page?topic=" + topic + "&" + place.Query(),
		shell: cutShell,
		first: place.After + 1,
		count: len(p.updates),
		want:  p.want,
	}
}

// replayed returns the feed of a topic that has ended.
func (s *cutSite) replayed(rng *rand.Rand, part int) feed {
	topic := fmt.Sprint("replayed", part)
	plan := s.plan(rng)
	f := s.hubFeed(topic, plan)
	for _, u := range plan.updates {
		s.Hub.Publish(topic, u)
	}
	s.Hub.End(topic)
	return f
}

// live returns the feed of a topic that is published to while it is followed,
// now and then only when the page has caught up.
func (s *cutSite) live(rng *rand.Rand, part int) feed {
	topic := fmt.Sprint("live", part)
	plan := s.plan(rng)
	f := s.hubFeed(topic, plan)
	seen := place{id: f.first - 1}
	f.saw = seen.reach
	rng = random(rng.Uint64(), part)
	var publishing sync.WaitGroup
	publishing.Go(func() {
		for i, u := range plan.updates {
			if rng.IntN(8) == 0 {
				seen.await(f.first + uint64(rng.IntN(i+1)) - 1)
			}
			s.Hub.Publish(topic, u)
		}
		s.Hub.End(topic)
	})
	f.close = func() { seen.reach(1 << 53); publishing.Wait() }
	return f
}

// A place is how far a page has come, which can be waited for.
type place struct {
	mu    sync.Mutex // guards the rest
	id    uint64
	moved chan struct{} // closed when id changes; nil if nobody waits
}

func (p *place) reach(id uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.id = max(p.id, id)
	if p.moved != nil {
		close(p.moved)
		p.moved = nil
	}
}

func (p *place) await(id uint64) {
	for moved := p.until(id); moved != nil; moved = p.until(id) {
		<-moved
	}
}

// until returns what is closed when the place changes, nil if id is reached.
func (p *place) until(id uint64) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.id >= id {
		return nil
	}
	if p.moved == nil {
		p.moved = make(chan struct{})
	}
	return p.moved
}
