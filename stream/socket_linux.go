package stream

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Options of tcp(7) that package syscall does not name.
const (
	tcpUserTimeout  = 18
	tcpNotsentLowat = 25
)

// boundUnsent bounds what the system holds of what has been written to conn: in
// bytes, and in age, after which conn fails. It does nothing for a connection
// that is not TCP.
func boundUnsent(conn net.Conn, age time.Duration) {
	raw := descriptor(conn)
	if raw == nil {
		return
	}
	raw.Control(func(fd uintptr) {
		syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpNotsentLowat, unsentBytes)
		syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(min(age, time.Hour).Milliseconds()))
	})
}

// takes reports whether the system takes more for conn at once: then a write that
// does not end waits for this process, not for its browser.
func takes(conn net.Conn) (writable bool) {
	raw := descriptor(conn)
	if raw == nil {
		return false
	}
	raw.Control(func(fd uintptr) {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		n, err := unix.Poll(poll, 0)
		writable = err == nil && n == 1 && poll[0].Revents == unix.POLLOUT
	})
	return writable
}

// descriptor returns the way to the descriptor of conn, also under TLS, or nil
// if there is none.
func descriptor(conn net.Conn) syscall.RawConn {
	if conn == nil {
		return nil
	}
	c, ok := beneath(conn).(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}
