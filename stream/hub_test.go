package stream

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestAHubIsReadyToUse(t *testing.T) {
	var hub Hub
	if hub.Has("log") {
		t.Error("a new hub has a topic")
	}
	first, err := hub.Publish("log", Emit("", "1"))
	if err != nil || !hub.Has("log") {
		t.Errorf("publish: %v", err)
	}
	second, err := hub.Publish("log", Emit("", "2"))
	if err != nil || second != first+1 {
		t.Errorf("publish: %d after %d, %v", second, first, err)
	}
}

func TestATopicHasAName(t *testing.T) {
	var hub Hub
	for _, name := range []string{"a", "Z", "0", "_", ".", "-", "news.de_DE-2", strings.Repeat("a", 100)} {
		if _, err := hub.Publish(name, Emit("", "")); err != nil {
			t.Errorf("publish: %v", err)
		}
	}
	for _, name := range []string{"", " ", "a b", "a/b", "ä", "a\n", "a\x00", "*", strings.Repeat("a", 101)} {
		_, publishing := hub.Publish(name, Emit("", ""))
		var subscribing error
		for _, err := range hub.Subscribe(t.Context(), 0, name) {
			subscribing = err
		}
		for what, err := range map[string]error{"publish": publishing, "end": hub.End(name), "subscribe": subscribing} {
			if want := fmt.Sprintf("%s %q: ", what, name); !errors.Is(err, ErrTopic) || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("%v, want %s%v", err, want, ErrTopic)
			}
		}
		if hub.Has(name) || hub.Feed(name).After != 0 || hub.Feed(name).Ended() {
			t.Errorf("there is a topic %q", name)
		}
	}
}

func TestPublishRefusesWhatIsNoUpdate(t *testing.T) {
	var hub Hub
	id, err := hub.Publish("log", Append("", nil))
	if id != 0 || !errors.Is(err, ErrUpdate) || !strings.HasPrefix(err.Error(), `publish "log": `) {
		t.Errorf("%d, %v", id, err)
	}
	hub.End("log")
	for range hub.Subscribe(t.Context(), 0, "log") {
		t.Error("the topic has an event")
	}
}

func TestPublishedUpdatesAreTheSameForEveryTransport(t *testing.T) {
	var hub Hub
	hub.Publish("log", Emit("", "a\r\nb\xff"))
	hub.End("log")
	for events := range hub.Subscribe(t.Context(), 0, "log") {
		if got := events[0].HTML; got != "a\nb\ufffd" {
			t.Errorf("%q", got)
		}
	}
}

func TestAHubKeepsWhatItsFieldsSay(t *testing.T) {
	for _, test := range []struct {
		hub    *Hub
		events int
	}{
		{&Hub{KeepEvents: 7}, 7},
		{&Hub{}, 1024},
		{&Hub{KeepEvents: 5000}, 2000},
		{&Hub{KeepBytes: 10 * size(entry(10))}, 10},
		{&Hub{KeepEvents: -1, KeepBytes: -1}, 1024},
	} {
		for range 2000 {
			test.hub.Publish("log", entry(10))
		}
		n := 0
		test.hub.End("log")
		for events := range test.hub.Subscribe(t.Context(), 0, "log") {
			n += len(events)
		}
		if n != test.events {
			t.Errorf("it keeps %d events, want %d", n, test.events)
		}
	}
}

func TestSubscribeEndsWithItsLoopItsContextAndItsTopic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hub Hub
		hub.Publish("log", entry(1))
		for range hub.Subscribe(t.Context(), 0, "log") {
			break
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		for _, err := range hub.Subscribe(ctx, 0, "log") {
			if err != nil {
				t.Error(err)
			}
		}
		for range hub.Subscribe(ctx, 0, "log") {
			t.Error("a loop under a context that is done has a turn")
		}
		time.AfterFunc(time.Second, func() { hub.End("log") })
		for _, err := range hub.Subscribe(t.Context(), 0, "log") {
			if err != nil {
				t.Error(err)
			}
		}
	})
}

func TestAGapIsTheLastTurn(t *testing.T) {
	hub := Hub{KeepEvents: 2}
	first, _ := hub.Publish("log", entry(1))
	for range 3 {
		hub.Publish("log", entry(1))
	}
	turns := 0
	for events, err := range hub.Subscribe(t.Context(), first, "log") {
		turns++
		want := fmt.Sprintf(`subscribe "log" after %d: %v`, first, ErrGap)
		if events != nil || !errors.Is(err, ErrGap) || err.Error() != want {
			t.Errorf("%v, %v; want %s", events, err, want)
		}
	}
	if turns != 1 {
		t.Errorf("%d turns, want 1", turns)
	}
}

func TestTopicsAreApart(t *testing.T) {
	var hub Hub
	hub.Publish("a", Emit("", "a"))
	hub.Publish("b", Emit("", "b"))
	hub.End("b")
	for events := range hub.Subscribe(t.Context(), 0, "b") {
		if len(events) != 1 || events[0].HTML != "b" {
			t.Errorf("b has %v", events)
		}
	}
	if _, err := hub.Publish("a", Emit("", "a")); err != nil {
		t.Error(err)
	}
}

func TestAPublisherNeverWaits(t *testing.T) {
	hub := Hub{KeepEvents: 10}
	id, _ := hub.Publish("log", entry(1))
	gap := false
	for _, err := range hub.Subscribe(t.Context(), id-1, "log") {
		for range 1000 { // while the follower is in the middle of its turn
			hub.Publish("log", entry(1))
		}
		gap = gap || errors.Is(err, ErrGap)
		if err != nil {
			break
		}
	}
	if !gap {
		t.Error("a follower that is too slow does not learn of it")
	}
}

func TestEverySubscriberSeesEveryEventOnceInOneOrder(t *testing.T) {
	const publishers, each, subscribers = 8, 500, 16
	hub := Hub{KeepEvents: publishers * each}
	begin := hub.Feed("log").After

	var publishing sync.WaitGroup
	join := make(chan uint64, subscribers) // places to start from
	for p := range publishers {
		publishing.Go(func() {
			for n := range each {
				id, err := hub.Publish("log", Emit("", fmt.Sprint(p, " ", n)))
				if err != nil {
					t.Error(err)
				}
				if n%(each/2) == each/4 {
					join <- id
				}
			}
		})
	}
	var subscribing sync.WaitGroup
	seen := make([][]Event, subscribers)
	for s := range subscribers {
		subscribing.Go(func() {
			after := <-join
			for events, err := range hub.Subscribe(t.Context(), after, "log") {
				if err != nil {
					t.Error(err)
				}
				for i, e := range events {
					if want := after + uint64(i) + 1; e.ID != want {
						t.Errorf("subscriber %d gets %d, want %d", s, e.ID, want)
					}
				}
				after = events[len(events)-1].ID
				seen[s] = append(seen[s], events...)
			}
		})
	}
	publishing.Wait()
	hub.End("log")
	subscribing.Wait()

	var all []Event
	for events := range hub.Subscribe(t.Context(), begin, "log") {
		all = append(all, events...)
	}
	next := make(map[string]int)
	for _, e := range all {
		publisher, n, _ := strings.Cut(e.HTML, " ")
		if n != fmt.Sprint(next[publisher]) {
			t.Fatalf("publisher %s: %s, want %d", publisher, n, next[publisher])
		}
		next[publisher]++
	}
	if len(all) != publishers*each {
		t.Errorf("the topic has %d events, want %d", len(all), publishers*each)
	}
	for s, events := range seen {
		tail := all[len(all)-len(events):]
		for i := range events {
			if events[i] != tail[i] {
				t.Fatalf("subscriber %d sees %v, want %v", s, events[i], tail[i])
			}
		}
	}
}
