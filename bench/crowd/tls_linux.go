package main

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"syscall"

	"foreverframe/stream"
)

// secure returns l with TLS and a certificate that nobody trusts: that of the
// crowd, or the standard library's.
func secure(l net.Listener, crowd bool) net.Listener {
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	config := &tls.Config{Certificates: server.TLS.Certificates}
	if crowd {
		return stream.NewTLSListener(l, config)
	}
	return tls.NewListener(l, config)
}

// A socket is what a client reads from. Its Read returns EAGAIN if it would wait.
type socket interface {
	io.Reader
	io.Writer
}

// newSocket returns the socket fd, with TLS or without.
func newSocket(fd int, overTLS bool) socket {
	s := descriptor{fd: fd}
	if !overTLS {
		return s
	}
	return tls.Client(s, &tls.Config{InsecureSkipVerify: true})
}

// A descriptor is a connection to its own process, as far as TLS needs one.
type descriptor struct {
	net.Conn // none
	fd       int
}

func (d descriptor) Read(b []byte) (int, error) {
	n, err := syscall.Read(d.fd, b)
	switch {
	case errors.Is(err, syscall.EAGAIN):
		return 0, err // temporary: TLS goes on with the next Read
	case n <= 0:
		return 0, errors.Join(io.EOF, err)
	}
	return n, nil
}

func (d descriptor) Write(b []byte) (int, error) { return syscall.Write(d.fd, b) }
