package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// subscribe starts a server, makes its subscribers, and passes on the runs that
// standard input has.
func subscribe() error {
	server, err := start("server", *sides, *processors)
	if err != nil {
		return err
	}
	defer server.end()
	var address string
	if err := server.read(&address); err != nil {
		return err
	}
	c, err := connect(address, *subscribers, strings.HasSuffix(*sides, "+gzip"), strings.HasSuffix(*sides, "+tls"))
	if err != nil {
		return err
	}
	time.Sleep(300 * time.Millisecond) // for what follows the last head
	io.WriteString(server.in, "all\n")
	var m memory
	if err := server.read(&m); err != nil {
		return err
	}
	json.NewEncoder(os.Stdout).Encode(m)
	runs := bufio.NewScanner(os.Stdin)
	for runs.Scan() {
		var r run
		if err := json.Unmarshal(runs.Bytes(), &r); err != nil {
			return err
		}
		c.reset(r)
		fmt.Fprintf(server.in, "%s\n", runs.Bytes())
		if err := c.read(r, server.in); err != nil {
			return err
		}
		var got result
		if err := server.read(&got); err != nil {
			return err
		}
		if r.Rate > 0 {
			slices.Sort(c.latencies)
			got.P50, got.P99 = c.latencies[len(c.latencies)/2], c.latencies[len(c.latencies)*99/100]
		}
		got.Reloads = c.reloads
		json.NewEncoder(os.Stdout).Encode(got)
	}
	return nil
}

// clients are subscribers that count events.
type clients struct {
	epoll     int
	sockets   []socket
	overTLS   bool
	counts    []int    // events, by socket
	begun     [][]byte // the line that has yet to end, by socket
	least     int      // of counts
	at        int      // how many have no more
	latencies []float64
	reloads   int
	buffer    []byte    // what is read
	texts     chan text // what comes, if it is compressed; nil if it is not
}

func connect(address string, n int, packed, overTLS bool) (*clients, error) {
	epoll, err := syscall.EpollCreate1(0)
	if err != nil {
		return nil, err
	}
	c := &clients{epoll: epoll, overTLS: overTLS, buffer: make([]byte, 256<<10)}
	request := "GET /feed HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
	if packed {
		c.texts = make(chan text, 1024)
		request = strings.Replace(request, "\r\n\r\n", "\r\nAccept-Encoding: gzip\r\n\r\n", 1)
	}
	var port int
	fmt.Sscanf(address, "127.0.0.1:%d", &port)
	buffer := make([]byte, 4096)
	for i := range n {
		fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
		if err != nil {
			return nil, fmt.Errorf("subscriber %d: %w", i+1, err)
		}
		if err := syscall.Connect(fd, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
			return nil, fmt.Errorf("subscriber %d: %w", i+1, err)
		}
		syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
		s := newSocket(fd, overTLS)
		if _, err := io.WriteString(s, request); err != nil {
			return nil, fmt.Errorf("subscriber %d: %w", i+1, err)
		}
		got, err := s.Read(buffer)
		if got <= 0 || !bytes.HasPrefix(buffer, []byte("HTTP/1.1 200")) {
			return nil, fmt.Errorf("subscriber %d is answered with %q: %v", i+1, buffer[:max(got, 0)], err)
		}
		syscall.SetNonblock(fd, true)
		if packed {
			go c.inflate(i, fd, bytes.Clone(buffer[:got])) // until the program ends
			continue
		}
		event := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(len(c.sockets))}
		if err := syscall.EpollCtl(epoll, syscall.EPOLL_CTL_ADD, fd, &event); err != nil {
			return nil, err
		}
		c.sockets = append(c.sockets, s)
	}
	c.counts, c.begun = make([]int, n), make([][]byte, n)
	return c, nil
}

func (c *clients) reset(r run) {
	clear(c.counts)
	c.least, c.at, c.reloads = 0, len(c.counts), 0
	c.latencies = c.latencies[:0]
	if r.Rate > 0 {
		c.latencies = slices.Grow(c.latencies, r.Events*len(c.counts))
	}
}

// read reads until all have all events, and tells the server how far they are.
func (c *clients) read(r run, server io.Writer) error {
	marker := []byte("data: ")
	if *transport == "frame" {
		marker = []byte(`"message",`)
	}
	some := c.readSockets
	if c.texts != nil {
		some = c.readTexts
	}
	for told := 0; c.least < r.Events; {
		if err := some(marker, r.Rate > 0); err != nil {
			return err
		}
		if c.least >= told+max(1, r.Window/8) || c.least >= r.Events {
			told = c.least
			fmt.Fprintln(server, told)
		}
	}
	return nil
}

// patience is how long a client waits for the next event.
const patience = 20 * time.Second

func (c *clients) errSilence() error {
	return fmt.Errorf("nothing comes: the slowest has %d events", c.least)
}

// readSockets waits until there is something to read, and reads it.
func (c *clients) readSockets(marker []byte, timed bool) error {
	var events [256]syscall.EpollEvent
	n, err := syscall.EpollWait(c.epoll, events[:], int(patience.Milliseconds()))
	if n == 0 {
		return c.errSilence()
	}
	if err != nil {
		return nil
	}
	for _, e := range events[:n] {
		if err := c.readSocket(int(e.Fd), marker, timed); err != nil {
			return err
		}
	}
	return nil
}

// readSocket reads what there is of a subscriber.
func (c *clients) readSocket(i int, marker []byte, timed bool) error {
	for more := true; more; more = c.overTLS { // TLS may have more than the system says
		got, err := c.sockets[i].Read(c.buffer)
		if errors.Is(err, syscall.EAGAIN) {
			return nil
		}
		if got <= 0 {
			return fmt.Errorf("a stream ends: %v", err)
		}
		c.take(i, c.buffer[:got], marker, timed)
	}
	return nil
}

// readTexts waits for the next text that has been compressed.
func (c *clients) readTexts(marker []byte, timed bool) error {
	select {
	case t := <-c.texts:
		c.take(t.of, t.bytes, marker, timed)
		return nil
	case <-time.After(patience):
		return c.errSilence()
	}
}

// A text is what a subscriber has read.
type text struct {
	of    int
	bytes []byte
}

// inflate reads what comes at the socket of subscriber i, compressed, after begun.
func (c *clients) inflate(i, fd int, begun []byte) error {
	file := os.NewFile(uintptr(fd), "socket")
	answer, err := http.ReadResponse(bufio.NewReader(io.MultiReader(bytes.NewReader(begun), file)), nil)
	if err != nil {
		return err
	}
	zip, err := gzip.NewReader(bufio.NewReader(answer.Body))
	if err != nil {
		return err
	}
	buffer := make([]byte, 4096)
	for {
		n, err := zip.Read(buffer)
		if err != nil {
			return err
		}
		c.texts <- text{i, bytes.Clone(buffer[:n])}
	}
}

// take counts the events of socket i in b, whose lines may be cut anywhere.
func (c *clients) take(i int, b, marker []byte, timed bool) {
	if len(c.begun[i]) > 0 {
		b = append(c.begun[i], b...)
	}
	end := bytes.LastIndexByte(b, '\n') + 1
	c.begun[i], b = append([]byte(nil), b[end:]...), b[:end]
	c.reloads += bytes.Count(b, []byte("event: reload"))
	n := bytes.Count(b, marker)
	if timed && n > 0 {
		now := time.Now().UnixNano()
		for rest := b; ; {
			_, after, found := bytes.Cut(rest, marker)
			if !found {
				break
			}
			after = bytes.TrimLeft(after, `"`)
			if at, err := strconv.ParseInt(string(after[:min(19, len(after))]), 10, 64); err == nil {
				c.latencies = append(c.latencies, float64(now-at)/1e6)
			}
			rest = after
		}
	}
	for ; n > 0; n-- {
		if c.counts[i]++; c.counts[i] == c.least+1 {
			if c.at--; c.at == 0 {
				c.advance()
			}
		}
	}
}

// advance counts anew who has the least.
func (c *clients) advance() {
	c.least = slices.Min(c.counts)
	for _, n := range c.counts {
		if n == c.least {
			c.at++
		}
	}
}
