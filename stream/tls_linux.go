package stream

import (
	"crypto/tls"
	"net"
	"sync/atomic"
)

// A tlsConn is a server's TLS connection that a crowd can take. A write of TLS
// that does not end in time spoils the connection, so a crowd's never waits: TLS
// gives what it has encrypted to the crowd, which writes that as it does plain
// bytes.
type tlsConn struct {
	*tls.Conn
	beneath *tlsSocket
	over    atomic.Bool // it has been closed, or a crowd has it
}

// newTLSConn returns conn with TLS; a crowd can take it if it is TCP.
func newTLSConn(conn net.Conn, config *tls.Config) net.Conn {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return tls.Server(conn, config)
	}
	beneath := &tlsSocket{TCPConn: tcp}
	return &tlsConn{Conn: tls.Server(beneath, config), beneath: beneath}
}

// take returns a descriptor of the connection's own, to write to what seal and
// sealEnd return, and closes the connection's: from then on nobody else can use
// the connection, and Close sends nothing. If there is an error the connection
// ends.
func (c *tlsConn) take() (fd int, err error) {
	if c.over.Swap(true) {
		return 0, net.ErrClosed
	}
	fd, err = duplicate(c.beneath.TCPConn)
	c.beneath.taken.Store(true)
	c.beneath.Close() // but it still has its addresses
	return fd, err
}

// Close closes a connection that is not taken, with a goodbye.
func (c *tlsConn) Close() error {
	if c.over.Swap(true) {
		return net.ErrClosed
	}
	return c.Conn.Close()
}

// seal appends b, encrypted, to sealed. A connection that has failed, which can
// only be before it is taken, appends nothing, ever.
func (c *tlsConn) seal(sealed, b []byte) []byte {
	return c.collect(sealed, func() { c.Conn.Write(b) })
}

// sealEnd appends TLS's goodbye: without it a client knows that something is
// missing. Nothing follows it.
func (c *tlsConn) sealEnd(sealed []byte) []byte {
	return c.collect(sealed, func() { c.CloseWrite() })
}

// collect appends what TLS writes while it does something.
func (c *tlsConn) collect(sealed []byte, do func()) []byte {
	c.beneath.sealed = sealed
	do()
	sealed, c.beneath.sealed = c.beneath.sealed, nil
	return sealed
}

// A tlsSocket is what TLS writes to: a TCP connection, until a crowd has taken it.
type tlsSocket struct {
	*net.TCPConn             // closed when it is taken
	taken        atomic.Bool // by a crowd
	sealed       []byte      // what TLS writes goes to its end then
}

func (s *tlsSocket) Write(b []byte) (int, error) {
	if !s.taken.Load() {
		return s.TCPConn.Write(b)
	}
	s.sealed = append(s.sealed, b...)
	return len(b), nil
}
