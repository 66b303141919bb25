package meter

import (
	"bytes"
)

// A scan finds the updates in a body that comes in any pieces.
type scan struct {
	transport Transport
	marker    []byte
	whole     []byte // what ends an update; empty means its number does
	decided   bool   // how the lines of an event stream end

	rest    []byte // of what came before, as far as it is needed
	at      int    // where in rest to go on
	waiting []mark // found, and not yet whole
	id      string // of the newest event that is whole
	next    string // of the newest event that is not, as far as it is known
}

// A mark is what the text of an update says.
type mark struct {
	number uint64 // zero means that it has none
	due    int64  // microseconds since 1970; zero means unknown
}

func newScan(t Transport, marker string) scan {
	return scan{transport: t, marker: []byte(marker), whole: []byte(t.Whole)}
}

// begin forgets what an answer has left unfinished.
func (s *scan) begin() {
	s.rest, s.at, s.waiting, s.next = s.rest[:0], 0, s.waiting[:0], ""
}

// feed reads b and calls got for each update that is whole.
func (s *scan) feed(b []byte, got func(mark)) {
	if len(s.rest) > 0 {
		s.rest = append(s.rest, b...)
		b = s.rest
	}
	s.decide(b)
	at, whole := s.at, 0
	for {
		next := s.find(b, at)
		if end := s.end(b[:next], at); end >= 0 {
			at, whole = end, end
			s.flush(got)
			continue
		}
		if next == len(b) {
			break
		}
		m, end, ok := read(b, next+len(s.marker))
		if !ok {
			break
		}
		s.waiting = append(s.waiting, m)
		at = end
		if len(s.whole) == 0 && !s.transport.Answers {
			whole = at
			s.flush(got)
		}
	}
	if whole > 0 {
		s.takeID(b[:whole])
	}
	s.keep(b, whole, at)
}

// decide looks at how the first line of an event stream ends: with CR as well, or
// without.
func (s *scan) decide(b []byte) {
	if i := bytes.IndexByte(b, '\n'); !s.decided && i >= 0 {
		s.decided = true
		if s.transport.Name == "sse" && i > 0 && b[i-1] == '\r' {
			s.whole = []byte("\r\n\r\n")
		}
	}
}

// find returns where the next marker starts, len(b) if there is none.
func (s *scan) find(b []byte, at int) int {
	if i := bytes.Index(b[at:], s.marker); i >= 0 {
		return at + i
	}
	return len(b)
}

// end returns where the updates that wait are whole, -1 if they are not.
func (s *scan) end(b []byte, at int) int {
	if len(s.waiting) == 0 || len(s.whole) == 0 {
		return -1
	}
	i := bytes.Index(b[min(at, len(b)):], s.whole)
	if i < 0 {
		return -1
	}
	return at + i + len(s.whole)
}

func (s *scan) flush(got func(mark)) {
	for _, m := range s.waiting {
		got(m)
	}
	s.waiting = s.waiting[:0]
}

// finish tells the end of an answer that is whole.
func (s *scan) finish(got func(mark)) {
	if s.transport.Answers {
		s.takeID(s.rest)
		s.flush(got)
	}
	s.begin()
}

// takeID takes the id of the newest event in part, which is whole, or else in
// what stood in front of it.
func (s *scan) takeID(part []byte) {
	if s.transport.id == nil {
		return
	}
	if id := s.transport.id(part); id != "" {
		s.next = id
	}
	if s.next != "" {
		s.id, s.next = s.next, ""
	}
}

// tail is how much is kept of what is not whole: more than a marker with its
// number, and than the end of an update.
const tail = 512

// keep keeps what is needed of b, which is whole until there and read until at.
func (s *scan) keep(b []byte, whole, at int) {
	from := max(whole, len(b)-tail)
	if from > whole && s.transport.id != nil {
		if id := s.transport.id(b[whole:]); id != "" {
			s.next = id
		}
	}
	s.at = max(0, at-from)
	s.rest = append(s.rest[:0], b[from:]...)
}

// read reads a mark's number and time, which start at i. It reports false if
// they are not there to their end.
func read(b []byte, i int) (m mark, end int, ok bool) {
	start := i
	for ; i < len(b) && digit(b[i]); i++ {
		m.number = m.number*10 + uint64(b[i]-'0')
	}
	if i == len(b) {
		return m, i, false
	}
	if i == start || b[i] != '-' {
		return m, i, true
	}
	end = i
	for i++; i < len(b) && digit(b[i]); i++ {
		m.due = m.due*10 + int64(b[i]-'0')
	}
	if i == len(b) {
		return m, i, false
	}
	if b[i] != '-' || i == end+1 {
		m.due = 0
	}
	return m, i, true
}
