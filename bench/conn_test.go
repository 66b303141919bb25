package bench_test

import (
	"io"
	"net"
	"sync"
	"time"
)

const request = "GET / HTTP/1.1\r\nHost: bench\r\n\r\n"

// A nullConn is a connection to nowhere, so that what is measured is user space
// alone: its other end sends a number of requests and then EOF, and takes every
// byte. It is also the listener that accepts it, once, and ends with it.
type nullConn struct {
	requests int // still to be read
	left     string

	writes, bytes int
	wrote         func() // called after each write; nil means nothing

	accepted bool
	closed   chan struct{}
	close    sync.Once
}

func newNullConn(requests int) *nullConn {
	return &nullConn{requests: requests, closed: make(chan struct{})}
}

func (c *nullConn) Read(b []byte) (int, error) {
	if c.left == "" {
		if c.requests == 0 {
			return 0, io.EOF
		}
		c.requests--
		c.left = request
	}
	n := copy(b, c.left)
	c.left = c.left[n:]
	return n, nil
}

func (c *nullConn) Write(b []byte) (int, error) {
	c.writes++
	c.bytes += len(b)
	if c.wrote != nil {
		c.wrote()
	}
	return len(b), nil
}

func (c *nullConn) Close() error {
	c.close.Do(func() { close(c.closed) })
	return nil
}

func (c *nullConn) Accept() (net.Conn, error) {
	if c.accepted {
		<-c.closed
		return nil, io.EOF
	}
	c.accepted = true
	return c, nil
}

func (c *nullConn) Addr() net.Addr                   { return nowhere }
func (c *nullConn) LocalAddr() net.Addr              { return nowhere }
func (c *nullConn) RemoteAddr() net.Addr             { return nowhere }
func (c *nullConn) SetDeadline(time.Time) error      { return nil }
func (c *nullConn) SetReadDeadline(time.Time) error  { return nil }
func (c *nullConn) SetWriteDeadline(time.Time) error { return nil }

var nowhere = &net.TCPAddr{IP: net.IPv4zero}
