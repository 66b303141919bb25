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
	"sync/atomic"
	"testing"

	"foreverframe/bench/client"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttputil"
)

// These tests cut the connections of stand-in browsers anywhere, and let them go
// on over other transports.

// cuts is the number of places at which each transport is cut, over each of the
// three feeds.
const cuts = 500

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

func TestNoEventIsLostOrDoubledWhereverTheConnectionIsCut(t *testing.T) {
	seed := seedOf(t)
	site := newCutSite(randomPlans(seed))
	dial := inMemory(t, site.handler())
	part := 0
	for _, f := range []struct {
		name string
		make func(*rand.Rand, int) feed
	}{{"job", site.job}, {"replayed", site.replayed}, {"live", site.live}} {
		for _, by := range append(transports(), &client.Script{}) {
			part += 1 << 20
			p := part
			t.Run(f.name+"/"+by.Name(), func(t *testing.T) {
				t.Parallel()
				run := func(i, bytes int) *course {
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					defer cancel()
					rng := random(seed, p+i)
					c := &course{feed: f.make(rng, p+i), dial: dial}
					if c.close != nil {
						defer c.close()
					}
					if bytes != uncut {
						bytes = rng.IntN(bytes)
					}
					if err := c.run(ctx, transport(by.Name()), bytes, rng); err != nil {
						t.Errorf("course %d, cut after %d bytes: %v", i, bytes, err)
					}
					return c
				}
				whole := run(0, uncut).last.came
				cutOften(t, func(i int) int { return run(i, whole).cuts })
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

// cutOften runs courses, some at once, until so many have been cut: a random
// place may be behind the end.
func cutOften(t *testing.T, run func(i int) (cuts int)) {
	var courses, cut, all atomic.Int64
	var running sync.WaitGroup
	for range 4 {
		running.Go(func() {
			for cut.Load() < cuts && !t.Failed() {
				i := courses.Add(1)
				if i > 10*cuts {
					t.Errorf("%d of %d courses were cut", cut.Load(), i)
				}
				if n := run(int(i)); n > 0 {
					cut.Add(1)
					all.Add(int64(n))
				}
			}
		})
	}
	running.Wait()
	t.Logf("%d courses, %d of them cut, %d times", courses.Load(), cut.Load(), all.Load())
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
		c.saw(len(c.ids))
	}
}

// check returns an error unless the page has seen each event once, in order, and
// is what it should be.
func (c *course) check() error {
	switch want, got := c.feed.ids(), look(c.shown); {
	case !slices.Equal(c.ids, want):
		return fmt.Errorf("the events are %d, not %d", c.ids, want)
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
