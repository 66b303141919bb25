package stream

import (
	"net"
	"os"
	"sync"
	"syscall"
)

// watchClose calls gone, once and soon, when the other end of conn closes it,
// and returns a function that ends the watch. It reads nothing from conn, so
// that a pipelined request stays where it is, and costs no goroutine: one epoll
// instance, which waits in Go's own poller, watches all connections for
// EPOLLRDHUP. A connection that has no descriptor is not watched: its end shows
// when a write fails.
func watchClose(conn net.Conn, gone func()) (stop func()) {
	if raw := descriptor(conn); raw != nil {
		if w := theWatcher(); w != nil {
			return w.watch(raw, gone)
		}
	}
	return func() {}
}

// theWatcher returns the process's watcher, nil if there can be none.
var theWatcher = sync.OnceValue(func() *watcher {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil
	}
	syscall.SetNonblock(fd, true)
	file := os.NewFile(uintptr(fd), "epoll")
	raw, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return nil
	}
	w := &watcher{fd: fd, file: file, watched: make(map[uint64]func())}
	go w.run(raw) // for as long as the process lives
	return w
})

type watcher struct {
	fd   int
	file *os.File // keeps fd open

	mu      sync.Mutex // guards the rest
	last    uint64     // the number of the last watch
	watched map[uint64]func()
}

// watch numbers every watch, because a descriptor's own number may belong to
// another connection by the time its event is read.
func (w *watcher) watch(raw syscall.RawConn, gone func()) (stop func()) {
	w.mu.Lock()
	w.last++
	number := w.last
	w.watched[number] = gone
	w.mu.Unlock()

	raw.Control(func(fd uintptr) {
		event := syscall.EpollEvent{
			Events: syscall.EPOLLRDHUP | syscall.EPOLLONESHOT,
			Fd:     int32(uint32(number)),
			Pad:    int32(uint32(number >> 32)),
		}
		syscall.EpollCtl(w.fd, syscall.EPOLL_CTL_ADD, int(fd), &event)
	})
	return func() {
		raw.Control(func(fd uintptr) {
			syscall.EpollCtl(w.fd, syscall.EPOLL_CTL_DEL, int(fd), nil)
		})
		w.take(number)
	}
}

// take returns the callback of a watch and forgets it.
func (w *watcher) take(number uint64) func() {
	w.mu.Lock()
	defer w.mu.Unlock()
	gone := w.watched[number]
	delete(w.watched, number)
	return gone
}

func (w *watcher) run(raw syscall.RawConn) {
	var events [128]syscall.EpollEvent
	for {
		n := 0
		err := raw.Read(func(fd uintptr) bool {
			n, _ = syscall.EpollWait(int(fd), events[:], 0)
			return n > 0
		})
		if err != nil {
			return
		}
		for _, e := range events[:n] {
			if gone := w.take(uint64(uint32(e.Pad))<<32 | uint64(uint32(e.Fd))); gone != nil {
				gone()
			}
		}
	}
}
