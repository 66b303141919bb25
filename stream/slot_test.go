package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// after returns a View that waits for d, or for the end of its context, and
// then shows text.
func after(d time.Duration, text string) func(context.Context) (View, error) {
	return func(ctx context.Context) (View, error) {
		select {
		case <-time.After(d):
			return Text(text), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// deaf returns a View that takes d whatever its context says.
func deaf(d time.Duration) func(context.Context) (View, error) {
	return func(context.Context) (View, error) {
		time.Sleep(d)
		return Text("too late"), nil
	}
}

func showError(err error) View { return Text(err.Error()) }

// fill opens a page on Script, fills slots and returns what arrived: target,
// content and the time since the start of each update, in order.
func fill(t *testing.T, log *records, slots ...Slot) (arrived []string) {
	t.Helper()
	w := new(wire)
	page := open(Response{Transport: Script{}, Log: log.logger(), Heartbeat: -1}, w)
	begin := time.Now()
	if err := page.Fill(page.ctx, slots...); err != nil {
		t.Errorf("Fill: %v", err)
	}
	times := w.times
	for i, write := range w.take() {
		events, _ := updates(t, write)
		for _, e := range events {
			if e.Action != ActionInner {
				t.Errorf("a slot is filled by %q", e.Action)
			}
			arrived = append(arrived, fmt.Sprint(e.Target, ": ", e.HTML, ", ", times[i].Sub(begin)))
		}
	}
	page.end(nil)
	return arrived
}

func wantArrived(t *testing.T, got []string, want ...string) {
	t.Helper()
	if got, want := strings.Join(got, "\n"), strings.Join(want, "\n"); got != want {
		t.Errorf("the slots are filled with\n%s\nwant\n%s", got, want)
	}
}

func TestSlotsFillInOrderOfArrival(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log records
		got := fill(t, &log,
			Slot{Target: "a", View: after(3*time.Second, "A")},
			Slot{Target: "b", View: after(time.Second, "<B>")},
			Slot{Target: "c", View: after(2*time.Second, "C")},
			Slot{Target: "d", View: func(context.Context) (View, error) { return nil, nil }},
		)
		wantArrived(t, got, "d: , 0s", "b: &lt;B&gt;, 1s", "c: C, 2s", "a: A, 3s")
		log.want(t)
	})
}

func TestALateSlotShowsItsFailureAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log records
		got := fill(t, &log,
			Slot{Target: "good", View: after(2*time.Second, "good"), Timeout: time.Minute},
			Slot{Target: "late", View: after(time.Hour, "late"), Timeout: time.Second, Failed: func(err error) View {
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("it fails with %v, want context.DeadlineExceeded", err)
				}
				return Text("too slow")
			}},
			Slot{Target: "default", View: after(time.Hour, "late")},
			Slot{Target: "deaf", View: deaf(20 * time.Second), Timeout: 3 * time.Second, Failed: showError},
		)
		wantArrived(t, got,
			"late: too slow, 1s",
			"good: good, 2s",
			"deaf: context deadline exceeded, 3s",
			"default: not available, 10s")
		log.want(t,
			`level=WARN msg=slot page=/page slot=late err="context deadline exceeded"`,
			"slot=deaf", "slot=default")
	})
}

func TestASlotThatFailsDoesNotDisturbTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log records
		broken := func(context.Context) (View, error) { return nil, errors.New("no data") }
		panicking := func(context.Context) (View, error) {
			time.Sleep(2 * time.Second)
			panic("oh no")
		}
		torn := func(context.Context) (View, error) {
			time.Sleep(3 * time.Second)
			return view(func(w io.Writer) { io.WriteString(w, "<p"); panic("in the view") }), nil
		}
		got := fill(t, &log,
			Slot{Target: "broken", View: broken, Failed: showError},
			Slot{Target: "panicking", View: panicking, Failed: func(err error) View {
				var p *PanicError
				if !errors.As(err, &p) || p.Value != "oh no" || !strings.Contains(string(p.Stack), "slot_test.go") {
					t.Errorf("it fails with %v", err)
				}
				return Text("panic")
			}},
			Slot{Target: "torn", View: torn},
			Slot{Target: "good", View: after(4*time.Second, "good")},
		)
		wantArrived(t, got, "broken: no data, 0s", "panicking: panic, 2s", "torn: not available, 3s", "good: good, 4s")
		log.want(t, `slot=broken err="no data"`, "slot=panicking|oh no|slot_test.go", "slot=torn|in the view|slot_test.go")
	})
}

func TestAPanicInWhatAFailedSlotShowsIsContained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log records
		broken := func(context.Context) (View, error) { return nil, errors.New("no data") }
		got := fill(t, &log,
			Slot{Target: "a", View: broken, Failed: func(error) View { panic("in Failed") }},
			Slot{Target: "b", View: after(time.Second, "B")},
			Slot{Target: "no view"},
		)
		wantArrived(t, got, "a: not available, 0s", "b: B, 1s")
		if all := strings.Join(log.all(), ""); !strings.Contains(all, "in Failed") || !strings.Contains(all, "level=ERROR") {
			t.Errorf("the log says %q", all)
		}
	})
}

func TestASlotWithoutATargetIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log records
		wantArrived(t, fill(t, &log, Slot{Target: "", View: after(0, "A")}))
		log.want(t, `level=ERROR msg=slot|the target`)
	})
}

// No goroutine is left, or the bubble would not end.
func TestFillReturnsWhenThePageHasGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log records
		w := new(wire)
		page := open(Response{Log: log.logger(), Heartbeat: -1}, w)
		time.AfterFunc(time.Second, page.gone)
		begin := time.Now()
		err := page.Fill(page.ctx,
			Slot{Target: "a", View: after(time.Minute, "A"), Timeout: time.Hour},
			Slot{Target: "b", View: after(2*time.Minute, "B")},
			Slot{Target: "deaf", View: deaf(5 * time.Second)},
		)
		if !errors.Is(err, ErrClientGone) {
			t.Errorf("Fill: %v, want ErrClientGone", err)
		}
		if took := time.Since(begin); took != 5*time.Second {
			t.Errorf("Fill returned after %v, want 5s: as soon as the last view", took)
		}
		page.end(nil)
		w.want(t)
		log.want(t)
	})
}

func TestFillOfNothingReturns(t *testing.T) {
	page := open(Response{}, new(wire))
	if err := page.Fill(page.ctx); err != nil {
		t.Error(err)
	}
	page.end(nil)
}

func TestAPageFillsNoMoreSlotsThanItMay(t *testing.T) {
	slots := make([]Slot, 3)
	for i := range slots {
		slots[i] = Slot{Target: "a", View: func(context.Context) (View, error) { return Text("b"), nil }}
	}
	for most, want := range map[int]error{2: ErrSlots, 3: nil, 0: nil, -1: nil} {
		run(Response{MaxSlots: most, Log: new(records).logger(), Source: func(ctx context.Context, page *Page) error {
			for range 2 { // those that are filled do not count
				if err := page.Fill(ctx, slots...); !errors.Is(err, want) {
					t.Errorf("with at most %d: %v, want %v", most, err, want)
				}
			}
			return nil
		}}, new(wire))
	}
	run(Response{Source: func(ctx context.Context, page *Page) error {
		if err := page.Fill(ctx, make([]Slot, defaultMaxSlots+1)...); !errors.Is(err, ErrSlots) {
			t.Errorf("%v", err)
		}
		return nil
	}}, new(wire))
}
