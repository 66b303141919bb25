package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// follow serves feed over SSE as source until it ends, for a page that has seen
// the event after, and returns its events.
func follow(t *testing.T, source Source, after uint64, log *records) []sseEvent {
	t.Helper()
	w := new(wire)
	run(Response{Transport: SSE{}, Source: source, After: after, Log: log.logger()}, w)
	events, unknown := parseSSE(strings.Join(w.take(), ""))
	if len(unknown) > 0 {
		t.Errorf("the stream has the fields %q", unknown)
	}
	return events
}

func TestAFeedSendsWhatFollowsItsPlace(t *testing.T) {
	for _, test := range []struct {
		name  string
		after func(ids []uint64) (feed, page uint64)
		want  int // the first event to arrive
	}{
		{"the oldest", func(ids []uint64) (uint64, uint64) { return 0, 0 }, 0},
		{"the feed's place", func(ids []uint64) (uint64, uint64) { return ids[1], 0 }, 2},
		{"the page's place", func(ids []uint64) (uint64, uint64) { return ids[0], ids[2] }, 3},
		{"the end", func(ids []uint64) (uint64, uint64) { return ids[4], 0 }, 5},
	} {
		t.Run(test.name, func(t *testing.T) {
			var hub Hub
			var log records
			var ids []uint64
			for n := range 5 {
				id, _ := hub.Publish("log", Append("log", Text(fmt.Sprint(n))))
				ids = append(ids, id)
			}
			hub.End("log")
			feed := hub.Feed("log")
			var page uint64
			feed.After, page = test.after(ids)
			got := follow(t, feed.Follow, page, &log)
			last := len(got) - 1
			if e := got[last]; e.ID != "done" || e.Name != "done" {
				t.Errorf("the last event is %+v, want done", e)
			}
			for i, e := range got[:last] {
				n := test.want + i
				if e.ID != formatID(ids[n]) || e.update() != (Update{ActionAppend, "log", fmt.Sprint(n)}) {
					t.Errorf("event %d is %+v", i, e)
				}
			}
			if last != 5-test.want {
				t.Errorf("%d events, want %d", last, 5-test.want)
			}
			log.want(t)
		})
	}
}

func TestAFeedKnowsItsTopic(t *testing.T) {
	var hub Hub
	id, _ := hub.Publish("log", entry(1))
	feed := hub.Feed("log")
	if !slices.Equal(feed.Topics, []string{"log"}) || feed.After != id || feed.Ended() || feed.Query() != "after="+formatID(id) {
		t.Errorf("%+v, %q", feed, feed.Query())
	}
	hub.End("log")
	if !feed.Ended() {
		t.Error("the topic has ended and the feed says no")
	}
	if hub.Feed("new"); !hub.Has("new") {
		t.Error("a feed's topic does not exist")
	}
}

func TestAGapMakesThePageReload(t *testing.T) {
	for _, after := range []uint64{1, noEvent} {
		hub := Hub{KeepEvents: 2}
		var log records
		for range 5 {
			hub.Publish("log", entry(1))
		}
		var err error
		got := follow(t, func(ctx context.Context, page *Page) error {
			err = hub.Feed("log").Follow(ctx, page)
			return err
		}, after, &log)
		if !errors.Is(err, ErrGap) {
			t.Errorf("Follow: %v, want ErrGap", err)
		}
		if len(got) != 1 || got[0].Name != "reload" || got[0].ID != formatID(hub.Feed("log").After) {
			t.Errorf("the events are %+v, want one reload with the topic's place", got)
		}
		log.want(t)
	}
}

func TestFollowEndsWithThePage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hub Hub
		page := open(Response{Heartbeat: -1}, new(wire))
		time.AfterFunc(time.Second, page.gone)
		if err := hub.Feed("log").Follow(page.ctx, page.Page); !errors.Is(err, ErrClientGone) {
			t.Errorf("%v, want ErrClientGone", err)
		}
		page.end(nil)
	})
}

func TestFollowEndsWhenTheBrowserTakesNoMore(t *testing.T) {
	var hub Hub
	hub.Publish("log", entry(1))
	page := open(Response{Heartbeat: -1}, gone{})
	feed := hub.Feed("log")
	feed.After = 0
	if err := feed.Follow(page.ctx, page.Page); !errors.Is(err, ErrClientGone) {
		t.Errorf("%v, want ErrClientGone", err)
	}
	page.end(nil)
}

// A page counts what is in it and then follows; together they have everything,
// although the publisher never stops.
func TestNothingIsMissedBetweenARenderingAndItsFeed(t *testing.T) {
	const events, pages = 5000, 20
	hub := Hub{KeepEvents: events}
	var mu sync.Mutex // guards state
	state := 0        // events so far, as a database would know

	began := make(chan struct{})
	var working sync.WaitGroup
	working.Go(func() {
		for n := range events {
			mu.Lock()
			state++
			mu.Unlock()
			hub.Publish("log", Emit("", fmt.Sprint(n)))
			if n == 10 {
				close(began)
			}
		}
		hub.End("log")
	})
	<-began
	for range pages {
		working.Go(func() {
			feed := hub.Feed("log")
			mu.Lock()
			rendered := state
			mu.Unlock()
			next := -1
			for turn, err := range hub.Subscribe(t.Context(), feed.After, feed.Topics...) {
				if err != nil {
					t.Error(err)
				}
				for _, e := range turn {
					n, _ := strconv.Atoi(e.HTML)
					if next < 0 && n > rendered {
						t.Errorf("the page shows %d events and its feed begins with number %d", rendered, n)
					}
					if next >= 0 && n != next {
						t.Errorf("number %d arrives, want %d", n, next)
					}
					next = n + 1
				}
			}
			if next >= 0 && next != events {
				t.Errorf("the feed ends before number %d", next)
			}
		})
	}
	working.Wait()
}

func TestManyPagesFollowOneTopic(t *testing.T) {
	const events, pages = 300, 20
	hub := Hub{KeepEvents: events}
	feed := hub.Feed("log")
	var log records
	var following sync.WaitGroup
	for range pages {
		following.Go(func() {
			got := follow(t, feed.Follow, 0, &log)
			if len(got) != events+1 {
				t.Errorf("%d events, want %d and done", len(got), events)
				return
			}
			for n, e := range got[:events] {
				if e.Data != fmt.Sprint(n) || e.ID != formatID(feed.After+1+uint64(n)) {
					t.Errorf("event %d is %+v", n, e)
				}
			}
		})
	}
	for n := range events {
		hub.Publish("log", Emit("", fmt.Sprint(n)))
	}
	hub.End("log")
	following.Wait()
	log.want(t)
}
