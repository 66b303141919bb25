package stream

import (
	"strings"
	"testing"
	"unicode"
)

var escapes = []struct {
	name, in      string
	js, html, sse string // sse is what AppendData makes of it
}{
	{"nothing", ``, `""`, ``, "data: \n"},
	{"a word", `abc`, `"abc"`, `abc`, "data: abc\n"},
	{"leading blank", ` a`, `" a"`, ` a`, "data:  a\n"},
	{"end of script", `</script>`, `"\u003c/script\u003e"`, `&lt;/script&gt;`, "data: </script>\n"},
	{"start of script", `<script`, `"\u003cscript"`, `&lt;script`, "data: <script\n"},
	{"comment", `<!--`, `"\u003c!--"`, `&lt;!--`, "data: <!--\n"},
	{"end of comment", `-->`, `"--\u003e"`, `--&gt;`, "data: -->\n"},
	{"end of CDATA", `]]>`, `"]]\u003e"`, `]]&gt;`, "data: ]]>\n"},
	{"reference", `&lt;`, `"\u0026lt;"`, `&amp;lt;`, "data: &lt;\n"},
	{"quotes", "\"'`", "\"\\\"'`\"", "&#34;&#39;`", "data: \"'`\n"},
	{"backslash", `\`, `"\\"`, `\`, "data: \\\n"},
	{"backslash and quote", `\"`, `"\\\""`, `\&#34;`, "data: \\\"\n"},
	{"template", "${a}", `"${a}"`, "${a}", "data: ${a}\n"},
	{"LF", "a\nb", `"a\nb"`, "a\nb", "data: a\ndata: b\n"},
	{"CR", "a\rb", `"a\rb"`, "a&#13;b", "data: a\ndata: b\n"},
	{"CRLF", "a\r\nb", `"a\r\nb"`, "a&#13;\nb", "data: a\ndata: b\n"},
	{"LFCR", "a\n\rb", `"a\n\rb"`, "a\n&#13;b", "data: a\ndata: \ndata: b\n"},
	{"only LF", "\n", `"\n"`, "\n", "data: \ndata: \n"},
	{"field in data", "a\nid: 1\n\n", `"a\nid: 1\n\n"`, "a\nid: 1\n\n", "data: a\ndata: id: 1\ndata: \ndata: \n"},
	{"TAB", "\t", `"\t"`, "\t", "data: \t\n"},
	{"NUL", "\x00", `"\u0000"`, "\x00", "data: \x00\n"},
	{"control", "\b\v\x1b", `"\u0008\u000b\u001b"`, "\b\v\x1b", "data: \b\v\x1b\n"},
	{"DEL", "\x7f", `"\u007f"`, "\x7f", "data: \x7f\n"},
	{"NEL", "\u0085", "\"\u0085\"", "\u0085", "data: \u0085\n"},
	{"line separator", "\u2028", `"\u2028"`, "\u2028", "data: \u2028\n"},
	{"paragraph separator", "\u2029", `"\u2029"`, "\u2029", "data: \u2029\n"},
	{"soft hyphen", "\u00ad", `"\u00ad"`, "\u00ad", "data: \u00ad\n"},
	{"joiner", "👩\u200d🚀", "\"👩\\u200d🚀\"", "👩\u200d🚀", "data: 👩\u200d🚀\n"},
	{"byte order mark", "\ufeff", `"\ufeff"`, "\ufeff", "data: \ufeff\n"},
	{"replacement character", "\ufffd", "\"\ufffd\"", "\ufffd", "data: \ufffd\n"},
	{"not UTF-8", "a\xff\xfeb", `"a\ufffd\ufffdb"`, "a\ufffd\ufffdb", "data: a\xff\xfeb\n"},
	{"half a character", "\xe2\x80", `"\ufffd\ufffd"`, "\ufffd\ufffd", "data: \xe2\x80\n"},
	{"a surrogate", "\xed\xa0\x80", `"\ufffd\ufffd\ufffd"`, "\ufffd\ufffd\ufffd", "data: \xed\xa0\x80\n"},
	{"emoji", "😀", "\"😀\"", "😀", "data: 😀\n"},
	{"CJK", "日本語", "\"日本語\"", "日本語", "data: 日本語\n"},
	{"among words", "a<b\u2028c", `"a\u003cb\u2028c"`, "a&lt;b\u2028c", "data: a<b\u2028c\n"},
}

func TestEscapesAreExact(t *testing.T) {
	for _, test := range escapes {
		t.Run(test.name, func(t *testing.T) {
			for _, f := range []struct {
				name, got, want string
			}{
				{"AppendJS", string(AppendJS([]byte("|"), test.in)), "|" + test.js},
				{"AppendHTML", string(AppendHTML([]byte("|"), test.in)), "|" + test.html},
				{"AppendData", string(AppendData([]byte("|"), test.in)), "|" + test.sse},
			} {
				if f.got != f.want {
					t.Errorf("%s(%q) = %q, want %q", f.name, test.in, f.got, f.want)
				}
			}
		})
	}
}

func TestAFieldIsOneLine(t *testing.T) {
	for in, want := range map[string]string{
		"":                  "event: \n",
		"tick":              "event: tick\n",
		" tick":             "event:  tick\n",
		"a\nb":              "event: a\ufffdb\n",
		"a\rb":              "event: a\ufffdb\n",
		"a\r\nb":            "event: a\ufffd\ufffdb\n",
		"\x00":              "event: \ufffd\n",
		"a\n\ndata: b":      "event: a\ufffd\ufffddata: b\n",
		"a:b":               "event: a:b\n",
		"\u2028":            "event: \u2028\n",
		"日本":                "event: 日本\n",
		"\nstart and end\r": "event: \ufffdstart and end\ufffd\n",
	} {
		if got := string(AppendField(nil, "event", in)); got != want {
			t.Errorf("AppendField(%q) = %q, want %q", in, got, want)
		}
	}
}

// Engines of ECMAScript 3 drop format characters from source text, so none may
// stand there; they know the basic plane only.
func TestNoFormatCharacterIsInScriptText(t *testing.T) {
	for r := rune(0); r <= 0xffff; r++ {
		if !unicode.Is(unicode.Cf, r) && r != '\u2028' && r != '\u2029' {
			continue
		}
		if got := string(AppendJS(nil, string(r))); strings.ContainsRune(got, r) {
			t.Errorf("%U stands for itself in %q", r, got)
		}
	}
}

func TestScriptTextHasNoMarkup(t *testing.T) {
	for r := rune(0); r < 0x80; r++ {
		got := string(AppendJS(nil, string(r)))
		if strings.ContainsAny(got, "<>&") || strings.ContainsFunc(got, unicode.IsControl) {
			t.Errorf("%U gives %q", r, got)
		}
	}
}

func TestEncodersDoNotAllocate(t *testing.T) {
	text := strings.Repeat("<p class=\"a\">\u2028 & \r\n😀 \xff \x00</p>", 20)
	event := Event{ID: 1 << 52, Update: Update{ActionAppend, "log", text}}
	emit := Event{ID: 1, Update: Update{ActionEmit, "tick", text}}
	b := make([]byte, 0, 1<<16)
	for name, encode := range map[string]func(){
		"AppendJS":           func() { AppendJS(b, text) },
		"AppendHTML":         func() { AppendHTML(b, text) },
		"AppendField":        func() { AppendField(b, "event", text) },
		"AppendData":         func() { AppendData(b, text) },
		"Script.AppendEvent": func() { Script{}.AppendEvent(b, event) },
		"Script, a batch":    func() { s := Script{Nonce: "abc"}; s.AppendClose(s.AppendEvent(s.AppendOpen(b), event)) },
		"SSE.AppendEvent":    func() { SSE{}.AppendEvent(b, event) },
		"SSE, emit":          func() { SSE{}.AppendEvent(b, emit) },
	} {
		if n := testing.AllocsPerRun(100, encode); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}
