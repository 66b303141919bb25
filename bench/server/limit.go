//go:build unix

package server

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"syscall"

	"foreverframe/stream"
)

// serveLimit serves with the least that there can be between the bytes of an
// update and the socket: one call of write(2), and for a feed a loop of them over
// all descriptors. It is the limit that other servers are measured by, and no
// more: a reader that stalls holds it up.
func serveLimit(l net.Listener) error { return accept(l, limitJob) }

// serveGush is the limit with all updates of a page in one call of write(2), and
// the page ready: more than any server that sends updates one by one, to see what
// a client can take.
func serveGush(l net.Listener) error {
	var pages sync.Map // from queries to bytes
	return accept(l, func(to io.Writer, q url.Values) {
		q.Del("began")
		page, ready := pages.Load(q.Encode())
		if !ready {
			var b bytes.Buffer
			limitJob(&b, q)
			page, _ = pages.LoadOrStore(q.Encode(), b.Bytes())
		}
		to.Write(page.([]byte))
	})
}

// accept serves the connections of l, and finite pages by job.
func accept(l net.Listener, job func(io.Writer, url.Values)) error {
	feeds := sockets{job: job}
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go feeds.serve(conn.(*net.TCPConn))
	}
}

// sockets are the streams of all topics.
type sockets struct {
	job func(io.Writer, url.Values)

	mu     sync.Mutex // guards the rest
	topics map[string][]*os.File
	last   uint64
}

// serve answers the requests of a connection.
func (s *sockets) serve(conn *net.TCPConn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	raw, err := conn.SyscallConn()
	if err != nil {
		return
	}
	to := socket{raw}
	for {
		req, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		topic, feed := strings.CutPrefix(req.URL.Path, "/feeds/")
		switch {
		case feed && req.Method == http.MethodPost:
			body, _ := io.ReadAll(req.Body)
			s.publish(topic, body)
			writeWhole(to, "201 Created", nil)
		case feed:
			to.Write(chunk([]byte(head(stream.SSE{})), stream.SSE{}.AppendStart(nil)))
			if file, err := conn.File(); err == nil {
				file.Fd() // blocks from now on
				s.join(topic, file)
			}
			return
		case req.URL.Path == "/job":
			s.job(to, req.URL.Query())
		default:
			writeWhole(to, "200 OK", counters())
		}
	}
}

func limitJob(to io.Writer, q url.Values) {
	j := readJob(q)
	_, err := to.Write(chunk([]byte(head(j.transport)), j.shell()))
	var b []byte
	for i := uint64(1); i <= j.n && err == nil; i++ {
		b = chunk(b[:0], wire(j.transport, j.event(i)))
		_, err = to.Write(b)
	}
	io.WriteString(to, "0\r\n\r\n")
}

func (s *sockets) join(topic string, file *os.File) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.topics == nil {
		s.topics = make(map[string][]*os.File)
	}
	s.topics[topic] = append(s.topics[topic], file)
}

func (s *sockets) publish(topic string, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	e, err := published(body, s.last)
	if err != nil {
		return
	}
	b := chunk(nil, wire(stream.SSE{}, e))
	open := s.topics[topic][:0]
	for _, file := range s.topics[topic] {
		if write(int(file.Fd()), b) != nil {
			file.Close()
			continue
		}
		open = append(open, file)
	}
	s.topics[topic] = open
}

func head(t stream.Transport) string {
	return "HTTP/1.1 200 OK\r\nContent-Type: " + contentType(t) + "\r\nCache-Control: no-store\r\nTransfer-Encoding: chunked\r\n\r\n"
}

func chunk(b, content []byte) []byte {
	b = fmt.Appendf(b, "%x\r\n", len(content))
	b = append(b, content...)
	return append(b, "\r\n"...)
}

func writeWhole(to io.Writer, status string, body []byte) {
	fmt.Fprintf(to, "HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s", status, len(body), body)
}

// A socket writes by write(2), and waits only when that would block.
type socket struct{ syscall.RawConn }

func (s socket) Write(b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		wrong := s.RawConn.Write(func(fd uintptr) bool {
			var wrote int
			wrote, err = syscall.Write(int(fd), b[n:])
			n += max(wrote, 0)
			return err != syscall.EAGAIN
		})
		if err == syscall.EINTR {
			err = nil
		}
		err = errors.Join(wrong, err)
	}
	return n, err
}

// write makes one call of write(2), and more only if it was interrupted.
func write(fd int, b []byte) error {
	for len(b) > 0 {
		n, err := syscall.Write(fd, b)
		if err != nil && err != syscall.EINTR {
			return err
		}
		b = b[max(n, 0):]
	}
	return nil
}
