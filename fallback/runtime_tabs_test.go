package fallback

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"foreverframe/stream"
	"foreverframe/stream/hostiletest"
)

// shared is the page of feed in a browser whose tabs can share a connection.
var shared = func() page {
	p := feed
	p.lacks = nil
	return p
}()

// joining is how long a tab waits before it catches up.
const joining = 50 * time.Millisecond

// join opens another tab, which has caught up when it returns: nothing has
// happened since the event after.
func (b *browser) join(p page, after string) *tab {
	b.t.Helper()
	tab := b.open(p)
	b.pass(joining)
	tab.asks("probe", after).send()
	return tab
}

func TestTabsShareOneConnection(t *testing.T) {
	for _, road := range []string{"sse", "frame", "poll"} {
		both(t, func(t *testing.T, b *browser) {
			p := shared.with(`data-ff-transports="` + road + `"`)
			leader := b.open(p)
			r := leader.begins(road, "5")
			second, third := b.join(p, "5"), b.join(p, "5")
			r.send(word(6), at(7, stream.Emit("news", "x")), at(8, stream.Emit("unheard", "x")), word(9))
			if road == "poll" {
				r = leader.asks(road, "9")
			}
			for _, tab := range b.tabs {
				tab.is(text, "6 9 ")
				tab.is("heard", "x")
				tab.is("ff.state", "open")
			}
			second.is("ff.transport", "tab")
			second.asksNothing()
			third.asksNothing()
			r.send(done)
			for _, tab := range b.tabs {
				tab.is("ff.state", "done")
				b.pass(time.Hour)
				tab.asksNothing()
			}
		})
	}
}

func TestTheNextTabTakesOverAtItsPlace(t *testing.T) {
	both(t, func(t *testing.T, b *browser) {
		leader := b.open(shared)
		leader.begins("sse", "5")
		second, third := b.join(shared, "5"), b.join(shared, "5")
		leader.requests[0].send(word(6))
		leader.close()
		r := second.begins("sse", "6")
		second.is("ff.transport", "sse")
		r.send(word(7))
		second.fire("pagehide")
		third.begins("sse", "7").send(word(8))
		second.show()
		b.pass(joining)
		second.asks("probe", "7").send(word(8))
		second.is(text, "6 7 8 ")
		third.is(text, "6 7 8 ")
		third.run("ff.close()")
		second.begins("sse", "8")
		third.asksNothing()
	})
}

func TestAnEventOfANameThatTheLeaderDoesNotKnowArrives(t *testing.T) {
	both(t, func(t *testing.T, b *browser) {
		r := b.open(shared).begins("sse", "5")
		tab := b.join(shared, "5")
		tab.run(`ff.on("own", function (data) { heard.push(data); })`)
		r.send(at(6, stream.Emit("own", "x")))
		tab.is("heard", "x")
	})
}

func TestANewTabHoldsBackWhatItHearsWhileItCatchesUp(t *testing.T) {
	both(t, func(t *testing.T, b *browser) {
		r := b.open(shared).begins("sse", "5")
		r.send(word(6))
		tab := b.open(shared)
		r.send(word(7)) // before the tab asks by itself
		probe := tab.asks("probe", "5")
		b.pass(joining)
		tab.asks("probe", "5")
		r.send(word(8), word(9))
		tab.is(text, "")
		probe.send(word(6), word(7), word(8))
		tab.is(text, "6 7 8 9 ")
		tab.asksNothing()
	})
}

func TestATabThatIsFarBehindCatchesUpByItself(t *testing.T) {
	both(t, func(t *testing.T, b *browser) {
		r := b.open(shared).begins("sse", "5")
		tab := b.join(shared, "5")
		tab.call("freeze")
		r.send(word(6))
		b.call(tab.js, "forget")
		r.send(word(7))
		tab.asks("probe", "5").send(word(6), word(7))
		tab.is(text, "6 7 ")
	})
}

func TestATabCatchesUpAgainAfterARefusal(t *testing.T) {
	both(t, func(t *testing.T, b *browser) {
		r := b.open(shared).begins("sse", "5")
		r.send(word(6))
		tab := b.open(shared)
		b.pass(joining)
		probe := tab.asks("probe", "5")
		r.send(word(7))
		for range 3 {
			probe.refuse(503)
			if got := tab.pause(); got < time.Second || got > 7*time.Second {
				t.Errorf("the tab waits %v", got)
			}
			probe = tab.asks("probe", "5")
		}
		probe.wait(503, "20")
		if got := tab.pause(); got < 20*time.Second {
			t.Errorf("the tab waits %v", got)
		}
		tab.asks("probe", "5").send(word(6), word(7), done)
		tab.is(text, "6 7 ")
		tab.is("ff.state", "done")

		closed := b.open(shared)
		b.pass(joining)
		closed.asks("probe", "5").refuse(503)
		closed.run("ff.close()")
		b.pass(time.Minute / 2)
		if n := len(closed.requests); n != 1 {
			t.Errorf("the closed tab has asked %d times", n)
		}
	})
}

func TestATabThatMayNotCatchUpEnds(t *testing.T) {
	both(t, func(t *testing.T, b *browser) {
		b.open(shared).begins("sse", "5")
		for status, state := range map[int]string{204: "done", 403: "failed"} {
			tab := b.open(shared)
			b.pass(joining)
			tab.asks("probe", "5").refuse(status)
			tab.is("ff.state", state)
			b.pass(time.Minute / 2)
			tab.asksNothing()
		}
	})
}

// The end of a feed is nothing for a tab that lacks events before it.
func TestATabThatIsBehindCatchesUpBeforeItEnds(t *testing.T) {
	for _, wait := range []time.Duration{0, joining} {
		both(t, func(t *testing.T, b *browser) {
			r := b.open(shared).begins("sse", "5")
			r.send(word(6))
			tab := b.open(shared)
			b.pass(wait)
			r.send(done) // and so the lock is the other tab's
			tab.is("ff.state", "connecting")
			open := tab.open()
			open[0].send(word(6))
			open[1].begin().send(word(6), done)
			tab.is(text, "6 ")
			tab.is("ff.state", "done")
		})
	}
}

func TestAFailedFeedFailsInAllTabs(t *testing.T) {
	both(t, func(t *testing.T, b *browser) {
		r := b.open(shared).begins("sse", "5")
		tab := b.join(shared, "5")
		r.send(word(6), fail)
		tab.is("ff.state", "failed")
		tab.is(text, "6 ")
		leader := b.open(shared)
		tab = b.open(shared)
		leader.asks("sse", "5").refuse(404)
		leader.asks("probe", "5").refuse(404)
		tab.is("ff.state", "failed")
	})
}

func TestAllTabsKnowTheStateOfTheConnection(t *testing.T) {
	both(t, func(t *testing.T, b *browser) {
		leader := b.open(shared)
		leader.begins("sse", "5")
		tab := b.join(shared, "5")
		leader.requests[0].end()
		tab.is("ff.state", "waiting")
		tab.fire("online")
		tab.asksNothing()
		leader.fire("online")
		leader.begins("sse", "5")
		tab.is("ff.state", "open")
	})
}

func TestASilentLeaderIsLeft(t *testing.T) {
	both(t, func(t *testing.T, b *browser) {
		leader := b.open(shared)
		r := leader.begins("sse", "5")
		tabs := []*tab{b.join(shared, "5"), b.join(shared, "5")}
		for range 20 {
			b.pass(15 * time.Second)
			r.beat()
		}
		leader.call("freeze")
		b.pass(70 * time.Second)
		for _, tab := range tabs {
			tab.asksNothing()
		}
		b.pass(7 * time.Second)
		for _, tab := range tabs {
			tab.begins("sse", "5").send(word(6))
		}
		r.send(word(6), word(7))
		leader.call("thaw")
		for _, tab := range tabs {
			tab.open()[0].send(word(7), word(8))
		}
		for _, tab := range tabs {
			tab.is(text, "6 7 8 ")
		}
		tabs[1].open()[0].end()
		tabs[0].is("ff.state", "open")
		leader.close()
		tabs[0].asks("sse", "5") // and gets the lock
	})
}

func TestATabThatCannotShareHasItsOwnConnection(t *testing.T) {
	for _, lacking := range []string{"BroadcastChannel", "navigator.locks", "Promise", "lawful locks", "lawful channels"} {
		both(t, func(t *testing.T, b *browser) {
			for range 2 {
				b.open(shared.without(lacking)).begins("sse", "5").send(word(6))
			}
			for _, tab := range b.tabs {
				b.pass(joining)
				tab.asks("sse", "5")
				tab.is(text, "6 ")
			}
		})
	}
}

func TestAStreamWithoutPlacesIsNotShared(t *testing.T) {
	both(t, func(t *testing.T, b *browser) {
		p := shared
		p.html = strings.Replace(p.html, "?after=5", "", 1)
		for range 2 {
			b.open(p).asks("sse", "")
		}
	})
}

// A publisher is a feed and its server. Everything that it does takes time.
type publisher struct {
	b       *browser
	dice    *rand.Rand
	events  []stream.Event
	ended   bool
	streams map[*request]uint64 // the last event that each has got
	healthy bool                // answers everything
}

func newPublisher(b *browser, dice *rand.Rand) *publisher {
	p := &publisher{b: b, dice: dice, streams: map[*request]uint64{}}
	b.answer = func(r *request) { p.soon(func() { p.accept(r) }) }
	return p
}

func (p *publisher) soon(f func()) {
	p.b.after(time.Duration(p.dice.IntN(300))*time.Millisecond, func() error {
		f()
		return nil
	})
}

// accept answers a request, or refuses it now and then.
func (p *publisher) accept(r *request) {
	if !r.open() {
		return
	}
	if !p.healthy && p.dice.IntN(10) == 0 {
		r.refuse([]int{0, 429, 500, 503}[p.dice.IntN(4)])
		return
	}
	if !p.healthy && p.dice.IntN(10) == 0 {
		return // for ever
	}
	after, _ := strconv.ParseUint(r.query.Get("after"), 10, 64)
	p.streams[r] = after
	switch r.kind {
	case "probe":
		r.send(p.since(r)...)
	case "poll":
		p.push(r)
		p.b.after(25*time.Second, func() error {
			if r.open() {
				r.send()
			}
			return nil
		})
	default:
		r.begin()
		p.push(r)
	}
}

// since returns what r lacks.
func (p *publisher) since(r *request) []stream.Event {
	at := slices.IndexFunc(p.events, func(e stream.Event) bool { return e.ID > p.streams[r] })
	if at < 0 {
		at = len(p.events)
	}
	events := slices.Clone(p.events[at:])
	if p.ended {
		events = append(events, done)
	}
	return events
}

// push sends r what it lacks; of a poll it is the answer.
func (p *publisher) push(r *request) {
	if events := p.since(r); len(events) > 0 && r.open() {
		if len(p.events) > 0 {
			p.streams[r] = p.events[len(p.events)-1].ID
		}
		r.send(events...)
	}
}

func (p *publisher) each(f func(r *request)) {
	for _, tab := range p.b.tabs {
		for _, r := range tab.requests {
			if _, ok := p.streams[r]; ok && r.open() {
				f(r)
			}
		}
	}
}

func (p *publisher) beat() {
	p.each(func(r *request) {
		if r.kind != "poll" && r.kind != "probe" {
			r.beat()
		}
	})
}

// publish publishes a word, whose id is some way behind the last one's.
func (p *publisher) publish() {
	e := word(p.place() + 1 + p.dice.Uint64N(3))
	p.events = append(p.events, e)
	p.each(func(r *request) { p.soon(func() { p.push(r) }) })
}

func (p *publisher) end() {
	p.ended = true
	p.each(func(r *request) { p.soon(func() { p.push(r) }) })
}

func (p *publisher) place() uint64 {
	if len(p.events) == 0 {
		return 5
	}
	return p.events[len(p.events)-1].ID
}

// words returns what a page that has followed since place must show.
func (p *publisher) words(place uint64) string {
	var b strings.Builder
	for _, e := range p.events {
		if e.ID > place {
			fmt.Fprintf(&b, "%d ", e.ID)
		}
	}
	return b.String()
}

// A visitor is a tab with the place that its page was made at.
type visitor struct {
	*tab
	place uint64
	state string // open, aside or frozen
}

// Whatever happens to the tabs, each that is there at the end shows every event
// since its place once and in order.
func FuzzTabsLoseAndDoubleNothing(f *testing.F) {
	seeds := uint64(40)
	if hostiletest.Fuzzing() {
		seeds = 2 // each takes long
	}
	for seed := range seeds {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		name := "runtime.js"
		if seed%2 == 1 {
			name = "runtime.min.js"
		}
		disturb(t, newBrowser(t, name), seed)
	})
}

func disturb(t *testing.T, b *browser, seed uint64) {
	dice := rand.New(rand.NewPCG(seed, 0))
	b.delay = func() int { return dice.IntN(200) }
	p := newPublisher(b, dice)
	var visitors []*visitor
	for range 60 {
		step(b, p, dice, &visitors)
		b.pass(time.Duration(dice.IntN(500)) * time.Millisecond)
		if dice.IntN(8) == 0 {
			p.beat()
			b.pass(time.Duration(dice.IntN(20)) * time.Second)
		}
	}
	p.healthy = true
	for _, v := range visitors {
		v.wake()
	}
	if dice.IntN(2) == 0 {
		p.end()
	}
	for range 30 {
		b.pass(10 * time.Second)
		p.beat()
	}
	for i, v := range visitors {
		if got, want := v.value(text), p.words(v.place); got != want {
			t.Errorf("tab %d, which began at %d, shows %q, not %q", i, v.place, got, want)
		}
		if state := v.value("ff.state"); p.ended && state != "done" || !p.ended && state != "open" {
			t.Errorf("tab %d is %s", i, state)
		}
	}
}

// step lets something happen.
func step(b *browser, p *publisher, dice *rand.Rand, visitors *[]*visitor) {
	pick := func() *visitor { return (*visitors)[dice.IntN(len(*visitors))] }
	gone := func(v *visitor) {
		*visitors = slices.DeleteFunc(*visitors, func(other *visitor) bool { return other == v })
	}
	choice := dice.IntN(20)
	if len(*visitors) == 0 {
		choice = 0
	}
	switch choice {
	case 0, 1, 2:
		v := &visitor{place: p.place(), state: "open"}
		if n := len(p.events); n > 0 && dice.IntN(2) == 0 {
			v.place = p.events[dice.IntN(n)].ID
		}
		page := shared
		page.html = strings.Replace(page.html, "after=5", fmt.Sprintf("after=%d", v.place), 1)
		page.hidden = dice.IntN(3) == 0
		v.tab = b.open(page)
		*visitors = append(*visitors, v)
	case 3:
		v := pick()
		v.close()
		gone(v)
	case 4:
		v := pick()
		v.die()
		gone(v)
	case 5:
		if v := pick(); v.state == "open" {
			v.fire("pagehide")
			v.state = "aside"
		}
	case 6:
		if v := pick(); v.state == "open" {
			v.call("freeze")
			v.state = "frozen"
		}
	case 7, 8:
		pick().wake()
	case 9:
		p.each(func(r *request) { r.end() })
	case 10:
		pick().fire("online")
	default:
		for range 1 + dice.IntN(3) {
			p.publish()
		}
	}
}

// wake lets a tab go on that is aside or frozen.
func (v *visitor) wake() {
	switch v.state {
	case "aside":
		v.show()
	case "frozen":
		v.call("thaw")
		v.b.settle()
	}
	v.state = "open"
}
