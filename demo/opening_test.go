package demo

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"foreverframe/bench/client"
	"foreverframe/fallback"
	"foreverframe/stream"

	"github.com/valyala/fasthttp"
)

// A tally is a number that grows a thousand times a second, a page that shows
// it, and a feed of what it is after the page.
type tally struct {
	hub    stream.Hub
	number atomic.Uint64
	pages  atomic.Uint64 // that have been asked for
}

const tallyTopic = "tally"

// run counts the milliseconds until ctx is done, those that it is late for too.
func (c *tally) run(ctx context.Context) {
	for start := time.Now(); wait(ctx, time.Millisecond); {
		for c.number.Load() < uint64(time.Since(start).Milliseconds()) {
			n := c.number.Add(1)
			c.hub.Publish(tallyTopic, stream.Inner("n", stream.Text(fmt.Sprint(n))))
		}
	}
}

// serve serves the page as a page of a feed has to be: its place is taken, then
// it is rendered.
func (c *tally) serve(req *fasthttp.RequestCtx) {
	feed := c.hub.Feed(tallyTopic)
	if string(req.Path()) == "/feed" {
		fallback.ServeFeed(req, feed)
		return
	}
	stream.ServePage(req, tallyPage{c, feed, c.pages.Add(1)%16 == 0}, nil)
}

// A tallyPage shows the number as it is when the page is rendered.
type tallyPage struct {
	*tally
	feed stream.Feed
	slow bool // the number changes while the page is rendered
}

func (p tallyPage) WriteHTML(w io.Writer) {
	n := p.number.Load()
	if p.slow {
		for before, end := n, time.Now().Add(patience); n == before && time.Now().Before(end); n = p.number.Load() {
			time.Sleep(time.Millisecond / 10)
		}
	}
	fmt.Fprintf(w, `<!doctype html><body data-ff-feed="/feed?%s"><b id=n>%d</b>`, p.feed.Query(), n)
}

func TestNoEventFallsBetweenAPageAndItsFeed(t *testing.T) {
	const visits = 10_000
	c := &tally{hub: stream.Hub{KeepEvents: 1 << 20}} // however slow this machine is
	browser := client.Client{Dial: inMemory(t, c.serve)}
	ctx, stop := context.WithCancel(t.Context())
	var counting, visiting sync.WaitGroup
	counting.Go(func() { c.run(ctx) })
	defer counting.Wait()
	defer stop()

	var visit, total atomic.Int64
	for range 32 {
		visiting.Go(func() {
			for i := visit.Add(1); i <= visits && !t.Failed(); i = visit.Add(1) {
				all := transports()
				between, err := c.visit(t.Context(), browser, all[int(i)%len(all)])
				if err != nil {
					t.Errorf("visit %d: %v", i, err)
				}
				total.Add(int64(between))
			}
		})
	}
	visiting.Wait()
	t.Logf("%d visits during %d events; %d events fell between a place and its page", visits, c.number.Load(), total.Load())
	if total.Load() == 0 {
		t.Error("no event fell between a place and its page, so nothing was tested")
	}
}

// visit loads the page and follows its feed for three events. It returns how many
// events fell between the page's place and its text.
func (c *tally) visit(ctx context.Context, browser client.Client, by client.Transport) (between int, err error) {
	ctx, leave := context.WithTimeout(ctx, patience)
	defer leave()
	page, err := browser.Load(ctx, "/", nil)
	if err != nil {
		return 0, err
	}
	var events []int
	page.Saw = func(e client.Event) {
		n, _ := strconv.Atoi(e.HTML)
		if events = append(events, n); len(events) == 3 {
			leave()
		}
	}
	for len(events) < 3 && err == nil {
		err = browser.Follow(ctx, page, page.Feed(), by)
	}
	if len(events) < 3 {
		return 0, fmt.Errorf("after %d events: %w", len(events), err)
	}
	return fits(page, events)
}

// fits returns an error unless the numbers in events follow what page showed
// without a hole; it returns how many of them the page had.
func fits(page *client.Page, events []int) (between int, err error) {
	var shown int
	fmt.Sscanf(page.Shell[strings.Index(page.Shell, "<b id=n>"):], "<b id=n>%d</b>", &shown)
	for i, n := range events {
		if n != events[0]+i || i == 0 && n > shown+1 {
			return 0, fmt.Errorf("the page shows %d, the events are %d", shown, events)
		}
	}
	if last := fmt.Sprint(events[len(events)-1]); page.Document.Text("n") != last {
		return 0, fmt.Errorf("the page shows %s after event %s", page.Document.Text("n"), last)
	}
	return shown + 1 - events[0], nil
}
