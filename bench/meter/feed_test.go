package meter

import (
	"bytes"
	"fmt"
	"testing"
	"time"
)

// BenchmarkFeed is what one update costs the client once its bytes have been
// read: 64 bytes of text in an event, each in a chunk of its own.
func BenchmarkFeed(b *testing.B) {
	var wire bytes.Buffer
	fmt.Fprint(&wire, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
	const n = 500
	for i := 1; i <= n; i++ {
		chunk(&wire, fmt.Sprintf("id: %d\nevent: append\ndata: log\ndata: <p>ev-%d-%d-%s</p>\n\n", i, i, time.Now().UnixMicro(), "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"))
	}
	l := &loop{meter: &Meter{Transport: TransportOf("sse"), Marker: "ev-", streams: 1}, tally: newTally()}
	b.SetBytes(int64(wire.Len() / n))
	for i := 0; i < b.N; i += n {
		s := newStream(l, time.Time{})
		s.feed(wire.Bytes(), time.Now())
	}
	if l.tally.Lost+l.tally.Doubled > 0 || l.tally.Updates == 0 {
		b.Fatalf("%+v", l.tally)
	}
}
