package fallback

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"foreverframe/stream"
	"foreverframe/stream/hostiletest"
)

// hostile strings look like what is around them, or break what does not escape.
var hostile = []string{
	"", " ", "a", `"`, `\`, `\"`, `\\"`, `"}`, `},{`, `{"id":9}`, `"html":"`, "[]", "]\n", ",", ":", "-1", "12",
	"\\u0041", "\\n", "\n\r\t\b\f\v\x00\x1f\x7f", "\u2028\u2029\u00ad\ufeff\u200d\ufdd0", "</script><!--", "ü中😀", "\xff\xc0\xed\xa0\x80",
	strings.Repeat(`\"{}`, 10_000), strings.Repeat("x", 1_000_000),
}

// FuzzABrowserWithoutJSONReadsWhatAPollWrites lets a page without JSON poll, and
// compares what it reads with what Go does.
func FuzzABrowserWithoutJSONReadsWhatAPollWrites(f *testing.F) {
	for i, s := range hostile {
		if hostiletest.Fuzzing() {
			break // each takes long
		}
		f.Add(uint64(i), s, hostile[(i+7)%len(hostile)])
		f.Add(uint64(1)<<53-100, hostile[(i+5)%len(hostile)], s)
	}
	for i, s := range hostiletest.Seeds() {
		if strings.ContainsAny(s, "\\\"{}[]\x00") { // what means something in JSON
			f.Add(uint64(i), "x"+s, s)
		}
	}
	f.Fuzz(func(t *testing.T, id uint64, name, data string) {
		id = id%(1<<53-10) + 6
		events := []stream.Event{
			at(id, stream.Update{Action: stream.ActionEmit, Target: name, HTML: data}),
			at(id+1, stream.Title(data)),
			at(0, stream.Emit("", name)),
			at(id+2, stream.Update{Action: stream.ActionAppend, Target: "no " + name, HTML: data}),
		}
		answer := batch(Poll{}, events...)
		var want []struct {
			ID                                uint64
			Action, Target, HTML, Event, Data string
		}
		if err := json.Unmarshal(answer, &want); err != nil || len(want) != len(events) {
			t.Fatalf("%v in %q", err, answer)
		}

		tab := newBrowser(t, "runtime.js").open(feed.with(`data-ff-transports="poll"`).without("JSON"))
		tab.run(`told = {}; ff.on(` + literal(want[0].Event) + `, function (data) { told["event " + data] = 1; });
			ff.on("message", function (data) { told["message " + data] = 1; });
			ff.on("trouble", function (text) { told["trouble " + text] = 1; })`)
		tab.asks("poll", "5").reply(string(answer))
		tab.is("told["+literal("event "+want[0].Data)+"]", "1")
		tab.is("told["+literal("message "+want[2].Data)+"]", "1")
		tab.is("told["+literal("trouble append: there is no element with the id "+want[3].Target)+"]", "1")
		tab.is("document.title", want[1].HTML)
		tab.asks("poll", strconv.FormatUint(id+2, 10))
	})
}

// literal returns s in JavaScript.
func literal(s string) string { return string(stream.AppendJS(nil, s)) }
