package stream

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func numbered(id uint64) Event { return Event{ID: id, Update: Remove("x")} }

func TestAResponseWithAWaitIsOneBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := new(wire)
		page := open(Response{Wait: time.Minute, Heartbeat: -1}, w)
		if err := page.SendEvents(numbered(1), numbered(2)); !errors.Is(err, ErrEnded) {
			t.Errorf("the page goes on after its batch: %v", err)
		}
		if cause := context.Cause(page.ctx); !errors.Is(cause, ErrEnded) {
			t.Errorf("its context ends because %v", cause)
		}
		page.end(page.ctx.Err())
		w.want(t, "([remove x][remove x])")
	})
}

func TestAResponseWithAWaitGivesUpWithAnEmptyBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := new(wire)
		begin := time.Now()
		run(Response{Wait: 25 * time.Second, Heartbeat: 20 * time.Second, Source: func(ctx context.Context, _ *Page) error {
			<-ctx.Done()
			return nil
		}}, w)
		if waited := time.Since(begin); waited != 25*time.Second {
			t.Errorf("it waits for %s of virtual time", waited)
		}
		w.want(t, "*", "()")
	})
}

func TestASourceThatEndsBeforeTheWaitIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := new(wire)
		open(Response{Wait: time.Minute}, w).end(nil)
		w.want(t, "([done ])")
	})
}

func TestALimitEndsAStreamAtAnUpdate(t *testing.T) {
	for name, limit := range map[string]Limit{"flushes": {Flushes: 3}, "bytes": {Bytes: 30}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := new(wire)
				page := open(Response{Limit: limit}, w)
				for id := range uint64(2) {
					if err := page.SendEvents(numbered(id + 1)); err != nil {
						t.Fatalf("the page ends before its limit: %v", err)
					}
				}
				if err := page.SendEvents(numbered(3)); !errors.Is(err, ErrEnded) {
					t.Errorf("the page goes on after its limit: %v", err)
				}
				page.end(nil)
				w.want(t, "([remove x])", "([remove x])", "([remove x][again ])")
			})
		})
	}
}

func TestALimitOfAgeEndsAStreamWithItsNextUpdate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := new(wire)
		page := open(Response{Limit: Limit{Age: time.Minute}, Heartbeat: -1}, w)
		page.SendEvents(numbered(1))
		time.Sleep(2 * time.Minute)
		page.SendEvents(numbered(2))
		page.end(nil)
		w.want(t, "([remove x])", "([remove x][again ])")
	})
}

// Who comes back without a place would get everything again.
func TestALimitIsForEventsWithIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := new(wire)
		page := open(Response{Limit: Limit{Flushes: 1}}, w)
		page.Send(Remove("x"))
		if err := page.Send(Remove("x")); err != nil {
			t.Error(err)
		}
		page.end(nil)
		w.want(t, "([remove x])", "([remove x])", "([done ])")
	})
}
