package stream

import (
	"slices"
	"strings"
	"testing"
)

var actions = []string{
	ActionAppend, ActionPrepend, ActionBefore, ActionAfter, ActionReplace, ActionInner, ActionRemove,
	ActionAttr, ActionTitle, ActionEmit, ActionReload,
}

// sendable makes an update of what a fuzzer came up with, as Page.Send sends
// it. It skips what Check refuses.
func sendable(t *testing.T, action uint8, target, html string) Update {
	u := Update{actions[int(action)%len(actions)], target, html}
	if u.Action == ActionTitle || u.Action == ActionReload {
		u.Target = "" // they have none
	}
	if u.Check() != nil {
		t.Skip()
	}
	return u.valid()
}

func addUpdates(f *testing.F) {
	for i, s := range seeds() {
		f.Add(uint8(i), "target", "title\n"+s, uint64(i))
		f.Add(uint8(i), s, "title\n", uint64(1<<53-1))
		f.Add(uint8(slices.Index(actions, ActionEmit)), "tick"+s, s, uint64(0))
	}
}

func FuzzABatchOfScriptIsTheUpdate(f *testing.F) {
	addUpdates(f)
	f.Fuzz(func(t *testing.T, action uint8, target, html string, id uint64) {
		u := sendable(t, action, target, html)
		e := Event{ID: id % (1 << 53), Update: u}
		other := Event{Update: Update{ActionEmit, "other", target}.valid()}
		s := Script{Nonce: "n"}
		b := s.AppendOpen([]byte("<p>before</p>"))
		b = s.AppendEvent(b, e)
		b = s.AppendEvent(b, other)
		b = append(s.AppendClose(b), "<p>after</p>"...)
		got, rest := updates(t, string(b))
		if want := []Event{e, other}; !slices.Equal(got, want) {
			t.Errorf("the batch is %v, want %v", got, want)
		}
		if rest != "<p>before</p><p>after</p>" {
			t.Errorf("beside it stands %q", rest)
		}
	})
}

func FuzzAnEventOfSSEIsTheUpdate(f *testing.F) {
	addUpdates(f)
	f.Fuzz(func(t *testing.T, action uint8, target, html string, id uint64) {
		u := sendable(t, action, target, html)
		e := Event{ID: id % (1 << 53), Update: u}
		b := SSE{}.AppendStart(nil)
		b = SSE{}.AppendHeartbeat(b)
		b = SSE{}.AppendEvent(b, e)
		b = SSE{}.AppendHeartbeat(b)
		b = SSE{}.AppendEvent(b, Event{Update: Emit("other", "")})
		got, unknown := parseSSE(string(b))
		if len(got) != 2 || len(unknown) > 0 {
			t.Fatalf("%q is the events %q with the fields %q", b, got, unknown)
		}
		want := u
		want.HTML = lineFeeds.Replace(u.HTML)
		if got := got[0].update(); got != want {
			t.Errorf("the event is %q, want %q", got, want)
		}
		if got := got[0].ID; e.ID != 0 && got != formatID(e.ID) || e.ID == 0 && got != "" {
			t.Errorf("its id is %q, want %d", got, e.ID)
		}
		if strings.Trim(got[0].Retry, "0123456789") != "" || got[0].Retry == "" {
			t.Errorf("its retry is %q", got[0].Retry)
		}
		if got := got[1]; got.Name != "other" || got.Data != "" {
			t.Errorf("the event behind it is %q", got)
		}
	})
}

// The browser's half gets all updates in one form: the target, then the content.
func FuzzAnEventForTheBrowsersHalfIsTheUpdate(f *testing.F) {
	addUpdates(f)
	f.Fuzz(func(t *testing.T, action uint8, target, html string, id uint64) {
		u := sendable(t, action, target, html)
		sse := SSE{Retry: 1500e6, Beat: true}
		b := sse.AppendStart(nil)
		b = sse.AppendEvent(b, Event{ID: id % (1 << 53), Update: u})
		b = sse.AppendHeartbeat(b)
		got, unknown := parseSSE(string(b))
		if len(got) != 3 || len(unknown) > 0 {
			t.Fatalf("%q is the events %q with the fields %q", b, got, unknown)
		}
		if got[0].Name != ActionBeat || got[0].Data != "1500" || got[2].Name != ActionBeat || got[2].Data != "1500" {
			t.Errorf("around it stand %q and %q", got[0], got[2])
		}
		u.HTML = lineFeeds.Replace(u.HTML)
		gotTarget, gotHTML, _ := strings.Cut(got[1].Data, "\n")
		if got := (Update{got[1].Name, gotTarget, gotHTML}); got != u {
			t.Errorf("the event is %q, want %q", got, u)
		}
	})
}

// What plain mode takes for a snippet is one, whatever else stands in a script.
func FuzzWhatReadsAsABatchIsOne(f *testing.F) {
	addSeeds(f)
	for _, s := range seeds() {
		f.Add(strings.TrimPrefix(batchOf(Script{}, Event{7, Update{ActionInner, "a", s}.valid()}), "<script>"))
	}
	f.Fuzz(func(t *testing.T, text string) {
		text = strings.TrimSuffix(text, "</script>")
		events, ok := ParseScript(text)
		if !ok {
			return
		}
		again := strings.TrimSuffix(strings.TrimPrefix(batchOf(Script{}, events...), "<script>"), "</script>")
		if got, ok := ParseScript(again); !ok || !slices.Equal(got, events) {
			t.Errorf("%q is read as %v and then as %v", text, events, got)
		}
		if got, rest := updates(t, batchOf(Script{}, events...)); rest != "" || len(got) != len(events) {
			t.Errorf("%q runs as %v and leaves %q", text, got, rest)
		}
	})
}
