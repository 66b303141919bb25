package bench_test

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"runtime"
	"slices"
	"testing"
	"time"

	"foreverframe/stream"

	"github.com/valyala/fasthttp"
)

// BenchmarkPublishToACrowd is one Publish to a topic whose followers, all of them
// idle, stand in as many shards as 10,000 do: five. What is measured is the
// publisher's time, and the allocations of the process until it has it back.
func BenchmarkPublishToACrowd(b *testing.B) {
	const shards = 5
	var hub stream.Hub
	feed := hub.Feed("log")
	l := listen(b)
	next := time.Minute
	go fasthttp.Serve(l.Listener, func(req *fasthttp.RequestCtx) {
		next++ // another heartbeat is another shard
		stream.Response{Transport: stream.SSE{}, Feed: feed, Heartbeat: next, Log: slog.New(slog.DiscardHandler)}.Serve(req)
	})
	var followers []net.Conn
	buffer := make([]byte, 64<<10)
	read := func(conn net.Conn, until string) {
		for n := 0; !bytes.Contains(buffer[:n], []byte(until)); {
			more, err := conn.Read(buffer[n:])
			if err != nil {
				b.Fatal(err)
			}
			n += more
		}
	}
	for range shards {
		c := dial(b, l)
		io.WriteString(c, request)
		read(c.Conn, "retry")
		followers = append(followers, c.Conn)
	}
	u := newUpdate(200).update
	var times []int64
	var allocations []uint64
	var before, after runtime.MemStats
	for b.Loop() {
		count := len(times)%100 == 0
		if count {
			runtime.ReadMemStats(&before)
		}
		began := time.Now()
		hub.Publish("log", u)
		times = append(times, time.Since(began).Nanoseconds())
		if count {
			runtime.ReadMemStats(&after)
			allocations = append(allocations, after.Mallocs-before.Mallocs)
		}
		for _, c := range followers {
			read(c, "event: append")
		}
	}
	slices.Sort(times)
	slices.Sort(allocations)
	b.ReportMetric(float64(times[len(times)/2]), "publish-ns")
	b.ReportMetric(float64(allocations[len(allocations)/2]), "publish-allocs")
}
