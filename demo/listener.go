package demo

import (
	"errors"
	"log/slog"
	"net"
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
		if err == nil || errors.Is(err, net.ErrClosed) || !temporary(err) {
			return conn, err
		}
		if pause == shortPause {
			slog.Error("no connection can be accepted now: are there too many?", "err", err)
		}
		time.Sleep(pause)
		pause = min(2*pause, longPause)
	}
}

// temporary reports whether err passes: too many open files, a connection that
// has gone before it was accepted.
func temporary(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Temporary() //lint:ignore SA1019 there is nothing else for errors of accept
}
