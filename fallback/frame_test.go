package fallback

import (
	"strings"
	"testing"

	"foreverframe/stream"
)

func TestTheFrameIsADocumentWhoseScriptsCallThePage(t *testing.T) {
	f := Frame{Script: stream.Script{Nonce: "N"}}
	b := f.AppendStart(nil)
	b = f.AppendOpen(b)
	b = f.AppendEvent(b, stream.Event{ID: 7, Update: stream.Append("log", stream.Text("</script>"))})
	b = f.AppendEvent(b, stream.Event{Update: stream.Remove("x")})
	b = f.AppendClose(b)
	want := `<!doctype html><meta charset=utf-8><title>Foreverframe</title>` +
		`<script nonce="N">var ff=parent!=window&&parent.ff?parent.ff.frame(window):function(){};ff()` + "\n" +
		`</script><script nonce="N">ff("append","log","\u0026lt;/script\u0026gt;",7);ff("remove","x","");ff()` + "\n</script>"
	if string(b) != want {
		t.Errorf("the frame is\n%s\nnot\n%s", b, want)
	}
}

func TestTheRuntimeCannotEndItsScript(t *testing.T) {
	for _, end := range []string{"</script", "<!--", "<script"} {
		if strings.Contains(strings.ToLower(Runtime), end) {
			t.Errorf("the runtime holds %q", end)
		}
	}
}
