package main

import (
	"syscall"
	"unsafe"
)

// writeAll writes b to a socket that does not block, and tries again for as long
// as it is full.
func writeAll(fd int, b []byte) {
	for len(b) > 0 {
		n, _, err := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
		switch err {
		case 0:
			b = b[n:]
		case syscall.EAGAIN:
			syscall.Select(0, nil, nil, nil, &syscall.Timeval{Usec: 50})
		case syscall.EINTR:
		default:
			return
		}
	}
}
