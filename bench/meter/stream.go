package meter

import (
	"fmt"
	"time"
)

// A stream is one stand-in browser: what it has asked for, what has come of the
// answer, and what it does next. It is guarded by its loop.
type stream struct {
	loop   *loop
	answer answer
	scan   scan
	count  count
	step   step

	due    time.Time // when it begins
	began  time.Time // when the page was asked for first
	asked  time.Time // when the request left that is being answered
	lost   time.Time // when the connection was lost; zero if there is another
	now    time.Time // when what is being read has come
	first  bool      // an update of this page has come
	joined bool
	fresh  int    // updates in this answer
	barren int    // answers in a row that had none
	packed []byte // what has come and is compressed
	chunks int    // of the answer that have been counted
}

// A step is what a stream needs next.
type step int

const (
	connect step = iota // a connection, then a request
	ask                 // a request on the connection that it has
	reading
	over
)

func newStream(l *loop, due time.Time) *stream {
	s := &stream{loop: l, due: due, scan: newScan(l.meter.Transport, l.meter.Marker)}
	s.answer.body = s.body
	s.answer.head = s.head
	return s
}

// request returns the next request, which is about to leave.
func (s *stream) request(now time.Time) []byte {
	s.asked, s.step, s.fresh = now, reading, 0
	s.answer.next()
	s.scan.begin()
	s.loop.tally.Requests++
	if s.began.IsZero() {
		s.began = now
	}
	if s.scan.transport.Answers { // which come when there is something to tell
		s.join()
	}
	return s.loop.meter.Ask(s.scan.id, s.began)
}

// connected says that the stream has a new connection.
func (s *stream) connected() {
	s.loop.tally.Connected++
	s.answer = answer{body: s.body, head: s.head}
	s.chunks = 0
}

// feed reads what has come. It leaves the end of an answer to ended.
func (s *stream) feed(b []byte, now time.Time) {
	s.now = now
	s.loop.tally.Bytes += uint64(len(b))
	s.loop.content = s.loop.content[:0]
	_, err := s.answer.feed(b)
	if len(s.loop.content) > 0 {
		s.scan.feed(s.loop.content, s.arrived)
	}
	s.loop.tally.Chunks += uint64(s.answer.chunks - s.chunks)
	s.chunks = s.answer.chunks
	if err != nil {
		s.fail(err)
	}
}

// head is called when the head of an answer is there.
func (s *stream) head() {
	m := s.loop.meter
	record(s.loop.tally.FirstByte, since(s.asked, s.now))
	if !s.lost.IsZero() {
		record(s.loop.tally.Reconnect, since(s.lost, s.now))
		s.lost = time.Time{}
	}
	if s.answer.status != 200 {
		s.fail(fmt.Errorf("the answer to %.60q is %d", m.Ask("", s.began), s.answer.status))
	}
	if s.answer.encoding != "" && (s.answer.encoding != "gzip" || !m.Gzip) {
		s.fail(fmt.Errorf("the answer is compressed by %s", s.answer.encoding))
	}
	s.join()
}

// join says that the server knows of the stream.
func (s *stream) join() {
	if !s.joined {
		s.joined = true
		s.loop.meter.joined.Add(1)
		s.loop.meter.move()
	}
}

// body takes a part of a body. What has come together is scanned together.
func (s *stream) body(b []byte) {
	s.loop.tally.Body += uint64(len(b))
	if s.answer.encoding == "gzip" {
		s.packed = append(s.packed, b...)
		return
	}
	s.loop.content = append(s.loop.content, b...)
}

// arrived counts an update.
func (s *stream) arrived(u mark) {
	m, t := s.loop.meter, s.loop.tally
	t.Updates++
	s.fresh++
	if !s.first {
		s.first = true
		record(t.FirstUpdate, since(s.asked, s.now))
	}
	if u.number > 0 {
		if m.Joins && s.count.next == 0 {
			s.count.next = u.number - 1
		}
		switch s.count.add(u.number) {
		case again:
			t.Doubled++
			return
		case late:
			t.Reordered++
		}
		if r := &m.reached[u.number%window]; r.number.Load() == u.number && r.streams.Add(1) >= int64(m.streams) {
			m.move()
		}
	}
	if u.due > 0 {
		record(t.Latency, time.Duration(s.now.UnixMicro()-u.due)*time.Microsecond)
	}
}

// ended decides what follows the end of an answer, or of a connection in the
// middle of one.
func (s *stream) ended(now time.Time, whole bool) {
	m := s.loop.meter
	s.now = now
	if s.step == over {
		return
	}
	if whole {
		s.scan.finish(s.arrived)
	}
	s.barren++
	if s.fresh > 0 {
		s.barren = 0
	}
	page := m.Updates > 0 || m.Again
	switch {
	case page && (m.Updates == 0 && whole || m.Updates > 0 && s.count.next >= m.Updates):
		s.loop.tally.Pages++
		s.turn()
	case s.resumes() && s.barren < mostBarren:
		if !whole || !s.answer.keepsAlive {
			s.lose(now)
		}
	case page && s.barren < mostBarren:
		s.turn()
	case page:
		s.turn()
		s.fail(fmt.Errorf("the page has ended %d times without an update", s.barren))
	default:
		s.fail(fmt.Errorf("the server has ended the stream %d times in a row without an update", s.barren))
	}
	if s.step == over {
		return
	}
	s.step = connect
	if whole && s.answer.keepsAlive {
		s.step = ask
	}
}

// mostBarren is how often in a row a stream may end without an update.
const mostBarren = 20

// resumes reports whether the stream goes on after its last event.
func (s *stream) resumes() bool {
	m := s.loop.meter
	return m.Updates == 0 && !m.Again || s.scan.id != "" && s.fresh > 0 || m.Transport.Answers
}

// turn ends the page: what has not come is lost, and the next one begins.
func (s *stream) turn() {
	m := s.loop.meter
	s.loop.tally.Lost += s.count.lost(max(m.Updates, s.count.next))
	s.count, s.scan.id, s.began, s.first = count{}, "", time.Time{}, false
	if !m.Again {
		s.finish()
	}
}

// lose says that the connection is lost.
func (s *stream) lose(now time.Time) {
	if s.lost.IsZero() {
		s.lost = now
	}
	s.step = connect
}

// fail gives the stream up.
func (s *stream) fail(err error) {
	if s.step == over {
		return
	}
	t := s.loop.tally
	t.Failed++
	if t.Failure == nil {
		t.Failure = err
	}
	s.finish()
}

func (s *stream) finish() {
	s.step = over
	s.loop.meter.over.Add(1)
	s.loop.meter.move()
}
