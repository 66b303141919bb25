//go:build !linux

package stream

import (
	"net"
	"time"
)

// boundUnsent does nothing here: a write that the system has no room for is
// bounded by its deadline.
func boundUnsent(net.Conn, time.Duration) {}

// takes reports false: nobody knows.
func takes(net.Conn) bool { return false }
