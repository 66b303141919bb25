//go:build !linux

package stream

import "net"

// watchClose does nothing here: that a browser has gone shows when a write, at
// the latest a heartbeat's, fails.
func watchClose(net.Conn, func()) (stop func()) { return func() {} }
