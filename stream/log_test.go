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

func appendAll(t *testing.T, l *log, updates ...Update) (ids []uint64) {
	t.Helper()
	for _, u := range updates {
		id, err := l.append(u)
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
	events, more, err := l.after(id)
	if err != nil || len(events) != len(want) || (more == nil) != (len(want) > 0) {
		t.Errorf("after %d: %d events, more %v, %v; want %d events", id, len(events), more, err, len(want))
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
	if events, more, err := l.after(id); !errors.Is(err, ErrGap) || events != nil || more != nil {
		t.Errorf("after %d: %v, %v, %v; want ErrGap alone", id, events, more, err)
	}
}

func keep(n int) retention { return retention{events: n, bytes: defaultKeepBytes} }

func TestIDsGrowByOneAndFitJavaScript(t *testing.T) {
	l := newLog(keep(10))
	ids := appendAll(t, l, entry(1), entry(2), entry(3))
	for i, id := range ids {
		if id != l.birth+1+uint64(i) || id >= 1<<53 {
			t.Errorf("event %d of a log born at %d has the id %d", i, l.birth, id)
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

func TestAPlaceHasAllThatFollowsIt(t *testing.T) {
	l := newLog(keep(3))
	wantAfter(t, l, 0)
	wantAfter(t, l, l.birth)
	ids := appendAll(t, l, entry(1), entry(2))
	wantAfter(t, l, l.birth, ids...)
	ids = append(ids, appendAll(t, l, entry(3), entry(4), entry(5))...)

	wantAfter(t, l, 0, ids[2:]...)
	wantAfter(t, l, ids[1], ids[2:]...)
	wantAfter(t, l, ids[2], ids[3:]...)
	wantAfter(t, l, ids[4])
}

func TestAPlaceOutsideTheLogIsAGap(t *testing.T) {
	l := newLog(keep(3))
	ids := appendAll(t, l, entry(1), entry(2), entry(3), entry(4), entry(5))
	wantGap(t, l, 1)
	wantGap(t, l, l.birth)
	wantGap(t, l, ids[0])
	wantGap(t, l, ids[4]+1)
	wantGap(t, l, 1<<53)
	wantGap(t, l, noEvent)
}

func TestWhoeverWaitsLearnsOfMore(t *testing.T) {
	l := newLog(keep(3))
	_, first, _ := l.after(l.birth)
	_, second, _ := l.after(0)
	ids := appendAll(t, l, entry(1))
	<-first
	<-second
	wantAfter(t, l, l.birth, ids...)

	_, end, _ := l.after(ids[0])
	l.end()
	<-end
}

func TestAnEndedLogGivesWhatItHasAndTakesNothing(t *testing.T) {
	l := newLog(keep(3))
	ids := appendAll(t, l, entry(1), entry(2))
	l.end()
	l.end()
	if id, err := l.append(entry(3)); id != 0 || !errors.Is(err, ErrTopicEnded) {
		t.Errorf("append: %d, %v; want ErrTopicEnded", id, err)
	}
	wantAfter(t, l, 0, ids...)
	wantAfter(t, l, ids[0], ids[1])
	wantGap(t, l, ids[1]+1)
	if _, _, err := l.after(ids[1]); !errors.Is(err, ErrTopicEnded) {
		t.Errorf("at its end: %v, want ErrTopicEnded", err)
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
		wantGap(t, l, l.birth)
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
	events, _, _ := l.after(0)
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
