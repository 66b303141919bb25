package meter

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// goroutines is the driver with a goroutine for each connection.
type goroutines struct {
	loop *loop

	opening sync.Mutex // held by who connects: all at once would show how a server takes a rush, not what it serves

	mu    sync.Mutex // guards conns
	conns map[net.Conn]bool
}

func newGoroutines(l *loop) *goroutines {
	return &goroutines{loop: l, conns: make(map[net.Conn]bool)}
}

func (g *goroutines) run(ctx context.Context) {
	defer context.AfterFunc(ctx, g.drop)()
	var streams sync.WaitGroup
	for _, s := range g.loop.streams {
		streams.Go(func() {
			select {
			case <-time.After(time.Until(s.due)):
			case <-ctx.Done():
			}
			for s.step != over && ctx.Err() == nil {
				g.follow(ctx, s)
			}
		})
	}
	streams.Wait()
}

func (g *goroutines) drop() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for conn := range g.conns {
		conn.Close()
	}
}

// follow follows a stream for the life of one connection.
func (g *goroutines) follow(ctx context.Context, s *stream) {
	g.opening.Lock()
	start := time.Now()
	conn, err := g.loop.meter.dial(ctx)
	g.opening.Unlock()
	if err != nil {
		if ctx.Err() == nil {
			g.with(func() { s.fail(err) })
		}
		return
	}
	defer conn.Close()
	g.mu.Lock()
	g.conns[conn] = true
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		delete(g.conns, conn)
		g.mu.Unlock()
	}()
	if ctx.Err() != nil {
		return
	}
	g.with(s.connected)
	c := &connection{Conn: conn, ctx: ctx, goroutines: g, stream: s, buffer: make([]byte, 16<<10)}
	for again := true; again; start = time.Now() {
		again = c.exchange(start)
	}
}

func (g *goroutines) with(do func()) {
	g.loop.mu.Lock()
	defer g.loop.mu.Unlock()
	do()
}

// A connection reads the answers to a stream's requests.
type connection struct {
	net.Conn
	*goroutines
	ctx    context.Context
	stream *stream
	buffer []byte
	closed bool
}

// exchange makes a request and reads its answer, and reports whether the next
// request may use the same connection.
func (c *connection) exchange(start time.Time) bool {
	var request []byte
	c.with(func() { request = c.stream.request(start) })
	if _, err := c.Conn.Write(request); err != nil {
		c.closed = true
	}
	for !c.over() {
		c.read()
		if len(c.stream.packed) > 0 {
			c.unpack()
		}
	}
	if c.ctx.Err() != nil {
		return false
	}
	s := c.stream
	c.with(func() { s.ended(time.Now(), !c.closed || s.answer.closed()) })
	return s.step == ask && !c.closed
}

// over reports whether the answer has ended, or the stream.
func (c *connection) over() bool {
	return c.closed || c.stream.answer.state == atEnd || c.stream.step == over
}

// read reads once from the connection.
func (c *connection) read() {
	n, err := c.Conn.Read(c.buffer)
	now := time.Now()
	c.with(func() { c.stream.feed(c.buffer[:n], now) })
	c.closed = err != nil
}

// unpack reads the rest of an answer that is compressed.
func (c *connection) unpack() {
	b := make([]byte, 16<<10)
	z, err := gzip.NewReader(packed{c})
	for err == nil {
		var n int
		n, err = z.Read(b)
		c.with(func() { c.stream.scan.feed(b[:n], c.stream.arrived) })
	}
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		c.with(func() { c.stream.fail(err) })
	}
	for !c.over() { // what follows the compressed data
		c.read()
	}
	c.stream.packed = nil
}

// packed is the compressed body of the answer that a connection reads.
type packed struct{ *connection }

func (p packed) Read(b []byte) (int, error) {
	s := p.stream
	for len(s.packed) == 0 {
		if p.over() {
			return 0, io.EOF
		}
		p.read()
	}
	n := copy(b, s.packed)
	s.packed = s.packed[n:]
	return n, nil
}
