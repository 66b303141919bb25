package client

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// An EventSource is the transport of server-sent events (HTML, section 9.2.6).
// One that is used again reconnects as a browser's does by itself, with the
// header Last-Event-ID; a new one is what the runtime makes when it starts over.
type EventSource struct {
	// LastEventID is the id of the last event, as it came.
	LastEventID string
	// Retry is the last retry field, as it came.
	Retry string
}

// Name returns "sse".
func (*EventSource) Name() string { return "sse" }

// Ask asks by media type, as browsers do.
func (s *EventSource) Ask(header http.Header, _ url.Values) {
	header.Set("Accept", "text/event-stream")
	if s.LastEventID != "" {
		header.Set("Last-Event-ID", s.LastEventID)
	}
}

// Read interprets an event stream. An event that the stream ends within is
// dropped, as the standard wants.
func (s *EventSource) Read(body io.Reader, event func(Event) error) error {
	block := block{id: s.LastEventID}
	lines := lines{start: true}
	buffer := make([]byte, 4096)
	for {
		n, err := body.Read(buffer)
		lines.add(buffer[:n])
		for line, ok := lines.next(); ok; line, ok = lines.next() {
			if line != "" {
				block.field(line, s)
				continue
			}
			if err := s.dispatch(&block, event); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// dispatch ends a block: what has data is an event. The id counts in any case.
func (s *EventSource) dispatch(b *block, event func(Event) error) error {
	name, data, known := b.event, b.data, s.LastEventID
	s.LastEventID = b.id
	*b = block{id: b.id}
	if data == "" {
		return nil
	}
	e := update(name, strings.TrimSuffix(data, "\n"))
	if s.LastEventID != known { // else it is repeated for an event without one
		e.ID, _ = strconv.ParseUint(s.LastEventID, 10, 64) // "done" is none
	}
	return event(e)
}

// update returns the update that a server-sent event stands for.
func update(name, data string) Event {
	switch name {
	case "append", "prepend", "before", "after", "replace", "inner", "remove", "attr", "title", "reload", "done", "fail", "again", "beat":
		target, html, _ := strings.Cut(data, "\n")
		return Event{Action: name, Target: target, HTML: html}
	case "":
		name = "message"
	}
	return Event{Action: "emit", Target: name, HTML: data}
}

// A block is the fields since the last blank line.
type block struct{ id, event, data string }

func (b *block) field(line string, s *EventSource) {
	name, value, _ := strings.Cut(line, ":")
	value = strings.TrimPrefix(value, " ")
	switch name {
	case "event":
		b.event = value
	case "data":
		b.data += value + "\n"
	case "id":
		if !strings.Contains(value, "\x00") {
			b.id = value
		}
	case "retry":
		if value != "" && strings.Trim(value, "0123456789") == "" {
			s.Retry = value
		}
	}
}

// lines are the whole lines of a stream, ended by LF, CR or CRLF, which may come
// in any pieces.
type lines struct {
	rest  []byte
	start bool // a byte order mark may come
	cr    bool // the last line ended with CR: a LF belongs to it
}

func (l *lines) add(b []byte) { l.rest = append(l.rest, b...) }

// next takes the next line that is whole.
func (l *lines) next() (line string, ok bool) {
	if l.cr && len(l.rest) > 0 {
		l.rest, l.cr = bytes.TrimPrefix(l.rest, []byte("\n")), false
	}
	end := bytes.IndexAny(l.rest, "\r\n")
	if end < 0 {
		return "", false
	}
	line = strings.ToValidUTF8(string(l.rest[:end]), "\ufffd")
	if l.start {
		line, l.start = strings.TrimPrefix(line, "\ufeff"), false
	}
	l.cr = l.rest[end] == '\r'
	l.rest = l.rest[end+1:]
	return line, true
}
