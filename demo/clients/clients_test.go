package clients

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

// A hearing is what a client has heard so far.
type hearing struct {
	t *testing.T

	mu    sync.Mutex // guards heard
	heard []event
}

// listen lets l listen at url until the test has ended.
func listen(t *testing.T, l listener, url string) *hearing {
	h := &hearing{t: t}
	ctx, stop := context.WithCancel(context.Background())
	var listening sync.WaitGroup
	listening.Go(func() {
		if err := l(ctx, url, h.add); err != nil && ctx.Err() == nil {
			t.Errorf("the client gives up: %v", err)
		}
	})
	t.Cleanup(func() { stop(); listening.Wait() })
	return h
}

func (h *hearing) add(e event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.heard = append(h.heard, e)
}

func (h *hearing) all() []event {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.heard)
}

// await waits until the client has heard so many events, and fails the test
// unless they are these.
func (h *hearing) await(want []event) {
	h.t.Helper()
	for end := time.Now().Add(patience); len(h.all()) < len(want) && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	heard := h.all()
	for i := range max(len(heard), len(want)) {
		switch {
		case i >= len(heard):
			h.t.Fatalf("%d events of %d were heard", len(heard), len(want))
		case i >= len(want):
			h.t.Fatalf("one more was heard: %q", heard[i])
		case heard[i] != want[i]:
			h.t.Fatalf("event %d is %q, not %q", i, heard[i], want[i])
		}
	}
}

// forEach runs a test with each client and a server of its own.
func forEach(t *testing.T, test func(t *testing.T, s *server, l listener)) {
	for _, l := range listeners {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			made := l.make(t)
			test(t, newServer(t), made)
		})
	}
}

// text returns the data of event i: several lines of several scripts.
func text(i int) string {
	return fmt.Sprintf("%d: é ß 中文 😀👩\u200d👧 \u2028 עברית\n  indented: \"quoted\", id: 7\n\ndata: after an empty line\t<b>&amp;</b> \\n\n%s end", i, string(rune('a'+i%26)))
}

// publishMany publishes n events from the number first on, some of them named.
func (s *server) publishMany(first, n int) (published []event) {
	for i := first; i < first+n; i++ {
		published = append(published, s.publish([]string{"message", "news"}[i%2], text(i)))
	}
	return published
}

func TestEveryClientHearsEveryEventAsItWas(t *testing.T) {
	forEach(t, func(t *testing.T, s *server, l listener) {
		h := listen(t, l, s.url())
		var published []event
		for i := 0; i < 1000; i += 50 {
			published = append(published, s.publishMany(i, 50)...)
			h.await(published)
			s.awaitBeat()
			s.awaitBeat()
		}
	})
}

func TestEveryClientGoesOnWhenTheServerHasBeenAway(t *testing.T) {
	forEach(t, func(t *testing.T, s *server, l listener) {
		h := listen(t, l, s.url())
		var published []event
		for i := 0; i < 60; i += 20 {
			published = append(published, s.publishMany(i, 10)...)
			h.await(published)
			s.stop()
			published = append(published, s.publishMany(i+10, 10)...)
			s.start()
			h.await(published)
		}
	})
}

func TestEveryClientIsToldWhenEventsAreMissing(t *testing.T) {
	forEach(t, func(t *testing.T, s *server, l listener) {
		h := listen(t, l, s.url())
		want := s.publishMany(0, 10)
		h.await(want)
		s.stop()
		s.forget()
		id := s.publishMany(10, 10)[9].ID // nobody has these
		s.start()
		want = append(want, event{id, "reload", ""})
		h.await(want)
		want = append(want, s.publishMany(20, 10)...)
		h.await(want)
	})
}
