package bench_test

import (
	"bytes"
	"net"
	"sync/atomic"
	"testing"
)

// BenchmarkPageTCP is one whole page over loopback TCP, the client's half
// included, one after the other on a connection that is kept alive. Under -cpu 1
// the time is the processor's, for both halves.
func BenchmarkPageTCP(b *testing.B) {
	for _, side := range sides {
		b.Run(side.name, func(b *testing.B) {
			b.ReportAllocs()
			l := listen(b)
			go side.serve(l, page)
			c := dial(b, l)
			c.load(b)
			l.writes.Store(0)
			for b.Loop() {
				c.load(b)
			}
			b.ReportMetric(float64(l.writes.Load())/float64(b.N), "writes/op")
		})
	}
}

// A listener counts the writes of its connections.
type listener struct {
	net.Listener
	writes atomic.Int64
}

func listen(b *testing.B) *listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	return &listener{Listener: l}
}

func (l *listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &countingConn{conn.(*net.TCPConn), l}, nil
}

type countingConn struct {
	*net.TCPConn
	listener *listener
}

func (c *countingConn) Write(b []byte) (int, error) {
	c.listener.writes.Add(1)
	return c.TCPConn.Write(b)
}

// A client asks for pages and reads them to the end.
type client struct {
	net.Conn
	buffer [16 << 10]byte
}

func dial(b *testing.B, l net.Listener) *client {
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	return &client{Conn: conn}
}

var lastChunk = []byte("\r\n0\r\n\r\n")

// load reads one page: all until the last chunk.
func (c *client) load(b *testing.B) {
	c.Write([]byte(request))
	for n := 0; !bytes.HasSuffix(c.buffer[:n], lastChunk); {
		more, err := c.Read(c.buffer[n:])
		if err != nil {
			b.Fatal(err)
		}
		n += more
	}
}
