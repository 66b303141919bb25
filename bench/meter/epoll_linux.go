package meter

import (
	"context"
	"net"
	"net/netip"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
)

// newDriver returns the driver of a loop.
func newDriver(l *loop) driver {
	m := l.meter
	if address, err := netip.ParseAddrPort(m.Address); err == nil && m.Dial == nil && m.TLS == nil && !m.Gzip {
		return &epoll{loop: l, address: address}
	}
	return newGoroutines(l)
}

// An epoll is the driver with one goroutine that waits for all connections.
type epoll struct {
	*loop
	address netip.AddrPort
	fd      int
	fds     []int // of the streams; -1 means none
	opening []int // streams that need a connection, in the order of when they begin
	dropped atomic.Bool
	buffer  []byte
}

const (
	openAtOnce = 16 // connections made between two looks at the others
	readAtOnce = 128 << 10
)

func (e *epoll) drop() { e.dropped.Store(true) }

func (e *epoll) run(ctx context.Context) {
	runtime.LockOSThread() // what waits in epoll_wait is a thread
	defer runtime.UnlockOSThread()
	var err error
	if e.fd, err = syscall.EpollCreate1(syscall.EPOLL_CLOEXEC); err != nil {
		e.failAll(err)
		return
	}
	defer syscall.Close(e.fd)
	e.buffer = make([]byte, readAtOnce)
	for i := range e.streams {
		e.fds = append(e.fds, -1)
		e.opening = append(e.opening, i)
	}
	events := make([]syscall.EpollEvent, 256)
	for ctx.Err() == nil {
		if e.dropped.Swap(false) {
			e.loseAll()
		}
		e.openSome()
		n, _ := syscall.EpollWait(e.fd, events, e.patience())
		for _, event := range events[:max(n, 0)] {
			e.read(int(event.Fd))
		}
	}
	for i := range e.fds {
		e.close(i)
	}
}

// patience is how long to wait for events, in milliseconds.
func (e *epoll) patience() int {
	const most = 5
	if len(e.opening) == 0 {
		return most
	}
	left := max(0, time.Until(e.streams[e.opening[0]].due))
	return min(most, int((left+time.Millisecond-1)/time.Millisecond))
}

func (e *epoll) failAll(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range e.streams {
		s.fail(err)
	}
}

// loseAll closes all connections, so that those that follow feeds come back.
func (e *epoll) loseAll() {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	for i, s := range e.streams {
		if e.fds[i] >= 0 {
			e.close(i)
			s.ended(now, false)
			e.opening = append(e.opening, i)
		}
	}
}

// openSome connects some of the streams that need it.
func (e *epoll) openSome() {
	now := time.Now()
	for range openAtOnce {
		if len(e.opening) == 0 || e.streams[e.opening[0]].due.After(now) {
			return
		}
		if i := e.opening[0]; e.streams[i].step != over {
			e.open(i)
		}
		e.opening = e.opening[1:]
	}
}

func (e *epoll) open(i int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s, start := e.streams[i], time.Now()
	fd, err := connectTo(e.address)
	if err != nil {
		s.fail(err)
		return
	}
	e.fds[i] = fd
	s.connected()
	syscall.EpollCtl(e.fd, syscall.EPOLL_CTL_ADD, fd, &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(i)})
	e.ask(i, start)
}

// ask sends the request of a stream, which fits into an empty socket.
func (e *epoll) ask(i int, now time.Time) {
	s := e.streams[i]
	if _, err := syscall.Write(e.fds[i], s.request(now)); err != nil {
		e.lose(i, now)
	}
}

// read reads once what there is of a stream.
func (e *epoll) read(i int) {
	n, err := syscall.Read(e.fds[i], e.buffer)
	if err == syscall.EAGAIN || err == syscall.EINTR {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	s, now := e.streams[i], time.Now()
	if n <= 0 {
		e.lose(i, now)
		return
	}
	s.feed(e.buffer[:n], now)
	if s.answer.state == atEnd {
		s.ended(now, true)
	}
	switch s.step {
	case ask:
		e.ask(i, now)
	case connect:
		e.close(i)
		e.opening = append(e.opening, i)
	case over:
		e.close(i)
	}
}

// lose closes a connection that has ended, and connects again if the stream goes
// on.
func (e *epoll) lose(i int, now time.Time) {
	s := e.streams[i]
	e.close(i)
	s.ended(now, s.answer.closed())
	if s.step != over {
		e.opening = append(e.opening, i)
	}
}

func (e *epoll) close(i int) {
	if e.fds[i] >= 0 {
		syscall.Close(e.fds[i])
		e.fds[i] = -1
	}
}

// connectTo returns a connected socket that does not block.
func connectTo(address netip.AddrPort) (int, error) {
	ip, port := address.Addr().Unmap(), int(address.Port())
	family, to := syscall.AF_INET6, syscall.Sockaddr(&syscall.SockaddrInet6{Port: port, Addr: ip.As16()})
	if ip.Is4() {
		family, to = syscall.AF_INET, &syscall.SockaddrInet4{Port: port, Addr: ip.As4()}
	}
	fd, err := syscall.Socket(family, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, &net.OpError{Op: "socket", Net: "tcp", Err: err}
	}
	if err = syscall.Connect(fd, to); err == nil {
		err = syscall.SetNonblock(fd, true)
	}
	if err != nil {
		syscall.Close(fd)
		return -1, &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(address), Err: err}
	}
	return fd, nil
}
