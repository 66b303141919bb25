package fallback

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"foreverframe/stream"

	"golang.org/x/tools/txtar"
)

// Each archive in testdata is what happens to one document, section by section,
// and under "sent" what has left since the section of that name before. An
// archive ends every section with a line feed, which does not count.
func TestADocumentLeavesInItsOwnOrder(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no archives: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			play(t, txtar.Parse(archive).Files)
		})
	}
}

func play(t *testing.T, steps []txtar.File) {
	t.Helper()
	d := newDocument(30 * time.Second)
	var got []byte
	for i, step := range steps {
		text := strings.TrimSuffix(string(step.Data), "\n")
		switch step.Name {
		case "text":
			d.Text([]byte(text))
			continue
		case "row":
			d.Text([]byte(text))
			d.Row()
		case "slots":
			d.Slots(strings.Fields(text))
		case "failed":
			d.Failed(text, errors.New("on purpose"))
		case "update":
			var u stream.Update
			if err := json.Unmarshal([]byte(text), &u); err != nil {
				t.Fatal(err)
			}
			d.Event(stream.Event{Update: u})
		case "end":
			d.End(nil)
		case "sent":
			if string(got) != text {
				t.Errorf("section %d: sent is\n%s\nnot\n%s", i, got, text)
			}
			got = nil
			continue
		default:
			t.Fatalf("section %q: it must be text, row, slots, failed, update, end or sent", step.Name)
		}
		got = d.AppendReady(got)
	}
	if len(got) > 0 {
		t.Errorf("more is sent:\n%s", got)
	}
}
