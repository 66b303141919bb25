package serve

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds what a test waits for; nothing is measured against it.
const patience = 60 * time.Second

// newServer starts a server with flags that is killed when the test ends, if it
// runs still.
func newServer(t *testing.T, flags ...string) *server {
	s := &server{t: t, address: "127.0.0.1:0"}
	s.start(flags...)
	t.Cleanup(s.kill)
	return s
}

// open asks for path and returns the answer's reader at its body.
func (s *server) open(path, accept string) (*bufio.Reader, *http.Response) {
	s.t.Helper()
	conn, err := net.DialTimeout("tcp", s.address, patience)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(2 * patience))
	io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: example.com\r\nAccept: "+accept+"\r\nConnection: close\r\n\r\n")
	r := bufio.NewReaderSize(conn, 512)
	answer, err := http.ReadResponse(r, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return r, answer
}

// status returns the status of path, 0 if there is no answer.
func (s *server) status(path string) int {
	answer, err := http.Get(s.url(path))
	if err != nil {
		return 0
	}
	answer.Body.Close()
	return answer.StatusCode
}

// wait returns how the server's process has ended.
func (s *server) wait() syscall.WaitStatus {
	s.process.Wait()
	return s.process.ProcessState.Sys().(syscall.WaitStatus)
}

func TestFiveThousandClientsAreDrained(t *testing.T) {
	limit := new(syscall.Rlimit)
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, limit); err != nil || limit.Cur < 1200 {
		t.Fatalf("%d open files are too few: ulimit -n 10000; %v", limit.Cur, err)
	}
	clients := min(5000, int(limit.Cur)-200)
	s := newServer(t, "--drain", "8s", "--log-level", "warn")
	var following sync.WaitGroup
	var mu sync.Mutex
	var ends []time.Time
	for range clients {
		_, answer := s.open("/feeds/log", "text/event-stream")
		following.Go(func() {
			body, err := io.ReadAll(answer.Body)
			if err != nil || strings.Contains(string(body), "event: done") {
				t.Errorf("a stream ends with %v after %q", err, body)
			}
			mu.Lock()
			defer mu.Unlock()
			ends = append(ends, time.Now())
		})
	}
	_, job := s.open("/demo/job?n=20&delay=100ms", "text/html")
	begin := time.Now()
	s.process.Process.Signal(syscall.SIGTERM)
	for s.status("/readyz") != http.StatusServiceUnavailable {
		if time.Since(begin) > patience {
			t.Fatal("the server stays ready")
		}
	}
	if got := s.status("/feeds/log?transport=sse"); got != http.StatusServiceUnavailable {
		t.Errorf("a new stream gets %d", got)
	}
	if page, err := io.ReadAll(job.Body); err != nil || !strings.Contains(string(page), "ev-20-") || !strings.Contains(string(page), `ff("done"`) {
		t.Errorf("a page that ends in time is cut off: %v", err)
	}
	following.Wait()
	if status := s.wait(); status != 0 {
		t.Errorf("the process ends with %v", status)
	}
	seconds := map[int]int{}
	for _, end := range ends {
		seconds[int(end.Sub(begin)/time.Second)]++
	}
	t.Logf("%d streams of %d ended, by second: %v; the process after %v", len(ends), clients, seconds, time.Since(begin))
}

func TestASecondSignalEndsTheProcessAtOnce(t *testing.T) {
	s := newServer(t, "--drain", "1h")
	s.open("/demo/job?n=100&delay=1m", "text/html")
	s.process.Process.Signal(syscall.SIGTERM)
	for begin := time.Now(); s.status("/readyz") != http.StatusServiceUnavailable; {
		if time.Since(begin) > patience {
			t.Fatal("the server stays ready")
		}
	}
	s.process.Process.Signal(syscall.SIGTERM)
	if status := s.wait(); !status.Signaled() || status.Signal() != syscall.SIGTERM {
		t.Errorf("the process ends with %v", status)
	}
}

func TestSizesAreBoundedByFlags(t *testing.T) {
	s := newServer(t, "--max-body", "100", "--max-update", "20", "--max-header", "1024")
	for _, test := range []struct {
		header, body string
		status       int
	}{
		{"", "short", http.StatusCreated},
		{"", strings.Repeat("x", 21), http.StatusRequestEntityTooLarge},
		{"", strings.Repeat("x", 101), http.StatusRequestEntityTooLarge},
		{strings.Repeat("x", 1024), "short", http.StatusRequestHeaderFieldsTooLarge},
	} {
		req, err := http.NewRequest("POST", s.url("/feeds/log"), strings.NewReader(test.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer key")
		req.Header.Set("Content-Type", "text/plain")
		req.Header.Set("X-Header", test.header)
		answer, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != test.status {
			t.Errorf("%d bytes and a header of %d get %s, not %d", len(test.body), len(test.header), answer.Status, test.status)
		}
	}
}

func TestStreamsAreBoundedByFlags(t *testing.T) {
	s := newServer(t, "--max-streams", "2")
	s.open("/feeds/log", "text/event-stream")
	s.open("/feeds/log", "text/event-stream")
	if _, answer := s.open("/feeds/log", "text/event-stream"); answer.StatusCode != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") == "" {
		t.Errorf("one stream too many gets %s, %v", answer.Status, answer.Header)
	}
}
