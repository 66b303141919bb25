package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// This file simulates a server, its publishers and its browsers in virtual time:
// connections are cut after any byte, stall and go on, servers are killed, drain
// and come back with or without a store. One seed is one list of steps; it is the
// same again with SEED=n, and a failure prints the fewest steps that still fail.

// A step is one thing that happens to the world.
type step struct {
	what string
	n    int // which topic or browser
	size int // bytes or updates
	wait time.Duration
}

func (s step) String() string { return fmt.Sprintf("%s %d (%d) %v", s.what, s.n, s.size, s.wait) }

const (
	simTopics   = 3
	simBrowsers = 4
)

// steps returns what happens in a world with the seed.
func steps(seed uint64) (all []step) {
	rng := rand.New(rand.NewPCG(seed, 0))
	kinds := []string{"publish", "publish", "publish", "publish", "cut", "cut after", "stall", "go on", "wait", "wait long", "restart", "drain"}
	for range 20 + rng.IntN(40) {
		s := step{what: kinds[rng.IntN(len(kinds))], n: rng.IntN(12), size: 1 + rng.IntN(20)}
		switch s.what {
		case "cut after":
			s.size = rng.IntN(2000)
		case "wait":
			s.wait = time.Duration(rng.IntN(3000)) * time.Millisecond
		case "wait long", "restart", "drain":
			s.wait = time.Duration(rng.IntN(40)) * time.Second
		}
		all = append(all, s)
	}
	return all
}

// A world is a server, its publishers and its browsers.
type world struct {
	seed  uint64
	shelf *shelf // nil if the server keeps nothing
	keep  int    // events of a topic
	born  time.Time
	trace []string

	mu       sync.Mutex // guards the rest
	hub      *Hub       // nil while the server is down
	streams  *Streams
	serving  context.Context
	shutdown context.CancelCauseFunc
	record   record
	err      error
}

// simulate runs steps in a world with the seed, and returns what went wrong and
// what happened.
func simulate(t *testing.T, seed uint64, steps []step) (trace []string, err error) {
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(seed, 1))
		w := &world{seed: seed, keep: 1000, born: time.Now()}
		if rng.IntN(2) == 0 {
			w.shelf = new(shelf)
		}
		if rng.IntN(3) == 0 {
			w.keep = 10 + rng.IntN(20)
		}
		w.up()
		var visiting sync.WaitGroup
		ctx, leave := context.WithCancel(context.Background())
		browsers := make([]*browser, simBrowsers)
		for i := range browsers {
			browsers[i] = &browser{world: w, number: i, rng: rand.New(rand.NewPCG(seed, uint64(2+i)))}
			visiting.Go(func() { browsers[i].run(ctx) })
		}
		synctest.Wait()
		for _, s := range steps {
			w.note("%v", s)
			w.do(s, browsers)
			synctest.Wait()
		}
		w.end(browsers)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		leave()
		for _, b := range browsers {
			b.cut(0)
		}
		w.shutdown(ErrShutdown)
		visiting.Wait()
		for _, b := range browsers {
			w.fail(b.check())
		}
		trace, err = w.trace, w.err
	})
	return trace, err
}

func (w *world) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trace = append(w.trace, fmt.Sprintf("%9.3fs  ", time.Since(w.born).Seconds())+fmt.Sprintf(format, args...))
}

func (w *world) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
	}
}

// up starts the server.
func (w *world) up() {
	hub := &Hub{KeepEvents: w.keep, DropAfter: -1}
	if w.shelf != nil {
		if err := hub.Restore(w.shelf); err != nil {
			w.fail(err)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hub, w.streams = hub, new(Streams)
	w.serving, w.shutdown = context.WithCancelCause(context.Background())
}

// down ends the server, whose connections the caller cuts.
func (w *world) down() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hub = nil
	w.shutdown(ErrShutdown)
}

func (w *world) server() (*Hub, *Streams, context.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.hub, w.streams, w.serving
}

func (w *world) do(s step, browsers []*browser) {
	b := browsers[s.n%len(browsers)]
	switch s.what {
	case "publish":
		w.publish(simTopic(s.n), s.size)
	case "cut":
		b.cut(0)
	case "cut after":
		b.cut(s.size)
	case "stall":
		b.stall(true)
	case "go on":
		b.stall(false)
	case "restart":
		for _, b := range browsers {
			b.cut(0)
		}
		w.down()
		time.Sleep(s.wait)
		w.up()
	case "drain":
		_, streams, _ := w.server()
		ctx, cancel := context.WithTimeout(context.Background(), s.wait)
		streams.Drain(ctx)
		cancel()
		w.down()
		w.up()
	}
	time.Sleep(s.wait)
}

func simTopic(n int) string { return string(rune('a' + n%simTopics)) }

func (w *world) publish(topic string, n int) {
	hub, _, _ := w.server()
	updates := slices.Repeat([]Update{Append("log", Text("some text"))}, n)
	ids, err := hub.PublishAll(topic, updates...)
	if err != nil && !errors.Is(err, ErrBatch) {
		w.fail(err)
	}
	w.record.add(topic, ids...)
}

// end heals the world and ends its topics.
func (w *world) end(browsers []*browser) {
	for _, b := range browsers {
		b.stall(false)
	}
	hub, _, _ := w.server()
	for n := range simTopics {
		w.publish(simTopic(n), 1)
		if err := hub.End(simTopic(n)); err != nil {
			w.fail(err)
		}
	}
}

// A browser shows pages that follow some topics over any transport. A page that
// is told to reload is a new one.
type browser struct {
	*world
	number int
	rng    *rand.Rand
	topics []string
	visits []visit

	mu      sync.Mutex // guards the rest
	link    *link      // the connection
	stalled bool
	done    bool
}

// run shows pages until the feed has ended or ctx is done.
func (b *browser) run(ctx context.Context) {
	for _, n := range b.rng.Perm(simTopics)[:1+b.rng.IntN(simTopics)] {
		b.topics = append(b.topics, simTopic(n))
	}
	for ctx.Err() == nil && !b.done {
		hub, _, _ := b.server()
		if hub == nil {
			b.pause(ctx)
			continue
		}
		b.visits = append(b.visits, visit{place: hub.Feed(b.topics...).After, topics: b.topics})
		b.note("browser %d: a page after %d", b.number, b.page().place%1e6)
		for ctx.Err() == nil && !b.done && b.connect(ctx) {
		}
	}
}

func (b *browser) page() *visit { return &b.visits[len(b.visits)-1] }

// pause waits before another try.
func (b *browser) pause(ctx context.Context) {
	sleep(ctx, time.Second+time.Duration(b.rng.IntN(3000))*time.Millisecond)
}

// connect goes on with the page over one connection, and reports false if the page
// is to be loaded again.
func (b *browser) connect(ctx context.Context) bool {
	hub, streams, serving := b.server()
	member := &member{streams: streams}
	if hub == nil || streams.add(member) != nil {
		b.pause(ctx)
		return true
	}
	after := b.page().place
	if seen := b.page().seen; len(seen) > 0 {
		after = seen[len(seen)-1]
	}
	r, parse := b.transport()
	r.After, r.Source = after, hub.Feed(b.topics...).Follow
	l := newLink(b.stalled)
	b.mu.Lock()
	b.link = l
	b.mu.Unlock()
	go func() {
		defer member.leave()
		s := &session{Response: r, path: "/feed", server: serving, conn: l, member: member}
		s.run(l)
		l.close()
	}()
	<-l.closed
	again := true
	for _, e := range parse(l.text()) {
		again = b.take(e) && again
	}
	b.pause(ctx)
	return again
}

// transport chooses one, and how its text is read.
func (b *browser) transport() (Response, func(string) []Event) {
	switch b.rng.IntN(5) {
	case 0:
		return Response{Transport: SSE{}}, eventsOfSSE
	case 1:
		return Response{Transport: SSE{Beat: true}, Heartbeat: 2 * time.Second}, eventsOfSSE
	case 2:
		return Response{Transport: Script{}, Limit: Limit{Flushes: 1 + b.rng.IntN(5), Age: 20 * time.Second}}, eventsOfScripts
	case 3:
		return Response{Transport: Script{}, Flush: Flush{Every: 5, Delay: time.Second}}, eventsOfScripts
	}
	return Response{Transport: SSE{}, Wait: 25 * time.Second, Flush: Flush{Every: 1 << 20, Delay: 5 * time.Millisecond}}, eventsOfSSE
}

// take puts an event into the page, and reports false if it is to be loaded again.
func (b *browser) take(e Event) bool {
	page := b.page()
	switch {
	case e.Action == ActionReload:
		b.note("browser %d: reloads", b.number)
		return false
	case e.Action == ActionDone:
		b.done, page.all = true, true
	case e.Action == ActionFail:
		b.world.fail(fmt.Errorf("browser %d: its source has failed", b.number))
	case e.ID != 0 && (len(page.seen) == 0 || e.ID > page.seen[len(page.seen)-1]):
		page.seen = append(page.seen, e.ID)
	case e.ID != 0:
		b.world.fail(fmt.Errorf("browser %d gets event %d again", b.number, e.ID))
	}
	return true
}

// check returns an error unless each page has seen what it should have.
func (b *browser) check() error {
	if !b.done {
		return fmt.Errorf("browser %d never comes to the end", b.number)
	}
	for _, v := range b.visits {
		last := uint64(1 << 53)
		if !v.all {
			last = slices.Max(append(v.seen, 0))
		}
		if want := b.record.between(v.place, last, v.topics); !slices.Equal(v.seen, want) {
			return fmt.Errorf("browser %d, a page of %v after %d, has seen %d, want %d", b.number, v.topics, v.place, v.seen, want)
		}
	}
	return nil
}

// cut cuts the browser's connection when so many more bytes have come.
func (b *browser) cut(after int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.link != nil {
		b.link.cutAfter(after)
	}
}

func (b *browser) stall(on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stalled = on
	if b.link != nil {
		b.link.stall(on)
	}
}

// A link is a connection between a server and a browser.
type link struct {
	net.Conn
	closed chan struct{} // closed when the browser knows of its end

	mu      sync.Mutex // guards the rest
	came    strings.Builder
	left    int           // bytes until it is cut
	open    chan struct{} // closed unless it stalls
	late    chan struct{} // closed when the deadline is in the past
	isOver  bool
	isLate  bool
	isStill bool
}

func newLink(stalled bool) *link {
	l := &link{closed: make(chan struct{}), left: 1 << 40, open: make(chan struct{}), late: make(chan struct{})}
	if l.isStill = stalled; !stalled {
		close(l.open)
	}
	return l
}

func (l *link) Write(b []byte) (int, error) {
	l.mu.Lock()
	open, late := l.open, l.late
	l.mu.Unlock()
	select {
	case <-l.closed:
		return 0, io.ErrClosedPipe
	case <-late:
		return 0, os.ErrDeadlineExceeded
	case <-open:
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(len(b), l.left)
	if l.isOver {
		n = 0
	}
	l.came.Write(b[:n])
	if l.left -= n; l.left == 0 {
		l.over()
		return n, io.ErrClosedPipe
	}
	return n, nil
}

func (l *link) SetWriteDeadline(t time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch past := !t.IsZero() && t.Before(time.Now()); {
	case past && !l.isLate:
		close(l.late)
		l.isLate = true
	case !past && l.isLate:
		l.late, l.isLate = make(chan struct{}), false
	}
	return nil
}

func (l *link) cutAfter(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.left = n; n == 0 {
		l.over()
	}
}

func (l *link) stall(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case on && !l.isStill:
		l.open = make(chan struct{})
	case !on && l.isStill:
		close(l.open)
	}
	l.isStill = on
}

func (l *link) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over()
}

func (l *link) over() {
	if !l.isOver {
		l.isOver = true
		close(l.closed)
	}
}

func (l *link) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.came.String()
}

// eventsOfSSE returns the events of as much of a stream as there is.
func eventsOfSSE(text string) (events []Event) {
	seen := ""
	parsed, _ := parseSSE(text)
	for _, e := range parsed {
		id := uint64(0)
		if e.ID != seen {
			id, _ = strconv.ParseUint(e.ID, 10, 64)
		}
		seen = e.ID
		events = append(events, Event{ID: id, Update: Update{Action: e.Name}})
	}
	return events
}

var wholeScript = regexp.MustCompile(`(?s)<script>(.*?)</script>`)

// eventsOfScripts returns the events of the whole scripts in a document.
func eventsOfScripts(text string) (all []Event) {
	for _, script := range wholeScript.FindAllStringSubmatch(text, -1) {
		events, _ := ParseScript(script[1])
		all = append(all, events...)
	}
	return all
}

// worlds is how many worlds are simulated.
const worlds = 1000

func TestNoWorldLosesAnEvent(t *testing.T) {
	first, n := uint64(0), uint64(worlds)
	if seed, err := strconv.ParseUint(os.Getenv("SEED"), 10, 64); err == nil {
		first, n = seed, 1
	}
	for part := range uint64(4) {
		t.Run(strconv.FormatUint(part, 10), func(t *testing.T) {
			t.Parallel()
			for seed := first + part; seed < first+n && !t.Failed(); seed += 4 {
				all := steps(seed)
				if _, err := simulate(t, seed, all); err != nil {
					trace, err := shortest(t, seed, all, err)
					t.Errorf("%v\nSEED=%d go test -run %s ./stream\n%s", err, seed, "TestNoWorldLosesAnEvent", strings.Join(trace, "\n"))
				}
			}
		})
	}
}

// shortest leaves steps out for as long as the world still fails, and returns what
// happens then.
func shortest(t *testing.T, seed uint64, all []step, failure error) (trace []string, err error) {
	trace, err = simulate(t, seed, all)
	if err == nil {
		return trace, fmt.Errorf("%w (not when it is run again)", failure)
	}
	for i := 0; i < len(all); {
		fewer := slices.Delete(slices.Clone(all), i, i+1)
		if shorter, e := simulate(t, seed, fewer); e != nil {
			all, trace, err = fewer, shorter, e
		} else {
			i++
		}
	}
	return trace, err
}
