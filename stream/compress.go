package stream

import (
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"
	brotli "github.com/molecule-man/go-brrr"
	"github.com/valyala/fasthttp"
)

// A coding is a content coding that a body can be compressed with (RFC 9110,
// section 8.4.1).
type coding struct {
	name  string
	spare *sync.Pool // of encoders that are not in use
}

// codings are those that there are, the best first. For updates that leave one by
// one they come to the same size, and gzip takes less than a hundredth of the memory
// and about a tenth of the time until the first byte: a page of 1 KB and 200 updates
// of 150 bytes, of random words, takes
//
//	gzip       38 %    2 KB while it is open    8-14 µs to compress its first write
//	br         39 %  350 KB                     75-210 µs
//	zstd       39 %  460 KB                     140 µs
//
// where gzip as it is usually written, with 800 KB and 300 µs, takes 36 %.
var codings = []coding{
	{"gzip", &sync.Pool{New: func() any { return new(gzipWriter) }}},
	{"br", &sync.Pool{New: func() any {
		w, _ := brotli.NewWriterOptions(nil, 3, brotli.WriterOptions{LGWin: 14}) // both are valid
		return w
	}}},
	{"zstd", &sync.Pool{New: func() any {
		w, _ := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(16<<10),
			zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true)) // all are valid
		return w
	}}},
}

// An encoder writes one compressed stream after the other.
type encoder interface {
	io.WriteCloser
	Reset(to io.Writer) // begins the next stream
	Flush() error       // what has been written can be read
}

// compression sets the headers of an answer that may be compressed with one of
// offered, and returns which it is; nil means none.
func (r Response) compression(req *fasthttp.RequestCtx, offered []coding) *coding {
	if len(offered) == 0 {
		return nil
	}
	header := &req.Response.Header
	header.Add(fasthttp.HeaderVary, fasthttp.HeaderAcceptEncoding)
	if !req.Request.Header.IsHTTP11() {
		return nil
	}
	c := preferred(string(req.Request.Header.Peek(fasthttp.HeaderAcceptEncoding)), offered)
	if c != nil {
		header.Set(fasthttp.HeaderContentEncoding, c.name)
	}
	return c
}

// preferred returns the one of offered that an Accept-Encoding prefers, the first of
// equal ones, or nil if it prefers none (RFC 9110, section 12.5.3).
func preferred(accept string, offered []coding) (best *coding) {
	qualities := qualitiesOf(accept)
	most := qualities["identity"]
	for i, c := range offered {
		q, named := qualities[c.name]
		if !named {
			q = qualities["*"]
		}
		if q > 0 && q >= most && (best == nil || q > most) {
			best, most = &offered[i], q
		}
	}
	return best
}

// qualitiesOf returns the quality of each coding that an Accept-Encoding names,
// zero if it cannot be read.
func qualitiesOf(accept string) map[string]float64 {
	qualities := make(map[string]float64)
	for coding := range strings.SplitSeq(strings.ToLower(accept), ",") {
		name, parameters, _ := strings.Cut(coding, ";")
		quality := 1.0
		if _, q, found := strings.Cut(parameters, "q="); found {
			quality, _ = strconv.ParseFloat(strings.TrimSpace(q), 64)
		}
		qualities[strings.TrimSpace(name)] = quality
	}
	return qualities
}

// A compressor compresses what is written to it, in one write for each, which a
// reader can read to its end at once.
type compressor struct {
	out     io.Writer
	coding  *coding
	encoder encoder
	packed  struct{ *buffer } // what the encoder writes, nil between two writes
}

func (c *coding) compressor(out io.Writer) *compressor {
	to := &compressor{out: out, coding: c, encoder: c.spare.Get().(encoder)}
	to.encoder.Reset(&to.packed)
	return to
}

// Write writes b to what is beneath.
func (c *compressor) Write(b []byte) (int, error) {
	return len(b), c.pack(func() {
		c.encoder.Write(b) // the buffer beneath takes everything
		c.encoder.Flush()
	})
}

// end writes the end of what is compressed, if it is whole, and gives the memory
// back.
func (c *compressor) end(whole bool) {
	if whole {
		c.pack(func() { c.encoder.Close() })
	}
	c.encoder.Reset(io.Discard)
	c.coding.spare.Put(c.encoder)
	c.encoder = nil
}

// pack writes what encode makes.
func (c *compressor) pack(encode func()) error {
	c.packed.buffer = acquireBuffer()
	defer func() {
		releaseBuffer(c.packed.buffer)
		c.packed.buffer = nil
	}()
	encode()
	_, err := c.out.Write(*c.packed.buffer)
	return err
}
