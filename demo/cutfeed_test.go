package demo

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"

	"foreverframe/fallback"
	"foreverframe/stream"
	"foreverframe/templates"

	"github.com/valyala/fasthttp"
)

// A feed is what a page follows in these tests, and what it is in the end.
type feed struct {
	url   string          // of the feed
	page  string          // of a page that brings the same updates itself
	shell string          // the document before the first update, up to its last end tag
	want  string          // what the page looks like in the end
	ids   func() []uint64 // of all its events, in order
	saw   func(n int)     // told how many events the page has applied; may be nil
	close func()          // ends what publishes; may be nil
}

// A cutSite is a site with pages that follow a feed in their own response.
type cutSite struct {
	Site
	finite feed
	plans  []plan
}

func newCutSite(plans []plan) *cutSite {
	s := &cutSite{finite: jobFeed(), plans: plans}
	s.Hub.MaxTopics = -1
	return s
}

func (s *cutSite) handler() fasthttp.RequestHandler {
	pages := s.Handler()
	return func(req *fasthttp.RequestCtx) {
		path := string(req.Path())
		if path != "/page" && path != "/short" {
			pages(req)
			return
		}
		feed := s.Hub.Feed(strings.Split(string(req.QueryArgs().Peek("topics")), ",")...)
		if path == "/page" {
			stream.ServePage(req, view(cutShell), feed.Follow)
			return
		}
		fallback.Serve(req, stream.Response{Source: feed.Follow, Limit: stream.Limit{Flushes: shortFlushes}})
	}
}

// shortFlushes is after how many flushes a short response tells its page to
// connect again.
const shortFlushes = 3

// plan returns one of the plans.
func (s *cutSite) plan(rng *rand.Rand) plan { return s.plans[rng.IntN(len(s.plans))] }

// job returns the feed of a finite job, which knows its place by id.
func (s *cutSite) job(*rand.Rand, int) feed { return s.finite }

func jobFeed() feed {
	const n, size = 20, 40
	url := fmt.Sprintf("/demo/job?n=%d&size=%d&delay=0s", n, size)
	var shell strings.Builder
	templates.Job{N: n, Size: size, Delay: "0s"}.WriteHTML(&shell)
	f := feed{url: url, page: url, shell: strings.TrimSpace(shell.String())}
	var updates []stream.Update
	var ids []uint64
	for i := range n {
		ids = append(ids, uint64(i+1))
		updates = append(updates, stream.Append("log", templates.JobLine{Text: jobText(uint64(i+1), size)}))
	}
	f.want = expected(f.shell, updates)
	f.ids = func() []uint64 { return ids }
	return f
}

// A publication is updates on their way into topics of a hub.
type publication struct {
	hub    *stream.Hub
	topics []string
	ids    []uint64 // of the events so far
}

// publish publishes u to a topic that rng chooses.
func (p *publication) publish(u stream.Update, rng *rand.Rand) {
	id, _ := p.hub.Publish(p.topics[rng.IntN(len(p.topics))], u)
	p.ids = append(p.ids, id)
}

func (p *publication) end() {
	for _, topic := range p.topics {
		p.hub.End(topic)
	}
}

// feed returns the feed of the topics as they stand now, which comes to want.
func (p *publication) feed(want string) feed {
	place, topics := p.hub.Feed(p.topics...), strings.Join(p.topics, ",")
	return feed{
		url:   "/feeds/" + topics + "?" + place.Query(),
		page:  "/page?topics=" + topics + "&" + place.Query(),
		shell: cutShell,
		want:  want,
		ids:   func() []uint64 { return p.ids },
	}
}

// short returns feed, for one page in three in short responses.
func short(f feed, rng *rand.Rand) feed {
	if topics, ok := strings.CutPrefix(f.url, "/feeds/"); ok && rng.IntN(3) == 0 {
		f.url = "/short?topics=" + strings.Replace(topics, "?", "&", 1)
	}
	return f
}

// replayed returns the feed of a topic that has ended.
func (s *cutSite) replayed(rng *rand.Rand, part int) feed {
	p, plan := &publication{hub: &s.Hub, topics: []string{fmt.Sprint("replayed", part)}}, s.plan(rng)
	f := short(p.feed(plan.want), rng)
	for _, u := range plan.updates {
		p.publish(u, rng)
	}
	p.end()
	return f
}

// live returns the feed of two topics that are published to while they are
// followed, now and then only when the page has caught up.
func (s *cutSite) live(rng *rand.Rand, part int) feed {
	p, plan := &publication{hub: &s.Hub, topics: []string{fmt.Sprint("a", part), fmt.Sprint("b", part)}}, s.plan(rng)
	f := short(p.feed(plan.want), rng)
	var seen place
	f.saw = seen.reach
	rng = random(rng.Uint64(), part)
	var publishing sync.WaitGroup
	publishing.Go(func() {
		for i, u := range plan.updates {
			if rng.IntN(8) == 0 {
				seen.await(rng.IntN(i + 1))
			}
			p.publish(u, rng)
		}
		p.end()
	})
	f.ids = func() []uint64 { publishing.Wait(); return p.ids }
	f.close = func() { seen.reach(len(plan.updates)); publishing.Wait() }
	return f
}

// A place is how many events a page has seen, which can be waited for.
type place struct {
	mu    sync.Mutex // guards the rest
	seen  int
	moved chan struct{} // closed when seen grows; nil if nobody waits
}

func (p *place) reach(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = max(p.seen, n)
	if p.moved != nil {
		close(p.moved)
		p.moved = nil
	}
}

func (p *place) await(n int) {
	for moved := p.until(n); moved != nil; moved = p.until(n) {
		<-moved
	}
}

// until returns what is closed when the place changes, nil if n is reached.
func (p *place) until(n int) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.seen >= n {
		return nil
	}
	if p.moved == nil {
		p.moved = make(chan struct{})
	}
	return p.moved
}
