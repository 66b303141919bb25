//go:build !linux

package stream

import (
	"crypto/tls"
	"net"
)

func newTLSConn(conn net.Conn, config *tls.Config) net.Conn { return tls.Server(conn, config) }
