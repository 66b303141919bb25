package stream

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// The actions of an Update. Each but ActionEmit has a function of the same name
// in the browser's half, fallback/runtime.js.
const (
	ActionAppend  = "append"  // at the end of the target's content
	ActionPrepend = "prepend" // at the start of the target's content
	ActionBefore  = "before"  // in front of the target
	ActionAfter   = "after"   // behind the target
	ActionReplace = "replace" // in the place of the target
	ActionInner   = "inner"   // in the place of the target's content
	ActionRemove  = "remove"  // the target goes
	ActionAttr    = "attr"    // one attribute of the target
	ActionTitle   = "title"   // the document's title
	ActionEmit    = "emit"    // an event of the application
	ActionReload  = "reload"  // the page loads itself again
	ActionDone    = "done"    // nothing more will come; sent by Response
	ActionFail    = "fail"    // the source has failed; sent by Response
	ActionAgain   = "again"   // the browser connects again at once; sent by Response
	ActionBeat    = "beat"    // the server is alive; sent by Response
)

// An Update is one change to one element of a page. It is plain data, made when
// its view is rendered, so it can be compared, kept for replay, shared by any
// number of browsers and sent from one machine to another. The constructors
// below make valid ones; the zero value is not valid.
type Update struct {
	// Action is one of the constants above.
	Action string
	// Target is the id of the element, without '#'. For ActionEmit it is the
	// name of the event; ActionTitle and ActionReload have none.
	Target string
	// HTML is the content. For ActionAttr it is the attribute's name, a line
	// feed and its value; for ActionTitle and ActionEmit it is text, not HTML.
	HTML string
}

// Append adds view at the end of target's content.
func Append(target string, view View) Update {
	return Update{ActionAppend, target, render(view)}
}

// Prepend adds view at the start of target's content.
func Prepend(target string, view View) Update {
	return Update{ActionPrepend, target, render(view)}
}

// Before puts view in front of target.
func Before(target string, view View) Update {
	return Update{ActionBefore, target, render(view)}
}

// After puts view behind target.
func After(target string, view View) Update {
	return Update{ActionAfter, target, render(view)}
}

// Replace puts view in the place of target. Later updates find the element only
// if view has one with the same id.
func Replace(target string, view View) Update {
	return Update{ActionReplace, target, render(view)}
}

// Inner puts view in the place of target's content and keeps target itself.
func Inner(target string, view View) Update {
	return Update{ActionInner, target, render(view)}
}

// Remove takes target out of the page.
func Remove(target string) Update {
	return Update{ActionRemove, target, ""}
}

// Attr sets the attribute name of target to value. The value is text and stays one;
// what the browser makes of it is up to the name, which is the author's choice: a
// script for onclick, a URL for href, a document for srcdoc.
func Attr(target, name, value string) Update {
	name = strings.ReplaceAll(name, "\n", " ") // which no name has either, so Check refuses it
	return Update{ActionAttr, target, name + "\n" + value}
}

// Title sets the title of the document, which is text.
func Title(text string) Update {
	return Update{ActionTitle, "", text}
}

// Emit is an event of the application: any EventSource hears it by
// addEventListener(name, …), and a page over any transport by ff.on(name, …).
// An empty name means "message", the plain event that onmessage hears. A reader
// gets each line end of data as a line feed.
func Emit(name, data string) Update {
	if name == "" {
		name = "message"
	}
	return Update{ActionEmit, name, data}
}

// Reload makes the page load itself again: what it shows is too old to be
// brought up to date.
func Reload() Update {
	return Update{ActionReload, "", ""}
}

// ErrUpdate is the error of an update that cannot be sent as it is; the error
// that wraps it says why and what would be right.
var ErrUpdate = errors.New("not an update")

// Check returns nil if u can be sent, else an error that wraps ErrUpdate.
func (u Update) Check() error {
	switch u.Action {
	case ActionAppend, ActionPrepend, ActionBefore, ActionAfter, ActionReplace, ActionInner, ActionRemove:
		return checkTarget(u.Target)
	case ActionAttr:
		if name, _, ok := strings.Cut(u.HTML, "\n"); !ok || !attributeName(name) {
			return fmt.Errorf("%w: the attribute name %q: it needs one or more characters other than blanks, quotes, '<', '>', '/' and '='", ErrUpdate, name)
		}
		return checkTarget(u.Target)
	case ActionEmit:
		return checkEventName(u.Target)
	case ActionTitle, ActionReload:
		if u.Target != "" {
			return fmt.Errorf("%w: the target %q: %s has none", ErrUpdate, u.Target, u.Action)
		}
		return nil
	}
	return fmt.Errorf("%w: the action %q: it must be one of append, prepend, before, after, replace, inner, remove, attr, title, emit, reload", ErrUpdate, u.Action)
}

func checkTarget(target string) error {
	if target == "" || strings.ContainsFunc(target, blank) || !utf8.ValidString(target) {
		return fmt.Errorf("%w: the target %q: it must be the id of an element: at least one character, no blank and no control character", ErrUpdate, target)
	}
	return nil
}

// checkEventName refuses the names that an EventSource or the browser's half
// gives a meaning of their own.
func checkEventName(name string) error {
	if name == "" || strings.ContainsFunc(name, control) || !utf8.ValidString(name) {
		return fmt.Errorf("%w: the event name %q: it needs at least one character and no control character", ErrUpdate, name)
	}
	if reserved(name) {
		return fmt.Errorf("%w: the event name %q is reserved for Foreverframe and EventSource: choose another one", ErrUpdate, name)
	}
	return nil
}

func reserved(name string) bool {
	switch name {
	case ActionAppend, ActionPrepend, ActionBefore, ActionAfter, ActionReplace, ActionInner, ActionRemove,
		ActionAttr, ActionTitle, ActionEmit, ActionReload, ActionDone, ActionFail, ActionAgain, ActionBeat, "open", "error", "state", "apply", "trouble":
		return true
	}
	return false
}

func attributeName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, blank) && !strings.ContainsAny(name, `"'<>/=`) && utf8.ValidString(name)
}

func control(r rune) bool { return r < ' ' || r == 0x7f }

func blank(r rune) bool { return r == ' ' || control(r) }

// valid returns u as every transport can carry it alike: bytes that are not
// UTF-8 become U+FFFD, and where HTML is text, which SSE sends by lines, each
// line end becomes a line feed. Firefox's EventSource drops NUL: in what an
// element gets, the noncharacter U+FDD0 stands for it, which the browser's half
// turns back, in attributes into U+FFFD as every parser of HTML does; in the title
// and in events it becomes U+FFFD here.
func (u Update) valid() Update {
	if !utf8.ValidString(u.HTML) {
		u.HTML = strings.ToValidUTF8(u.HTML, "\ufffd")
	}
	switch u.Action {
	case ActionAttr, ActionTitle, ActionEmit:
		if strings.IndexByte(u.HTML, '\r') >= 0 {
			u.HTML = lineFeeds.Replace(u.HTML)
		}
	}
	if strings.IndexByte(u.HTML, 0) >= 0 {
		u.HTML = strings.ReplaceAll(u.HTML, "\x00", u.nul())
	}
	return u
}

// nul returns what stands for NUL in u.
func (u Update) nul() string {
	switch u.Action {
	case ActionTitle, ActionEmit:
		return "\ufffd"
	}
	return "\ufdd0"
}

var lineFeeds = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// An Event is an update with its place in a feed.
type Event struct {
	// ID grows from event to event of a feed. It is below 2^53, so that
	// JavaScript's numbers hold it. Zero means none: a browser that comes
	// back cannot ask for what follows.
	ID uint64
	Update
}
