package stream

import (
	"strconv"
	"strings"
	"testing"

	"github.com/dop251/goja"
	"golang.org/x/net/html"
)

// This file reads what the package writes as a browser would: HTML with the
// tokenizer of golang.org/x/net/html, JavaScript with goja, server-sent events
// with the algorithm of the HTML standard.

// An sseEvent is one server-sent event as an EventSource dispatches it.
type sseEvent struct {
	ID    string // the last event id by then
	Name  string
	Data  string
	Retry string // a retry field of its block
}

// parseSSE interprets a whole event stream (HTML, section 9.2.6). It returns
// the events, and the names of the fields that are none of the standard's. What
// follows the last blank line is dropped, as the standard wants.
func parseSSE(stream string) (events []sseEvent, unknown []string) {
	stream = strings.TrimPrefix(strings.ToValidUTF8(stream, "\ufffd"), "\ufeff")
	var e sseEvent
	data := ""
	for {
		end := strings.IndexAny(stream, "\r\n")
		if end < 0 {
			return events, unknown
		}
		line, rest := stream[:end], stream[end+1:]
		if stream[end] == '\r' {
			rest = strings.TrimPrefix(rest, "\n")
		}
		stream = rest
		if line == "" {
			if data != "" {
				e.Data = strings.TrimSuffix(data, "\n")
				if e.Name == "" {
					e.Name = "message"
				}
				events = append(events, e)
			}
			e, data = sseEvent{ID: e.ID}, ""
			continue
		}
		if line[0] == ':' {
			continue
		}
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "event":
			e.Name = value
		case "data":
			data += value + "\n"
		case "id":
			if !strings.Contains(value, "\x00") {
				e.ID = value
			}
		case "retry":
			if strings.Trim(value, "0123456789") == "" {
				e.Retry = value
			}
		default:
			unknown = append(unknown, field)
		}
	}
}

// update returns the update that an event stands for, by the rule of SSE.
func (e sseEvent) update() Update {
	if !reserved(e.Name) {
		return Update{ActionEmit, e.Name, e.Data}
	}
	target, html, _ := strings.Cut(e.Data, "\n")
	return Update{e.Name, target, html}
}

// scripts returns the text of each script element of page, and everything else
// with each script replaced by nothing.
func scripts(t testing.TB, page string) (texts []string, rest string) {
	t.Helper()
	tokens := html.NewTokenizer(strings.NewReader(page))
	for {
		switch tokens.Next() {
		case html.ErrorToken:
			return texts, rest
		case html.StartTagToken:
			if name, _ := tokens.TagName(); string(name) != "script" {
				rest += string(tokens.Raw())
				continue
			}
			text := ""
			for tokens.Next() == html.TextToken {
				text += string(tokens.Raw())
			}
			if got := string(tokens.Raw()); got != "</script>" {
				t.Fatalf("a script ends with %q", got)
			}
			texts = append(texts, text)
		default:
			rest += string(tokens.Raw())
		}
	}
}

// A call is one call of the browser's half, ff.
type call struct {
	Event
	Empty bool // it had no arguments: the script removes itself
}

// calls runs script and returns the calls of ff that it makes.
func calls(t testing.TB, script string) (made []call) {
	t.Helper()
	vm := goja.New()
	vm.Set("ff", func(c goja.FunctionCall) goja.Value {
		if len(c.Arguments) == 0 {
			made = append(made, call{Empty: true})
			return nil
		}
		e := Event{Update: Update{c.Argument(0).String(), c.Argument(1).String(), c.Argument(2).String()}}
		if len(c.Arguments) > 3 {
			e.ID = uint64(c.Argument(3).ToInteger())
		}
		made = append(made, call{Event: e})
		return nil
	})
	if _, err := vm.RunString(script); err != nil {
		t.Fatalf("%v in %q", err, script)
	}
	return made
}

// updates returns the events that page, the body of a response over Script,
// brings, and checks that each of its batches cleans up after itself.
func updates(t testing.TB, page string) (events []Event, rest string) {
	t.Helper()
	texts, rest := scripts(t, page)
	for _, text := range texts {
		made := calls(t, text)
		last := len(made) - 1
		for i, c := range made {
			if c.Empty != (i == last) {
				t.Fatalf("the batch does not end with its only empty call: %q", text)
			}
			if !c.Empty {
				events = append(events, c.Event)
			}
		}
	}
	return events, rest
}

// jsString evaluates a JavaScript string literal.
func jsString(t testing.TB, literal string) string {
	t.Helper()
	v, err := goja.New().RunString("(" + literal + ")")
	if err != nil {
		t.Fatalf("%v in %q", err, literal)
	}
	s, ok := v.Export().(string)
	if !ok {
		t.Fatalf("%q is no string", literal)
	}
	return s
}

func formatID(id uint64) string { return strconv.FormatUint(id, 10) }
