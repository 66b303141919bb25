package stream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/valyala/fasthttp"
)

// A lateBroker is a Broker in memory whose topics are as late as a test wants,
// each on its own. Several hubs may have it.
type lateBroker struct {
	mu     sync.Mutex // guards the rest
	born   uint64
	all    []Event // in the order of their ids
	topics []string
	late   func() time.Duration
	away   bool
	tails  map[string]*lateTail
	other  *lateBroker // which has the events
}

type lateTail struct {
	sync.Mutex // guards the rest
	upTo       uint64
	show       func(News)
}

var errAway = fmt.Errorf("%w: the test says so", ErrBroker)

func newLateBroker(late func() time.Duration) *lateBroker {
	return &lateBroker{born: uint64(now()), late: late, tails: make(map[string]*lateTail)}
}

// another returns a broker for another hub.
func (b *lateBroker) another() *lateBroker {
	return &lateBroker{other: b, tails: make(map[string]*lateTail)}
}

func (b *lateBroker) log() *lateBroker {
	if b.other != nil {
		return b.other
	}
	return b
}

func (b *lateBroker) Publish(_ context.Context, topic, _ string, updates []Update) (uint64, error) {
	l := b.log()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.away {
		return 0, errAway
	}
	for _, u := range updates {
		l.all, l.topics = append(l.all, Event{l.born + uint64(len(l.all)) + 1, u}), append(l.topics, topic)
	}
	return l.born + uint64(len(l.all)), nil
}

func (b *lateBroker) Has(_ context.Context, topic string) (bool, error) {
	l := b.log()
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Contains(l.topics, topic), nil
}

// more returns what topic has after an id, and the newest id.
func (b *lateBroker) more(topic string, after uint64) (n News, away bool) {
	l := b.log()
	l.mu.Lock()
	defer l.mu.Unlock()
	n = News{After: max(after, l.born), UpTo: l.born + uint64(len(l.all))}
	for i, e := range l.all {
		if l.topics[i] == topic && e.ID > after {
			n.Records = append(n.Records, Record{ID: e.ID, At: now(), Updates: []Update{e.Update}})
		}
	}
	return n, l.away
}

// bring shows what there is, if the broker is not away.
func (b *lateBroker) bring(topic string, t *lateTail, live bool) bool {
	t.Lock()
	defer t.Unlock()
	n, away := b.more(topic, t.upTo)
	if away {
		return false
	}
	if last := len(n.Records); live && last > 0 {
		n.UpTo = n.Records[last-1].ID // as a message of NATS, which knows of no other topic
	} else if live {
		return true
	}
	if n.UpTo >= t.upTo {
		t.upTo = n.UpTo
		t.show(n)
	}
	return true
}

func (b *lateBroker) Follow(ctx context.Context, topic string, show func(News)) {
	t := &lateTail{show: show}
	for !b.bring(topic, t, false) {
		time.Sleep(time.Millisecond)
	}
	b.mu.Lock()
	b.tails[topic] = t
	b.mu.Unlock()
	for ctx.Err() == nil {
		time.Sleep(b.log().late())
		b.bring(topic, t, true)
	}
	b.mu.Lock()
	delete(b.tails, topic)
	b.mu.Unlock()
}

func (b *lateBroker) Sync(_ context.Context, topics []string, _ uint64) error {
	time.Sleep(b.log().late())
	b.mu.Lock()
	var tails []*lateTail
	for _, topic := range topics {
		tails = append(tails, b.tails[topic])
	}
	b.mu.Unlock()
	for i, t := range tails {
		if t != nil && !b.bring(topics[i], t, false) {
			return errAway
		}
	}
	return nil
}

func (b *lateBroker) Status() BrokerStatus { return BrokerStatus{Connected: true} }

func (b *lateBroker) setAway(away bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.away = away
}

func (b *lateBroker) following() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.tails)
}

// carried returns a hub with a broker, until the test ends.
func carried(t *testing.T, b Broker) *Hub {
	h := &Hub{Broker: b}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { h.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return h
}

// Topics arrive late, each on its own, at readers that follow several as one, on
// two hubs, go away and come back at the other one: each sees every event once
// and in the order of the ids.
func TestAReaderOfSeveralTopicsOfABrokerMissesNothing(t *testing.T) {
	for seed := range uint64(40) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			var mu sync.Mutex
			dice := func(n int) int { mu.Lock(); defer mu.Unlock(); return random.IntN(n) }
			first := newLateBroker(func() time.Duration { return time.Duration(1+dice(50)) * time.Millisecond })
			hubs := []*Hub{carried(t, first), carried(t, first.another())}
			const events = 60
			var running sync.WaitGroup
			for range 4 {
				running.Go(func() {
					time.Sleep(time.Duration(dice(500)) * time.Millisecond)
					readOver(t, hubs, events, dice)
				})
			}
			for n := range events {
				if _, err := hubs[n%2].Publish(string(rune('a'+dice(3))), Inner("n", Text(fmt.Sprint(n)))); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Duration(dice(20)) * time.Millisecond)
			}
			running.Wait()
		})
	}
}

// readOver reads events of a, b and c in several connections to hubs.
func readOver(t *testing.T, hubs []*Hub, events int, dice func(int) int) {
	var got []string
	for place := uint64(0); len(got) < events && !t.Failed(); {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(dice(200))*time.Millisecond)
		for more, err := range hubs[dice(2)].Subscribe(ctx, place, "a", "b", "c") {
			if err != nil {
				t.Errorf("after %d: %v", place, err)
			}
			for _, e := range more {
				if e.ID <= place {
					t.Errorf("%d comes after %d", e.ID, place)
				}
				place = e.ID
				got = append(got, e.HTML)
			}
		}
		cancel()
	}
	for n, text := range got {
		if text != fmt.Sprint(n) {
			t.Errorf("event %d is %q", n, text)
			break
		}
	}
}

// A broker that is away is no gap: who follows waits, and so does who comes with
// the place of an event that is not here yet.
func TestABrokerThatIsAwayIsNoGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newLateBroker(func() time.Duration { return time.Second })
		h, other := carried(t, b), carried(t, b.another())
		h.Feed("a")
		id, _ := other.Publish("a", entry(1))
		b.setAway(true)
		if _, err := other.Publish("a", entry(1)); !errors.Is(err, ErrBroker) {
			t.Errorf("publishing: %v", err)
		}
		if err := other.Feed("new").Err(); !errors.Is(err, ErrBroker) {
			t.Errorf("a feed that is not here: %v", err)
		}
		if err := h.Feed("a").Err(); err != nil {
			t.Errorf("a feed that is here: %v", err)
		}
		read := make(chan []Event)
		for _, place := range []uint64{0, id} {
			go func() {
				for events, err := range h.Subscribe(t.Context(), place, "a") {
					if err != nil {
						t.Error(err)
					}
					read <- events
				}
			}()
		}
		time.Sleep(time.Minute)
		b.setAway(false)
		if got := <-read; len(got) != 1 || got[0].ID != id {
			t.Errorf("then comes %v", got)
		}
		id, _ = other.Publish("a", entry(2))
		for range 2 {
			if got := <-read; len(got) != 1 || got[0].ID != id {
				t.Errorf("after that comes %v", got)
			}
		}
	})
}

// A topic that nobody uses is not followed any more, and one that is published
// to never was; it comes back whole.
func TestABrokersTopicsAreFollowedWhileTheyAreUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newLateBroker(func() time.Duration { return time.Millisecond })
		h := carried(t, b)
		for n := range 100 {
			h.Publish(fmt.Sprint("topic", n), entry(n))
		}
		if n := b.following(); n != 0 || h.find("topic1", func(*log) {}) {
			t.Errorf("%d topics are followed that were only published to", n)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			for range h.Subscribe(ctx, 0, "topic1") {
			}
		}()
		h.Feed("topic2")
		time.Sleep(3 * brokerIdle)
		if n := b.following(); n != 1 {
			t.Errorf("%d topics are followed, and one has a follower", n)
		}
		cancel()
		time.Sleep(3 * brokerIdle)
		if n := b.following(); n != 0 {
			t.Errorf("%d topics are followed that nobody uses", n)
		}
		for events, err := range h.Subscribe(t.Context(), 0, "topic2") {
			if err != nil || len(events) != 1 {
				t.Errorf("it comes back with %v, %v", events, err)
			}
			break
		}
	})
}

// News that do not follow what is there are a gap for all, and a broker that
// begins anew is one.
func TestNewsThatDoNotFollowAreAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newLateBroker(func() time.Duration { return time.Millisecond })
		h := carried(t, b)
		id, _ := h.Publish("a", entry(1))
		h.Feed("a", "b")
		gone := make(chan error)
		for _, topics := range [][]string{{"a"}, {"a", "b"}} {
			go func() {
				for _, err := range h.Subscribe(t.Context(), id, topics...) {
					gone <- err
				}
			}()
		}
		synctest.Wait()
		time.Sleep(time.Second)
		b.mu.Lock()
		b.born, b.all, b.topics = uint64(now()), nil, nil
		b.mu.Unlock()
		for range 2 {
			if err := <-gone; !errors.Is(err, ErrGap) {
				t.Errorf("it ends with %v", err)
			}
		}
		anew, _ := h.Publish("a", entry(2))
		for events, err := range h.Subscribe(t.Context(), 0, "a") {
			if err != nil || len(events) != 1 || events[0].ID != anew || anew <= id {
				t.Errorf("then there is %v, %v", events, err)
			}
			break
		}
	})
}

// Who follows over a connection gets what a broker brings, from the place of an
// event that this hub has not seen yet, too, and is told to reload when the broker
// begins anew.
func TestABrokersFollowersOverAConnection(t *testing.T) {
	eitherWay(t, func(t *testing.T, network string) {
		b := newLateBroker(func() time.Duration { return 20 * time.Millisecond })
		h, other := carried(t, b), carried(t, b.another())
		feed := h.Feed("a", "b")
		s := serve(t, network, func(_ *site, req *fasthttp.RequestCtx) {
			r := Response{Transport: SSE{}, Feed: feed, After: LastEventID(req)}
			r.Serve(req)
		})
		until := func(c *client, text string) {
			for got := ""; !strings.Contains(got, text); {
				chunk := c.chunk()
				if got += chunk; chunk == "" || !strings.Contains(text, "reload") && strings.Contains(got, "reload") {
					t.Fatalf("before %q there is %q", text, got)
				}
			}
		}
		early := s.connect(t)
		early.ask("GET /")
		early.head()
		for n := range 8 {
			topic := string(rune('a' + n%2))
			id, err := other.Publish(topic, Emit("", fmt.Sprint("seen-", n)))
			if err != nil {
				t.Fatal(err)
			}
			ahead := s.connect(t)
			ahead.ask("GET /", fmt.Sprint("Last-Event-ID: ", id))
			ahead.head()
			next, _ := other.Publish(topic, Emit("", fmt.Sprint("next-", n)))
			until(ahead, fmt.Sprintf("id: %d", next))
			until(early, fmt.Sprint("next-", n))
		}
		b.mu.Lock()
		b.born, b.all, b.topics = uint64(now()), nil, nil
		b.mu.Unlock()
		until(early, "event: reload")
	})
}
