package bench_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"foreverframe/fallback"
	"foreverframe/stream"
	"foreverframe/templates"

	"github.com/klauspost/compress/flate"
	"github.com/valyala/fasthttp"
)

// demoFeeds are updates as the demo's feeds have them.
var demoFeeds = map[string]func(random *rand.Rand, n int) stream.Update{
	"clock": func(_ *rand.Rand, n int) stream.Update {
		return stream.Inner("time", templates.Time{Now: time.Unix(int64(n), 0).UTC().Format(time.TimeOnly)})
	},
	"dashboard": func(random *rand.Rand, n int) stream.Update {
		gauges := []struct{ id, note string }{
			{"cpu", "of all processors"},
			{"load", fmt.Sprintf("%.2f over 5 minutes, %.2f over 15; 2 processors", random.Float64()*3, random.Float64()*3)},
			{"memory", "in use of 25.3 GB"},
			{"disk", "in use of 270.6 GB at /"},
			{"network", fmt.Sprintf("%.1f MB in all", 100+random.Float64())},
		}
		g := gauges[n%len(gauges)]
		share := random.IntN(100)
		return stream.Inner(g.id, templates.Reading{Value: fmt.Sprintf("%d %%", share), Share: share, Note: g.note})
	},
	"log": func(random *rand.Rand, n int) stream.Update {
		text := fmt.Sprintf("2026-11-20T13:%02d:%02d INFO request method=GET path=/items/%d status=%d duration=%.3fms\n", n/60%60, n%60, random.IntN(1000), []int{200, 304, 404}[random.IntN(3)], random.Float64()*10)
		return stream.Append("lines", templates.Line{Text: text})
	},
}

// BenchmarkGzipBytes is the bytes on the wire for an event that leaves alone, of
// the demo's feeds: not compressed, compressed once for all followers, by the
// response's own encoder, and as compress/gzip does at its default level with one
// stream and a flush for each event. The time is no measure of anything.
func BenchmarkGzipBytes(b *testing.B) {
	for name, update := range demoFeeds {
		b.Run(name, func(b *testing.B) {
			const events = 1000
			var hub stream.Hub
			feed := hub.Feed("feed")
			l := listen(b)
			go fasthttp.Serve(l.Listener, func(req *fasthttp.RequestCtx) {
				r := stream.Response{Transport: stream.SSE{}, Feed: feed, Compress: true, Log: slog.New(slog.DiscardHandler)}
				if string(req.Path()) == "/own" {
					r.Source = feed.Follow
				}
				r.Serve(req)
			})
			plain, shared, own := open(b, l, "/", ""), open(b, l, "/", "gzip"), open(b, l, "/own", "gzip")
			var one bytes.Buffer
			encoder := gzip.NewWriter(&one)
			for b.Loop() {
				random := rand.New(rand.NewPCG(1, 2))
				for n := range events {
					hub.Publish("feed", update(random, n))
					encoder.Write(plain.chunk(b))
					encoder.Flush()
					shared.chunk(b)
					own.chunk(b)
				}
			}
			all := float64(events * b.N)
			best := float64(one.Len()) / all
			b.ReportMetric(plain.bytes/all, "plain-B/event")
			b.ReportMetric(best, "alone-B/event")
			b.ReportMetric(shared.bytes/all, "shared-B/event")
			b.ReportMetric(own.bytes/all, "own-B/event")
			b.ReportMetric(shared.bytes/all/best, "shared/alone")
		})
	}
}

// A chunked is a stream that is read chunk by chunk.
type chunked struct {
	*bufio.Reader
	bytes float64 // of the chunks' contents
}

func open(b *testing.B, l net.Listener, path, encoding string) *chunked {
	conn := dial(b, l).Conn
	c := &chunked{Reader: bufio.NewReader(conn)}
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: bench\r\nAccept-Encoding: %s\r\n\r\n", path, encoding)
	if _, err := c.ReadByte(); err != nil {
		b.Fatal(err)
	}
	conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond)) // for what comes before the first event
	io.Copy(io.Discard, c)
	conn.SetReadDeadline(time.Time{})
	return c
}

func (c *chunked) chunk(b *testing.B) []byte {
	line, _ := c.ReadString('\n')
	var size int
	if _, err := fmt.Sscanf(line, "%x\r\n", &size); err != nil {
		b.Fatalf("a chunk begins with %q: %v", line, err)
	}
	content := make([]byte, size+len("\r\n"))
	if _, err := io.ReadFull(c, content); err != nil {
		b.Fatal(err)
	}
	c.bytes += float64(size)
	return content[:size]
}

// BenchmarkGzipFrames is what a compressed frame would take on the wire for an event
// that leaves alone, of the demo's feeds: with all that can be shared compressed for
// all, and behind the head of each batch, which has the response's nonce, in a block
// of its own; beside compress/gzip as above. Nothing serves it.
func BenchmarkGzipFrames(b *testing.B) {
	const events, window, blockHead = 1000, 16 << 10, 5
	for name, update := range demoFeeds {
		b.Run(name, func(b *testing.B) {
			frame := fallback.Frame{Script: stream.Script{Nonce: "AAAAAAAAAAAAAAAAAAAAAA"}}
			head := frame.AppendOpen(nil)
			room := bytes.Repeat([]byte{0xff}, len(head)) // where the heads are, which nothing may refer to
			var one, all, history bytes.Buffer
			alone := gzip.NewWriter(&one)
			shared, _ := flate.NewWriter(nil, 7) // the level is one that there is
			plain := 0
			for b.Loop() {
				random := rand.New(rand.NewPCG(1, 2))
				for n := range events {
					content := frame.AppendClose(frame.AppendEvent(nil, stream.Event{ID: 1<<50 + uint64(n), Update: update(random, n)}))
					plain += len(head) + len(content)
					alone.Write(append(bytes.Clone(head), content...))
					alone.Flush()
					past := history.Bytes()
					shared.ResetDict(&all, past[max(0, len(past)-window):])
					shared.Write(content)
					shared.Flush()
					all.Write(make([]byte, blockHead+len(head)))
					history.Write(room)
					history.Write(content)
				}
				history.Reset()
			}
			n := float64(events * b.N)
			b.ReportMetric(float64(plain)/n, "plain-B/event")
			b.ReportMetric(float64(one.Len())/n, "alone-B/event")
			b.ReportMetric(float64(all.Len())/n, "shared-B/event")
			b.ReportMetric(float64(all.Len())/float64(one.Len()), "shared/alone")
		})
	}
}
