package jetstream

import (
	"testing"
	"unicode/utf8"

	"foreverframe/stream"

	"github.com/nats-io/nats.go"
)

// What a message has is what was published, whatever it is; what is no update
// never comes out.
func FuzzMessage(f *testing.F) {
	f.Add("append", "log", "<p>\u2028 </script>\x00\r\n</p>", []byte("{}"))
	f.Add("emit", "message", "", []byte(`{"action":"append","target":"a b"}`))
	f.Add("attr", "a", "href\nx", []byte(`[`))
	config := Config{}.complete()
	f.Fuzz(func(t *testing.T, action, target, html string, foreign []byte) {
		u := stream.Update{Action: action, Target: target, HTML: html}
		b := &Broker{config: config}
		m := b.encode("x", "", []stream.Update{u})[0]
		m.Header.Set(jsSequence, "7")
		m.Header.Set(jsLastSequence, "5")
		m.Header.Set(jsTime, "2026-01-02T03:04:05.000006Z")
		d, err := decode(m)
		switch sent := u.Check() == nil && utf8.ValidString(html); { // else no hub sends it
		case sent && (err != nil || d.update != u || d.end || d.seq != 7 || d.before != 5):
			t.Errorf("%q becomes %+v, %v", u, d, err)
		case err == nil && d.update.Check() != nil:
			t.Errorf("%q becomes %q", u, d.update)
		}
		other := nats.NewMsg("x")
		other.Header, other.Data = m.Header, foreign
		if d, err := decode(other); err == nil && d.update.Check() != nil {
			t.Errorf("%q is an update: %q", foreign, d.update)
		}
	})
}
