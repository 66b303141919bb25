package stream

import "net"

// unsentBytes is how much the system takes of what a browser's system does not
// take yet. Without a bound it is 4 MB on Linux, all of it for a browser that has
// stopped to read. Less than this costs throughput.
const unsentBytes = 64 << 10

// beneath returns the connection that conn encrypts, if it is one of TLS, else
// conn.
func beneath(conn net.Conn) net.Conn {
	if c, ok := conn.(interface{ NetConn() net.Conn }); ok {
		return c.NetConn()
	}
	return conn
}

// reset makes conn end at once when it is closed: its browser takes nothing, so
// the system need not keep what is unsent and try to send it. Over TLS it closes
// it, because what was cut must not look as if it ended in order, and a goodbye
// would wait for the browser too.
func reset(conn net.Conn) {
	tcp := beneath(conn)
	if c, ok := tcp.(interface{ SetLinger(sec int) error }); ok {
		c.SetLinger(0)
	}
	if tcp != conn {
		tcp.Close()
	}
}
