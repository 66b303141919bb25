package stream

import (
	"slices"
	"strings"
)

// conflate returns the latest of events, and counts the others.
func conflate(events []Event) []Event {
	kept := latest(events)
	if n := len(events) - len(kept); n > 0 {
		conflated.Add(n)
	}
	return kept
}

// latest returns events without those that later ones make superfluous, by the
// rule of Hub.Latest. The last event always stays. It does not change events.
func latest(events []Event) []Event {
	if len(events) < 2 {
		return events
	}
	kept := make([]Event, 0, len(events)) // newest first
	targets := make(map[string]later)
	for _, e := range slices.Backward(events) {
		if !elementAction(e.Action) {
			kept = append(kept, e)
			continue
		}
		l, superfluous := targets[e.Target].with(e.Update)
		if !superfluous {
			targets[e.Target] = l
			kept = append(kept, e)
		}
	}
	if len(kept) == len(events) {
		return events
	}
	slices.Reverse(kept)
	return kept
}

// later is what comes to one target later, up to the first update that touches
// it in another way.
type later struct {
	replaced bool     // Replace and nothing else
	parts    []string // Inner and Attr and nothing else: "" for the content, names of attributes
}

// with returns l with u in front of it, and whether l makes u superfluous.
func (l later) with(u Update) (_ later, superfluous bool) {
	var part string
	switch u.Action {
	case ActionReplace:
		return later{replaced: true}, l.replaced
	case ActionInner:
	case ActionAttr:
		part, _, _ = strings.Cut(u.HTML, "\n")
	default:
		return later{}, false
	}
	if slices.Contains(l.parts, part) {
		return l, true
	}
	return later{parts: append(l.parts, part)}, false
}

// elementAction reports whether an action is one on an element.
func elementAction(action string) bool {
	switch action {
	case ActionTitle, ActionEmit, ActionReload:
		return false
	}
	return true
}
