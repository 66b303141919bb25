package stream

import (
	"net"
	"os"
	"sync"
	"syscall"
)

// watchClose calls gone, once and soon, when the other end of conn closes it, and
// returns a function that ends the watch. It reads nothing from conn, so that a
// pipelined request stays where it is, and costs no goroutine: one epoll
// instance, which waits in Go's own poller, watches all connections. A connection
// that has no descriptor is not watched: its end shows when a write fails.
func watchClose(conn net.Conn, gone func()) (stop func()) {
	raw := descriptor(conn)
	if raw == nil {
		return func() {}
	}
	w := theWatcher()
	if w == nil {
		return func() {}
	}
	var number uint64
	raw.Control(func(fd uintptr) {
		number = w.watch(int(fd), syscall.EPOLLRDHUP|syscall.EPOLLONESHOT, leaving(gone))
	})
	return func() {
		raw.Control(func(fd uintptr) { w.forget(int(fd), number) })
	}
}

// leaving is called when the other end of its connection closes it.
type leaving func()

func (gone leaving) ready(uint32) { gone() }

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
	w := &watcher{fd: fd, file: file, watched: make(map[uint64]watched)}
	go w.run(raw) // for as long as the process lives
	return w
})

// A watcher tells what happens to descriptors.
type watcher struct {
	fd   int
	file *os.File // keeps fd open

	mu      sync.Mutex // guards the rest
	last    uint64     // the number of the last watch
	watched map[uint64]watched
}

// watched is told what happens to its descriptor: the events of epoll. It must
// not wait.
type watched interface{ ready(events uint32) }

// watch tells who of events of fd, until forget, and returns the number of the
// watch: a descriptor's own number may belong to another connection by the time
// its event is read.
func (w *watcher) watch(fd int, events uint32, who watched) (number uint64) {
	w.mu.Lock()
	w.last++
	number = w.last
	w.watched[number] = who
	w.mu.Unlock()
	event := syscall.EpollEvent{Events: events, Fd: int32(uint32(number)), Pad: int32(uint32(number >> 32))}
	syscall.EpollCtl(w.fd, syscall.EPOLL_CTL_ADD, fd, &event)
	return number
}

// forget ends the watch of that number, of fd.
func (w *watcher) forget(fd int, number uint64) {
	syscall.EpollCtl(w.fd, syscall.EPOLL_CTL_DEL, fd, nil)
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.watched, number)
}

// find returns who is watched by that number, nil if the watch has ended.
func (w *watcher) find(number uint64) watched {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.watched[number]
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
			if who := w.find(uint64(uint32(e.Pad))<<32 | uint64(uint32(e.Fd))); who != nil {
				who.ready(e.Events)
			}
		}
	}
}
