package disk

import (
	"encoding/binary"
	"errors"
	"hash/crc32"

	"foreverframe/stream"
)

// This file is how values look: a checksum of key and content, four bytes, then
// the content. Numbers are uvarints, a text is its length and its bytes.

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// key returns the key of an id: keys are in the order of ids.
func key(id uint64) []byte { return binary.BigEndian.AppendUint64(nil, id) }

// seal puts the checksum in front of content, whose first four bytes are free.
func seal(key, value []byte) []byte {
	binary.BigEndian.PutUint32(value, checksum(key, value[4:]))
	return value
}

func checksum(key, content []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, content)
}

var errContent = errors.New("a value is not what was written")

// open returns the content of value as a reader.
func open(key, value []byte) (*reader, error) {
	if len(value) < 4 || binary.BigEndian.Uint32(value) != checksum(key, value[4:]) {
		return nil, errContent
	}
	return &reader{rest: string(value[4:])}, nil // a copy: value is the file's
}

// A reader reads a content. After what does not fit it reads zeros.
type reader struct {
	rest string
	bad  bool
}

func (r *reader) number() uint64 {
	n, size := binary.Uvarint([]byte(r.rest[:min(len(r.rest), binary.MaxVarintLen64)]))
	if size <= 0 {
		r.rest, r.bad = "", true
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

func (r *reader) text() (s string) {
	n := r.number()
	if n > uint64(len(r.rest)) {
		r.rest, r.bad = "", true
		return ""
	}
	s, r.rest = r.rest[:n], r.rest[n:]
	return s
}

// end returns an error if the content was not read to its end.
func (r *reader) end() error {
	if r.bad || r.rest != "" {
		return errContent
	}
	return nil
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// encodeRecord returns the key and the value of r.
func encodeRecord(r stream.Record) (k, v []byte) {
	b := make([]byte, 4, 64)
	b = binary.AppendUvarint(b, r.After)
	b = binary.AppendUvarint(b, uint64(r.At))
	b = appendText(b, r.Topic)
	b = binary.AppendUvarint(b, uint64(len(r.Updates)))
	for _, u := range r.Updates {
		b = appendText(appendText(appendText(b, u.Action), u.Target), u.HTML)
	}
	k = key(r.ID)
	return k, seal(k, b)
}

func decodeRecord(key, value []byte) (r stream.Record, err error) {
	b, err := open(key, value)
	if err != nil || len(key) != 8 {
		return r, errContent
	}
	r.ID = binary.BigEndian.Uint64(key)
	r.After, r.At, r.Topic = b.number(), int64(b.number()), b.text()
	for n := b.number(); n > 0 && !b.bad; n-- {
		r.Updates = append(r.Updates, stream.Update{Action: b.text(), Target: b.text(), HTML: b.text()})
	}
	return r, b.end()
}

// encodeReceipt returns the key and the value of r.
func encodeReceipt(r stream.Receipt) (k, v []byte) {
	b := make([]byte, 4, 128)
	b = binary.AppendUvarint(b, uint64(r.At))
	b = binary.AppendUvarint(b, uint64(r.Updates))
	b = appendText(appendText(appendText(b, r.Topic), r.Key), string(r.Digest[:]))
	k = key(r.ID)
	return k, seal(k, b)
}

func decodeReceipt(key, value []byte) (r stream.Receipt, err error) {
	b, err := open(key, value)
	if err != nil || len(key) != 8 {
		return r, errContent
	}
	r.ID = binary.BigEndian.Uint64(key)
	r.At, r.Updates, r.Topic, r.Key = int64(b.number()), int(b.number()), b.text(), b.text()
	copy(r.Digest[:], b.text())
	return r, b.end()
}

// state is what a store knows of itself.
type state struct {
	floor, gap uint64
	records    uint64 // how many there are
	receipts   uint64
	open       bool // it was not closed, and it writes later than it says
}

// layout is the version of all that this file says.
const layout = 1

func encodeState(key []byte, s state) []byte {
	b := binary.AppendUvarint(make([]byte, 4), layout)
	for _, n := range []uint64{s.floor, s.gap, s.records, s.receipts} {
		b = binary.AppendUvarint(b, n)
	}
	if s.open {
		return seal(key, append(b, 1))
	}
	return seal(key, append(b, 0))
}

var errLayout = errors.New("another version of this program wrote it")

func decodeState(key, value []byte) (s state, err error) {
	b, err := open(key, value)
	if err != nil {
		return s, err
	}
	if b.number() != layout {
		return s, errLayout
	}
	s = state{floor: b.number(), gap: b.number(), records: b.number(), receipts: b.number(), open: b.number() == 1}
	return s, b.end()
}
