// Package brokertest has what hubs must do that share a stream.Broker, as tests
// that run against any broker, and against none: a hub that is alone does all of
// it, too.
package brokertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"foreverframe/stream"

	"github.com/valyala/fasthttp"
)

// Keep is the number of events that a topic keeps in these tests.
const Keep = 500

// Run tests hubs. Open returns a function that returns one hub more, which runs
// until the test ends and shares its broker with those before. The hubs of
// another call of open have nothing of theirs, and each keeps Keep events of a
// topic. A hub without a broker is returned again and again.
func Run(t *testing.T, open func(t *testing.T) func() *stream.Hub) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, func() *stream.Hub)
	}{
		{"AllSeeTheSame", allSeeTheSame},
		{"APlaceIsGoodEverywhere", aPlaceIsGoodEverywhere},
		{"WhatIsForgottenIsAGap", whatIsForgottenIsAGap},
		{"WhatIsYetToComeIsAGap", whatIsYetToComeIsAGap},
		{"AKeyPublishesOnce", aKeyPublishesOnce},
		{"ABatchIsOne", aBatchIsOne},
		{"AnEndIsSeenByAll", anEndIsSeenByAll},
		{"AFeedMissesNothing", aFeedMissesNothing},
		{"ASilentTopicHoldsNobodyUp", aSilentTopicHoldsNobodyUp},
		{"EveryNameIsATopic", everyNameIsATopic},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

// patience bounds what a test waits for; nothing is measured against it.
const patience = time.Minute

func entry(n any) stream.Update { return stream.Append("log", stream.Text(fmt.Sprint(n))) }

// Read returns the first n events of topics after an id, and the error that ends
// them. It waits for them, for a minute, and then fails t. Several goroutines may
// call it at once.
func Read(t *testing.T, hub *stream.Hub, n int, after uint64, topics ...string) (all []stream.Event, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for events, err := range hub.Subscribe(ctx, after, topics...) {
		if err != nil {
			return all, err
		}
		if all = append(all, events...); len(all) >= n {
			return all, nil
		}
	}
	if ctx.Err() != nil {
		t.Errorf("%d events of %q came after %d, not %d", len(all), topics, after, n)
	}
	return all, nil
}

// check checks that got is want.
func check(t *testing.T, what string, got, want []stream.Event) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %d events, want %d: %v", what, len(got), len(want), difference(got, want))
	}
}

func difference(got, want []stream.Event) string {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Sprintf("%v at %d, not %v", got[i], i, want[i])
		}
	}
	return "one goes on"
}

func publish(t *testing.T, hub *stream.Hub, topic string, u stream.Update) stream.Event {
	t.Helper()
	id, err := hub.Publish(topic, u)
	if err != nil {
		t.Fatal(err)
	}
	return stream.Event{ID: id, Update: u}
}

func sorted(events []stream.Event) []stream.Event {
	slices.SortFunc(events, func(a, b stream.Event) int { return int(int64(a.ID - b.ID)) })
	return events
}

// Whoever follows a topic or several, at any hub, from the begin or from the
// middle of it all, sees the same events in the same order, with the ids that
// their publishers got.
func allSeeTheSame(t *testing.T, another func() *stream.Hub) {
	hubs := []*stream.Hub{another(), another(), another()}
	const publishers, each = 4, 40
	var mu sync.Mutex
	published := map[string][]stream.Event{}
	var publishing sync.WaitGroup
	follow := func(early bool) {
		var reading sync.WaitGroup
		for _, hub := range hubs {
			for _, topics := range [][]string{{"x"}, {"y"}, {"x", "y"}, {"y", "silent", "x"}} {
				reading.Go(func() {
					n := 0
					for _, topic := range topics {
						if topic != "silent" {
							n += publishers / 2 * each
						}
					}
					got, err := Read(t, hub, n, 0, topics...)
					if err != nil {
						t.Errorf("%q: %v", topics, err)
					}
					publishing.Wait()
					var want []stream.Event
					for _, topic := range topics {
						want = append(want, published[topic]...)
					}
					check(t, fmt.Sprint(topics, early), got, sorted(want))
				})
			}
		}
		reading.Wait()
	}
	for p := range publishers {
		publishing.Go(func() {
			topic := []string{"x", "y"}[p%2]
			for n := range each {
				e := publish(t, hubs[(p+n)%len(hubs)], topic, entry(fmt.Sprint(p, "-", n)))
				mu.Lock()
				published[topic] = append(published[topic], e)
				mu.Unlock()
			}
		})
	}
	follow(true)
	hubs = []*stream.Hub{another()}
	follow(false)
}

// A reader goes on at another hub where it was at the first one.
func aPlaceIsGoodEverywhere(t *testing.T, another func() *stream.Hub) {
	first, second := another(), another()
	var all []stream.Event
	for n := range 30 {
		all = append(all, publish(t, first, string(rune('a'+n%3)), entry(n)))
	}
	for i := range len(all) - 1 {
		got, err := Read(t, second, len(all)-i-1, all[i].ID, "a", "b", "c")
		if err != nil {
			t.Fatal(err)
		}
		check(t, fmt.Sprint("after ", i), got, all[i+1:])
	}
	e := publish(t, first, "a", entry("new"))
	got, err := Read(t, another(), 1, all[len(all)-1].ID, "a")
	if err != nil {
		t.Fatal(err)
	}
	check(t, "at a third one", got, []stream.Event{e})
}

// What is kept is there, and a place before it is a gap.
func whatIsForgottenIsAGap(t *testing.T, another func() *stream.Hub) {
	first, second := another(), another()
	var all []stream.Event
	for n := range Keep + 10 {
		all = append(all, publish(t, first, "x", entry(n)))
	}
	for _, hub := range []*stream.Hub{first, second, another()} {
		got, err := Read(t, hub, Keep, 0, "x")
		if err != nil {
			t.Fatal(err)
		}
		check(t, "what is kept", got, all[10:])
		if got, err := Read(t, hub, 1, all[2].ID, "x"); !errors.Is(err, stream.ErrGap) {
			t.Errorf("a forgotten place gives %d events, %v", len(got), err)
		}
		if got, err := Read(t, hub, Keep, all[9].ID, "x"); err != nil || len(got) != Keep {
			t.Errorf("the newest forgotten place gives %d events, %v", len(got), err)
		}
	}
}

// A place behind all that there is, or in another life, is a gap.
func whatIsYetToComeIsAGap(t *testing.T, another func() *stream.Hub) {
	first, second := another(), another()
	e := publish(t, first, "x", entry(1))
	publish(t, first, "y", entry(1))
	for _, place := range []uint64{e.ID + 1000, e.ID + 1e12, 1<<63 - 1, 1, e.ID - 1e12} {
		for _, topics := range [][]string{{"x"}, {"x", "y"}} {
			if got, err := Read(t, second, 1, place, topics...); !errors.Is(err, stream.ErrGap) {
				t.Errorf("%q after %d: %v, %v", topics, place, got, err)
			}
		}
	}
}

// post publishes over HTTP, and returns the answer.
func post(hub *stream.Hub, topic, key, body string) (status int, answer string) {
	p := stream.Publisher{Hub: hub, Keys: []string{"key"}}
	var req fasthttp.RequestCtx
	req.Request.Header.SetMethod("POST")
	req.Request.Header.SetContentType("application/x-ndjson")
	req.Request.Header.Set("Authorization", "Bearer key")
	if key != "" {
		req.Request.Header.Set("Idempotency-Key", key)
	}
	req.Request.SetBodyString(body)
	p.Publish(&req, topic)
	return req.Response.StatusCode(), string(req.Response.Body())
}

// line is an update as it is sent.
func line(text any) string {
	return fmt.Sprintf(`{"action":"append","target":"log","text":"%v"}`+"\n", text)
}

// A request that is sent again, also to another hub, publishes nothing and gets
// the same answer. A key is one of its topic.
func aKeyPublishesOnce(t *testing.T, another func() *stream.Hub) {
	first, second := another(), another()
	for _, body := range []string{line("one"), line("one") + line("two") + line("three")} {
		topic := fmt.Sprint("x", strings.Count(body, "\n"))
		status, answer := post(first, topic, "k", body)
		if status != 201 {
			t.Fatalf("it gets %d, %s", status, answer)
		}
		for _, hub := range []*stream.Hub{first, second, another()} {
			if status, again := post(hub, topic, "k", body); status != 201 || again != answer {
				t.Errorf("again it gets %d, %s, not %s", status, again, answer)
			}
		}
		for _, hub := range []*stream.Hub{first, another()} {
			for _, other := range []string{line("other"), line("one") + line("other"), body + line("more")} {
				if status, answer := post(hub, topic, "k", other); status != 422 {
					t.Errorf("with %s it gets %d, %s", other, status, answer)
				}
			}
		}
		if status, other := post(second, topic+"-other", "k", body); status != 201 || other == answer {
			t.Errorf("in another topic it gets %d, %s", status, other)
		}
		post(second, topic, "", line("end"))
		n := strings.Count(body, "\n") + 1
		got, err := Read(t, second, n, 0, topic)
		if err != nil || len(got) != n || got[n-1].HTML != "end" {
			t.Errorf("the topic has %v, %v", got, err)
		}
	}
}

// What is published together has ids without others in between, also while
// others publish.
func aBatchIsOne(t *testing.T, another func() *stream.Hub) {
	hubs := []*stream.Hub{another(), another()}
	const publishers, batches, size = 4, 8, 10
	var publishing sync.WaitGroup
	for p := range publishers {
		publishing.Go(func() {
			for n := range batches {
				var updates []stream.Update
				for i := range size {
					updates = append(updates, entry(fmt.Sprint(p, " ", n, " ", i)))
				}
				ids, err := hubs[p%2].PublishAll("x", updates...)
				if err != nil || len(ids) != size || ids[size-1]-ids[0] != size-1 {
					t.Errorf("the ids are %v, %v", ids, err)
				}
			}
		})
	}
	got, err := Read(t, hubs[1], publishers*batches*size, 0, "x")
	publishing.Wait()
	if err != nil || len(got) != publishers*batches*size {
		t.Fatal(len(got), err)
	}
	for i := 0; i < len(got); i += size {
		first := strings.TrimSuffix(got[i].HTML, "0")
		for n, e := range got[i : i+size] {
			if e.HTML != fmt.Sprint(first, n) || e.ID != got[i].ID+uint64(n) {
				t.Errorf("event %d of a batch is %v", n, e)
			}
		}
	}
	if _, err := hubs[0].PublishAll("x", slices.Repeat([]stream.Update{entry(1)}, 5000)...); !errors.Is(err, stream.ErrBatch) {
		t.Errorf("a batch that is too large gets %v", err)
	}
	e := publish(t, hubs[0], "x", entry("last"))
	if after, err := Read(t, hubs[1], 1, got[len(got)-1].ID, "x"); err != nil || !slices.Equal(after, []stream.Event{e}) {
		t.Errorf("after it comes %v, %v", after, err)
	}
}

// Who follows a topic that ends is told, and so is who comes later.
func anEndIsSeenByAll(t *testing.T, another func() *stream.Hub) {
	first, second := another(), another()
	all := []stream.Event{publish(t, first, "x", entry(1)), publish(t, first, "x", entry(2))}
	var reading sync.WaitGroup
	for _, hub := range []*stream.Hub{first, second} {
		reading.Go(func() {
			got, err := Read(t, hub, 10, 0, "x")
			if err != nil {
				t.Error(err)
			}
			check(t, "up to the end", got, all)
		})
	}
	if err := first.End("x"); err != nil {
		t.Fatal(err)
	}
	reading.Wait()
	for _, hub := range []*stream.Hub{first, second, another()} {
		if !hub.Feed("x").Ended() {
			t.Error("the feed has not ended")
		}
	}
	if _, err := first.Publish("x", entry(3)); !errors.Is(err, stream.ErrTopicEnded) {
		t.Errorf("publishing after the end: %v", err)
	}
	if err := first.End("x"); err != nil {
		t.Errorf("the second end: %v", err)
	}
}

// A page that follows from a feed made before it was rendered misses nothing,
// and gets nothing that was there before.
func aFeedMissesNothing(t *testing.T, another func() *stream.Hub) {
	first, second := another(), another()
	for n := range 20 {
		publish(t, first, "x", entry(n))
		publish(t, first, "y", entry(n))
		feed := second.Feed("x", "y")
		if err := feed.Err(); err != nil {
			t.Fatal(err)
		}
		want := []stream.Event{publish(t, first, "y", entry("new")), publish(t, first, "x", entry("new"))}
		got, err := Read(t, second, 2, feed.After, "x", "y")
		if err != nil {
			t.Fatal(err)
		}
		check(t, "after the feed", got, want)
	}
}

// A reader of several topics gets what comes to one of them while nothing comes
// to the others.
func aSilentTopicHoldsNobodyUp(t *testing.T, another func() *stream.Hub) {
	first, second := another(), another()
	publish(t, first, "once", entry(0))
	place := second.Feed("busy", "never", "once").After
	for n := range 20 {
		e := publish(t, first, "busy", entry(n))
		got, err := Read(t, second, 1, place, "busy", "never", "once")
		if err != nil {
			t.Fatal(err)
		}
		check(t, "of the busy one", got, []stream.Event{e})
		place = e.ID
	}
}

// Names with dots anywhere, and those that look alike, are topics of their own.
func everyNameIsATopic(t *testing.T, another func() *stream.Hub) {
	first, second := another(), another()
	names := []string{".", "..", "a.b", "a..b", ".a", "a.", "a_b", "a-b", "ab", "A.B", strings.Repeat("x", 100), strings.Repeat(".", 100)}
	for _, name := range names {
		if second.Has(name) {
			t.Errorf("%q is there", name)
		}
	}
	for _, name := range names {
		e := publish(t, first, name, entry(name))
		if !second.Has(name) {
			t.Errorf("%q is not there", name)
		}
		got, err := Read(t, second, 1, 0, name)
		if err != nil {
			t.Fatal(err)
		}
		check(t, name, got, []stream.Event{e})
	}
	for _, name := range []string{"", "*", ">", "a b", "a*", "ä", "a:b", strings.Repeat("x", 101), "a\r\nb"} {
		if _, err := first.Publish(name, entry(1)); !errors.Is(err, stream.ErrTopic) || first.Has(name) {
			t.Errorf("%q is a topic: %v", name, err)
		}
	}
}
