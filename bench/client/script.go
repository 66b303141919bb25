package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/html"
)

// A Script is the transport of a page that brings its own updates: its shell,
// then script elements that call ff. Other scripts are not run.
type Script struct {
	// Text is what has come besides the updates: the shell.
	Text strings.Builder
}

// Name returns "script".
func (*Script) Name() string { return "script" }

// Ask asks for a page.
func (*Script) Ask(header http.Header, _ url.Values) { header.Set("Accept", "text/html") }

// Read reads a page. A script that the response ends within is not run, as in a
// browser.
func (s *Script) Read(body io.Reader, event func(Event) error) error {
	tokens := html.NewTokenizer(body)
	for {
		switch kind := tokens.Next(); kind {
		case html.ErrorToken:
			return endOf(tokens.Err())
		case html.StartTagToken:
			tag := string(tokens.Raw())
			if name, _ := tokens.TagName(); string(name) != "script" {
				s.Text.WriteString(tag)
				continue
			}
			if err := s.element(tokens, tag, event); err != nil {
				return err
			}
		default:
			s.Text.Write(tokens.Raw())
		}
	}
}

// element reads the rest of a script element and runs it.
func (s *Script) element(tokens *html.Tokenizer, tag string, event func(Event) error) error {
	text := ""
	kind := tokens.Next()
	if kind == html.TextToken {
		text = string(tokens.Raw())
		kind = tokens.Next()
	}
	switch {
	case kind == html.ErrorToken:
		return endOf(tokens.Err())
	case kind != html.EndTagToken:
		return fmt.Errorf("a script holds %q", tokens.Raw())
	case !strings.HasPrefix(text, "ff("):
		s.Text.WriteString(tag + text)
		s.Text.Write(tokens.Raw())
		return nil
	}
	return run(text, event)
}

// endOf returns nil if err is the end of a body, early or not.
func endOf(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// run runs a batch: calls of ff with string literals and at the most one number,
// the last of them without arguments.
func run(script string, event func(Event) error) error {
	rest := script
	for {
		call, ok := strings.CutPrefix(rest, "ff(")
		if !ok {
			return fmt.Errorf("a script does not call ff at %q", rest)
		}
		if end, ok := strings.CutPrefix(call, ")"); ok {
			if end != "\n" {
				return fmt.Errorf("a script goes on after its end: %q", end)
			}
			return nil
		}
		e, after, err := arguments(call)
		if err != nil {
			return fmt.Errorf("%w in %q", err, script)
		}
		if err := event(e); err != nil {
			return err
		}
		rest = after
	}
}

// arguments reads the arguments of a call and its end.
func arguments(call string) (e Event, rest string, err error) {
	rest = call
	for i, argument := range []*string{&e.Action, &e.Target, &e.HTML} {
		if i > 0 {
			rest, err = skip(rest, ",", err)
		}
		if err == nil {
			*argument, rest, err = literal(rest)
		}
	}
	if after, ok := strings.CutPrefix(rest, ","); err == nil && ok {
		end := strings.IndexByte(after, ')')
		e.ID, err = strconv.ParseUint(after[:max(end, 0)], 10, 53)
		rest = after[max(end, 0):]
	}
	rest, err = skip(rest, ");", err)
	return e, rest, err
}

func skip(s, prefix string, err error) (string, error) {
	rest, ok := strings.CutPrefix(s, prefix)
	if err == nil && !ok {
		err = fmt.Errorf("there is no %q at %q", prefix, s)
	}
	return rest, err
}

// literal reads a string literal, which has to be JSON as well.
func literal(s string) (value, rest string, err error) {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			err = json.Unmarshal([]byte(s[:i+1]), &value)
			return value, s[i+1:], err
		}
	}
	return "", "", fmt.Errorf("there is no string literal at %q", s)
}
