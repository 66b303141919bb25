package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"foreverframe/bench/client"
	"foreverframe/stream"
	"foreverframe/templates"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttputil"
)

// These tests cut the connections of stand-in browsers anywhere, and let them go
// on over other transports.

// cuts is the number of places at which each transport is cut, over each feed.
const cuts = 1000

// transports are what a page that has been cut off goes on with.
func transports() []client.Transport {
	return []client.Transport{&client.EventSource{}, client.Frame{}, client.Poll{}}
}

// seedOf returns the seed of a test, $SEED if that is set, and prints it if the
// test fails.
func seedOf(t *testing.T) uint64 {
	seed, err := strconv.ParseUint(os.Getenv("SEED"), 10, 64)
	if err != nil {
		seed = rand.Uint64()
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("to have the same again: SEED=%d", seed)
		}
	})
	return seed
}

// random returns a source of random numbers for one part of a test.
func random(seed uint64, part int) *rand.Rand { return rand.New(rand.NewPCG(seed, uint64(part))) }

// inMemory serves handler without a network until the test has ended, and
// returns what connects to it.
func inMemory(t *testing.T, handler fasthttp.RequestHandler) func(context.Context) (net.Conn, error) {
	listener := fasthttputil.NewInmemoryListener()
	served := make(chan error, 1)
	server := &fasthttp.Server{Handler: handler, Logger: log.New(io.Discard, "", 0)} // who leaves is no news
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		listener.Close()
		<-served
	})
	return func(context.Context) (net.Conn, error) { return listener.Dial() }
}

// A cable is a connection that is cut when so many bytes have come through it.
type cable struct {
	net.Conn
	left int
	came int
}

func (c *cable) Read(b []byte) (int, error) {
	if c.left == 0 {
		c.Conn.Close()
		return 0, io.EOF
	}
	n, err := c.Conn.Read(b[:min(len(b), c.left)])
	c.left -= n
	c.came += n
	return n, err
}

const uncut = 1 << 30

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

// A course is a page's way through a feed, over connections that are cut.
type course struct {
	feed
	dial func(context.Context) (net.Conn, error)

	shown *client.Page
	ids   []uint64 // of the events that the page has applied
	last  *cable   // the connection that was made last
	cuts  int
}

// run runs the course over by, cut after so many bytes, and to the end over
// others, some of which are cut as well.
func (c *course) run(ctx context.Context, by client.Transport, bytes int, rng *rand.Rand) error {
	if by.Name() != "script" {
		c.shown = &client.Page{Document: client.NewDocument(c.shell), Saw: c.note}
	}
	whole := bytes
	for range 100 {
		err := c.connect(ctx, by, bytes)
		switch {
		case errors.Is(err, client.ErrDone):
			return c.check()
		case err != nil:
			return err
		case c.last.left == 0:
			c.cuts++
		}
		bytes = uncut
		if c.shown == nil {
			continue // the shell was not whole: the page is loaded again
		}
		by = other(by, rng)
		if rng.IntN(3) == 0 {
			bytes = rng.IntN(max(whole, 1))
		}
	}
	return errors.New("it is not at the end after 100 connections")
}

// connect goes on over one connection, which is cut after so many bytes.
func (c *course) connect(ctx context.Context, by client.Transport, bytes int) error {
	browser := client.Client{Dial: func(ctx context.Context) (net.Conn, error) {
		conn, err := c.dial(ctx)
		c.last = &cable{Conn: conn, left: bytes}
		return c.last, err
	}}
	if by.Name() != "script" {
		return browser.Follow(ctx, c.shown, c.url, by)
	}
	c.ids = nil
	page, err := browser.Load(ctx, c.page, c.note)
	if strings.HasSuffix(strings.TrimSpace(page.Shell), c.shell[len(c.shell)-6:]) {
		c.shown = page
	}
	return err
}

func (c *course) note(e client.Event) {
	if e.ID == 0 {
		return
	}
	c.ids = append(c.ids, e.ID)
	if c.saw != nil {
		c.saw(e.ID)
	}
}

// check returns an error unless the page has seen each event once, in order, and
// is what it should be.
func (c *course) check() error {
	for i, id := range c.ids {
		if want := c.first + uint64(i); id != want {
			return fmt.Errorf("event %d came where %d should be", id, want)
		}
	}
	switch got := look(c.shown); {
	case len(c.ids) != c.count:
		return fmt.Errorf("%d events of %d", len(c.ids), c.count)
	case c.shown.Refused > 0:
		return fmt.Errorf("%d events were sent though the page had them", c.shown.Refused)
	case got != c.want:
		return fmt.Errorf("the page is\n%s\nnot\n%s", got, c.want)
	}
	return nil
}

// look returns what is compared of a page: the log, and what it has heard.
func look(page *client.Page) string {
	return fmt.Sprintf("%s\n%s\nheard %q\ntroubles %q", page.Document.Title(), page.Document.HTML("log"), page.Heard, page.Troubles)
}

// other returns a transport of another kind, or now and then the EventSource
// that was cut, which reconnects.
func other(by client.Transport, rng *rand.Rand) client.Transport {
	if by.Name() == "sse" && rng.IntN(4) == 0 {
		return by
	}
	all := slices.DeleteFunc(transports(), func(t client.Transport) bool { return t.Name() == by.Name() })
	return all[rng.IntN(len(all))]
}

// expected returns what a page looks like that starts as shell and applies
// updates, without a wire between.
func expected(shell string, updates []stream.Update) string {
	page := &client.Page{Document: client.NewDocument(shell)}
	for _, u := range updates {
		if slices.Contains([]string{stream.ActionAttr, stream.ActionTitle, stream.ActionEmit}, u.Action) {
			u.HTML = lineFeeds.Replace(u.HTML)
		}
		page.Apply(client.Event{Action: u.Action, Target: u.Target, HTML: u.HTML})
	}
	return look(page)
}

// lineFeeds makes of text what every reader gets: a line feed for each line end.
var lineFeeds = strings.NewReplacer("\r\n", "\n", "\r", "\n")

const cutShell = "<!doctype html><title>t</title><div id=log></div>"

// randomUpdates returns updates of a page that starts as cutShell. Each depends
// on those before it, so that none can be missed or come twice unseen.
func randomUpdates(rng *rand.Rand, n int) []stream.Update {
	page := client.NewDocument(cutShell)
	ids := []string{"log"}
	updates := make([]stream.Update, n)
	for i := range updates {
		u := randomUpdate(rng, ids[rng.IntN(len(ids))], i)
		updates[i] = u
		page.Apply(u.Action, u.Target, u.HTML)
		ids = append(ids, fmt.Sprint("e", i))
		ids = slices.DeleteFunc(ids, func(id string) bool { return page.HTML(id) == "" })
	}
	return updates
}

// randomUpdate returns an update of target, often with a new element e0, e1….
func randomUpdate(rng *rand.Rand, target string, i int) stream.Update {
	text := []rune(hostile)
	text = text[rng.IntN(len(text)):]
	line := fmt.Sprintf("%d %s\n", i, string(text[:rng.IntN(len(text))]))
	element := view(fmt.Sprintf("<p id=e%d title='\r\n%d'>", i, i) + string(stream.AppendHTML(nil, line)) + "</p>\n")
	changes := []func() stream.Update{
		func() stream.Update { return stream.Append(target, element) },
		func() stream.Update { return stream.Prepend(target, element) },
		func() stream.Update { return stream.Inner(target, element) },
		func() stream.Update { return stream.Attr(target, "class", line) },
		func() stream.Update { return stream.Title(line) },
		func() stream.Update { return stream.Emit([]string{"news", "message"}[rng.IntN(2)], line) },
		func() stream.Update { return stream.Remove(fmt.Sprint("none", i)) }, // trouble
	}
	if target != "log" {
		changes = append(changes,
			func() stream.Update { return stream.Before(target, element) },
			func() stream.Update { return stream.After(target, element) },
			func() stream.Update { return stream.Replace(target, element) },
			func() stream.Update { return stream.Remove(target) })
	}
	return changes[rng.IntN(len(changes))]()
}

// cutSite is a site with pages that follow a feed in their own response.
func cutSite(site *Site) fasthttp.RequestHandler {
	handler := site.Handler()
	return func(req *fasthttp.RequestCtx) {
		if string(req.Path()) != "/page" {
			handler(req)
			return
		}
		topic := string(req.QueryArgs().Peek("topic"))
		stream.ServePage(req, view(cutShell), site.Hub.Feed(topic).Follow)
	}
}

// job returns the feed of a finite job, which knows its place by id.
func job(*Site, *rand.Rand, int) feed {
	const n, size = 30, 40
	f := feed{url: fmt.Sprintf("/demo/job?n=%d&size=%d&delay=0s", n, size), first: 1, count: n}
	f.page = f.url
	var shell strings.Builder
	templates.Job{N: n, Size: size, Delay: "0s"}.WriteHTML(&shell)
	f.shell = strings.TrimSpace(shell.String())
	var updates []stream.Update
	for i := range n {
		updates = append(updates, stream.Append("log", templates.JobLine{Text: jobText(uint64(i+1), size)}))
	}
	f.want = expected(f.shell, updates)
	return f
}

// hubFeed returns the feed of a topic of its own, which updates are to be
// published to.
func hubFeed(site *Site, topic string, updates []stream.Update) feed {
	place := site.Hub.Feed(topic)
	return feed{
		url:   "/feeds/" + topic + "?" + place.Query(),
		page:  "/page?topic=" + topic + "&" + place.Query(),
		shell: cutShell,
		first: place.After + 1,
		count: len(updates),
		want:  expected(cutShell, updates),
	}
}

// replayed returns the feed of a topic that has ended.
func replayed(site *Site, rng *rand.Rand, part int) feed {
	topic := fmt.Sprint("replayed", part)
	updates := randomUpdates(rng, 30)
	f := hubFeed(site, topic, updates)
	for _, u := range updates {
		site.Hub.Publish(topic, u)
	}
	site.Hub.End(topic)
	return f
}

// live returns the feed of a topic that is published to while it is followed,
// now and then only when the page has caught up.
func live(site *Site, rng *rand.Rand, part int) feed {
	topic := fmt.Sprint("live", part)
	updates := randomUpdates(rng, 30)
	f := hubFeed(site, topic, updates)
	seen := place{id: f.first - 1}
	f.saw = seen.reach
	rng = random(rng.Uint64(), part)
	var publishing sync.WaitGroup
	publishing.Go(func() {
		for i, u := range updates {
			if rng.IntN(2) == 0 {
				seen.await(f.first + uint64(rng.IntN(i+1)) - 1)
			}
			site.Hub.Publish(topic, u)
		}
		site.Hub.End(topic)
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

func TestNoEventIsLostOrDoubledWhereverTheConnectionIsCut(t *testing.T) {
	site := &Site{}
	dial := inMemory(t, cutSite(site))
	seed := seedOf(t)
	part := 0
	for _, f := range []struct {
		name string
		make func(*Site, *rand.Rand, int) feed
	}{{"job", job}, {"replayed", replayed}, {"live", live}} {
		for _, by := range append(transports(), &client.Script{}) {
			part += 1 << 20
			p := part
			t.Run(f.name+"/"+by.Name(), func(t *testing.T) {
				t.Parallel()
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				cutEverywhere(t, by.Name(), func(i int, bytes func(*rand.Rand) int) (*course, error) {
					rng := random(seed, p+i)
					c := &course{feed: f.make(site, rng, p+i), dial: dial}
					if c.close != nil {
						defer c.close()
					}
					err := c.run(ctx, transport(by.Name()), bytes(rng), rng)
					return c, err
				})
			})
		}
	}
}

// transport returns a new transport by its name.
func transport(name string) client.Transport {
	for _, by := range transports() {
		if by.Name() == name {
			return by
		}
	}
	return &client.Script{}
}

// cutEverywhere runs courses, the first of them whole, the others cut at a random
// byte of it, until so many have been cut.
func cutEverywhere(t *testing.T, by string, run func(i int, bytes func(*rand.Rand) int) (*course, error)) {
	whole, total := 0, 0
	for i, done := 0, 0; done < cuts; i++ {
		bytes := func(rng *rand.Rand) int { return rng.IntN(whole) }
		if i == 0 {
			bytes = func(*rand.Rand) int { return uncut }
		}
		c, err := run(i, bytes)
		switch {
		case err != nil:
			t.Fatalf("%s, course %d, after %d bytes: %v", by, i, c.last.came, err)
		case i == 0:
			whole = c.last.came
		case i > 10*cuts:
			t.Fatalf("%d of %d courses were cut", done, i)
		case c.cuts > 0:
			done++
		}
		total += c.cuts
	}
	t.Logf("%d cuts", total)
}
