package disk

import (
	"bytes"
	"reflect"
	"testing"

	"foreverframe/stream"
	"foreverframe/stream/hostiletest"
)

func FuzzWhatIsEncodedIsReadBack(f *testing.F) {
	for i, s := range hostiletest.Seeds() {
		f.Add(uint64(i), int64(-i), "log", s, s, s)
	}
	f.Fuzz(func(t *testing.T, id uint64, at int64, topic, action, target, html string) {
		u := stream.Update{Action: action, Target: target, HTML: html}
		for _, updates := range [][]stream.Update{nil, {u}, {u, {Action: html, Target: action, HTML: target}}} {
			want := stream.Record{Topic: topic, ID: id, After: id / 2, At: at, Updates: updates}
			if got, err := decodeRecord(encodeRecord(want)); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%v is read back as %v, %v", want, got, err)
			}
		}
		want := stream.Receipt{Topic: topic, Key: target, ID: id, Updates: len(html), At: at}
		copy(want.Digest[:], action)
		if got, err := decodeReceipt(encodeReceipt(want)); err != nil || got != want {
			t.Errorf("%v is read back as %v, %v", want, got, err)
		}
	})
}

// A value that is damaged is an error, also where its checksum fits by chance.
func FuzzADamagedValueIsNoRecord(f *testing.F) {
	for i, s := range hostiletest.Seeds() {
		_, v := encodeRecord(stream.Record{Topic: "log", ID: 7, Updates: []stream.Update{stream.Emit("", s)}})
		f.Add(uint64(i), v[4:])
		f.Add(uint64(i), []byte(s))
	}
	f.Fuzz(func(t *testing.T, id uint64, content []byte) {
		k := key(id)
		v := seal(k, append(make([]byte, 4), content...))
		if r, err := decodeRecord(k, v); err == nil {
			k, v := encodeRecord(r)
			if again, err := decodeRecord(k, v); err != nil || !reflect.DeepEqual(again, r) {
				t.Errorf("%q is read as %v and then as %v, %v", content, r, again, err)
			}
		}
		decodeReceipt(k, v)
		decodeState(k, v)
		damaged := bytes.Clone(v)
		damaged[id%uint64(len(v))] ^= 1
		if r, err := decodeRecord(k, damaged); err == nil {
			t.Errorf("%q, damaged to %q, is read as %v", v, damaged, r)
		}
	})
}
