package stream

import (
	"bytes"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/valyala/fasthttp"
)

// compresses sets the headers of an answer that may be compressed, and reports
// whether it is: the client accepts gzip (RFC 9110, section 12.5.3).
func (r Response) compresses(req *fasthttp.RequestCtx) bool {
	if !r.Compress {
		return false
	}
	header := &req.Response.Header
	header.Add(fasthttp.HeaderVary, fasthttp.HeaderAcceptEncoding)
	if !req.Request.Header.IsHTTP11() || !acceptsGzip(string(req.Request.Header.Peek(fasthttp.HeaderAcceptEncoding))) {
		return false
	}
	header.Set(fasthttp.HeaderContentEncoding, "gzip")
	return true
}

// acceptsGzip reports whether an Accept-Encoding accepts gzip. What it says of
// gzip itself counts more than what it says of any encoding.
func acceptsGzip(accept string) bool {
	accepts := false
	for coding := range strings.SplitSeq(strings.ToLower(accept), ",") {
		name, parameters, _ := strings.Cut(coding, ";")
		name = strings.TrimSpace(name)
		if name != "gzip" && name != "*" {
			continue
		}
		quality := 1.0
		if _, q, found := strings.Cut(parameters, "q="); found {
			quality, _ = strconv.ParseFloat(strings.TrimSpace(q), 64)
		}
		if accepts = quality > 0; name == "gzip" {
			return accepts
		}
	}
	return accepts
}

// A compressor compresses what is written to it, in one write for each, which a
// reader can read to its end at once.
type compressor struct {
	out    io.Writer
	packed bytes.Buffer
	gzip   *gzip.Writer
}

// gzips are writers that are not in use, 200 KB each.
var gzips = sync.Pool{New: func() any {
	w, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // the level is one that there is
	return w
}}

func newCompressor(out io.Writer) *compressor {
	c := &compressor{out: out, gzip: gzips.Get().(*gzip.Writer)}
	c.gzip.Reset(&c.packed)
	return c
}

// Write writes b to what is beneath.
func (c *compressor) Write(b []byte) (int, error) {
	c.gzip.Write(b) // the buffer beneath takes everything
	c.gzip.Flush()
	return len(b), c.flush()
}

// end writes the end of what is compressed, if it is whole, and gives the memory
// back.
func (c *compressor) end(whole bool) {
	if whole {
		c.gzip.Close()
		c.flush()
	}
	gzips.Put(c.gzip)
	c.gzip = nil
}

func (c *compressor) flush() error {
	_, err := c.out.Write(c.packed.Bytes())
	c.packed.Reset()
	return err
}
