package meter

import (
	"fmt"
	"testing"
	"time"
)

// outcome is what a stream has made of bytes.
type outcome struct {
	updates, doubled, reordered, body, chunks uint64
	id                                        string
	state                                     answerState
	failed                                    bool
}

// readPieces has a stream read wire in pieces of size bytes; zero means at once.
func readPieces(wire []byte, transport Transport, size int) outcome {
	m := &Meter{Transport: transport, Marker: "ev-", Ask: func(string, time.Time) []byte { return nil }, streams: 1}
	l := &loop{meter: m, tally: newTally()}
	s := newStream(l, time.Time{})
	if size == 0 {
		size = len(wire)
	}
	for len(wire) > 0 && s.step != over && s.answer.state != atEnd {
		n := min(size, len(wire))
		s.feed(wire[:n], time.UnixMicro(1))
		wire = wire[n:]
	}
	if s.step != over && s.answer.state == atEnd {
		s.scan.finish(s.arrived)
	}
	t := l.tally
	return outcome{t.Updates, t.Doubled, t.Reordered, t.Body, t.Chunks, s.scan.id, s.answer.state, t.Failed > 0}
}

// FuzzPieces checks that what is read does not depend on the pieces that it comes
// in.
func FuzzPieces(f *testing.F) {
	for _, body := range []string{
		"id: 7\nevent: append\ndata: log\ndata: <p>ev-1-5-xx</p>\n\nid: 8\ndata: ev-2-6-\n\n",
		"id: 7\r\ndata: ev-1-5-xx\r\n\r\n: \r\n",
		"<script>ff(\"append\",\"log\",\"ev-1-5-x\",7);ff(\"append\",\"log\",\"ev-2-5-x\",8);ff()\n</script>",
		`[{"id":7,"action":"append","target":"log","html":"ev-1-5-"},{"id":8,"html":"ev-3-"}]`,
	} {
		for i := range Transports {
			f.Add(fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n", body[:5], len(body)-5, body[5:]), i, 3)
			f.Add(fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body), i, 1)
			f.Add(fmt.Appendf(nil, "HTTP/1.0 200 OK\r\n\r\n%s", body), i, 2)
		}
	}
	f.Add([]byte("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nid:00\r\n70\r\n0000000000000000000000000000000ev-0000000000\n\nid:\nev-\n\n"), 46, 18)
	f.Fuzz(func(t *testing.T, wire []byte, transport, size int) {
		if len(wire) > 400 { // less than what a scan keeps, so that it may forget nothing
			return
		}
		of := Transports[uint(transport)%uint(len(Transports))]
		whole, pieces := readPieces(wire, of, 0), readPieces(wire, of, 1+int(uint(size)%50))
		if whole.failed && pieces.failed {
			return
		}
		if whole != pieces {
			t.Errorf("%s: at once %+v, in pieces %+v", of.Name, whole, pieces)
		}
	})
}
