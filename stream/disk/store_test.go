package disk

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"foreverframe/stream"
)

// opened returns the store in dir, which is closed after the test.
func opened(t *testing.T, dir string, every time.Duration) *Store {
	t.Helper()
	s, err := Open(dir, every)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// content is all that a store keeps, as text.
func content(s *Store) (string, error) {
	var b strings.Builder
	kept, err := s.Load(func(r stream.Record) { fmt.Fprintf(&b, "%d %+v\n", r.ID, r) })
	fmt.Fprintf(&b, "%+v\n", kept)
	return b.String(), err
}

// reopened closes s and returns it anew, with what it keeps.
func reopened(t *testing.T, s *Store) (*Store, string) {
	t.Helper()
	s.Close()
	s = opened(t, filepath.Dir(s.path), s.every)
	all, err := content(s)
	if err != nil {
		t.Fatal(err)
	}
	return s, all
}

func record(topic string, id, after uint64, html ...string) stream.Record {
	r := stream.Record{Topic: topic, ID: id, After: after, At: int64(id)}
	for _, text := range html {
		r.Updates = append(r.Updates, stream.Update{Action: stream.ActionAppend, Target: "log", HTML: text})
	}
	return r
}

func write(t *testing.T, s *Store, changes stream.Changes) {
	t.Helper()
	if err := s.Write(changes); err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsWrittenIsLoaded(t *testing.T) {
	for _, every := range []time.Duration{0, time.Hour} {
		s := opened(t, filepath.Join(t.TempDir(), "new", "data"), every)
		if all, err := content(s); err != nil || all != "{Receipts:[] Floor:0 Gap:0 Lossy:false}\n" {
			t.Errorf("a new store: %s, %v", all, err)
		}
		receipt := stream.Receipt{Topic: "a", Key: "k", Digest: [32]byte{1, 31: 2}, ID: 12, Updates: 2, At: 5}
		write(t, s, stream.Changes{Floor: 10, Receipts: []stream.Receipt{{ID: 9}}})
		write(t, s, stream.Changes{
			Records:  []stream.Record{record("a", 12, 10, "<p>\x00\xff\n", ""), record("b", 13, 10, strings.Repeat("x", 300_000))},
			Receipts: []stream.Receipt{receipt},
		})
		write(t, s, stream.Changes{Records: []stream.Record{record("a", 14, 12), record("b", 15, 13, "y")}, Gap: 3})
		write(t, s, stream.Changes{
			Records:  []stream.Record{record("c", 16, 10, "z")},
			Receipts: []stream.Receipt{{ID: 16}},
			Forget:   []stream.Place{{Topic: "b", ID: 14}, {Topic: "none", ID: 99}, {Topic: "a", ID: 11}}, ForgetReceipts: 11,
		})
		s, all := reopened(t, s)
		want := fmt.Sprintf("12 %+v\n14 %+v\n15 %+v\n16 %+v\n{Receipts:[%+v %+v] Floor:10 Gap:3 Lossy:false}\n",
			record("a", 12, 10, "<p>\x00\xff\n", ""), record("a", 14, 12), record("b", 15, 13, "y"), record("c", 16, 10, "z"), receipt, stream.Receipt{ID: 16})
		if all != want {
			t.Errorf("it keeps\n%swant\n%s", all, want)
		}
		write(t, s, stream.Changes{
			Records:        []stream.Record{record("d", 17, 10, "1"), record("d", 18, 17, "2"), record("a", 19, 16, "made anew")},
			Forget:         []stream.Place{{Topic: "a", ID: 14}, {Topic: "d", ID: 17}},
			ForgetReceipts: 12, Floor: 16,
		})
		_, all = reopened(t, s)
		want = fmt.Sprintf("15 %+v\n16 %+v\n18 %+v\n19 %+v\n{Receipts:[%+v] Floor:16 Gap:3 Lossy:false}\n",
			record("b", 15, 13, "y"), record("c", 16, 10, "z"), record("d", 18, 17, "2"), record("a", 19, 16, "made anew"), stream.Receipt{ID: 16})
		if all != want {
			t.Errorf("it keeps\n%swant\n%s", all, want)
		}
	}
}

func TestOneProcessOneDirectory(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, dir, 0)
	if _, err := Open(dir, 0); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), dir) {
		t.Errorf("a second store: %v", err)
	}
	s.Close()
	if err := s.Write(stream.Changes{}); !errors.Is(err, ErrClosed) {
		t.Errorf("a write after the end: %v", err)
	}
	if err := s.Close(); !errors.Is(err, ErrClosed) {
		t.Errorf("a second end: %v", err)
	}
	opened(t, dir, 0)
}

func TestADirectoryThatCannotBe(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	os.WriteFile(file, nil, 0o600)
	if _, err := Open(file, 0); err == nil || !strings.Contains(err.Error(), file) {
		t.Error(err)
	}
}

// The file may not grow, as on a full disk; later it may.
func TestAFullDisk(t *testing.T) {
	s := opened(t, t.TempDir(), 0)
	content(s)
	full := func(on bool) {
		s.db.MaxSize = 0
		if on {
			s.db.MaxSize = 1 << 15
		}
	}
	full(true)
	id, after := uint64(0), uint64(0)
	var failed error
	for failed == nil && id < 1000 {
		if failed = s.Write(stream.Changes{Records: []stream.Record{record("a", id+1, after, strings.Repeat("x", 1000))}}); failed == nil {
			after = id + 1
		}
		id++
	}
	if failed == nil || !strings.Contains(failed.Error(), s.path) {
		t.Fatalf("%v after %d records", failed, id)
	}
	write(t, s, stream.Changes{Records: []stream.Record{record("a", id+1, after, "y")}}) // opens the file anew
	full(true)
	if err := s.Write(stream.Changes{Records: []stream.Record{record("a", id+2, id+1, strings.Repeat("x", 100_000))}}); err == nil {
		t.Error("a file grows that may not")
	}
	_, all := reopened(t, s)
	if n := strings.Count(all, "Topic:a"); n != int(after)+1 || !strings.Contains(all, "HTML:y") {
		t.Errorf("%d records, %d were accepted", n, after+1)
	}
}

// What a failed write has left in the file all the same is not there later.
func TestWhatHasFailedDoesNotComeBack(t *testing.T) {
	s := opened(t, t.TempDir(), 0)
	content(s)
	first := stream.Changes{Records: []stream.Record{record("a", 1, 0, "1")}, Receipts: []stream.Receipt{{ID: 1}}}
	write(t, s, first)
	state, index := s.state, s.index
	write(t, s, stream.Changes{Records: []stream.Record{record("a", 2, 1, "2"), record("b", 3, 0, "3")}, Receipts: []stream.Receipt{{ID: 2}}})
	s.state, s.index, s.doubt = state, index, true // as if it had failed at its end
	s.index.records["a"], s.index.receipts = []uint64{1}, []uint64{1}
	delete(s.index.records, "b")
	write(t, s, stream.Changes{Records: []stream.Record{record("a", 5, 1, "5")}})
	_, all := reopened(t, s)
	if want := fmt.Sprintf("1 %+v\n5 %+v\n{Receipts:[%+v] Floor:0 Gap:0 Lossy:false}\n", record("a", 1, 0, "1"), record("a", 5, 1, "5"), stream.Receipt{ID: 1}); all != want {
		t.Errorf("it keeps\n%s, want\n%s", all, want)
	}
}

func TestAStoreThatWritesLater(t *testing.T) {
	dir, copies := t.TempDir(), t.TempDir()
	// killed returns what a store finds that takes the place of one which is
	// killed now.
	killed := func(every time.Duration) string {
		b, err := os.ReadFile(filepath.Join(dir, "topics.db"))
		if err != nil {
			t.Fatal(err)
		}
		os.WriteFile(filepath.Join(copies, "topics.db"), b, 0o600)
		s := opened(t, copies, every)
		defer s.Close()
		all, err := content(s)
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	synctest.Test(t, func(t *testing.T) {
		s := opened(t, dir, time.Second)
		content(s)
		write(t, s, stream.Changes{Records: []stream.Record{record("a", 1, 0, "1")}})
		if all := killed(time.Second); strings.Contains(all, "Topic") || !strings.Contains(all, "Lossy:true") {
			t.Errorf("at once: %s", all)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if all := killed(0); !strings.Contains(all, "Topic:a") || !strings.Contains(all, "Lossy:true") {
			t.Errorf("after a second: %s", all)
		}
		write(t, s, stream.Changes{Records: []stream.Record{record("a", 2, 1, strings.Repeat("x", maxWaiting))}})
		if all := killed(0); strings.Count(all, "Topic:a") != 2 {
			t.Error("much waits")
		}
		write(t, s, stream.Changes{Records: []stream.Record{record("a", 3, 2, "3")}})
		s.Close()
		if all := killed(0); strings.Count(all, "Topic:a") != 3 || !strings.Contains(all, "Lossy:false") {
			t.Error("what waits at the end is lost")
		}
	})
}

func TestAStoreThatWritesLaterAndCannot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := opened(t, t.TempDir(), time.Second)
		content(s)
		s.mu.Lock()
		s.db.MaxSize = 1 << 15
		s.mu.Unlock()
		write(t, s, stream.Changes{Records: []stream.Record{record("a", 1, 0, strings.Repeat("x", 100_000))}})
		time.Sleep(time.Second)
		synctest.Wait()
		if err := s.Write(stream.Changes{Records: []stream.Record{record("a", 2, 1, "2")}}); err == nil {
			t.Error("it accepts more than it can write")
		}
		time.Sleep(time.Second) // it opens the file anew, without the bound
		synctest.Wait()
		write(t, s, stream.Changes{Records: []stream.Record{record("a", 3, 1, "3")}})
		_, all := reopened(t, s)
		if strings.Count(all, "Topic:a") != 2 || strings.Contains(all, "HTML:2") {
			t.Error("it does not keep what it has accepted, or keeps more")
		}
	})
}

// history writes n random changes to s and calls step after each.
func history(t *testing.T, s *Store, random *rand.Rand, n int, step func()) {
	t.Helper()
	last := make(map[string]uint64)
	id := uint64(100)
	for range n {
		var changes stream.Changes
		for range 1 + random.IntN(3) {
			topic := string(rune('a' + random.IntN(4)))
			id += 1 + uint64(random.IntN(3))
			changes.Records = append(changes.Records, record(topic, id, last[topic], strings.Repeat("x", random.IntN(500))))
			last[topic] = id
			if random.IntN(4) == 0 {
				changes.Receipts = append(changes.Receipts, stream.Receipt{Topic: topic, Key: fmt.Sprint(id), ID: id})
			}
		}
		if random.IntN(3) == 0 {
			changes.Forget = []stream.Place{{Topic: "a", ID: last["a"] - uint64(random.IntN(10)) - 1}}
			changes.ForgetReceipts = id - 20
		}
		write(t, s, changes)
		step()
	}
}

// find returns what a store finds in file: an error, or all of one of wants.
func find(t *testing.T, dir string, file []byte, wants ...string) (int, error) {
	t.Helper()
	os.WriteFile(filepath.Join(dir, "topics.db"), file, 0o600)
	s, err := Open(dir, 0)
	if err != nil {
		return -1, err
	}
	defer s.Close()
	all, err := content(s)
	if err != nil {
		return -1, err
	}
	i := slices.Index(wants, all)
	if i < 0 {
		t.Fatalf("it keeps\n%s", all)
	}
	return i, nil
}

// A machine that stops while a transaction is written leaves any part of its
// pages, and of the page of 4 KB that ends it any first part: what is there then
// is all of the transaction or nothing of it.
func TestATornTransactionHasNeverBeen(t *testing.T) {
	const page = 4096
	random := rand.New(rand.NewPCG(1, 2))
	s := opened(t, t.TempDir(), 0)
	content(s)
	read := func() []byte {
		b, err := os.ReadFile(s.path)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	keeps := func() string {
		var b strings.Builder
		twin := &Store{db: s.db, state: s.state}
		kept, err := twin.Load(func(r stream.Record) { fmt.Fprintf(&b, "%d %+v\n", r.ID, r) })
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%+v\n", kept)
		return b.String()
	}
	old, oldKeeps, dir, torn, whole := read(), keeps(), t.TempDir(), 0, 0
	step := 0
	history(t, s, random, 30, func() {
		step++
		next, nextKeeps := read(), keeps()
		var changed []int // pages, without the two at the start
		for at := 2 * page; at < len(next); at += page {
			if at >= len(old) || !bytes.Equal(old[at:at+page], next[at:at+page]) {
				changed = append(changed, at)
			}
		}
		meta := 0
		if !bytes.Equal(old[page:2*page], next[page:2*page]) {
			meta = page
		}
		// Before the last page is written: any of the others, each up to any byte.
		for range 5 {
			file := slices.Clone(old)
			if random.IntN(2) == 0 {
				file = append(file, make([]byte, max(0, len(next)-len(old)))...)
			}
			for _, at := range changed {
				if at+page <= len(file) {
					copy(file[at:at+random.IntN(page+1)], next[at:])
				}
			}
			if _, err := find(t, dir, file, oldKeeps); err != nil {
				t.Fatalf("step %d, before its end: %v", step, err)
			}
			torn++
		}
		// The last page, up to any byte; those that are alike are left out.
		for end := 0; end <= page; end++ {
			if end > 0 && end < page && old[meta+end-1] == next[meta+end-1] || step%10 != 0 {
				continue
			}
			file := slices.Clone(next)
			copy(file[meta:meta+page], old[meta:meta+page])
			copy(file[meta:meta+end], next[meta:])
			got, err := find(t, dir, file, oldKeeps, nextKeeps)
			if err != nil || end == page && got != 1 || end == 0 && got != 0 {
				t.Fatalf("step %d, its last page up to byte %d: %d, %v", step, end, got, err)
			}
			whole += got
			torn++
		}
		old, oldKeeps = next, nextKeeps
	})
	if whole == 0 || torn < 150 {
		t.Errorf("%d files were torn, %d were whole", torn, whole)
	}
}

// A file that is cut or of which a byte has changed is an error that names it,
// or it is as it was at some moment; it never has something else, and the
// process lives.
func TestADamagedFileIsAnErrorOrHarmless(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	s := opened(t, t.TempDir(), 0)
	content(s)
	write(t, s, stream.Changes{Floor: 7})
	var keeps []string
	history(t, s, random, 60, func() {
		var b strings.Builder
		twin := &Store{db: s.db, state: s.state}
		kept, _ := twin.Load(func(r stream.Record) { fmt.Fprintf(&b, "%d %+v\n", r.ID, r) })
		fmt.Fprintf(&b, "%+v\n", kept)
		keeps = append(keeps, b.String())
	})
	s.Close()
	file, err := os.ReadFile(s.path)
	if err != nil {
		t.Fatal(err)
	}
	dir, errs, same := t.TempDir(), 0, 0
	look := func(what string, file []byte) {
		switch i, err := find(t, dir, file, keeps[len(keeps)-2:]...); {
		case err == nil && i >= 0:
			same++
		case !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), dir):
			t.Fatalf("%s: %v", what, err)
		default:
			errs++
		}
		os.Remove(filepath.Join(dir, "topics.db"))
	}
	for range 150 {
		at := random.IntN(len(file))
		look(fmt.Sprintf("cut at byte %d", at), file[:at])
	}
	for at := 0; at < len(file); at++ {
		if random.IntN(len(file)/800) > 0 && at%4096 >= 32 { // the heads of all pages, and some of the rest
			continue
		}
		damaged := slices.Clone(file)
		damaged[at] ^= 1 << random.IntN(8)
		look(fmt.Sprintf("byte %d changed", at), damaged)
	}
	if errs == 0 || same == 0 {
		t.Errorf("%d errors, %d files were harmless", errs, same)
	}
	t.Logf("%d errors, %d harmless", errs, same)
}
