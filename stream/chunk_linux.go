package stream

import (
	"strconv"
	"syscall"
	"unsafe"
)

// This file is bytes on the wire of a crowd: chunks (RFC 9112, section 7.1), and
// writes that never wait.

const lastChunk = "0\r\n\r\n"

// appendChunk appends body as a chunk; an empty one would be the last.
func appendChunk(b, body []byte) []byte {
	if len(body) == 0 {
		return b
	}
	b = appendChunkSize(b, len(body))
	b = append(b, body...)
	return append(b, "\r\n"...)
}

func appendChunkSize(b []byte, size int) []byte {
	b = strconv.AppendUint(b, uint64(size), 16)
	return append(b, "\r\n"...)
}

// A batch is events as they are on the wire, in one chunk, for all who get them.
type batch struct {
	bytes []byte
	start int // of the chunk in bytes
	body  int // of the chunk's content in bytes
	tail  int // of what follows the events in bytes
	stats Stats
	last  uint64 // all events up to this id are in this batch or before it
	end   int    // the number of bytes of the shard's batches up to here
	next  *batch // nil until there is one
	zip   zipped // for those who take gzip
}

// chunkRoom is room for the size of a chunk.
const chunkRoom = 18

// frame makes what encode appends the batch's content. If encode panics there is
// still none.
func (b *batch) frame(encode func(b []byte) []byte) {
	room := b.bytes
	if room == nil {
		room = make([]byte, chunkRoom, 256)
	}
	b.bytes = append(encode(room[:chunkRoom]), "\r\n"...)
	b.body = chunkRoom
	b.stats = Stats{Flushes: 1, Bytes: len(b.bytes) - chunkRoom - 2}
	size := appendChunkSize(make([]byte, 0, chunkRoom), b.stats.Bytes)
	b.start = chunkRoom - len(size)
	copy(b.bytes[b.start:], size)
	b.zip.forget()
}

// encode makes events the batch's content.
func (b *batch) encode(t Transport, events []Event) {
	b.frame(func(bytes []byte) []byte {
		for _, e := range events {
			bytes = t.AppendEvent(bytes, e)
		}
		b.tail = len(bytes)
		return t.AppendClose(bytes)
	})
	b.stats.Updates = len(events)
	b.last = events[len(events)-1].ID
}

// content returns the chunk's content.
func (b *batch) content() []byte { return b.bytes[b.body : len(b.bytes)-2] }

// events returns the batch without what encloses its events.
func (b *batch) events() []byte { return b.bytes[b.body:b.tail] }

// writeSome writes as much of b, which is not empty, as the socket fd takes at
// once; fd does not block. A system call by way of package syscall's Write would
// tell the scheduler, which takes longer than the call may, and every now and then
// gives the processor away meanwhile. The pointer is to bytes that the caller
// holds, and made within the call, as package unsafe wants it (rule 4).
func writeSome(fd int, b []byte) (n int, err syscall.Errno) {
	for {
		number, _, err := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
		if err != syscall.EINTR {
			return taken(number, err)
		}
	}
}

// A vector is room for the places of what is written together.
type vector [2]syscall.Iovec

// writeSome writes head and body as if they were one.
func (v *vector) writeSome(fd int, head, body []byte) (n int, err syscall.Errno) {
	for i, part := range [2][]byte{head, body} {
		v[i].Base = &part[0]
		v[i].SetLen(len(part))
	}
	defer clear(v[:])
	for {
		number, _, err := syscall.RawSyscall(syscall.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(v)), uintptr(len(v)))
		if err != syscall.EINTR {
			return taken(number, err)
		}
	}
}

// taken is what a write has returned: to be full is no error.
func taken(number uintptr, err syscall.Errno) (int, syscall.Errno) {
	switch err {
	case 0:
		return int(number), 0
	case syscall.EAGAIN:
		return 0, 0
	}
	return 0, err
}
