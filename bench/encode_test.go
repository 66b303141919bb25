package bench_test

import (
	"strings"
	"testing"

	"foreverframe/stream"
)

// payloads are what the encoders are given.
var payloads = []struct{ name, text string }{
	{"html/100B", fill(`<li class="row"><a href="/a?b=1&c=2">Tom & 'Jerry'</a></li>`, 100)},
	{"html/4KB", fill(`<li class="row"><a href="/a?b=1&c=2">Tom & 'Jerry'</a></li>`+"\n", 4096)},
	{"plain/100B", fill("The quick brown fox jumps over the lazy dog. ", 100)},
	{"plain/4KB", fill("The quick brown fox jumps over the lazy dog. ", 4096)},
	{"utf8/100B", fill("Größe 東京 Ελλάδα 🚀 ", 100)},
	{"utf8/4KB", fill("Größe 東京 Ελλάδα 🚀 ", 4096)},
}

// fill returns size bytes of text, over and over, with stops for a rune that
// would be cut.
func fill(text string, size int) string {
	s := strings.Repeat(text, size/len(text)+1)[:size]
	valid := strings.ToValidUTF8(s, "")
	return valid + strings.Repeat(".", size-len(valid))
}

// An encoder appends text, in the place that it is for, to b.
type encoder struct {
	name   string
	append func(b []byte, text string) []byte
}

var encoders = []encoder{
	{"AppendJS", stream.AppendJS},
	{"AppendHTML", stream.AppendHTML},
	{"AppendData", stream.AppendData},
	{"AppendField", func(b []byte, text string) []byte { return stream.AppendField(b, "id", text) }},
	{"Script", appendEvent(stream.Script{})},
	{"SSE", appendEvent(stream.SSE{})},
}

func appendEvent(t stream.Transport) func(b []byte, text string) []byte {
	return func(b []byte, text string) []byte {
		u := stream.Update{Action: stream.ActionAppend, Target: "log", HTML: text}
		return t.AppendEvent(b, stream.Event{ID: 1_700_000_000_000_001, Update: u})
	}
}

// BenchmarkEncode is one call of an encoder; Script and SSE are the AppendEvent
// of these transports.
func BenchmarkEncode(b *testing.B) {
	for _, encoder := range encoders {
		for _, payload := range payloads {
			b.Run(encoder.name+"/"+payload.name, func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(payload.text)))
				buffer := encoder.append(nil, payload.text)
				for b.Loop() {
					buffer = encoder.append(buffer[:0], payload.text)
				}
			})
		}
	}
}

// TestEncodeAllocs makes sure that no encoder allocates in a buffer that is
// large enough.
func TestEncodeAllocs(t *testing.T) {
	for _, encoder := range encoders {
		for _, payload := range payloads {
			buffer := encoder.append(nil, payload.text)
			allocs := testing.AllocsPerRun(100, func() {
				buffer = encoder.append(buffer[:0], payload.text)
			})
			if allocs != 0 {
				t.Errorf("%s of %s: %v allocations", encoder.name, payload.name, allocs)
			}
		}
	}
}
