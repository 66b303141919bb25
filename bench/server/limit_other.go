//go:build !unix

package server

import (
	"errors"
	"net"
)

func serveLimit(net.Listener) error {
	return errors.New("the limit server needs write(2)")
}

func serveGush(net.Listener) error { return serveLimit(nil) }
