package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
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

// A distant wire takes its time for each write.
type distant struct {
	*wire
	takes time.Duration
}

func (d distant) Write(b []byte) (int, error) {
	time.Sleep(d.takes)
	return d.wire.Write(b)
}

// sendMany sends updates to page without a wait, and returns what becomes of them
// on the wire if each leaves alone.
func sendMany(t *testing.T, page *Page, n int) (alone []string) {
	t.Helper()
	for i := range n {
		target := fmt.Sprint(i)
		if err := page.Send(Remove(target)); err != nil {
			t.Error(err)
		}
		alone = append(alone, "([remove "+target+"])")
	}
	return alone
}

// apart returns the updates of writes, each in a batch of its own.
func apart(writes []string) (alone []string) {
	for _, write := range writes {
		for update := range strings.SplitSeq(strings.Trim(write, "([])"), "][") {
			alone = append(alone, "(["+update+"])")
		}
	}
	return alone
}

// What a producer makes faster than its connection takes it leaves together, and
// the last of it as soon as the first: the producer does nothing for it.
func TestAProducerThatNeverWaitsDoesNotWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := distant{new(wire), time.Millisecond}
		page := open(Response{}, w)
		begin := time.Now()
		want := sendMany(t, page.Page, 100)
		if took := time.Since(begin); took != (enoughInARow+1)*w.takes {
			t.Errorf("100 updates keep their producer for %v, want that of %d writes", took, enoughInARow+1)
		}
		time.Sleep(2 * w.takes) // one write may have begun before the last update was there
		synctest.Wait()
		writes := w.take()
		if n := len(writes); n > enoughInARow+3 {
			t.Errorf("there are %d writes", n)
		}
		if got := apart(writes); !slices.Equal(got, want) {
			t.Errorf("%q have left, want %q", got, want)
		}
		page.end(nil)
		w.want(t, "([done ])")
	})
}

// Who waits for each update writes it, whatever has been before: when Send
// returns it has left.
func TestAProducerThatWaitsWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := distant{new(wire), time.Millisecond}
		page := open(Response{Heartbeat: -1}, w)
		for range 3 {
			for range 3 * enoughInARow {
				time.Sleep(w.takes)
				page.Send(Remove("a"))
				w.want(t, "([remove a])")
			}
			sendMany(t, page.Page, 3*enoughInARow)
			time.Sleep(time.Second)
			w.take()
		}
		page.end(nil)
	})
}

// A few updates at once are those of one that waits, too.
func TestAFewUpdatesAtOnceAreWrittenByTheirProducer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := distant{new(wire), time.Millisecond}
		page := open(Response{Heartbeat: -1}, w)
		for range 3 {
			w.want(t, sendMany(t, page.Page, enoughInARow)...)
			time.Sleep(w.takes)
		}
		page.end(nil)
	})
}

func TestWhatGathersIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 50
		w := distant{new(wire), time.Millisecond}
		page := open(Response{Flush: Flush{Bytes: most}}, w)
		want := sendMany(t, page.Page, 1000)
		page.end(nil)
		writes := w.take()
		for _, write := range writes {
			if len(write) > most+len("[remove 999])") {
				t.Errorf("%d bytes leave together: %s", len(write), write)
			}
		}
		if got := apart(writes); !slices.Equal(got, append(want, "([done ])")) {
			t.Errorf("%d updates have left", len(got))
		}
	})
}

// A page ends when what its producer has left to another goroutine has left.
func TestAPageEndsWithAllThatHasGathered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := distant{new(wire), time.Millisecond}
		var want []string
		page := run(Response{Source: func(ctx context.Context, page *Page) error {
			want = sendMany(t, page, 100)
			return nil
		}}, w)
		writes := w.take()
		if got := apart(writes); !slices.Equal(got, append(want, "([done ])")) {
			t.Errorf("%q have left", got)
		}
		if stats := page.Stats(); stats.Updates != 101 || stats.Flushes != len(writes) {
			t.Errorf("%+v after %d writes", stats, len(writes))
		}
	})
}

func TestFlushWaitsForAllThatHasGathered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := distant{new(wire), time.Millisecond}
		page := open(Response{}, w)
		want := sendMany(t, page.Page, 100)
		page.Flush()
		if got := apart(w.take()); !slices.Equal(got, want) {
			t.Errorf("%q have left", got)
		}
		page.end(nil)
	})
}

// A producer learns of a write that fails, though it is not its own.
func TestAProducerThatNeverWaitsLearnsThatItsBrowserHasGone(t *testing.T) {
	for name, fails := range map[string]writer{
		"an error": gone{}.Write,
		"a panic":  func([]byte) (int, error) { panic("closed") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				writes := 0
				page := open(Response{}, writer(func(b []byte) (int, error) {
					time.Sleep(time.Millisecond)
					if writes++; writes > enoughInARow+1 {
						return fails(b)
					}
					return len(b), nil
				}))
				sendMany(t, page.Page, enoughInARow+2)
				<-page.ctx.Done()
				if err := page.Send(Remove("a")); !errors.Is(err, ErrClientGone) {
					t.Errorf("%v, want ErrClientGone", err)
				}
				page.end(nil)
			})
		})
	}
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
