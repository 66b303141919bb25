package stream

import (
	"errors"
	"io"
	"strings"
	"testing"
)

// markup is a View of fixed HTML.
type markup string

func (m markup) WriteHTML(w io.Writer) { io.WriteString(w, string(m)) }

func TestConstructorsMakeUpdates(t *testing.T) {
	for _, test := range []struct {
		got, want Update
	}{
		{Append("log", markup("<p>a</p>")), Update{"append", "log", "<p>a</p>"}},
		{Prepend("log", markup("<p>a</p>")), Update{"prepend", "log", "<p>a</p>"}},
		{Before("log", markup("<p>a</p>")), Update{"before", "log", "<p>a</p>"}},
		{After("log", markup("<p>a</p>")), Update{"after", "log", "<p>a</p>"}},
		{Replace("log", markup("<p>a</p>")), Update{"replace", "log", "<p>a</p>"}},
		{Inner("log", markup("<p>a</p>")), Update{"inner", "log", "<p>a</p>"}},
		{Inner("log", nil), Update{"inner", "log", ""}},
		{Inner("log", Text("<a> & 'b'")), Update{"inner", "log", "&lt;a&gt; &amp; &#39;b&#39;"}},
		{Remove("log"), Update{"remove", "log", ""}},
		{Attr("log", "title", "a\nb"), Update{"attr", "log", "title\na\nb"}},
		{Title("a < b"), Update{"title", "", "a < b"}},
		{Emit("tick", "1"), Update{"emit", "tick", "1"}},
		{Emit("", "1"), Update{"emit", "message", "1"}},
		{Reload(), Update{"reload", "", ""}},
	} {
		if test.got != test.want {
			t.Errorf("%q, want %q", test.got, test.want)
		}
		if err := test.got.Check(); err != nil {
			t.Errorf("%q: %v", test.got, err)
		}
	}
}

func TestTextWritesItselfAsText(t *testing.T) {
	var b strings.Builder
	Text("<b>\r&").WriteHTML(&b)
	if got, want := b.String(), "&lt;b&gt;&#13;&amp;"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestCheckTakesWhatCanBeSent(t *testing.T) {
	for _, u := range []Update{
		{ActionAppend, "日本", "<p>"},
		{ActionAppend, "#a.b:c>d", ""},
		{ActionInner, "a\u00a0b", "\xff"},
		{ActionAttr, "a", "data-x\n"},
		{ActionAttr, "a", "xlink:href\n\n\n"},
		{ActionEmit, "an event", ""},
		{ActionEmit, "message", ""},
		{ActionTitle, "", ""},
	} {
		if err := u.Check(); err != nil {
			t.Errorf("%q: %v", u, err)
		}
	}
}

func TestCheckRefusesAndSaysWhatWouldBeRight(t *testing.T) {
	const (
		anAction = "it must be one of append, prepend, before, after, replace, inner, remove, attr, title, emit, reload"
		anID     = "it must be the id of an element: at least one character, no blank and no control character"
		aName    = "it needs at least one character and no control character"
		anotherN = "choose another one"
		anAttr   = "it needs one or more characters other than blanks, quotes, '<', '>', '/' and '='"
	)
	type refusal struct {
		u    Update
		says string
	}
	tests := []refusal{
		{Update{}, anAction},
		{Update{"Append", "log", ""}, anAction},
		{Update{"explode", "log", ""}, anAction},
		{Update{ActionDone, "", ""}, anAction},
		{Update{ActionFail, "", ""}, anAction},
		{Update{ActionEmit, "", ""}, aName},
		{Update{ActionEmit, "a\nb", ""}, aName},
		{Update{ActionEmit, "a\x00", ""}, aName},
		{Update{ActionEmit, "a\x7f", ""}, aName},
		{Update{ActionEmit, "\xff", ""}, aName},
		{Update{ActionAttr, "", "title\na"}, anID},
		{Update{ActionAttr, "log", ""}, anAttr},
		{Update{ActionAttr, "log", "title"}, anAttr},
		{Update{ActionAttr, "log", "\nvalue"}, anAttr},
	}
	for _, action := range []string{ActionAppend, ActionPrepend, ActionBefore, ActionAfter, ActionReplace, ActionInner, ActionRemove} {
		for _, target := range []string{"", " ", "a b", "a\tb", "a\nb", "a\rb", "a\x00", "a\x7f", "\xff"} {
			tests = append(tests, refusal{Update{action, target, ""}, anID})
		}
	}
	for _, name := range []string{"append", "remove", "reload", "done", "fail", "emit", "open", "error", "state"} {
		tests = append(tests, refusal{Emit(name, ""), anotherN})
	}
	for _, name := range []string{"a b", "a\tb", `a"`, "a'", "a<", "a>", "a/", "a=", "a\x00", "a\xff", "\r", "\n", "title\n", "title\nvalue"} {
		tests = append(tests, refusal{Attr("log", name, ""), anAttr})
	}
	for _, test := range tests {
		err := test.u.Check()
		if !errors.Is(err, ErrUpdate) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%q: %v; want an ErrUpdate with %q", test.u, err, test.says)
		}
	}
}

// A target of a title or a reload would be carried by the transports in
// different ways.
func TestCheckRefusesATargetWhereThereIsNone(t *testing.T) {
	for _, u := range []Update{
		{ActionTitle, "a\nb", "title"},
		{ActionTitle, "\xff", "title"},
		{ActionTitle, "a", "title"},
		{ActionReload, "a\r", ""},
	} {
		if err := u.Check(); !errors.Is(err, ErrUpdate) {
			t.Errorf("%q: %v; want an ErrUpdate", u, err)
		}
	}
}

func TestContentIsAlikeOnEveryTransport(t *testing.T) {
	for _, test := range []struct {
		u    Update
		want string
	}{
		{Emit("a", "1\r\n2\r3\n4"), "1\n2\n3\n4"},
		{Title("1\r\n2"), "1\n2"},
		{Attr("a", "title", "1\r2"), "title\n1\n2"},
		{Append("a", markup("1\r2")), "1\r2"},
		{Append("a", markup("1\xff\xfe2")), "1\ufffd2"},
		{Append("a", markup("1\x002")), "1\ufdd02"},
		{Attr("a", "title", "1\x002"), "title\n1\ufdd02"},
		{Title("1\x002"), "1\ufffd2"},
		{Emit("a", "1\x002"), "1\ufffd2"},
	} {
		if got := test.u.valid().HTML; got != test.want {
			t.Errorf("%q: %q, want %q", test.u, got, test.want)
		}
	}
}
