package bench

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"foreverframe/fallback"
	"foreverframe/stream"

	"github.com/valyala/fasthttp"
)

// BenchmarkLeave is 1,000 idle streams of a transport whose clients leave, one
// after the other without a pause, by FIN or by RST. p50-ms and p99-ms are the
// times from a close until the stream's context is done.
func BenchmarkLeave(b *testing.B) {
	if runtime.GOOS != "linux" {
		b.Skip("here it shows when a write fails")
	}
	for _, transport := range []string{"script", "sse", "frame", "poll"} {
		b.Run(transport+"/FIN", func(b *testing.B) { leave(b, transport, func(*net.TCPConn) {}) })
		b.Run(transport+"/RST", func(b *testing.B) { leave(b, transport, func(c *net.TCPConn) { c.SetLinger(0) }) })
	}
}

func leave(b *testing.B, transport string, prepare func(*net.TCPConn)) {
	const streams = 1000
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	var began, ended sync.WaitGroup
	left := make([]time.Time, streams) // each stream's is its own until ended
	server := &fasthttp.Server{Handler: func(req *fasthttp.RequestCtx) {
		i := req.QueryArgs().GetUintOrZero("i")
		fallback.Serve(req, stream.Response{Shell: stream.Text(""), Heartbeat: -1, Log: slog.New(slog.DiscardHandler), Source: func(ctx context.Context, _ *stream.Page) error {
			began.Done()
			<-ctx.Done()
			left[i] = time.Now()
			ended.Done()
			return nil
		}})
	}}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	defer func() {
		server.Shutdown()
		<-served
	}()

	var took []time.Duration
	for b.Loop() {
		b.StopTimer()
		began.Add(streams)
		ended.Add(streams)
		conns, closed := make([]*net.TCPConn, streams), make([]time.Time, streams)
		for i := range conns {
			conn, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			fmt.Fprintf(conn, "GET /?i=%d&transport=%s HTTP/1.1\r\nHost: a\r\n\r\n", i, transport)
			conns[i] = conn.(*net.TCPConn)
			prepare(conns[i])
		}
		began.Wait()
		b.StartTimer()
		for i, conn := range conns {
			closed[i] = time.Now()
			conn.Close()
		}
		ended.Wait()
		for i := range streams {
			took = append(took, left[i].Sub(closed[i]))
		}
	}
	slices.Sort(took)
	ms := func(share float64) float64 {
		return took[int(share*float64(len(took)-1))].Seconds() * 1000
	}
	b.ReportMetric(ms(0.5), "p50-ms")
	b.ReportMetric(ms(0.99), "p99-ms")
}
