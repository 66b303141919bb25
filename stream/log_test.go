package stream

import (
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// entry returns the nth update of a topic.
func entry(n int) Update { return Emit("", strings.Repeat("x", n)) }

// newLog returns the log of a topic that is alone in a new hub.
func newLog(r retention) *log {
	l := new(Hub).add("log")
	l.retention = r
	return l
}

func appendAll(t *testing.T, l *log, updates ...Update) (ids []uint64) {
	t.Helper()
	for _, u := range updates {
		id, err := l.append(now(), []Update{u})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}

// wantAfter checks that the events after id are the ones with the ids of want.
func wantAfter(t *testing.T, l *log, id uint64, want ...uint64) {
	t.Helper()
	events, ended, err := l.between(id, l.newest.Load())
	if err != nil || len(events) != len(want) || ended != l.ended {
		t.Errorf("after %d: %d events, ended %v, %v; want %d events", id, len(events), ended, err, len(want))
		return
	}
	for i, e := range events {
		if e.ID != want[i] {
			t.Errorf("event %d after %d has the id %d, want %d", i, id, e.ID, want[i])
		}
	}
}

func wantGap(t *testing.T, l *log, id uint64) {
	t.Helper()
	f := follower{logs: []*log{l}, place: id}
	if events, err := f.read(); !errors.Is(err, ErrGap) || events != nil {
		t.Errorf("after %d: %v, %v; want ErrGap alone", id, events, err)
	}
}

func keep(n int) retention { return retention{events: n, bytes: defaultKeepBytes} }

func TestIDsGrowByOneAndFitJavaScript(t *testing.T) {
	l := newLog(keep(10))
	birth := l.floor
	ids := appendAll(t, l, entry(1), entry(2), entry(3))
	for i, id := range ids {
		if id != birth+1+uint64(i) || id >= 1<<53 {
			t.Errorf("event %d of a log born at %d has the id %d", i, birth, id)
		}
	}
	if l.place() != ids[2] {
		t.Errorf("the log stands at %d, want %d", l.place(), ids[2])
	}
}

func TestIDsGrowFromOneLifeToTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := newLog(keep(10))
		ids := appendAll(t, first, entry(1), entry(2))
		time.Sleep(time.Second)
		second := newLog(keep(10))
		if second.place() <= ids[1] {
			t.Errorf("the next life begins at %d, want more than %d", second.place(), ids[1])
		}
		wantGap(t, second, ids[1])
		appendAll(t, second, entry(1))
		wantGap(t, second, ids[1])
		wantGap(t, first, second.place())
	})
}

// Between the events of a topic are the ids of others.
func TestALogHasHolesWhereOtherTopicsHaveTheirEvents(t *testing.T) {
	var hub Hub
	a, b := hub.add("a"), hub.add("b")
	a.retention = keep(2)
	birth := a.floor
	ids := appendAll(t, a, entry(1))
	holes := appendAll(t, b, entry(1), entry(1))
	ids = append(ids, appendAll(t, a, entry(1))...)
	holes = append(holes, appendAll(t, b, entry(1))...)
	wantAfter(t, a, birth, ids...)
	wantAfter(t, a, ids[0], ids[1])
	wantAfter(t, a, holes[0], ids[1])
	wantAfter(t, a, holes[2])
	wantAfter(t, b, ids[0], holes...)
	wantAfter(t, b, ids[1], holes[2])

	appendAll(t, a, entry(1)) // so that the first is forgotten
	wantGap(t, a, birth)
	wantAfter(t, a, ids[0], ids[1], a.place())
	if events, _, _ := a.between(0, holes[2]); len(events) != 1 || events[0].ID != ids[1] {
		t.Errorf("up to %d there is %v", holes[2], events)
	}
}

func TestAPlaceHasAllThatFollowsIt(t *testing.T) {
	l := newLog(keep(3))
	wantAfter(t, l, 0)
	birth := l.floor
	wantAfter(t, l, birth)
	ids := appendAll(t, l, entry(1), entry(2))
	wantAfter(t, l, birth, ids...)
	ids = append(ids, appendAll(t, l, entry(3), entry(4), entry(5))...)

	wantAfter(t, l, 0, ids[2:]...)
	wantAfter(t, l, ids[1], ids[2:]...)
	wantAfter(t, l, ids[2], ids[3:]...)
	wantAfter(t, l, ids[4])
}

func TestAPlaceOutsideTheLogIsAGap(t *testing.T) {
	l := newLog(keep(3))
	birth := l.floor
	ids := appendAll(t, l, entry(1), entry(2), entry(3), entry(4), entry(5))
	wantGap(t, l, 1)
	wantGap(t, l, birth)
	wantGap(t, l, ids[0])
	wantGap(t, l, ids[4]+1)
	wantGap(t, l, 1<<53)
	wantGap(t, l, noEvent)
}

func TestWhoeverFollowsLearnsOfMore(t *testing.T) {
	l := newLog(keep(3))
	first, second := make(token, 1), make(token, 1)
	l.join(first)
	l.join(second)
	appendAll(t, l, entry(1), entry(2)) // one token stands for both
	<-first
	<-second
	l.leave(first)
	l.end()
	<-second
	l.leave(second)
	if len(first) > 0 || len(l.followers) > 0 {
		t.Error("who has left is told, or kept")
	}
}

func TestAnEndedLogGivesWhatItHasAndTakesNothing(t *testing.T) {
	l := newLog(keep(3))
	ids := appendAll(t, l, entry(1), entry(2))
	l.end()
	l.end()
	if id, err := l.append(now(), []Update{entry(3)}); id != 0 || !errors.Is(err, ErrTopicEnded) {
		t.Errorf("append: %d, %v; want ErrTopicEnded", id, err)
	}
	wantAfter(t, l, 0, ids...)
	wantAfter(t, l, ids[0], ids[1])
	wantGap(t, l, ids[1]+1)
	wantAfter(t, l, ids[1])
	if _, ended, _ := l.between(0, ids[0]); ended {
		t.Error("it says that nothing follows its first event")
	}
	if !l.hasEnded() {
		t.Error("it does not say that it has ended")
	}
}

func TestALogKeepsSoManyBytes(t *testing.T) {
	each := size(entry(100))
	l := newLog(retention{events: 1000, bytes: 3 * each})
	ids := appendAll(t, l, entry(100), entry(100), entry(100), entry(100))
	wantAfter(t, l, 0, ids[1:]...)
	ids = appendAll(t, l, entry(3*each)) // the newest is kept, however large
	wantAfter(t, l, 0, ids...)
	next := appendAll(t, l, entry(1), entry(2))
	wantAfter(t, l, 0, next...)
	if want := size(entry(1)) + size(entry(2)); l.bytes != want {
		t.Errorf("it counts %d bytes, want %d", l.bytes, want)
	}
}

func TestALogKeepsForSoLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(retention{events: 1000, bytes: 1000, age: time.Minute})
		var ids []uint64
		for range 3 {
			ids = append(ids, appendAll(t, l, entry(1))...)
			time.Sleep(20 * time.Second)
		}
		wantAfter(t, l, 0, ids...) // the first is a minute old
		time.Sleep(time.Microsecond)
		wantAfter(t, l, 0, ids[1:]...)
		wantGap(t, l, ids[0]-1)
		time.Sleep(time.Hour)
		wantAfter(t, l, 0)
		wantAfter(t, l, ids[2]) // who has seen all misses nothing
		wantGap(t, l, ids[1])
		if l.bytes != 0 {
			t.Errorf("it counts %d bytes, want 0", l.bytes)
		}
		wantAfter(t, l, ids[2], appendAll(t, l, entry(1))...)
	})
}

// Events that have been handed out do not change when others come and go.
func TestWhatHasBeenHandedOutStays(t *testing.T) {
	l := newLog(keep(4))
	appendAll(t, l, entry(1), entry(2), entry(3))
	events, _, _ := l.between(0, l.newest.Load())
	for n := range 50 {
		appendAll(t, l, entry(100+n))
	}
	for i, e := range events {
		if e.HTML != entry(i+1).HTML {
			t.Errorf("event %d has become %q", i, e.HTML)
		}
	}
	if cap(events) != len(events) {
		t.Error("whoever appends to it writes into the log")
	}
}

// What the log has forgotten must not stay in memory behind it.
func TestForgottenEventsAreFreed(t *testing.T) {
	const large = 256 << 10
	l := newLog(retention{events: 1024, bytes: 4 * large})
	for range 1024 {
		appendAll(t, l, entry(1))
	}
	before := heap()
	for range 240 {
		appendAll(t, l, entry(large))
	}
	if grown := heap() - before; grown > 16*large {
		t.Errorf("a log of at most %d KB holds %d KB", 4*large>>10, grown>>10)
	}
	runtime.KeepAlive(l)
}

// heap returns the bytes in use after a garbage collection.
func heap() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
