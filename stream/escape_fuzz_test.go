package stream

import (
	"encoding/json"
	"strings"
	"testing"

	"foreverframe/stream/hostiletest"

	"golang.org/x/net/html"
)

// seeds returns what the fuzz tests of this package begin with.
func seeds() []string {
	all := hostiletest.Seeds()
	for _, test := range escapes {
		if !hostiletest.Fuzzing() {
			all = append(all, test.in)
		}
	}
	return all
}

func addSeeds(f *testing.F) {
	for _, s := range seeds() {
		f.Add(s)
	}
}

// runes returns s with each byte that is not UTF-8 as U+FFFD.
func runes(s string) string { return string([]rune(s)) }

func FuzzAppendJSIsOneStringOfJSONAndJavaScript(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, s string) {
		literal := string(AppendJS(nil, s))
		var decoded string
		if err := json.Unmarshal([]byte(literal), &decoded); err != nil || decoded != runes(s) {
			t.Errorf("JSON reads %q from %q, want %q; %v", decoded, literal, runes(s), err)
		}
		if got := jsString(t, literal); got != runes(s) {
			t.Errorf("JavaScript reads %q from %q, want %q", got, literal, runes(s))
		}
		texts, rest := scripts(t, "<script>"+literal+"</script><p>after</p>")
		if len(texts) != 1 || texts[0] != literal || rest != "<p>after</p>" {
			t.Errorf("HTML reads the scripts %q and then %q from %q", texts, rest, literal)
		}
	})
}

// No document can hold NUL: the parser drops it from text and makes U+FFFD of
// it in an attribute, as a browser does. A carriage return stays one, because it
// arrives as a character reference.
func FuzzAppendHTMLIsTextAndAttributeValue(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, s string) {
		e := string(AppendHTML(nil, s))
		page := `<!DOCTYPE html><body><p title="` + e + `" lang='` + e + `'>` + e + `</p><b></b>`
		doc, err := html.Parse(strings.NewReader(page))
		if err != nil {
			t.Fatal(err)
		}
		body := doc.LastChild.LastChild
		p := body.FirstChild
		if p == nil || p.Data != "p" || p.NextSibling == nil || p.NextSibling.Data != "b" || p.NextSibling.NextSibling != nil {
			t.Fatalf("%q gets out of its place", e)
		}
		text := ""
		for c := p.FirstChild; c != nil; c = c.NextSibling {
			if c.Type != html.TextNode {
				t.Fatalf("%q makes an element %q", e, c.Data)
			}
			text += c.Data
		}
		if want := strings.ReplaceAll(runes(s), "\x00", ""); text != want {
			t.Errorf("%q is the text %q, want %q", e, text, want)
		}
		if len(p.Attr) != 2 {
			t.Fatalf("%q makes the attributes %q", e, p.Attr)
		}
		for _, a := range p.Attr {
			if want := strings.ReplaceAll(runes(s), "\x00", "\ufffd"); a.Val != want {
				t.Errorf("%q is the attribute %s=%q, want %q", e, a.Key, a.Val, want)
			}
		}
	})
}

func FuzzAFieldAndDataAreOneEvent(f *testing.F) {
	all := seeds()
	for i, s := range all {
		f.Add(s, all[len(all)-1-i])
	}
	f.Fuzz(func(t *testing.T, name, data string) {
		var b []byte
		b = AppendField(b, "id", name)
		b = AppendField(b, "event", name)
		b = AppendData(b, data)
		events, unknown := parseSSE(string(append(b, '\n')))
		if len(events) != 1 || len(unknown) > 0 {
			t.Fatalf("%q is the events %q with the fields %q", b, events, unknown)
		}
		e := events[0]
		line := strings.NewReplacer("\r", "\ufffd", "\n", "\ufffd", "\x00", "\ufffd").Replace(name)
		line = strings.ToValidUTF8(line, "\ufffd")
		if e.ID != line {
			t.Errorf("the id is %q, want %q", e.ID, line)
		}
		if want := line; e.Name != want && want != "" {
			t.Errorf("the name is %q, want %q", e.Name, want)
		}
		if want := strings.ToValidUTF8(lineFeeds.Replace(data), "\ufffd"); e.Data != want {
			t.Errorf("the data is %q, want %q", e.Data, want)
		}
		if e.Retry != "" {
			t.Errorf("there is a retry of %q", e.Retry)
		}
	})
}

// Whatever a nonce is, a script has it and nothing else.
func FuzzANonceStaysInItsAttribute(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, nonce string) {
		page := string(Script{Nonce: nonce}.AppendOpen(nil)) + "ff()\n</script><p>after</p>"
		texts, rest := scripts(t, page)
		if len(texts) != 1 || texts[0] != "ff()\n" || rest != "<p>after</p>" {
			t.Errorf("the nonce %q makes the scripts %q and then %q", nonce, texts, rest)
		}
	})
}
