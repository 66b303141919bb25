package client

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
)

// A Poll is the transport of answers that are whole: an array of JSON, empty
// when there was nothing to tell for a while. Who follows asks again.
type Poll struct {
	// Wait is how many seconds the server may wait, as the query has it. Empty
	// leaves that to the server.
	Wait string
}

// Name returns "poll".
func (Poll) Name() string { return "poll" }

// Ask asks by name, as the runtime does.
func (p Poll) Ask(header http.Header, query url.Values) {
	header.Set("Accept", "application/json")
	query.Set("transport", "poll")
	if p.Wait != "" {
		query.Set("wait", p.Wait)
	}
}

// Read reads an answer. One that is not whole is nothing.
func (Poll) Read(body io.Reader, event func(Event) error) error {
	text, err := io.ReadAll(body)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	if err != nil {
		return err
	}
	var messages []message
	if err := json.Unmarshal(text, &messages); err != nil {
		return err
	}
	for _, m := range messages {
		if err := event(m.event()); err != nil {
			return err
		}
	}
	return nil
}

// A message is one member of the array: an update, or an event of the
// application, which has data in the place of an action.
type message struct {
	ID                   uint64
	Action, Target, HTML string
	Event                string
	Data                 *string
}

func (m message) event() Event {
	if m.Data != nil {
		if m.Event == "" {
			m.Event = "message"
		}
		return Event{ID: m.ID, Action: "emit", Target: m.Event, HTML: *m.Data}
	}
	return Event{ID: m.ID, Action: m.Action, Target: m.Target, HTML: m.HTML}
}
