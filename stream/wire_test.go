package stream

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

// Each archive in testdata has one event as JSON and the exact bytes of it on
// every transport: what a batch of it alone is to Script, and its block of SSE.
// An archive ends every section with a line feed, which a batch has not.
func TestTheWireFormatsAreExact(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no archives: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			sections := archive(t, file)
			var e struct {
				ID                   uint64
				Action, Target, HTML string
			}
			decoder := json.NewDecoder(strings.NewReader(sections["update"]))
			decoder.DisallowUnknownFields()
			if err := decoder.Decode(&e); err != nil {
				t.Fatal(err)
			}
			event := Event{ID: e.ID, Update: Update{e.Action, e.Target, e.HTML}.valid()}
			for _, test := range []struct {
				name string
				got  string
			}{
				{"script", batchOf(Script{Nonce: "abc+/"}, event) + "\n"},
				{"sse", batchOf(SSE{}, event)},
			} {
				if want := sections[test.name]; test.got != want {
					t.Errorf("%s:\n%s\nwant\n%s", test.name, test.got, want)
				}
			}
		})
	}
}

func archive(t *testing.T, file string) map[string]string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	sections := make(map[string]string)
	for _, f := range txtar.Parse(b).Files {
		sections[f.Name] = string(f.Data)
	}
	return sections
}

// batchOf returns a batch of events on transport.
func batchOf(transport Transport, events ...Event) string {
	b := transport.AppendOpen(nil)
	for _, e := range events {
		b = transport.AppendEvent(b, e)
	}
	return string(transport.AppendClose(b))
}

func TestABatchHasOneScriptForAllItsUpdates(t *testing.T) {
	got := batchOf(Script{}, Event{Update: Remove("a")}, Event{ID: 7, Update: Remove("b")})
	want := `<script>ff("remove","a","");ff("remove","b","",7);ff()` + "\n</script>"
	if got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// A script hears only the names that it knows; the browser's half hears all.
func TestTheBrowsersHalfHearsEventsOfEveryName(t *testing.T) {
	got := batchOf(SSE{Beat: true}, Event{7, Emit("news", "a\nb")}, Event{Update: Emit("", "")})
	want := "id: 7\nevent: emit\ndata: news\ndata: a\ndata: b\n\nevent: emit\ndata: message\n\n"
	if got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestANonceCannotLeaveItsAttribute(t *testing.T) {
	got := string(Script{Nonce: `"><b>`}.AppendOpen(nil))
	if want := `<script nonce="&#34;&gt;&lt;b&gt;">`; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestASnippetIsAWholeBatch(t *testing.T) {
	s := Script{Nonce: "n"}
	if got, want := render(s.Snippet(Title("a\r\nb"))), batchOf(s, Event{Update: Title("a\nb")}); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestSSEStartsWithTheTimeToWaitBeforeARetry(t *testing.T) {
	if got := string(SSE{Retry: 1500e6}.AppendStart(nil)); got != "retry: 1500\n" {
		t.Errorf("%q", got)
	}
	for range 1000 {
		got := string(SSE{}.AppendStart(nil))
		if len(got) != len("retry: 2000\n") || got < "retry: 2000\n" || got >= "retry: 4000\n" {
			t.Fatalf("%q is not from two to four seconds", got)
		}
	}
}

func TestHeartbeatsChangeNothing(t *testing.T) {
	if got := string(Script{}.AppendHeartbeat(nil)); got != "\n" {
		t.Errorf("script: %q", got)
	}
	if got := string(SSE{}.AppendHeartbeat(nil)); got != ":\n" {
		t.Errorf("sse: %q", got)
	}
}

func TestABatchIsReadBack(t *testing.T) {
	for _, events := range [][]Event{
		{{Update: Title("a")}},
		{{ID: 7, Update: Update{ActionInner, "a);", "</script>\"\\ \u2028 \x00 ff()\n"}}, {Update: Remove("b")}},
		{{ID: 1<<53 - 1, Update: Attr("a", "title", "x\ny")}},
	} {
		text := strings.TrimSuffix(strings.TrimPrefix(batchOf(Script{}, events...), "<script>"), "</script>")
		if got, ok := ParseScript(text); !ok || !slices.Equal(got, events) {
			t.Errorf("%q is read as %v, %v", text, got, ok)
		}
	}
	for _, text := range []string{
		"", "ff()\n", "ff()", `ff("a","b","c");`, `ff("a","b");ff()` + "\n", `ff("a" "b","c");ff()` + "\n", `alert("a","b","c");ff()` + "\n",
		`ff("a","b","c",-1);ff()` + "\n", `ff("a","b","c",1,2);ff()` + "\n", `ff("a","b",c);ff()` + "\n", `ff(,"a","b","c");ff()` + "\n",
	} {
		if got, ok := ParseScript(text); ok {
			t.Errorf("%q is read as %v", text, got)
		}
	}
}
