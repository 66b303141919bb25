package bench_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"foreverframe/stream"

	"github.com/valyala/fasthttp"
)

const topic = "log"

// BenchmarkPublish is one Publish to a topic that nobody follows and that keeps
// what a hub keeps by default.
func BenchmarkPublish(b *testing.B) {
	b.ReportAllocs()
	var hub stream.Hub
	u := newUpdate(200).update
	for b.Loop() {
		hub.Publish(topic, u)
	}
}

// BenchmarkFanOut is one event to 1,000 followers, from Publish until all of
// them have it: as it comes out of Subscribe, and as it leaves as a server-sent
// event on a null connection. All wait before each Publish. The metric
// publish-ns is the part for which the publisher is held up, delivery-ns the
// whole divided by the followers.
func BenchmarkFanOut(b *testing.B) {
	b.Run("subscribe", func(b *testing.B) { fanOut(b, subscribe) })
	b.Run("sse", func(b *testing.B) { fanOut(b, followSSE) })
}

// fanOut runs 1,000 times follow, which calls got after every event and returns
// when the topic has ended.
func fanOut(b *testing.B, follow func(hub *stream.Hub, got func())) {
	const followers = 1000
	var hub stream.Hub
	var waiting, following sync.WaitGroup
	var ending atomic.Bool
	got := func() {
		if !ending.Load() {
			waiting.Done()
		}
	}
	u := newUpdate(200).update
	waiting.Add(followers)
	hub.Publish(topic, u) // all are there when all have this one
	for range followers {
		following.Go(func() { follow(&hub, got) })
	}
	waiting.Wait()

	b.ReportAllocs()
	var publishing time.Duration
	for b.Loop() {
		waiting.Add(followers)
		start := time.Now()
		hub.Publish(topic, u)
		publishing += time.Since(start)
		waiting.Wait()
	}
	b.ReportMetric(float64(publishing.Nanoseconds())/float64(b.N), "publish-ns/op")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/followers, "delivery-ns/op")
	ending.Store(true)
	hub.End(topic)
	following.Wait()
}

func subscribe(hub *stream.Hub, got func()) {
	for events := range hub.Subscribe(context.Background(), 0, topic) {
		for range events {
			got()
		}
	}
}

// followSSE follows over a whole response. Its first write is the start of the
// stream, each other one event.
func followSSE(hub *stream.Hub, got func()) {
	conn := newNullConn(1)
	conn.wrote = func() {
		if conn.writes > 1 {
			got()
		}
	}
	serveFeed(conn, func(ctx context.Context, page *stream.Page) error {
		feed := hub.Feed(topic)
		feed.After = 0
		return feed.Follow(ctx, page)
	})
}

// BenchmarkReplay is 1,000 events that are kept, for one who comes back: out of
// Subscribe, and as a whole response of server-sent events on a null connection.
func BenchmarkReplay(b *testing.B) {
	var hub stream.Hub
	feed := hub.Feed(topic)
	for range 1000 {
		hub.Publish(topic, newUpdate(200).update)
	}
	b.Run("subscribe", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for events := range hub.Subscribe(b.Context(), feed.After, topic) {
				if len(events) != 1000 {
					b.Fatal(len(events))
				}
				break
			}
		}
	})
	hub.End(topic)
	b.Run("sse", func(b *testing.B) {
		b.ReportAllocs()
		conn := newNullConn(b.N)
		b.ResetTimer()
		serveFeed(conn, feed.Follow)
		b.ReportMetric(float64(conn.writes)/float64(b.N), "writes/op")
	})
}

// serveFeed serves source as server-sent events.
func serveFeed(conn *nullConn, source stream.Source) {
	r := stream.Response{Transport: stream.SSE{Retry: time.Second}, Source: source}
	fasthttp.Serve(conn, r.Serve)
}
