package stream

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestABrowserThatHasGoneEndsThePageQuietly(t *testing.T) {
	var log records
	page := open(Response{Log: log.logger()}, gone{})
	if err := page.Send(Remove("a")); !errors.Is(err, ErrClientGone) {
		t.Errorf("Send: %v, want ErrClientGone", err)
	}
	if err := context.Cause(page.ctx); !errors.Is(err, ErrClientGone) {
		t.Errorf("the cause is %v, want ErrClientGone", err)
	}
	page.end(errors.New("what a source returns then is of no interest"))
	log.want(t)
}

func TestAPanicOfTheConnectionEndsThePage(t *testing.T) {
	page := open(Response{}, writer(func([]byte) (int, error) { panic("closed") }))
	if err := page.Send(Remove("a")); !errors.Is(err, ErrClientGone) {
		t.Errorf("%v, want ErrClientGone", err)
	}
	page.end(nil)
}

func TestABrowserThatTakesNothingIsCutOff(t *testing.T) {
	for _, test := range []struct{ timeout, heartbeat time.Duration }{
		{0, 0},
		{time.Second, 0},
		{time.Second, -1},
		{30 * time.Second, 0},
		{10 * time.Second, 100 * time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			var log records
			page := open(Response{WriteTimeout: test.timeout, Heartbeat: test.heartbeat, Log: log.logger()}, newStalled())
			begin := time.Now()
			if err := page.Send(Remove("a")); !errors.Is(err, ErrSlow) {
				t.Errorf("Send: %v, want ErrSlow", err)
			}
			timeout := orDefault(test.timeout, 5*time.Second)
			if took := time.Since(begin); took < timeout || took > timeout*3/2 {
				t.Errorf("cut after %v, want %v or half of it more", took, timeout)
			}
			if err := context.Cause(page.ctx); !errors.Is(err, ErrSlow) {
				t.Errorf("the cause is %v, want ErrSlow", err)
			}
			page.end(page.ctx.Err())
			log.want(t)
		})
	}
}

// A write that is fast enough is never cut, however many there are.
func TestABrowserThatTakesItsTimeIsNotCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := newStalled()
		page := open(Response{WriteTimeout: time.Second}, unhurried{conn})
		for range 20 {
			if err := page.Send(Remove("a")); err != nil {
				t.Fatal(err)
			}
		}
		page.end(nil)
		select {
		case <-conn.cut:
			t.Error("the connection has been cut")
		default:
		}
	})
}

// An unhurried connection takes every write, after a while.
type unhurried struct{ *stalled }

func (unhurried) Write(b []byte) (int, error) {
	time.Sleep(900 * time.Millisecond)
	return len(b), nil
}

// What is written by a timer is cut off too: a source that only waits learns of
// it by its context.
func TestASilentSourceLearnsOfAStalledBrowser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		page := open(Response{}, newStalled())
		<-page.ctx.Done() // the heartbeat is not taken
		if err := context.Cause(page.ctx); !errors.Is(err, ErrSlow) {
			t.Errorf("the cause is %v, want ErrSlow", err)
		}
		page.end(nil)
	})
}

// A browser can close its half of the connection and still take nothing.
func TestAWriteDoesNotOutliveItsBrowser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := newStalled()
		page := open(Response{}, conn)
		returned := sending(page, Remove("a"))
		synctest.Wait()
		page.gone()
		time.Sleep(time.Minute)
		if !returned() {
			t.Error("the write goes on a minute after the browser has gone")
			conn.once.Do(func() { close(conn.cut) })
		}
		page.end(nil)
	})
}

func TestASilenceIsBroken(t *testing.T) {
	for _, test := range []struct{ timeout, heartbeat time.Duration }{
		{0, 0},
		{0, 10 * time.Second},
		{0, 7 * time.Second},
		{0, time.Second},
		{time.Minute, 15 * time.Second},
		{time.Second, 20 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := new(wire)
			page := open(Response{WriteTimeout: test.timeout, Heartbeat: test.heartbeat, Shell: markup("<h1>")}, w)
			heartbeat := orDefault(test.heartbeat, 15*time.Second)
			time.Sleep(10*heartbeat + 1)
			synctest.Wait()
			for i, at := range w.times[1:] {
				if silence := at.Sub(w.times[i]); silence > heartbeat || silence < heartbeat/2 {
					t.Errorf("%+v: a silence of %v", test, silence)
				}
			}
			writes := w.take()[1:]
			if n := len(writes); n < 10 || n > 20 {
				t.Errorf("%+v: %d heartbeats in ten times its length", test, n)
			}
			if slices.ContainsFunc(writes, func(s string) bool { return s != "*" }) {
				t.Errorf("%+v: the heartbeats are %q", test, writes)
			}
			page.end(nil)
		})
	}
}

func TestThereMayBeNoHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := new(wire)
		page := open(Response{Heartbeat: -1}, w)
		time.Sleep(time.Hour)
		synctest.Wait()
		w.want(t)
		page.end(nil)
	})
}

func TestABusyPageHasNoHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := new(wire)
		page := open(Response{Heartbeat: 10 * time.Second}, w)
		for range 20 {
			time.Sleep(4 * time.Second)
			page.Send(Remove("a"))
			w.want(t, "([remove a])")
		}
		page.end(nil)
	})
}

func TestAHeartbeatNeverComesInTheMiddleOfARendering(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := new(wire)
		page := open(Response{Heartbeat: 10 * time.Second}, w)
		page.Render(view(func(w io.Writer) {
			io.WriteString(w, "<p class=")
			time.Sleep(time.Minute)
			io.WriteString(w, "a>")
		}))
		w.want(t, "<p class=", "a>")
		time.Sleep(10 * time.Second)
		synctest.Wait()
		w.want(t, "*")
		page.end(nil)
	})
}

func TestAHeartbeatNeverComesInTheMiddleOfABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := new(wire)
		page := open(Response{Heartbeat: 10 * time.Second, Flush: Flush{Every: 10}}, w)
		page.Send(Remove("a"))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		page.Send(Remove("b"))
		w.want(t, "([remove a])*")
		page.end(nil)
		w.want(t, "([remove b][done ])")
	})
}
