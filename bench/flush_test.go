package bench_test

import "testing"

// BenchmarkFlush is one flush of 200 bytes in a stream that is open, on a null
// connection. The timer covers the flushes only. setbodystreamwriter flushes
// into a pipe, whose other end takes all that is there at once: its writes/op
// are below one, so several flushes share the cost of a write.
func BenchmarkFlush(b *testing.B) {
	u := newUpdate(200)
	for _, side := range sides {
		b.Run(side.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(u.wire)))
			conn := newNullConn(1)
			side.serve(conn, job{play: func(send func(*update)) {
				for range 100 { // the head leaves with the first
					send(u)
				}
				for b.Loop() {
					send(u)
				}
			}})
			if least := b.N * len(u.update.HTML); conn.bytes < least {
				b.Fatalf("wrote %d bytes, want at least %d", conn.bytes, least)
			}
			b.ReportMetric(float64(conn.writes)/float64(b.N), "writes/op")
		})
	}
}
