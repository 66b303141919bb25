package stream

import (
	"encoding/binary"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/flate"
)

// A gzipWriter writes members of the gzip format (RFC 1952), for pages that are open
// for long and silent most of the time: between two writes it remembers no more
// than the text that the next may repeat. Every write can be read at once.
type gzipWriter struct {
	to       io.Writer
	past     []byte // the end of the text so far
	checksum uint32 // of the text
	size     uint32 // of the text, modulo 2^32
	begun    bool   // the head has been written
}

// gzipPast is how much of the text the next may repeat. Twice as much makes an
// update 1 % smaller, and takes a third more time.
const gzipPast = 2 << 10

// gzipHead is the head of a member: deflate, no name, no time, an unknown system.
const gzipHead = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"

// appendGzipTail appends what follows a member's last block, of a text with that
// checksum and, modulo 2^32, size.
func appendGzipTail(b []byte, checksum, size uint32) []byte {
	b = binary.LittleEndian.AppendUint32(b, checksum)
	return binary.LittleEndian.AppendUint32(b, size)
}

// Reset begins another member, to to.
func (g *gzipWriter) Reset(to io.Writer) { *g = gzipWriter{to: to, past: g.past[:0]} }

// Write writes b.
func (g *gzipWriter) Write(b []byte) (int, error) {
	if err := g.begin(); err != nil {
		return 0, err
	}
	if err := flate.StatelessDeflate(g.to, b, false, g.past); err != nil {
		return 0, err
	}
	g.checksum = crc32.Update(g.checksum, crc32.IEEETable, b)
	g.size += uint32(len(b))
	g.remember(b)
	return len(b), nil
}

// begin writes the head, once.
func (g *gzipWriter) begin() error {
	if g.begun {
		return nil
	}
	g.begun = true
	_, err := io.WriteString(g.to, gzipHead)
	return err
}

// remember keeps the end of the text, to which b has been added.
func (g *gzipWriter) remember(b []byte) {
	b = b[max(0, len(b)-gzipPast):]
	if more := len(g.past) + len(b) - gzipPast; more > 0 {
		g.past = g.past[:copy(g.past, g.past[more:])]
	}
	g.past = append(g.past, b...)
}

// Flush has nothing to do.
func (g *gzipWriter) Flush() error { return nil }

// Close ends the member.
func (g *gzipWriter) Close() error {
	if err := g.begin(); err != nil {
		return err
	}
	if err := flate.StatelessDeflate(g.to, nil, true, nil); err != nil {
		return err
	}
	_, err := g.to.Write(appendGzipTail(nil, g.checksum, g.size))
	return err
}
