package demo

import (
	"errors"
	"log/slog"
	"net"
	"syscall"
	"time"
)

// A Listener accepts connections until it is closed, also after there was no
// descriptor left for one: fasthttp would end.
type Listener struct{ net.Listener }

// Pauses after a connection could not be accepted.
const (
	shortPause = 5 * time.Millisecond
	longPause  = time.Second
)

// Accept waits for the next connection.
func (l Listener) Accept() (net.Conn, error) {
	pause := shortPause
	for {
		conn, err := l.Listener.Accept()
		if err == nil || !temporary(err) {
			return conn, err
		}
		if pause == shortPause {
			slog.Error("no connection can be accepted now: are there too many?", "err", err)
		}
		time.Sleep(pause)
		pause = min(2*pause, longPause)
	}
}

// temporary reports whether err passes.
func temporary(err error) bool {
	for _, passes := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED} {
		if errors.Is(err, passes) {
			return true
		}
	}
	return false
}
