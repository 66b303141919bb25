package fallback

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"foreverframe/stream"
)

// feed is a page that follows a feed from the event 5 on, and keeps for the tests
// what it is told. It shares its connection with nobody.
var feed = page{
	html:   `<body data-ff-feed="/feed?after=5"><p id="a"></p>`,
	script: `states = []; heard = []; ff.on("state", function (s) { states.push(s); }); ff.on("news", function (data) { heard.push(data); })`,
	lacks:  []string{"BroadcastChannel"},
}

// with returns the page with other attributes of its body.
func (p page) with(attributes string) page {
	p.html = strings.Replace(p.html, "<body", "<body "+attributes, 1)
	return p
}

// without returns the page in a browser that lacks something more.
func (p page) without(names ...string) page {
	p.lacks = append(names, p.lacks...)
	return p
}

// after returns the page as the next one of a tab.
func (p page) after(t *tab) page {
	p.before = t
	return p
}

// text is what the events of the tests have written.
const text = `document.getElementById("a").innerHTML`

// word returns an event that appends its id to the page.
func word(id uint64) stream.Event {
	return at(id, stream.Append("a", stream.Text(fmt.Sprintf("%d ", id))))
}

// patience is how long the runtime waits at most for the first byte, as often as
// it looks.
const patience = 6 * time.Second

// silence is how long the runtime waits at most for a stream that has gone quiet.
const silence = 39 * time.Second

func TestAPageTriesSSEThenFramesThenPolling(t *testing.T) {
	both(t, func(t *testing.T, b *browser) {
		tab := b.open(feed)
		tab.asks("sse", "5")
		tab.is("ff.transport", "sse")
		b.pass(patience)
		tab.asks("probe", "5").send()
		tab.asks("frame", "5")
		tab.is("ff.transport", "frame")
		b.pass(patience)
		tab.asks("probe", "5").send()
		poll := tab.asks("poll", "5")
		tab.is("ff.transport", "poll")
		poll.send(word(6), word(7))
		tab.asks("poll", "7")
		tab.is(text, "6 7 ")
		tab.is("states", "connecting,waiting,connecting,waiting,connecting,open")
	})
}

func TestABrowserWithoutEventSourceTriesFrames(t *testing.T) {
	both(t, func(t *testing.T, b *browser) {
		b.open(feed.without("EventSource")).asks("frame", "5")
	})
}

func TestABrowserOfOldTakesWhatItHas(t *testing.T) {
	both(t, func(t *testing.T, b *browser) {
		tab := b.open(feed.without("EventSource", "XMLHttpRequest", "JSON", "addEventListener", "sessionStorage", "Promise", "navigator.locks"))
		tab.asks("frame", "5")
		b.pass(patience)
		tab.asks("probe", "5").send()
		tab.asks("poll", "5").send(word(6))
		tab.asks("poll", "6")
		tab.is(text, "6 ")
	})
}

func TestThePageChoosesItsRoads(t *testing.T) {
	both(t, func(t *testing.T, b *browser) {
		for roads, kind := range map[string]string{"frame,poll": "frame", "poll": "poll", "sse": "sse", "poll, sse": "poll", " websocket constructor frame ": "frame"} {
			b.open(feed.with(`data-ff-transports="`+roads+`"`)).asks(kind, "5")
		}
	})
}

func TestAPageWithoutARoadFails(t *testing.T) {
	both(t, func(t *testing.T, b *browser) {
		for _, roads := range []string{"sse", "websocket"} {
			tab := b.open(feed.with(`data-ff-transports="` + roads + `"`).without("EventSource"))
			tab.asksNothing()
			tab.is("states", "failed")
		}
	})
}

// A feed of another origin that goes by a cookie gets it with every request, the
// probe too, which would be refused for good without.
func TestRequestsToAnotherOriginHaveTheCookie(t *testing.T) {
	both(t, func(t *testing.T, b *browser) {
		tab := b.open(feed.with(`data-ff-transports="sse poll"`))
		for _, kind := range []string{"sse", "probe", "poll"} {
			r := tab.asks(kind, "5")
			if !r.js.Get("withCredentials").ToBoolean() {
				t.Errorf("%s has no credentials", kind)
			}
			switch kind {
			case "sse":
				b.pass(patience)
			case "probe":
				r.send()
			}
		}
	})
}

// A first event that is due later than the first byte is no reason for another
// road, because the stream begins with a beat.
func TestAStreamIsOpenWithItsFirstBeat(t *testing.T) {
	for _, road := range []string{"sse", "frame"} {
		both(t, func(t *testing.T, b *browser) {
			tab := b.open(feed.with(`data-ff-transports="` + road + `"`))
			tab.is("ff.state", "connecting")
			stream := tab.asks(road, "5").begin()
			tab.is("ff.state", "open")
			b.pass(2 * patience)
			stream.send(word(6))
			tab.is(text, "6 ")
			tab.asks(road, "5")
		})
	}
}

func TestAProbeTellsTheServersFaultFromTheRoads(t *testing.T) {
	for _, test := range []struct {
		status int
		state  string
	}{
		{204, "done"}, {400, "failed"}, {401, "failed"}, {403, "failed"}, {404, "failed"}, {410, "failed"},
		{0, "waiting"}, {408, "waiting"}, {429, "waiting"}, {500, "waiting"}, {502, "waiting"}, {503, "waiting"},
	} {
		for _, road := range []string{"sse", "frame"} {
			both(t, func(t *testing.T, b *browser) {
				tab := b.open(feed.with(`data-ff-transports="` + road + `,poll"`))
				tab.asks(road, "5").refuse(test.status)
				tab.asks("probe", "5").refuse(test.status)
				tab.is("ff.state", test.state)
				tab.asksNothing()
				if test.state == "waiting" {
					tab.pause()
					tab.asks(road, "5")
				} else {
					b.pass(time.Minute)
					tab.asksNothing()
				}
			})
		}
	}
}

func TestAProbeOfAFinishedFeedFinishesThePage(t *testing.T) {
	both(t, func(t *testing.T, b *browser) {
		for end, state := range map[string]stream.Event{"done": done, "failed": fail} {
			tab := b.open(feed)
			tab.asks("sse", "5").refuse(204)
			tab.asks("probe", "5").send(word(6), word(7), state)
			tab.is("ff.state", end)
			tab.is(text, "6 7 ")
			tab.asksNothing()
		}
	})
}

// A road that the server refuses, and a probe that it answers, are tried again
// with pauses if there is no other road.
func TestTheOnlyRoadIsTriedAgainWithPauses(t *testing.T) {
	both(t, func(t *testing.T, b *browser) {
		tab := b.open(feed.with(`data-ff-transports="sse"`))
		for range 100 {
			for _, r := range tab.open() {
				if r.kind == "sse" {
					r.refuse(403)
				} else {
					r.send()
				}
			}
			b.pass(100 * time.Millisecond)
		}
		if n := len(tab.requests); n < 4 || n > 16 {
			t.Errorf("in 10 s the page has asked %d times", n)
		}
	})
}

// An event without an id is not known again, so a probe of a stream without ids
// counts only if it has all of the stream.
func TestAProbeDoublesNothing(t *testing.T) {
	both(t, func(t *testing.T, b *browser) {
		p := feed
		p.html = `<body data-ff-feed="/feed"><p id="a">`
		for _, ends := range []bool{false, true} {
			tab := b.open(p)
			tab.asks("sse", "").refuse(403)
			if ends {
				tab.asks("probe", "").send(word(0), word(0), done)
				tab.is("ff.state", "done")
			} else {
				tab.asks("probe", "").send(word(0), word(0))
				tab.asks("frame", "").begin().send(word(0), word(0), done)
			}
			tab.is(text, "0 0 ")
		}
	})
}

func TestAProbeThatIsNotAnsweredIsGivenUp(t *testing.T) {
	both(t, func(t *testing.T, b *browser) {
		tab := b.open(feed)
		tab.asks("sse", "5").refuse(0)
		tab.asks("probe", "5")
		b.pass(time.Minute)
		if n := len(tab.requests); n < 3 {
			t.Errorf("after a minute the tab has asked %d times", n)
		}
	})
}

func TestRetryAfterIsObserved(t *testing.T) {
	for _, status := range []int{429, 503} {
		both(t, func(t *testing.T, b *browser) {
			for dice, most := range map[float64]time.Duration{0: 20, 0.999: 23} {
				b.dice = func() float64 { return dice }
				tab := b.open(feed)
				tab.asks("sse", "5").refuse(status)
				tab.asks("probe", "5").wait(status, "20")
				b.pass(20*time.Second - time.Millisecond)
				tab.asksNothing()
				b.pass(most*time.Second - 20*time.Second + time.Millisecond)
				tab.asks("sse", "5").begin()
				tab.is("ff.transport", "sse")
			}
		})
	}
}

// pause returns how long the tab waits until it asks again.
func (t *tab) pause() time.Duration {
	t.b.t.Helper()
	t.asksNothing()
	begin := t.b.now
	for len(t.open()) == 0 {
		t.b.pass(10 * time.Millisecond)
		if t.b.now-begin > time.Hour {
			t.b.t.Fatal("the tab does not ask again")
		}
	}
	return t.b.now - begin
}

func TestPausesGrowWithFullJitterUpToACap(t *testing.T) {
	both(t, func(t *testing.T, b *browser) {
		seconds := func(dice float64) (pauses []float64) {
			b.dice = func() float64 { return dice }
			tab := b.open(feed)
			for range 8 {
				tab.asks("sse", "5").refuse(0)
				tab.asks("probe", "5").refuse(0)
				pauses = append(pauses, tab.pause().Round(100*time.Millisecond).Seconds())
			}
			return pauses
		}
		for dice, want := range map[float64]string{
			0:      "[1 2 2 2 2 2 2 2]",
			0.5:    "[1.5 4 6 10 17 17 17 17]",
			0.9999: "[2 6 10 18 32 32 32 32]",
		} {
			if got := fmt.Sprint(seconds(dice)); got != want {
				t.Errorf("with %v the pauses are %s s, not %s", dice, got, want)
			}
		}
	})
}

func TestTheBeatBringsTheTimeUntilTheNextTry(t *testing.T) {
	for _, road := range []string{"sse", "frame"} {
		both(t, func(t *testing.T, b *browser) {
			b.dice = func() float64 { return 0 }
			tab := b.open(feed.with(`data-ff-transports="` + road + `"`))
			stream := tab.asks(road, "5").begin()
			stream.send(word(6))
			stream.end()
			tab.is("ff.state", "waiting")
			if got := tab.pause(); got != retry/2 {
				t.Errorf("the page waits %v", got)
			}
			tab.asks(road, "6").begin().end()
			if got := tab.pause(); got != retry/2 {
				t.Errorf("after another connection the page waits %v", got)
			}
			tab.asks(road, "6")
		})
	}
}

func TestASilentStreamIsLeft(t *testing.T) {
	for _, road := range []string{"sse", "frame"} {
		both(t, func(t *testing.T, b *browser) {
			tab := b.open(feed.with(`data-ff-transports="` + road + `,poll"`))
			silent := tab.asks(road, "5").begin()
			silent.send(word(6))
			for range 10 {
				b.pass(37 * time.Second)
				silent.beat()
			}
			tab.asks(road, "5")
			b.pass(silence)
			tab.asks(road, "6").begin().send(word(7))
			b.pass(silence)
			tab.asks("poll", "7")
			tab.is(text, "6 7 ")
		})
	}
}

// A proxy may let the first bytes through and hold the others; a laptop that is
// closed twice a day has no such proxy.
func TestARoadThatHasLivedForALongTimeIsNotGivenUp(t *testing.T) {
	both(t, func(t *testing.T, b *browser) {
		tab := b.open(feed)
		for range 10 {
			stream := tab.asks("sse", "5").begin()
			for range 10 {
				b.pass(15 * time.Second)
				stream.beat()
			}
			b.pass(silence)
		}
		tab.asks("sse", "5")
	})
}

func TestThePageChoosesTheBeat(t *testing.T) {
	both(t, func(t *testing.T, b *browser) {
		for _, road := range []string{"sse", "frame"} {
			tab := b.open(feed.with(`data-ff-beat="2" data-ff-transports="` + road + `"`))
			if got := tab.asks(road, "5").begin().query.Get("beat"); got != "2" {
				t.Errorf("the page asks for a beat of %q", got)
			}
			b.pass(4 * time.Second)
			if n := len(tab.requests); n != 1 {
				t.Errorf("after two beats the page has asked %d times", n)
			}
			b.pass(2 * time.Second)
			if n := len(tab.requests); n != 2 {
				t.Errorf("after three beats the page has asked %d times", n)
			}
			tab.die()
		}
	})
}

func TestTheNextFrameIsThereBeforeTheOldOneGoes(t *testing.T) {
	both(t, func(t *testing.T, b *browser) {
		const frames = `document.getElementsByTagName("iframe").length`
		tab := b.open(feed.with(`data-ff-transports="frame"`))
		old := tab.asks("frame", "5").begin()
		b.call(old.js, "write", string(batch(old.transport(), word(6), word(7), again, word(7), word(8))))
		if got := tab.value(frames); got != "2" {
			t.Errorf("there are %s frames", got)
		}
		b.call(old.js, "write", string(batch(old.transport(), word(9), done)))
		next := tab.asks("frame", "7").begin()
		tab.is(frames, "1")
		next.send(word(8), word(9))
		tab.is(text, "6 7 8 9 ")
		tab.is("states", "connecting,open")
	})
}

func TestAFrameLeavesNoScriptsBehind(t *testing.T) {
	both(t, func(t *testing.T, b *browser) {
		tab := b.open(feed.with(`data-ff-transports="frame"`))
		stream := tab.asks("frame", "5").begin()
		for id := range uint64(5) {
			stream.send(word(6 + id))
			stream.beat()
		}
		tab.is(`document.getElementsByTagName("iframe")[0].contentWindow.document.getElementsByTagName("script").length`, "0")
	})
}

func TestAFrameOfAnotherNameChangesNothing(t *testing.T) {
	both(t, func(t *testing.T, b *browser) {
		tab := b.open(feed.with(`data-ff-transports="frame"`))
		tab.asks("frame", "5").begin()
		for _, name := range []string{"", "other", "f1", "constructor", "toString", "__proto__"} {
			tab.run(fmt.Sprintf(`var f = ff.frame({name: %q, document: document}); f("append", "a", "x", 6); f("done", "", ""); f()`, name))
		}
		tab.is(text, "")
		tab.is("ff.state", "open")
	})
}

func TestTheRoadThatWorkedIsTheFirstOfTheNextPage(t *testing.T) {
	both(t, func(t *testing.T, b *browser) {
		for _, lacking := range []string{"", "sessionStorage", "lawful storage"} {
			tab := b.open(feed.without(lacking))
			tab.asks("sse", "5")
			b.pass(patience)
			tab.asks("probe", "5").send()
			tab.asks("frame", "5").begin()
			tab.fire("pagehide")
			if lacking == "" {
				b.open(feed.after(tab)).asks("frame", "5")
				b.open(feed.after(tab).with(`data-ff-transports="sse,poll"`)).asks("sse", "5")
			} else {
				b.open(feed.after(tab).without(lacking)).asks("sse", "5")
			}
		}
	})
}

func TestEventsOfOneTurnAreAppliedTogether(t *testing.T) {
	both(t, func(t *testing.T, b *browser) {
		tab := b.open(feed)
		stream := tab.asks("sse", "5").begin()
		b.call(stream.js, "write", string(batch(stream.transport(), word(6))))
		b.call(stream.js, "write", string(batch(stream.transport(), word(7))))
		if got := tab.value(text); got != "" {
			t.Errorf("in the same turn the page shows %q", got)
		}
		tab.is(text, "6 7 ")
		tab.run("document.hidden = true")
		b.call(stream.js, "write", string(batch(stream.transport(), word(8))))
		if got := tab.value(text); got != "6 7 8 " {
			t.Errorf("hidden, the page shows %q at once", got)
		}
	})
}

func TestTheEndLosesNothing(t *testing.T) {
	for _, road := range []string{"sse", "frame", "poll"} {
		both(t, func(t *testing.T, b *browser) {
			for end, state := range map[string]stream.Event{"done": done, "failed": fail} {
				tab := b.open(feed.with(`data-ff-transports="` + road + `"`))
				tab.run(`ff.on("state", function (s) { if (s === "` + end + `") { shown = ` + text + `; } })`)
				tab.begins(road, "5").send(word(6), word(7), state)
				tab.is("ff.state", end)
				tab.is("shown", "6 7 ")
				b.pass(time.Minute)
				tab.asksNothing()
			}
		})
	}
}

func TestAnEventTellsItsNameAndDataOverEveryRoad(t *testing.T) {
	for _, road := range []string{"sse", "frame", "poll"} {
		both(t, func(t *testing.T, b *browser) {
			tab := b.open(feed.with(`data-ff-transports="` + road + `"`))
			tab.run(`ff.on("message", function (data) { heard.push("message " + data); })`)
			r := tab.begins(road, "5")
			tab.run(`ff.on("late", function (data) { heard.push("late " + data); })`)
			r.send(at(6, stream.Emit("news", "a\nb")), at(7, stream.Emit("", "c")), at(8, stream.Emit("late", "")), at(9, stream.Emit("unheard", "x")))
			tab.is("heard", "a\nb,message c,late ")
		})
	}
}

func TestTheErrorOfAnEventSourceIsNoEventOfTheFeed(t *testing.T) {
	both(t, func(t *testing.T, b *browser) {
		tab := b.open(feed)
		tab.run(`ff.on("error", function (data) { heard.push("error"); }); ff.on("open", function (data) { heard.push("open"); }); ff.on("append", function (data) { heard.push("append"); })`)
		tab.asks("sse", "5").refuse(503)
		tab.asks("probe", "5").refuse(503)
		tab.pause()
		tab.asks("sse", "5").begin().send(word(6))
		tab.is("heard", "")
		tab.is(text, "6 ")
	})
}

func TestAPageThatIsClosedStaysClosed(t *testing.T) {
	both(t, func(t *testing.T, b *browser) {
		for _, road := range []string{"sse", "frame", "poll"} {
			tab := b.open(feed.with(`data-ff-transports="` + road + `"`))
			stream := tab.asks(road, "5")
			tab.run("ff.close()")
			tab.asksNothing()
			tab.is("ff.state", "closed")
			stream.send(word(6))
			tab.fire("online")
			b.pass(10 * time.Minute)
			tab.asksNothing()
			tab.is(text, "")
			tab.is("ff.state", "closed")
		}
	})
}

func TestAListenerMayCloseThePageAsSoonAsItIsOpen(t *testing.T) {
	for _, road := range []string{"sse", "frame", "poll"} {
		both(t, func(t *testing.T, b *browser) {
			tab := b.open(feed.with(`data-ff-transports="` + road + `"`))
			tab.run(`ff.on("state", function (s) { if (s === "open") { ff.close(); } })`)
			r := tab.asks(road, "5")
			if road == "frame" {
				r.begin()
			}
			r.send(word(6), again, word(7))
			tab.is("states", "connecting,open,closed")
			tab.is(text, "")
			tab.asksNothing()
		})
	}
}

func TestAListenerMayCloseThePageInTheMiddleOfABatch(t *testing.T) {
	for _, road := range []string{"sse", "frame", "poll"} {
		for _, hidden := range []bool{false, true} {
			both(t, func(t *testing.T, b *browser) {
				p := feed.with(`data-ff-transports="` + road + `"`)
				p.hidden = hidden
				tab := b.open(p)
				tab.run(`ff.on("news", function () { ff.close(); })`)
				tab.begins(road, "5").send(word(6), at(7, stream.Emit("news", "")), word(8))
				tab.is("ff.state", "closed")
				tab.asksNothing()
				b.pass(time.Minute)
				tab.is("ff.state", "closed")
				tab.asksNothing()
			})
		}
	}
}

func TestAListenerMayFollowAnotherFeedInTheMiddleOfABatch(t *testing.T) {
	for _, road := range []string{"sse", "frame", "poll"} {
		both(t, func(t *testing.T, b *browser) {
			p := feed.with(`data-ff-transports="` + road + `"`)
			p.hidden = true
			tab := b.open(p)
			tab.run(`ff.on("news", function () { ff.follow("/other?after=1"); })`)
			tab.begins(road, "5").send(word(6), at(7, stream.Emit("news", "")), word(8))
			tab.begins(road, "1").send(word(2))
			tab.is(text, "6 2 ")
		})
	}
}

// An EventSource says again the id of an event before.
func TestEventsWithoutAnIdAreAllApplied(t *testing.T) {
	for _, road := range []string{"sse", "frame", "poll"} {
		both(t, func(t *testing.T, b *browser) {
			tab := b.open(feed.with(`data-ff-transports="` + road + `"`))
			tab.begins(road, "5").send(word(0), word(6), word(0), word(0), word(7), word(0))
			tab.is(text, "0 6 0 0 7 0 ")
			if road == "poll" {
				tab.asks(road, "7")
			}
		})
	}
}

func TestAPageMayFollowAnotherFeed(t *testing.T) {
	both(t, func(t *testing.T, b *browser) {
		tab := b.open(feed)
		tab.asks("sse", "5").begin().send(word(70))
		tab.run(`ff.follow("/feed?x=1&after=60&y=2")`)
		if r := tab.asks("sse", "60"); r.url != "/feed?x=1&y=2&beat=15&after=60" {
			t.Errorf("the page asks for %s", r.url)
		}
		tab.asks("sse", "60").begin().send(word(61))
		tab.is(text, "70 61 ")
		tab.run(`ff.close(); ff.follow("/feed?x=1&after=60&y=2")`)
		tab.asks("sse", "61")
	})
}

// A page may bring the first events of its feed itself.
func TestAPageFollowsFromTheLastEventThatItHas(t *testing.T) {
	both(t, func(t *testing.T, b *browser) {
		p := feed
		p.script += ";" + string(stream.Script{}.AppendEvent(nil, word(9)))
		b.open(p).asks("sse", "9")
	})
}

func TestAPageThatIsPutAsideResumes(t *testing.T) {
	for _, road := range []string{"sse", "frame", "poll"} {
		both(t, func(t *testing.T, b *browser) {
			tab := b.open(feed.with(`data-ff-transports="` + road + `"`))
			tab.begins(road, "5").send(word(6))
			tab.fire("pagehide")
			tab.asksNothing()
			b.pass(time.Hour)
			tab.asksNothing()
			tab.show()
			tab.begins(road, "6").send(word(7))
			tab.is(text, "6 7 ")
			tab.is("ff.state", "open")
			requests := len(tab.requests)
			tab.show()
			if n := len(tab.requests); n != requests {
				t.Error("shown twice, the page asks again")
			}
		})
	}
}

func TestAPageThatHasEndedDoesNotResume(t *testing.T) {
	both(t, func(t *testing.T, b *browser) {
		for _, end := range []string{"done", "closed"} {
			tab := b.open(feed)
			if end == "done" {
				tab.asks("sse", "5").begin().send(done)
			} else {
				tab.run("ff.close()")
			}
			tab.fire("pagehide")
			tab.show()
			tab.asksNothing()
			tab.is("ff.state", end)
		}
	})
}

const links = `<a id="link" href="/file"><b id="inside">x</b></a><a id="part" href="#part">x</a><a id="script" href="javascript:0">x</a><a id="none">x</a><p id="text">x</p>`

func TestAClickThatSilencesTheStreamIsNoticed(t *testing.T) {
	both(t, func(t *testing.T, b *browser) {
		p := feed
		p.html += links
		for id, again := range map[string]bool{"link": true, "inside": true, "part": false, "script": false, "none": false, "text": false} {
			tab := b.open(p)
			tab.asks("sse", "5").begin()
			b.pass(time.Second)
			tab.click(id, false)
			b.pass(3 * time.Second)
			if n := len(tab.requests); n == 2 != again {
				t.Errorf("after a click on %s the page has asked %d times", id, n)
			}
		}
	})
}

func TestAClickThatSilencesNothingChangesNothing(t *testing.T) {
	both(t, func(t *testing.T, b *browser) {
		p := feed
		p.html += links
		tab := b.open(p)
		stream := tab.asks("sse", "5").begin()
		b.pass(time.Second)
		tab.click("link", false)
		b.pass(time.Second)
		stream.send(word(6))
		b.pass(3 * time.Second)
		tab.click("link", true) // by the page's own script
		b.pass(3 * time.Second)
		tab.asks("sse", "5")
	})
}

func TestAPageThatIsOnlineAgainConnectsAtOnce(t *testing.T) {
	both(t, func(t *testing.T, b *browser) {
		tab := b.open(feed)
		tab.fire("online")
		tab.asks("sse", "5").refuse(0)
		tab.asks("probe", "5").refuse(0)
		tab.asksNothing()
		tab.fire("online")
		tab.asks("sse", "5").begin()
		tab.fire("online")
		b.pass(10 * time.Second)
		tab.asks("sse", "5")
		tab.is("states", "connecting,waiting,connecting,open")
	})
}

func TestAnEventSourceThatDiesSilentlyIsNoticedWithinASecond(t *testing.T) {
	both(t, func(t *testing.T, b *browser) {
		tab := b.open(feed)
		stream := tab.asks("sse", "5").begin()
		b.pass(500 * time.Millisecond)
		stream.die()
		b.pass(time.Second)
		tab.is("ff.state", "waiting")
		b.pass(4 * time.Second)
		tab.asks("sse", "5")
	})
}

func TestPollingAsksAgainAtOnceUnlessTheServerDoesNotWait(t *testing.T) {
	both(t, func(t *testing.T, b *browser) {
		tab := b.open(feed.with(`data-ff-transports="poll"`))
		for id := range uint64(5) {
			tab.asks("poll", fmt.Sprint(5+id)).send(word(6 + id))
		}
		b.pass(25 * time.Second)
		tab.asks("poll", "10").send()
		tab.asks("poll", "10").send()
		if got := tab.pause(); got < time.Second || got > 2*time.Second {
			t.Errorf("the page waits %v", got)
		}
	})
}

// The answer to the first poll says that the server is there, so it comes soon.
func TestPollingIsOpenWithinASecondOfAQuietFeed(t *testing.T) {
	both(t, func(t *testing.T, b *browser) {
		tab := b.open(feed.with(`data-ff-transports="poll"`))
		for _, wait := range []string{"1", "25", "25"} {
			poll := tab.asks("poll", "5")
			if got := poll.query.Get("wait"); got != wait {
				t.Errorf("the page lets the server wait %s seconds, not %s", got, wait)
			}
			b.pass(time.Second)
			poll.send()
			tab.is("ff.state", "open")
		}
	})
}

func TestPollingEndsAndPausesAsTheServerSays(t *testing.T) {
	for status, state := range map[int]string{204: "done", 404: "failed", 403: "failed", 503: "waiting", 0: "waiting"} {
		both(t, func(t *testing.T, b *browser) {
			tab := b.open(feed.with(`data-ff-transports="poll"`))
			tab.asks("poll", "5").refuse(status)
			tab.is("ff.state", state)
			if state == "waiting" {
				tab.pause()
				tab.asks("poll", "5")
			}
		})
	}
}

func TestAnAnswerThatIsNoJSONIsNoAnswer(t *testing.T) {
	both(t, func(t *testing.T, b *browser) {
		for _, body := range []string{"<html>Welcome to our wireless network", "", "[", "null", "{}"} {
			tab := b.open(feed.with(`data-ff-transports="poll"`))
			tab.asks("poll", "5").reply(body)
			if got := tab.pause(); got < time.Second {
				t.Errorf("after %q the page waits %v", body, got)
			}
			tab.asks("poll", "5")
		}
	})
}

func TestAPollThatIsNotAnsweredIsGivenUp(t *testing.T) {
	both(t, func(t *testing.T, b *browser) {
		tab := b.open(feed.with(`data-ff-transports="poll"`))
		first := tab.asks("poll", "5")
		b.pass(58 * time.Second)
		if !first.open() {
			t.Error("the page is too impatient")
		}
		b.pass(4 * time.Second)
		if first.open() {
			t.Error("the page waits for ever")
		}
		b.pass(2 * time.Second)
		tab.asks("poll", "5").send(word(6))
		tab.is(text, "6 ")
	})
}

// The first failure of a road that has worked may be an accident: a server that
// goes, and another one that answers the probe.
func TestARoadThatHasWorkedGetsAnotherChance(t *testing.T) {
	both(t, func(t *testing.T, b *browser) {
		tab := b.open(feed)
		for range 3 {
			tab.asks("sse", "5").begin().end()
			tab.pause()
			tab.asks("sse", "5").refuse(502)
			tab.asks("probe", "5").send()
			tab.pause()
		}
		tab.asks("sse", "5").refuse(502)
		tab.asks("probe", "5").send(word(6))
		tab.asks("frame", "6").begin()
		tab.is(text, "6 ")
	})
}

// batch returns a batch of events on a transport.
func batch(transport stream.Transport, events ...stream.Event) []byte {
	b := transport.AppendOpen(nil)
	for _, e := range events {
		b = transport.AppendEvent(b, e)
	}
	return transport.AppendClose(b)
}
