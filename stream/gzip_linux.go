package stream

import (
	"sync"

	"github.com/klauspost/compress/flate"
)

// This file is a crowd whose subscribers take gzip. What is new is compressed
// once, and each gets it as the next part of one gzip member of its own (RFC
// 1952). It may refer only to what all have got before it: that is the window. Who
// has not got all of that, because it has joined since or has got something of its
// own in between, gets what refers to nothing, until it has.

// A window is what has been shared last. The zero value is empty.
type window struct {
	history []byte // what may be referred to is at its end
	end     uint64 // the place behind what has been shared, in bytes; 0 before the first
	outside int    // how many subscribers have not got all of what the last batch refers to
}

// maxWindow is the size in bytes of the largest window. A larger one would make
// the bytes fewer by a few hundredths, and take longer to look through; and those
// who have joined wait for as much.
const maxWindow = 16 << 10

// A zipped is a batch as it is in gzip members, in one chunk. What is not there is
// made when somebody needs it. The zero value is one that is not shared.
type zipped struct {
	from   uint64 // what it refers to begins here
	at     uint64 // it begins here; 0 if it is not shared
	inside []byte // for those who have got all from there
	alone  []byte // for the others
	sum    summed // of the content
}

// forget makes z one that has nothing yet.
func (z *zipped) forget() { *z = zipped{inside: z.inside[:0], alone: z.alone[:0]} }

// add makes b, which all of so many subscribers get, the next batch. If most of
// them are outside, it refers to nothing, so that all of them are inside.
func (w *window) add(b *batch, subscribers int) {
	if 2*w.outside > subscribers {
		w.close()
	}
	w.outside = 0
	w.end = max(w.end, 1)
	content := b.content()
	history := w.history[max(0, len(w.history)-maxWindow):]
	b.zip.at, b.zip.from = w.end, w.end-uint64(len(history))
	b.zip.inside = appendDeflated(b.zip.inside, history, content)
	w.end += uint64(len(content))
	if len(w.history)+len(content) > 2*maxWindow {
		w.history = append(w.history[:0], history...)
	}
	w.history = append(w.history, content[max(0, len(content)-maxWindow):]...)
}

// close makes the window empty.
func (w *window) close() { w.history = nil }

// sum returns the checksum of the batch's content.
func (b *batch) sum() summed {
	if b.zip.sum.power == 0 {
		b.zip.sum = sum(b.content())
	}
	return b.zip.sum
}

// alone returns the batch for who is in no window.
func (b *batch) alone() []byte {
	if len(b.zip.alone) == 0 {
		b.zip.alone = appendDeflated(b.zip.alone, nil, b.content())
	}
	return b.zip.alone
}

// A gzipMember is a subscriber's response, as far as it has been begun.
type gzipMember struct {
	checksum
	since uint64 // it has got all that has been shared from here; 0 if nothing
}

// take returns b as the next part of the member, and whether it is what those
// inside the window get.
func (m *gzipMember) take(b *batch) (chunk []byte, inside bool) {
	m.add(b.sum())
	if m.since == 0 || b.zip.at == 0 {
		m.since = b.zip.at
	}
	if m.since == 0 || m.since > b.zip.from {
		return b.alone(), false
	}
	return b.zip.inside, true
}

// appendOwn appends content, which nobody else gets, as a chunk.
func (m *gzipMember) appendOwn(b, content []byte) []byte {
	m.since = 0
	m.add(sum(content))
	return appendDeflated(b, nil, content)
}

// lastBlock is an empty one (RFC 1951, section 3.2.3).
const lastBlock = "\x03\x00"

// appendEnd appends the member's end as a chunk.
func (m *gzipMember) appendEnd(b []byte) []byte {
	return appendChunk(b, appendGzipTail([]byte(lastBlock), m.crc, m.size))
}

// appendDeflated appends content, which may refer to history, as a chunk of blocks
// (RFC 1951, section 3.2.3) that a reader can read to their end.
func appendDeflated(b, history, content []byte) []byte {
	if len(content) == 0 {
		return b
	}
	packed := acquireBuffer()
	defer releaseBuffer(packed)
	if len(history) == 0 { // three times as fast
		flate.StatelessDeflate(packed, content, false, nil) // the buffer takes everything
		return appendChunk(b, *packed)
	}
	w := deflaters.Get().(*flate.Writer)
	defer deflaters.Put(w)
	w.ResetDict(packed, history)
	w.Write(content)
	w.Flush()
	return appendChunk(b, *packed)
}

// deflaters are encoders that nobody uses. Half a megabyte each would be too much for
// every shard, so what one has compressed means nothing to the next.
var deflaters = sync.Pool{New: func() any {
	w, _ := flate.NewWriter(nil, deflateLevel) // the level is one that there is
	return w
}}

// deflateLevel is the fastest that compresses updates of less than 100 bytes.
const deflateLevel = 7
