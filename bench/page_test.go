package bench_test

import (
	"bytes"
	"testing"
)

// page is a shell of 1 KB and ten updates of 200 bytes.
var page = job{
	shell: bytes.Repeat([]byte("<p>shell"), 128),
	play: func(send func(*update)) {
		for _, u := range updates {
			send(u)
		}
	},
}

var updates = func() (ten [10]*update) {
	for i := range ten {
		ten[i] = newUpdate(200)
	}
	return ten
}()

// BenchmarkPage is one whole page, from the request to its last byte, one after
// the other on a null connection that is kept alive.
func BenchmarkPage(b *testing.B) {
	for _, side := range sides {
		b.Run(side.name, func(b *testing.B) {
			b.ReportAllocs()
			conn := newNullConn(b.N)
			b.ResetTimer()
			side.serve(conn, page)
			b.ReportMetric(float64(conn.writes)/float64(b.N), "writes/op")
		})
	}
}
