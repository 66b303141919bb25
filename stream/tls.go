package stream

import (
	"crypto/tls"
	"net"
)

// NewTLSListener returns a listener that speaks TLS on the connections of inner,
// as tls.NewListener does, for a server whose followers of a feed are to cost
// little: on Linux they need no goroutine then, as over plain TCP, if inner accepts
// *net.TCPConn. Let the server Serve it. config must have a certificate or a
// function that returns one, and must not be changed afterwards.
//
// A follower has gone when its connection has ended: the goodbye of TLS alone, which
// no browser sends without closing the connection, is not noticed.
//
// What it accepts is not a *tls.Conn but has its methods. A fasthttp.Server with
// MaxConnsPerIP does not know it for TLS: bound streams by Streams.MaxPerAddress,
// or use tls.NewListener.
func NewTLSListener(inner net.Listener, config *tls.Config) net.Listener {
	return tlsListener{inner, config}
}

type tlsListener struct {
	net.Listener
	config *tls.Config
}

// Accept waits for the next connection. Its handshake is yet to come.
func (l tlsListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return newTLSConn(conn, l.config), nil
}
