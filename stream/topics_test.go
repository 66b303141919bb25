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
)

// take returns the first n events of topics after an id.
func take(t *testing.T, hub *Hub, n int, after uint64, topics ...string) (all []Event) {
	t.Helper()
	for events, err := range hub.Subscribe(t.Context(), after, topics...) {
		if err != nil {
			t.Fatal(err)
		}
		if all = append(all, events...); len(all) >= n {
			break
		}
	}
	return all
}

func TestSeveralTopicsAreOneFeed(t *testing.T) {
	var hub Hub
	place := hub.Feed("a", "b", "a").After
	var want []uint64
	for n := range 10 {
		id, _ := hub.Publish([]string{"a", "b", "c"}[n%3], Emit("", fmt.Sprint(n)))
		if n%3 < 2 {
			want = append(want, id)
		}
	}
	for i, id := range append([]uint64{place}, want...) {
		if i == len(want) {
			break
		}
		var got []uint64
		for _, e := range take(t, &hub, len(want)-i, id, "b", "a", "b") {
			got = append(got, e.ID)
		}
		if !slices.Equal(got, want[i:]) {
			t.Errorf("after %d there is %v, want %v", id, got, want[i:])
		}
	}
	if hub.Feed("a", "b").After != want[len(want)-1] {
		t.Error("the feed does not stand at its newest event")
	}
}

// Who follows all topics of a hub gets every id, also of what is published to
// one while it reads another.
func TestSeveralTopicsComeInOneOrderWithoutAHole(t *testing.T) {
	const publishers, each, followers = 4, 5000, 4
	hub := Hub{KeepEvents: publishers * each}
	topics := strings.Split("a b c d e f g h", " ")
	place := hub.Feed(topics...).After
	var publishing, following sync.WaitGroup
	for range followers {
		following.Go(func() {
			last := place
			for events, err := range hub.Subscribe(t.Context(), place, topics...) {
				if err != nil {
					t.Error(err)
				}
				for _, e := range events {
					if e.ID != last+1 {
						t.Errorf("%d follows %d", e.ID, last)
					}
					last = e.ID
				}
			}
			if last != place+publishers*each {
				t.Errorf("the last is %d, want %d", last-place, publishers*each)
			}
		})
	}
	for p := range publishers {
		publishing.Go(func() {
			for n := range each {
				hub.Publish(topics[(n*3+p)%len(topics)], entry(1))
			}
		})
	}
	publishing.Wait()
	for _, topic := range topics {
		hub.End(topic)
	}
	following.Wait()
}

func TestAFeedOfSeveralTopicsEndsWithTheLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hub Hub
		feed := hub.Feed("a", "b")
		var got []string
		done := make(chan struct{})
		go func() {
			for events := range hub.Subscribe(t.Context(), feed.After, "a", "b") {
				got = append(got, events[0].HTML)
			}
			close(done)
		}()
		hub.Publish("a", Emit("", "1"))
		synctest.Wait()
		hub.End("a")
		synctest.Wait()
		if feed.Ended() {
			t.Error("it has ended with the first")
		}
		hub.Publish("b", Emit("", "2"))
		synctest.Wait()
		hub.End("b")
		<-done
		if !feed.Ended() || !slices.Equal(got, []string{"1", "2"}) {
			t.Errorf("ended %v, with %q", feed.Ended(), got)
		}
	})
}

func TestAFeedOfNoTopicsHasEnded(t *testing.T) {
	var hub Hub
	if feed := hub.Feed(); feed.Err() != nil || !feed.Ended() {
		t.Errorf("%v", feed)
	}
	for range hub.Subscribe(t.Context(), 0) {
		t.Error("it has a turn")
	}
}

func TestAFeedSaysWhyItCannotBeFollowed(t *testing.T) {
	hub := Hub{MaxTopics: 1}
	if err := hub.Feed("a", "b c").Err(); !errors.Is(err, ErrTopic) || !strings.HasPrefix(err.Error(), `feed "b c": `) {
		t.Error(err)
	}
	if err := hub.Feed("a", "b").Err(); !errors.Is(err, ErrTopics) {
		t.Error(err)
	}
	if err := hub.Feed("a").Err(); err != nil {
		t.Error(err)
	}
	for _, err := range hub.Subscribe(t.Context(), 0, "a", "b") {
		if want := `subscribe "a,b": ` + ErrTopics.Error(); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if log := hub.topics["a"]; len(log.followers) > 0 {
		t.Error("a subscription that failed still follows")
	}
}

func TestAPlaceIsAGapIfOneTopicHasForgotten(t *testing.T) {
	hub := Hub{KeepEvents: 2}
	place := hub.Feed("a", "b").After
	for range 3 {
		hub.Publish("a", entry(1))
	}
	id, _ := hub.Publish("b", entry(1))
	for topics, want := range map[string]error{"b": nil, "a": ErrGap, "a,b": ErrGap, "b,a": ErrGap} {
		for _, err := range hub.Subscribe(t.Context(), place, strings.Split(topics, ",")...) {
			if !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", topics, err, want)
			}
			break
		}
	}
	take(t, &hub, 3, 0, "a", "b") // what is kept of both
	for _, err := range hub.Subscribe(t.Context(), id+1, "b") {
		if !errors.Is(err, ErrGap) {
			t.Errorf("the future is %v, want ErrGap", err)
		}
	}
}

// Who starts before all that is kept follows from there like everybody else.
func TestWhoStartsBeforeTheFirstEventMissesNothing(t *testing.T) {
	hub := Hub{KeepEvents: 2}
	f, err := hub.follow(0, []string{"a", "b"})
	if err != nil {
		t.Fatal(err)
	}
	defer f.leave()
	if events, err := f.read(); len(events) > 0 || err != nil {
		t.Errorf("%v, %v", events, err)
	}
	for range 3 {
		hub.Publish("a", entry(1))
	}
	if events, err := f.read(); !errors.Is(err, ErrGap) {
		t.Errorf("it gets %v without the first", events)
	}
}

func TestASilentTopicGivesNothingThatIsTooOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := Hub{KeepAge: time.Minute, DropAfter: -1}
		place := hub.Feed("a").After
		id, _ := hub.Publish("a", entry(1))
		time.Sleep(time.Minute)
		take(t, &hub, 1, place, "a")
		time.Sleep(time.Microsecond)
		for _, err := range hub.Subscribe(t.Context(), place, "a") {
			if !errors.Is(err, ErrGap) {
				t.Errorf("%v, want ErrGap", err)
			}
		}
		if all := all(t, &hub, "a"); len(all) > 0 {
			t.Errorf("there is %v", all)
		}
		next, _ := hub.Publish("a", entry(1))
		if got := take(t, &hub, 1, id, "a"); got[0].ID != next { // who had all goes on
			t.Errorf("%v", got)
		}
	})
}

// tick does what lets a hub look for idle topics.
func tick(hub *Hub) {
	time.Sleep(orDefault(hub.DropAfter, time.Hour) / 8)
	hub.Feed("tick")
}

func TestIdleTopicsAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hub Hub
		tick(&hub)
		hub.Publish("a", entry(1))
		hub.End("ended")
		time.Sleep(time.Hour - time.Microsecond)
		hub.Feed("b")
		if !hub.Has("a") || !hub.Has("ended") {
			t.Error("a topic is dropped before its time")
		}
		tick(&hub)
		if hub.Has("a") || hub.Has("ended") || !hub.Has("b") || !hub.Has("tick") {
			t.Error("a topic is dropped or kept in spite of its use")
		}
		if _, err := hub.Publish("ended", entry(1)); err != nil {
			t.Errorf("a topic made anew: %v", err)
		}
	})
}

func TestATopicThatIsFollowedIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := Hub{DropAfter: time.Minute}
		hub.Publish("a", entry(1))
		ctx, leave := context.WithCancel(t.Context())
		got := 0
		done := make(chan struct{})
		go func() {
			for events := range hub.Subscribe(ctx, 0, "a", "b") {
				got += len(events)
			}
			close(done)
		}()
		time.Sleep(time.Hour)
		tick(&hub)
		if !hub.Has("a") || !hub.Has("b") {
			t.Error("a topic is dropped while somebody waits for it")
		}
		hub.Publish("a", entry(1))
		hub.Publish("b", entry(1))
		synctest.Wait()
		leave()
		<-done
		if got != 3 {
			t.Errorf("who waits gets %d events, want 3", got)
		}
		time.Sleep(time.Minute - time.Microsecond)
		tick(&hub)
		time.Sleep(time.Second)
		tick(&hub)
		if hub.Has("a") || hub.Has("b") {
			t.Error("a topic is kept although nobody follows it")
		}
	})
}

func TestADroppedTopicIsAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := Hub{DropAfter: time.Minute}
		before := hub.Feed("a").After
		first, _ := hub.Publish("a", entry(1))
		last, _ := hub.Publish("a", entry(1))
		time.Sleep(time.Minute)
		tick(&hub)
		if hub.Has("a") {
			t.Fatal("the topic is still there")
		}
		next, _ := hub.Publish("a", entry(1))
		for _, place := range []uint64{before, first} {
			for events, err := range hub.Subscribe(t.Context(), place, "a") {
				if !errors.Is(err, ErrGap) {
					t.Errorf("after %d: %v, %v", place, events, err)
				}
				break
			}
		}
		if got := take(t, &hub, 1, last, "a"); got[0].ID != next {
			t.Errorf("who had all gets %v", got)
		}
	})
}

func TestAHubMayKeepItsTopicsForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := Hub{DropAfter: -1}
		hub.Publish("a", entry(1))
		time.Sleep(10000 * time.Hour)
		hub.Publish("b", entry(1))
		if !hub.Has("a") {
			t.Error("the topic is dropped")
		}
	})
}

func TestAHubHasSoManyTopics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for max, most := range map[int]int{0: 10_000, 3: 3, -1: 10_001} {
			hub := Hub{MaxTopics: max}
			for n := range most {
				if _, err := hub.Publish(fmt.Sprint(n), entry(1)); err != nil {
					t.Fatal(err)
				}
			}
			if max < 0 {
				continue
			}
			_, err := hub.Publish("more", entry(1))
			if !errors.Is(err, ErrTopics) || !errors.Is(hub.Feed("more").Err(), ErrTopics) || hub.Has("more") {
				t.Errorf("one more than %d: %v", most, err)
			}
			if _, err := hub.Publish("0", entry(1)); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Hour + time.Hour/8)
			if _, err := hub.Publish("more", entry(1)); err != nil {
				t.Errorf("when the others are idle: %v", err)
			}
		}
	})
}

func TestPublishAllPublishesAllOrNothing(t *testing.T) {
	hub := Hub{KeepEvents: 3, KeepBytes: 1000}
	ids, err := hub.PublishAll("a", entry(1), entry(2), Emit("", "\r\n"))
	if err != nil || len(ids) != 3 || ids[1] != ids[0]+1 || ids[2] != ids[1]+1 {
		t.Errorf("%v, %v", ids, err)
	}
	if got := all(t, &hub, "a"); len(got) != 3 || got[2].HTML != "\n" {
		t.Errorf("%v", got)
	}
	if ids, err := hub.PublishAll("a"); ids != nil || err != nil {
		t.Errorf("nothing: %v, %v", ids, err)
	}
	hub.End("over")
	for want, publish := range map[error]func() ([]uint64, error){
		ErrUpdate:     func() ([]uint64, error) { return hub.PublishAll("a", entry(1), Remove("")) },
		ErrTopic:      func() ([]uint64, error) { return hub.PublishAll("a b", entry(1)) },
		ErrTopicEnded: func() ([]uint64, error) { return hub.PublishAll("over", entry(1)) },
		ErrBatch:      func() ([]uint64, error) { return hub.PublishAll("a", entry(500), entry(500)) },
	} {
		if ids, err := publish(); ids != nil || !errors.Is(err, want) || !strings.HasPrefix(err.Error(), `publish "`) {
			t.Errorf("%v, %v; want %v", ids, err, want)
		}
	}
	if got := all(t, &hub, "a"); len(got) != 3 {
		t.Errorf("%v", got)
	}
}

// A record is all that was ever published to a hub.
type record struct {
	mu     sync.Mutex // guards events
	events map[string][]uint64
}

func (r *record) add(topic string, ids ...uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.events == nil {
		r.events = make(map[string][]uint64)
	}
	r.events[topic] = append(r.events[topic], ids...)
}

// between returns the ids of topics that are greater than after, up to last.
func (r *record) between(after, last uint64, topics []string) (ids []uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, topic := range distinct(topics) {
		for _, id := range r.events[topic] {
			if id > after && id <= last {
				ids = append(ids, id)
			}
		}
	}
	slices.Sort(ids)
	return ids
}

// Whatever happens to a hub, a place has all that follows it or is a gap, and it
// is none if the hub has forgotten nothing.
func TestAPlaceHasAllOrIsAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		names := []string{"a", "b", "c", "d"}
		gaps, reads := 0, 0
		for seed := range uint64(200) {
			random := rand.New(rand.NewPCG(seed, 0))
			forgets := seed%2 == 0
			hub := &Hub{KeepEvents: 1000, DropAfter: -1}
			if forgets {
				hub = &Hub{KeepEvents: 1 + random.IntN(10), KeepAge: time.Minute, DropAfter: 2 * time.Minute}
			}
			var record record
			places := []uint64{hub.Feed("a").After}
			for range 200 {
				topic := names[random.IntN(len(names))]
				switch random.IntN(4) {
				case 0, 1:
					id, _ := hub.Publish(topic, entry(1))
					record.add(topic, id)
					places = append(places, id)
				case 2:
					time.Sleep(time.Duration(random.IntN(20)) * time.Second)
				case 3:
					topics := names[:1+random.IntN(len(names))]
					place := places[random.IntN(len(places))]
					f, err := hub.follow(place, topics)
					if err != nil {
						t.Fatal(err)
					}
					events, err := f.read()
					f.leave()
					reads++
					if errors.Is(err, ErrGap) && forgets {
						gaps++
						continue
					}
					var got []uint64
					for _, e := range events {
						got = append(got, e.ID)
					}
					if want := record.between(place, 1<<53, topics); err != nil || !slices.Equal(got, want) {
						t.Fatalf("seed %d: %v after %d: %v, %v; want %v", seed, topics, place, got, err, want)
					}
				}
			}
		}
		if gaps == 0 || gaps > reads/2 {
			t.Errorf("%d of %d places are gaps", gaps, reads)
		}
	})
}

// A visit is what one follower has seen from one place on.
type visit struct {
	place  uint64
	topics []string
	seen   []uint64
	all    bool // it stayed until everything was published
}

// Publishers, followers of several topics that come and go at random places, and
// topics that are dropped and made again, all at once.
func TestEveryoneSeesAllOrAGapWhileTopicsComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		names := strings.Split("a b c d e f g h", " ")
		hub := &Hub{KeepEvents: 50, DropAfter: 10 * time.Second}
		record := new(record)
		birth := hub.Feed(names...).After
		ctx, leave := context.WithCancel(t.Context())

		var publishing, following sync.WaitGroup
		for p := range 4 {
			random := rand.New(rand.NewPCG(1, uint64(p)))
			publishing.Go(func() { publishAtRandom(t, hub, record, random, names) })
		}
		visits := make([][]visit, 8)
		for f := range visits {
			random := rand.New(rand.NewPCG(2, uint64(f)))
			following.Go(func() { visits[f] = visitAtRandom(t, ctx, hub, random, names, birth) })
		}
		publishing.Wait()
		synctest.Wait() // everybody has seen all by now, or is away
		leave()
		following.Wait()

		gaps, seen := 0, 0
		for _, v := range slices.Concat(visits...) {
			last := uint64(1 << 53)
			if !v.all {
				gaps++
				last = slices.Max(append(v.seen, 0))
			}
			seen += len(v.seen)
			if want := record.between(v.place, last, v.topics); !slices.Equal(v.seen, want) {
				t.Fatalf("%v after %d: %v, want %v", v.topics, v.place, v.seen, want)
			}
		}
		if hub.floor == birth || gaps == 0 || seen == 0 {
			t.Errorf("the floor has risen by %d, %d visits were cut, %d events were seen", hub.floor-birth, gaps, seen)
		}
	})
}

func publishAtRandom(t *testing.T, hub *Hub, record *record, random *rand.Rand, names []string) {
	for n := range 1000 {
		topic := names[random.IntN(1+random.IntN(1+random.IntN(len(names))))] // the last ones seldom
		ids, err := hub.PublishAll(topic, slices.Repeat([]Update{entry(1)}, 1+random.IntN(3))...)
		if err != nil {
			t.Error(err)
		}
		record.add(topic, ids...)
		if n%20 == 0 {
			time.Sleep(time.Duration(random.IntN(5000)) * time.Millisecond)
		}
	}
}

// visitAtRandom visits topics again and again until ctx is done.
func visitAtRandom(t *testing.T, ctx context.Context, hub *Hub, random *rand.Rand, names []string, place uint64) (visits []visit) {
	for ctx.Err() == nil {
		v := visit{place: place, all: true}
		for _, n := range random.Perm(len(names))[:1+random.IntN(3)] {
			v.topics = append(v.topics, names[n])
		}
		turns := random.IntN(20)
		for events, err := range hub.Subscribe(ctx, place, v.topics...) {
			if err != nil && !errors.Is(err, ErrGap) {
				t.Error(err)
			}
			for _, e := range events {
				v.seen = append(v.seen, e.ID)
			}
			if turns--; err != nil || turns < 0 {
				v.all = false
				break
			}
			if random.IntN(10) == 0 {
				time.Sleep(time.Duration(random.IntN(3)) * time.Second) // slow, and behind
			}
		}
		visits = append(visits, v)
		time.Sleep(time.Duration(random.IntN(20)) * time.Second)
		place = hub.Feed(v.topics...).After
		if len(v.seen) > 0 && random.IntN(2) == 0 {
			place = v.seen[random.IntN(len(v.seen))]
		}
	}
	return visits
}
