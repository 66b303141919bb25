package stream

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestEveryUpdateLeavesAtOnceByDefault(t *testing.T) {
	w := new(wire)
	page := open(Response{}, w)
	for range 3 {
		page.Send(Remove("a"))
		w.want(t, "([remove a])")
	}
	page.end(nil)
	w.want(t, "([done ])")
}

func TestUpdatesLeaveByNumber(t *testing.T) {
	w := new(wire)
	page := open(Response{Flush: Flush{Every: 3}}, w)
	for range 2 {
		page.Send(Remove("a"))
		page.Send(Remove("b"))
		w.want(t)
		page.Send(Remove("c"))
		w.want(t, "([remove a][remove b][remove c])")
	}
	page.Send(Remove("d"))
	w.want(t)
	page.end(nil)
	w.want(t, "([remove d][done ])")
}

func TestUpdatesLeaveByBytes(t *testing.T) {
	w := new(wire)
	page := open(Response{Flush: Flush{Every: 100, Bytes: 30}}, w)
	page.Send(Remove("a"))
	page.Send(Remove("b"))
	w.want(t)
	page.Send(Remove("0123456789"))
	w.want(t, "([remove a][remove b][remove 0123456789])")
	page.end(nil)
}

func TestUpdatesLeaveByTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := new(wire)
		page := open(Response{Flush: Flush{Every: 100, Delay: time.Second}}, w)
		for range 3 {
			page.Send(Remove("a"))
			time.Sleep(time.Second - 1)
			page.Send(Remove("b"))
			w.want(t)
			time.Sleep(1 * time.Nanosecond)
			synctest.Wait()
			w.want(t, "([remove a][remove b])")
			time.Sleep(time.Second)
		}
		page.end(nil)
		w.want(t, "([done ])")
	})
}

func TestFlushSendsWhatIsUnsent(t *testing.T) {
	w := new(wire)
	page := open(Response{Flush: Flush{Every: 100}}, w)
	page.Send(Remove("a"))
	page.Flush()
	w.want(t, "([remove a])")
	page.Flush()
	w.want(t)
	page.end(nil)
}

// slowView writes two texts with a second in between.
var slowView = view(func(w io.Writer) {
	io.WriteString(w, "one")
	time.Sleep(time.Second)
	io.WriteString(w, "two")
})

func TestTheTextOfAWaitingTemplateLeavesByItself(t *testing.T) {
	for _, test := range []struct {
		name  string
		flush Flush
		after time.Duration
	}{
		{"by default", Flush{}, 2 * time.Millisecond},
		{"every update", Flush{Every: 1}, 2 * time.Millisecond},
		{"a delay", Flush{Delay: time.Millisecond * 100}, time.Millisecond * 100},
		{"a number and a delay", Flush{Every: 5, Delay: time.Millisecond * 100}, time.Millisecond * 100},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := new(wire)
				page := open(Response{Flush: test.flush}, w)
				go page.Render(slowView)
				time.Sleep(test.after - 1)
				synctest.Wait()
				w.want(t)
				time.Sleep(1 * time.Nanosecond)
				synctest.Wait()
				w.want(t, "one")
				time.Sleep(time.Second)
				synctest.Wait()
				w.want(t, "two")
				page.end(nil)
			})
		})
	}
}

func TestTextWaitsForItsNumberOfUpdates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := new(wire)
		page := open(Response{Flush: Flush{Every: 5}}, w)
		page.Render(slowView)
		w.want(t, "onetwo")
		page.end(nil)
	})
}

func TestLargeTextLeavesAtOnce(t *testing.T) {
	w := new(wire)
	page := open(Response{Flush: Flush{Every: 5, Bytes: 4}}, w)
	page.Render(view(func(to io.Writer) {
		io.WriteString(to, "one")
		w.want(t)
		io.WriteString(to, "two")
		w.want(t, "onetwo")
	}))
	page.end(nil)
}

func TestUpdatesThatBecomeReadyDuringAWriteLeaveTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := held()
		page := open(Response{Flush: Flush{Every: 2}}, w)
		page.Send(Remove("a"))
		go page.Send(Remove("b")) // writes
		synctest.Wait()
		for _, target := range []string{"c", "d", "e"} {
			if err := page.Send(Remove(target)); err != nil {
				t.Error(err)
			}
		}
		w.pass <- struct{}{}
		synctest.Wait()
		w.want(t, "([remove a][remove b])")
		close(w.pass)
		synctest.Wait()
		w.want(t, "([remove c][remove d][remove e])")
		page.end(nil)
	})
}

// sending sends u in a goroutine of its own, and returns whether it has
// returned by now.
func sending(page *opened, u Update) (returned func() bool) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		page.Send(u)
	}()
	return func() bool {
		synctest.Wait()
		select {
		case <-done:
			return true
		default:
			return false
		}
	}
}

func TestASenderWaitsWhileTooMuchIsUnsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := held()
		page := open(Response{Flush: Flush{Bytes: 30}, WriteTimeout: time.Hour}, w)
		first := sending(page, Remove("a"))
		if first() {
			t.Error("a writer returns before its write")
		}
		if small := sending(page, Remove("b")); !small() {
			t.Error("a small update waits for a slow browser")
		}
		large := sending(page, Remove(strings.Repeat("c", 30)))
		if large() {
			t.Error("a sender does not wait though too much is unsent")
		}
		w.pass <- struct{}{} // what was too much is being written now
		if !large() {
			t.Error("a sender waits though nothing is unsent")
		}
		close(w.pass)
		if !first() || !large() {
			t.Error("a sender waits for nothing")
		}
		w.want(t, "([remove a])", "([remove b][remove "+strings.Repeat("c", 30)+"])")
		page.end(nil)
	})
}

// One goroutine's update must not keep it for as long as others send.
func TestASenderDoesNotWriteForOthersForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := held()
		page := open(Response{WriteTimeout: time.Hour}, w)
		mine := sending(page, Remove("mine"))
		writes := 0
		for ; !mine() && writes < 100; writes++ {
			page.Send(Remove("another"))
			w.pass <- struct{}{}
		}
		if writes == 100 {
			t.Error("Send has not returned after 100 writes, 99 of them for others")
		}
		close(w.pass)
		page.end(nil)
	})
}

type writer func(b []byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }

func TestNothingIsSentAfterTheEnd(t *testing.T) {
	w := new(wire)
	page := open(Response{}, w)
	page.end(nil)
	w.want(t, "([done ])")
	for name, err := range map[string]error{
		"Send":       page.Send(Remove("a")),
		"SendEvents": page.SendEvents(Event{Update: Remove("a")}),
		"Render":     page.Render(markup("<p>")),
		"Flush":      page.Flush(),
		"cause":      context.Cause(page.ctx),
	} {
		if !errors.Is(err, ErrEnded) {
			t.Errorf("%s: %v, want ErrEnded", name, err)
		}
	}
	w.want(t)
}
