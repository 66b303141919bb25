package fallback

import (
	"testing"

	"foreverframe/stream"
)

// changed returns what is sent of a page in plain mode after updates.
func changed(text string, updates ...stream.Update) string {
	d := newDocument(-1)
	d.Text([]byte(text))
	for _, u := range updates {
		d.Event(stream.Event{Update: u})
	}
	d.End(nil)
	return string(d.AppendReady(nil))
}

func TestAnAttributeIsSetByItsName(t *testing.T) {
	const before, after = `<!DOCTYPE html><html><head></head><body>`, `</body></html>`
	for _, test := range []struct{ page, target, name, want string }{
		{`<p id="a"></p>`, "a", "TITLE", `<p id="a" title="new"></p>`},
		{`<p id="a" title="old"></p>`, "a", "Title", `<p id="a" title="new"></p>`},
		{`<p id="a"></p>`, "a", "onclic\u212a", "<p id=\"a\" onclic\u212a=\"new\"></p>"}, // a Kelvin sign, whose lower case is k
		{`<svg><a id="a" xlink:href="old"></a></svg>`, "a", "xlink:href", `<svg><a id="a" xlink:href="new"></a></svg>`},
		{`<svg><a id="a" xlink:href="old"></a></svg>`, "a", "href", `<svg><a id="a" xlink:href="old" href="new"></a></svg>`},
	} {
		if got, want := changed("<!doctype html>"+test.page, stream.Attr(test.target, test.name, "new")), before+test.want+after; got != want {
			t.Errorf("%s: %s, not %s", test.name, got, want)
		}
	}
}

// What a sanitizer has taken for harmless must not change its meaning.
func TestANULThatIsLeftOutMakesNothingOfWhatStandsAroundIt(t *testing.T) {
	for in, want := range map[string]string{
		"<a href=\"\ufdd0javascript:x\">": "<a href=\"\ufffdjavascript:x\"></a>",
		"<\ufdd0img src=x>":               "&lt;\ufffdimg src=x&gt;",
		"<i\ufdd0mg src=\"x\">":           "<i\ufffdmg src=\"x\"></i\ufffdmg>",
		"<b on\ufdd0click=\"x\">":         "<b on\ufffdclick=\"x\"></b>",
		"a&am\ufdd0p;":                    "a&amp;am\ufffdp;",
	} {
		got := changed("<!doctype html><p id=a>", stream.Update{Action: stream.ActionInner, Target: "a", HTML: in})
		if want := `<!DOCTYPE html><html><head></head><body><p id="a">` + want + `</p></body></html>`; got != want {
			t.Errorf("%q is %q, not %q", in, got, want)
		}
	}
}
