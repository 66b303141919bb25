package bench_test

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"foreverframe/stream"
	"foreverframe/stream/disk"
)

// A keeper is a kind of store.
type keeper struct {
	name string
	open func(dir string) (stream.Store, func() error, error)
}

var keepers = []keeper{
	{"bbolt", func(dir string) (stream.Store, func() error, error) {
		s, err := disk.Open(dir, 0)
		return s, s.Close, err
	}},
	{"wal", func(dir string) (stream.Store, func() error, error) {
		s, err := openWAL(dir)
		return s, s.log.Close, err
	}},
}

// later is bbolt written to every 100 ms, and nothing a hub without a store.
var (
	later = keeper{"later", func(dir string) (stream.Store, func() error, error) {
		s, err := disk.Open(dir, 100*time.Millisecond)
		return s, s.Close, err
	}}
	nothing = keeper{"nothing", nil}
)

// restore makes hub keep its topics in dir, and returns what closes the store.
func (k keeper) restore(b *testing.B, hub *stream.Hub, dir string) (closeStore func() error) {
	b.Helper()
	if k.open == nil {
		return func() error { return nil }
	}
	store, closeStore, err := k.open(dir)
	if err == nil {
		err = hub.Restore(store)
	}
	if err != nil {
		b.Fatal(err)
	}
	return closeStore
}

// BenchmarkStorePublish is one event of 200 bytes, to one of 100 topics, from
// some publishers at once, each waiting for its answer. Each topic keeps 100.
func BenchmarkStorePublish(b *testing.B) {
	for _, k := range append(keepers, later, nothing) {
		for _, publishers := range []int{1, 16, 256} {
			b.Run(fmt.Sprintf("%s/publishers=%d", k.name, publishers), func(b *testing.B) {
				hub := &stream.Hub{KeepEvents: 100}
				closeStore := k.restore(b, hub, b.TempDir())
				u := newUpdate(200).update
				b.ResetTimer()
				var publishing sync.WaitGroup
				for p := range publishers {
					publishing.Go(func() {
						for n := p; n < b.N; n += publishers {
							if _, err := hub.Publish(fmt.Sprint("t", n*7%100), u); err != nil {
								b.Error(err)
							}
						}
					})
				}
				publishing.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "publish/s")
				closeStore()
			})
		}
	}
}

// BenchmarkStoreRestart is from the start of a process until its hub has all
// that the last one kept.
func BenchmarkStoreRestart(b *testing.B) {
	for _, k := range keepers {
		for _, size := range []struct{ topics, events int }{{10_000, 10_000}, {1000, 1_000_000}} {
			b.Run(fmt.Sprintf("%s/topics=%d/events=%d", k.name, size.topics, size.events), func(b *testing.B) {
				dir := b.TempDir()
				k.fill(b, dir, size.topics, size.events)
				for b.Loop() {
					hub := &stream.Hub{KeepEvents: size.events, KeepBytes: 1 << 30, MaxTopics: -1}
					closeStore := k.restore(b, hub, dir)
					if !hub.Has(fmt.Sprint("t", size.topics-1)) {
						b.Fatal("a topic is missing")
					}
					closeStore()
				}
				b.ReportMetric(megabytes(b, dir), "MB")
			})
		}
	}
}

// fill makes a store in dir with events of 200 bytes.
func (k keeper) fill(b *testing.B, dir string, topics, events int) {
	store, closeStore, err := k.open(dir)
	if err != nil {
		b.Fatal(err)
	}
	store.Load(func(stream.Record) {})
	updates := []stream.Update{newUpdate(200).update}
	for n := 0; n < events; {
		var changes stream.Changes
		for range 10_000 {
			n++
			changes.Records = append(changes.Records, stream.Record{Topic: fmt.Sprint("t", n%topics), ID: uint64(n), After: uint64(max(n-topics, 0)), At: time.Now().UnixMicro(), Updates: updates})
		}
		if err := store.Write(changes); err != nil {
			b.Fatal(err)
		}
	}
	closeStore()
}

// BenchmarkStoreRetention publishes 500,000 events of 200 bytes to ten topics
// that keep 1,024 each, 100 at once, after one event to a topic that then is
// silent. MB is what is on the disk in the end.
func BenchmarkStoreRetention(b *testing.B) {
	for _, k := range keepers {
		b.Run(k.name, func(b *testing.B) {
			for b.Loop() {
				var hub stream.Hub
				dir := b.TempDir()
				closeStore := k.restore(b, &hub, dir)
				u := newUpdate(200).update
				hub.Publish("silent", u)
				hundred := make([]stream.Update, 100)
				for i := range hundred {
					hundred[i] = u
				}
				for n := range 5000 {
					if _, err := hub.PublishAll(fmt.Sprint("t", n%10), hundred...); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(megabytes(b, dir), "MB")
				closeStore()
			}
		})
	}
}

// megabytes returns the size of the files in dir.
func megabytes(b *testing.B, dir string) float64 {
	size := int64(0)
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			info, _ := d.Info()
			size += info.Size()
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return float64(size) / 1e6
}
