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

func TestBrowsersThatHoldTheFirstBytesBackGetAPrelude(t *testing.T) {
	for agent, want := range map[string]int{
		"Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1)":                                                                 256,
		"Mozilla/5.0 (Linux; U; Android 2.3.3; en-us) AppleWebKit/533.1 (KHTML, like Gecko) Version/4.0 Mobile Safari/533.1": 4096,
		"Mozilla/5.0 (Macintosh; U; PPC Mac OS X; en) AppleWebKit/523.10 (KHTML, like Gecko) Version/3.0.4 Safari/523.10":    1024,
		"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15":              512,
		"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36":              0,
		"Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0":                                             0,
		"": 0,
	} {
		if got := preludeFor(agent); got != want {
			t.Errorf("%q gets %d bytes, not %d", agent, got, want)
		}
		if b := (Frame{Prelude: want}).AppendStart(nil); strings.Count(string(b), "  ") < want/2-1 {
			t.Errorf("a prelude of %d bytes is %q", want, b)
		}
	}
}
