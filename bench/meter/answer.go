package meter

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// An answer is the framing of HTTP/1.1 responses (RFC 9112), read from bytes as
// they come. The zero value waits for the first response of a connection.
type answer struct {
	body func([]byte) // gets the content as it comes, without framing
	head func()       // is called when the head is complete; may be nil

	status     int
	encoding   string // Content-Encoding
	chunks     int    // of all responses so far, but for the last, empty ones
	state      answerState
	left       int    // of the chunk or the body; untilClose means all that comes
	line       []byte // the part of a head or line that has come
	keepsAlive bool
}

type answerState int

const (
	inHead answerState = iota
	inBody
	inChunkSize
	inChunk
	inChunkEnd
	inTrailer
	atEnd // of a response; feed wants next to be called
)

const (
	untilClose = -1
	maxLine    = 64 << 10
)

var errFraming = errors.New("what came is not HTTP/1.1")

// next expects another response on the same connection.
func (a *answer) next() { a.state = inHead }

// feed reads b, up to the end of a response, and returns what follows it.
func (a *answer) feed(b []byte) (rest []byte, err error) {
	for len(b) > 0 && a.state != atEnd && err == nil {
		switch a.state {
		case inHead:
			b, err = a.until(b, "\r\n\r\n", a.readHead)
		case inBody, inChunk:
			b = a.content(b)
		case inChunkSize:
			b, err = a.until(b, "\r\n", a.readSize)
		case inChunkEnd:
			b, err = a.until(b, "\r\n", func(line []byte) error {
				a.state = inChunkSize
				if len(line) > 0 {
					return fmt.Errorf("%w: a chunk is longer than it says", errFraming)
				}
				return nil
			})
		case inTrailer:
			b, err = a.until(b, "\r\n", func(line []byte) error {
				if len(line) == 0 {
					a.state = atEnd
				}
				return nil
			})
		}
	}
	return b, err
}

// until calls use with what stands in front of end, once all of it is there.
func (a *answer) until(b []byte, end string, use func([]byte) error) ([]byte, error) {
	if len(a.line) == 0 {
		if i := bytes.Index(b, []byte(end)); i >= 0 {
			return b[i+len(end):], use(b[:i])
		}
	}
	known := len(a.line)
	a.line = append(a.line, b...)
	i := bytes.Index(a.line[max(0, known-len(end)+1):], []byte(end))
	if i < 0 {
		if len(a.line) > maxLine {
			return nil, fmt.Errorf("%w: a line or a head is longer than %d bytes", errFraming, maxLine)
		}
		return nil, nil
	}
	i += max(0, known-len(end)+1)
	line := a.line[:i]
	a.line = a.line[:0]
	return b[i+len(end)-known:], use(line)
}

func (a *answer) content(b []byte) []byte {
	n := len(b)
	if a.left != untilClose {
		n = min(n, a.left)
		a.left -= n
	}
	a.body(b[:n])
	if a.left == 0 {
		if a.state == inChunk {
			a.state = inChunkEnd
		} else {
			a.state = atEnd
		}
	}
	return b[n:]
}

func (a *answer) readSize(line []byte) error {
	size, _, _ := bytes.Cut(line, []byte(";"))
	n, err := strconv.ParseUint(string(bytes.TrimSpace(size)), 16, 31)
	if err != nil {
		return fmt.Errorf("%w: the size of a chunk is %q", errFraming, line)
	}
	a.left, a.state = int(n), inChunk
	if n == 0 {
		a.state = inTrailer
		return nil
	}
	a.chunks++
	return nil
}

func (a *answer) readHead(head []byte) error {
	first, fields, _ := strings.Cut(string(head), "\r\n")
	version, status, _ := strings.Cut(first, " ")
	code, err := strconv.Atoi(status[:min(3, len(status))])
	if err != nil || !strings.HasPrefix(version, "HTTP/1.") {
		return fmt.Errorf("%w: it starts with %q", errFraming, first)
	}
	if code < 200 {
		return nil // more heads follow
	}
	a.status, a.encoding, a.keepsAlive = code, "", version == "HTTP/1.1"
	a.left, a.state = untilClose, inBody
	for field := range strings.SplitSeq(fields, "\r\n") {
		name, value, _ := strings.Cut(field, ":")
		value = strings.ToLower(strings.TrimSpace(value))
		switch strings.ToLower(name) {
		case "content-encoding":
			a.encoding = value
		case "connection":
			a.keepsAlive = a.keepsAlive && value != "close"
		case "content-length":
			if a.left, err = strconv.Atoi(value); err != nil || a.left < 0 {
				return fmt.Errorf("%w: its length is %q", errFraming, value)
			}
		case "transfer-encoding":
			a.state = inChunkSize
		}
	}
	if code == 204 || code == 304 || a.state == inBody && a.left == 0 {
		a.state = atEnd
	}
	if a.head != nil {
		a.head()
	}
	return nil
}

// closed tells the end of the connection, and reports whether the response is
// whole.
func (a *answer) closed() bool {
	return a.state == atEnd || a.state == inBody && a.left == untilClose
}
