package stream

import (
	"cmp"
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

// A shelf is a Store in memory, which stays when its hub has gone.
type shelf struct {
	pass chan struct{} // each Write waits for a token, if not nil

	mu     sync.Mutex // guards the rest
	kept   Kept
	all    []Record
	writes int
	err    error // what Write returns
}

func (s *shelf) Load(each func(Record)) (Kept, error) {
	for _, r := range s.all {
		each(r)
	}
	return s.kept, s.err
}

func (s *shelf) Write(changes Changes) error {
	if s.pass != nil {
		<-s.pass
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes++
	if s.err != nil {
		return s.err
	}
	s.all = append(s.all, changes.Records...)
	for _, p := range changes.Forget {
		s.all = slices.DeleteFunc(s.all, func(r Record) bool { return r.Topic == p.Topic && r.ID <= p.ID })
	}
	s.kept.Receipts = slices.DeleteFunc(append(s.kept.Receipts, changes.Receipts...), func(r Receipt) bool { return r.ID <= changes.ForgetReceipts })
	s.kept.Floor = cmp.Or(changes.Floor, s.kept.Floor)
	s.kept.Gap = cmp.Or(changes.Gap, s.kept.Gap)
	return nil
}

func (s *shelf) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// check returns an error if the records of a topic are not a chain.
func (s *shelf) check() error {
	last := make(map[string]uint64)
	newest := uint64(0)
	for _, r := range s.all {
		if before := last[r.Topic]; r.ID <= newest || before != 0 && r.After != before {
			return fmt.Errorf("record %d of %s says it is after %d, but it is after %d and %d", r.ID, r.Topic, r.After, before, newest)
		}
		last[r.Topic], newest = r.ID, r.ID
	}
	return nil
}

// restored makes hub go on with what s has.
func restored(t *testing.T, hub *Hub, s *shelf) *Hub {
	t.Helper()
	if err := hub.Restore(s); err != nil {
		t.Fatal(err)
	}
	return hub
}

var errFull = errors.New("the disk is full")

func TestNobodySeesWhatIsNotSafe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{}
		hub := restored(t, new(Hub), s)
		s.pass = make(chan struct{})
		place := hub.Feed("a").After
		var got []Event
		answered, ended := false, false
		go func() {
			for events := range hub.Subscribe(t.Context(), place, "a", "b") {
				got = append(got, events...)
			}
		}()
		go func() { hub.PublishAll("a", entry(1), entry(2)); answered = true }()
		synctest.Wait()
		if answered || len(got) > 0 || hub.Feed("a").After != place || len(all(t, hub, "a")) > 0 {
			t.Errorf("before it is safe: answered %v, followers have %v, the feed stands %d further", answered, got, hub.Feed("a").After-place)
		}
		s.pass <- struct{}{}
		synctest.Wait()
		if !answered || len(got) != 2 || hub.Feed("a").After != got[1].ID {
			t.Errorf("when it is safe: answered %v, followers have %v", answered, got)
		}
		go func() { hub.End("a"); hub.End("b"); ended = true }()
		synctest.Wait()
		if ended || hub.Feed("a").Ended() {
			t.Error("it has ended before that is safe")
		}
		close(s.pass)
		synctest.Wait()
		if !ended || !hub.Feed("a", "b").Ended() {
			t.Error("it has not ended")
		}
	})
}

func TestPublishersShareAWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{}
		hub := restored(t, new(Hub), s)
		s.pass, s.writes = make(chan struct{}), 0
		var publishing sync.WaitGroup
		for n := range 100 {
			publishing.Go(func() { hub.Publish(fmt.Sprint(n%7), entry(1)) })
		}
		synctest.Wait()
		close(s.pass)
		publishing.Wait()
		if s.writes != 2 || len(s.all) != 100 { // the first alone, the others together
			t.Errorf("%d writes of %d records", s.writes, len(s.all))
		}
	})
}

func TestWhatCannotBeKeptIsNotPublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{}
		p := publisher()
		restored(t, p.Hub, s)
		first := ids(t, post(p, "a", "text/plain", "1"))[0]
		var got []Event
		go func() {
			for events := range p.Hub.Subscribe(t.Context(), first, "a") {
				got = append(got, events...)
			}
		}()
		s.fail(errFull)
		for _, key := range []string{"Idempotency-Key: k", "No-Key: k"} {
			response := post(p, "a", "text/plain", "2", key)
			wantStatus(t, response, 503, errFull.Error())
			if string(response.Header.Peek("Retry-After")) != "5" || !strings.Contains(string(response.Body()), "send it again later") {
				t.Errorf("%v", response)
			}
		}
		if err := p.Hub.End("a"); !errors.Is(err, ErrStore) || !errors.Is(err, errFull) {
			t.Errorf("the end: %v", err)
		}
		synctest.Wait()
		if len(got) > 0 || p.Hub.Feed("a").Ended() || p.Hub.Feed("a").After != first {
			t.Errorf("it is published all the same: %v", got)
		}
		s.fail(nil)
		next := ids(t, post(p, "a", "text/plain", "2", "Idempotency-Key: k"))[0]
		synctest.Wait()
		if len(got) != 1 || got[0].ID != next || s.check() != nil {
			t.Errorf("when there is space again: %v, %v", got, s.check())
		}
		if err := p.Hub.End("a"); err != nil {
			t.Error(err)
		}
		wantStatus(t, post(p, "a", "text/plain", "3"), 410, ErrTopicEnded.Error())
		if err := p.Hub.End("a"); err != nil {
			t.Errorf("a second end: %v", err)
		}
	})
}

func TestNothingFollowsAnEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{}
		hub := restored(t, new(Hub), s)
		s.pass = make(chan struct{})
		var publishing sync.WaitGroup
		errs := make([]error, 30)
		for n := range errs {
			publishing.Go(func() {
				if n == 15 {
					hub.End("a")
					return
				}
				_, errs[n] = hub.Publish("a", entry(1))
			})
		}
		synctest.Wait()
		close(s.pass)
		publishing.Wait()
		failed := 0
		for _, err := range errs {
			if err != nil && !errors.Is(err, ErrTopicEnded) {
				t.Error(err)
			}
			if err != nil {
				failed++
			}
		}
		end := s.all[len(s.all)-1]
		if got := len(all(t, hub, "a")); len(end.Updates) > 0 || got != 29-failed || len(s.all) != got+1 {
			t.Errorf("%d events and %d refusals, %d records, the last %v", got, failed, len(s.all), end)
		}
		if err := s.check(); err != nil {
			t.Error(err)
		}
	})
}

// An end that the store cannot keep is none, also for what came behind it.
func TestAnEndThatFailsIsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{}
		hub := restored(t, new(Hub), s)
		s.pass = make(chan struct{})
		errs := make([]error, 3)
		publish := func(n int) { _, errs[n] = hub.Publish("a", entry(1)) }
		go publish(0) // alone; the others are one group
		synctest.Wait()
		go func() { errs[1] = hub.End("a") }()
		synctest.Wait()
		go publish(2)
		synctest.Wait()
		s.pass <- struct{}{}
		synctest.Wait()
		s.fail(errFull)
		s.pass <- struct{}{}
		synctest.Wait()
		s.fail(nil)
		close(s.pass)
		if errs[0] != nil || !errors.Is(errs[1], ErrStore) || !errors.Is(errs[2], ErrStore) {
			t.Errorf("%v", errs)
		}
		if publish(0); errs[0] != nil || len(s.all) != 2 || s.check() != nil {
			t.Errorf("after that: %v, %d records", errs[0], len(s.all))
		}
	})
}

func TestARestoredHubIsCounted(t *testing.T) {
	if hub := restored(t, new(Hub), &shelf{}); !slices.Contains(livingHubs(), hub) {
		t.Error("its topics are not counted")
	}
}

func TestAnIdempotencyKeySurvives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{}
		life := func() *Publisher {
			p := publisher()
			p.Hub.KeepEvents = 2
			restored(t, p.Hub, s)
			return p
		}
		p := life()
		first := ids(t, post(p, "a", lines, "{\"data\":\"1\"}\n{\"data\":\"2\"}", "Idempotency-Key: k"))
		for range 3 {
			post(p, "a", "text/plain", "x")
		}
		p = life()
		if again := ids(t, post(p, "a", lines, "{\"data\":\"1\"}\n{\"data\":\"2\"}", "Idempotency-Key: k")); !slices.Equal(again, first) {
			t.Errorf("%v, then %v", first, again)
		}
		wantStatus(t, post(p, "a", "text/plain", "other", "Idempotency-Key: k"), 422, "use a new one")
		time.Sleep(keptAsReceipts)
		p = life()
		time.Sleep(time.Second)
		second := ids(t, post(p, "a", "text/plain", "other", "Idempotency-Key: k"))[0]
		p = life()
		if again := ids(t, post(p, "a", "text/plain", "other", "Idempotency-Key: k"))[0]; again != second || second <= first[1] {
			t.Errorf("a key of which the receipt was too old: %v, then %v", second, again)
		}
		post(p, "a", "text/plain", "y", "Idempotency-Key: l")
		if n := len(s.kept.Receipts); n != 2 {
			t.Errorf("the store keeps %d receipts", n)
		}
		for key := range maxReceipts + 1 {
			post(p, "a", "text/plain", "z", fmt.Sprint("Idempotency-Key: ", key))
		}
		if n := len(s.kept.Receipts); n > maxReceipts+1 {
			t.Errorf("the store keeps %d receipts", n)
		}
		p = life()
		if n, m := len(p.Hub.receipts.all), len(p.Hub.receipts.order); n != maxReceipts || m != maxReceipts {
			t.Errorf("the hub has %d receipts, in order %d", n, m)
		}
	})
}

// An idempotent request that comes while the first is on its way has its answer.
func TestTheSameRequestWaitsForTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{}
		p := publisher()
		restored(t, p.Hub, s)
		s.pass = make(chan struct{})
		status := make([]int, 5)
		var sending sync.WaitGroup
		for n := range status {
			sending.Go(func() {
				status[n] = post(p, "a", "text/plain", "x", "Idempotency-Key: k").StatusCode()
			})
		}
		s.err = errFull
		synctest.Wait()
		s.pass <- struct{}{} // the first one fails
		synctest.Wait()      // another one takes its place
		s.fail(nil)
		close(s.pass)
		sending.Wait()
		slices.Sort(status)
		if !slices.Equal(status, []int{201, 201, 201, 201, 503}) || len(s.all) != 1 {
			t.Errorf("%v, %d records", status, len(s.all))
		}
	})
}

// What a place has after a restart is what it had before.
func TestARestartChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		names := []string{"a", "b", "c", "d"}
		gaps, same := 0, 0
		for seed := range uint64(40) {
			random := rand.New(rand.NewPCG(seed, 0))
			keep := Hub{KeepEvents: 1 + random.IntN(10), KeepBytes: 100 + random.IntN(2000), KeepAge: time.Duration(random.IntN(3)) * time.Minute, DropAfter: 2 * time.Minute}
			life := func() *Hub {
				return &Hub{KeepEvents: keep.KeepEvents, KeepBytes: keep.KeepBytes, KeepAge: keep.KeepAge, DropAfter: keep.DropAfter}
			}
			s := &shelf{}
			hub := restored(t, life(), s)
			var record record
			places := []uint64{hub.Feed("a").After}
			newest := uint64(0)
			for range 150 {
				topic := names[random.IntN(len(names))]
				switch random.IntN(6) {
				case 0, 1, 2:
					updates := make([]Update, 1+random.IntN(3))
					for i := range updates {
						updates[i] = entry(random.IntN(50))
					}
					ids, err := hub.PublishAll(topic, updates...)
					if errors.Is(err, ErrTopicEnded) || errors.Is(err, ErrBatch) {
						continue
					}
					if err != nil || ids[0] <= newest {
						t.Fatalf("seed %d: %v after %d, %v", seed, ids, newest, err)
					}
					newest = ids[len(ids)-1]
					record.add(topic, ids...)
					places = append(places, ids...)
				case 3:
					time.Sleep(time.Duration(random.IntN(20)) * time.Second)
				case 4:
					if random.IntN(10) == 0 {
						hub.End(topic)
					}
				case 5:
					have := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !hub.Has(name) })
					random.Shuffle(len(places), func(i, j int) { places[i], places[j] = places[j], places[i] })
					before := sights(t, hub, places[:min(len(places), 20)], have)
					hub = restored(t, life(), s)
					empty := slices.DeleteFunc(slices.Clone(have), hub.Has)
					after := sights(t, hub, places[:min(len(places), 20)], have)
					if err := s.check(); err != nil {
						t.Fatalf("seed %d: %v", seed, err)
					}
					for i, v := range before {
						switch {
						case after[i] == v:
							same++
						case after[i].err == ErrGap && !v.ended && slices.Contains(empty, v.topic): // nothing was published to it
							gaps++
						default:
							t.Fatalf("seed %d: before %+v\nafter %+v", seed, v, after[i])
						}
					}
				}
			}
		}
		if same < 100*gaps {
			t.Errorf("%d sights are the same, %d are gaps", same, gaps)
		}
	})
}

// A sight is what one topic shows from a place.
type sight struct {
	topic string
	place uint64
	ids   string
	ended bool
	err   error
}

func sights(t *testing.T, hub *Hub, places []uint64, names []string) (all []sight) {
	for _, name := range names {
		for _, place := range append([]uint64{0}, places...) {
			f, err := hub.follow(place, []string{name})
			if err != nil {
				t.Fatal(err)
			}
			events, err := f.read()
			f.leave()
			v := sight{topic: name, place: place, ended: hub.Feed(name).Ended(), err: err}
			for _, e := range events {
				v.ids += fmt.Sprint(e.ID, e.HTML, ",")
			}
			all = append(all, v)
		}
	}
	return all
}

func TestAPlaceFromBeforeTheFirstEventSurvives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{}
		place := restored(t, new(Hub), s).Feed("a").After
		time.Sleep(time.Hour)
		hub := restored(t, new(Hub), s)
		id, _ := hub.Publish("a", entry(1))
		if got := take(t, hub, 1, place, "a"); got[0].ID != id || id <= uint64(now()-1) {
			t.Errorf("%v", got)
		}
	})
}

// A store that may have lost something makes those who may have seen it start
// again, also when it is restored a second time.
func TestWhatMayBeLostIsAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{}
		hub := restored(t, new(Hub), s)
		first, _ := hub.Publish("a", entry(1))
		lost, _ := hub.Publish("a", entry(1))
		s.all, s.kept.Lossy = s.all[:1], true
		for range 2 {
			time.Sleep(time.Second)
			hub = restored(t, new(Hub), s)
			for _, topic := range []string{"a", "b"} {
				for _, place := range []uint64{first, lost} {
					for events, err := range hub.Subscribe(t.Context(), place, topic) {
						if !errors.Is(err, ErrGap) {
							t.Errorf("after %d: %v, %v", place, events, err)
						}
						break
					}
				}
			}
			if got := all(t, hub, "a"); len(got) != 1 || got[0].ID != first {
				t.Errorf("%v", got)
			}
			s.kept.Lossy = false
		}
	})
}

func TestAStoreThatCannotBeReadIsAnError(t *testing.T) {
	if err := new(Hub).Restore(&shelf{err: errFull}); !errors.Is(err, errFull) {
		t.Error(err)
	}
}

// Who follows all topics sees all that was published, in order, while the store
// fails now and then and topics are read one after the other.
func TestSeveralTopicsComeInOneOrderFromAStore(t *testing.T) {
	const publishers, each, followers = 8, 500, 4
	s := &shelf{}
	hub := restored(t, &Hub{KeepEvents: publishers * each}, s)
	topics := strings.Split("a b c d e", " ")
	place := hub.Feed(topics...).After
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var publishing, following sync.WaitGroup
	seen := make([][]uint64, followers)
	for f := range followers {
		following.Go(func() {
			for events, err := range hub.Subscribe(ctx, place, topics...) {
				if err != nil {
					t.Error(err)
				}
				for _, e := range events {
					seen[f] = append(seen[f], e.ID)
				}
			}
		})
	}
	var record record
	for p := range publishers {
		publishing.Go(func() {
			for n := range each {
				topic := topics[(n*3+p)%len(topics)]
				ids, err := hub.PublishAll(topic, entry(1), entry(1))
				if err == nil {
					record.add(topic, ids...)
				}
				if p == 0 && n%20 == 0 {
					s.fail(errFull)
				} else if p == 0 && n%20 == 5 {
					s.fail(nil)
				}
			}
		})
	}
	publishing.Wait()
	s.fail(nil)
	for _, topic := range topics {
		hub.End(topic)
	}
	following.Wait()
	want := record.between(0, 1<<53, topics)
	for _, got := range seen {
		if !slices.Equal(got, want) {
			t.Fatalf("a follower has %d events, %d were published", len(got), len(want))
		}
	}
	if err := s.check(); err != nil || len(want) == 2*publishers*each {
		t.Errorf("%v; %d ids", err, len(want))
	}
}
