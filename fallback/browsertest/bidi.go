package browsertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// An object is one of JSON.
type object = map[string]any

// A bidi is a connection of WebDriver BiDi: commands and their answers, and
// events between them.
type bidi struct {
	conn   *websocket.Conn
	ctx    context.Context // ends with the connection
	cancel context.CancelCauseFunc

	mu      sync.Mutex // guards the rest
	last    int        // id of a command
	waiting map[int]chan bidiMessage
}

// A bidiMessage is an answer, with an ID, or an event.
type bidiMessage struct {
	ID      int
	Result  json.RawMessage
	Error   string
	Message string
	Method  string
	Params  bidiEvent
}

// A bidiEvent has the fields of the events that we listen to.
type bidiEvent struct {
	Context, Parent string
	Level, Text     string
	Source          struct{ Context string }
}

// dialBidi connects to address. listen gets the events, one after the other.
func dialBidi(address string, listen func(method string, event bidiEvent)) (*bidi, error) {
	dialing, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	conn, _, err := websocket.Dial(dialing, address, nil)
	if err != nil {
		return nil, err
	}
	conn.SetReadLimit(-1) // pictures are large
	b := &bidi{conn: conn, waiting: map[int]chan bidiMessage{}}
	b.ctx, b.cancel = context.WithCancelCause(context.Background())
	go b.read(listen) // ends with the connection
	return b, nil
}

func (b *bidi) close() { b.conn.CloseNow() }

// read takes messages to who waits for them.
func (b *bidi) read(listen func(method string, event bidiEvent)) {
	for {
		_, text, err := b.conn.Read(context.Background())
		if err != nil {
			b.cancel(err)
			return
		}
		var m bidiMessage
		if err := json.Unmarshal(text, &m); err != nil {
			b.cancel(fmt.Errorf("%w in %s", err, text))
			return
		}
		if m.Method != "" {
			listen(m.Method, m.Params)
			continue
		}
		b.mu.Lock()
		if answer := b.waiting[m.ID]; answer != nil {
			answer <- m
		}
		b.mu.Unlock()
	}
}

// call calls a command and puts what it answers into result, unless that is nil.
func (b *bidi) call(method string, params object, result any) error {
	return b.callWithin(Patience, method, params, result)
}

func (b *bidi) callWithin(patience time.Duration, method string, params object, result any) error {
	id, answer := b.wait()
	defer b.forget(id)
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	command, err := json.Marshal(object{"id": id, "method": method, "params": params})
	if err != nil {
		return err
	}
	if err := b.conn.Write(ctx, websocket.MessageText, command); err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	select {
	case m := <-answer:
		if m.Error != "" {
			return fmt.Errorf("%s: %w", method, errors.New(m.Error+": "+m.Message))
		}
		if result == nil {
			return nil
		}
		return json.Unmarshal(m.Result, result)
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", method, context.Cause(ctx))
	}
}

// wait makes room for the answer to a new command.
func (b *bidi) wait() (id int, answer chan bidiMessage) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last++
	answer = make(chan bidiMessage, 1)
	b.waiting[b.last] = answer
	return b.last, answer
}

func (b *bidi) forget(id int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.waiting, id)
}
