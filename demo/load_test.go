package demo

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"foreverframe/stream"
	"foreverframe/templates"

	"github.com/valyala/fasthttp"
)

// A record takes down what is logged.
type record struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (r *record) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(b)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

// openFiles returns the number of descriptors that the process has open.
func openFiles(t *testing.T) int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("this system does not tell its open files")
	}
	return len(entries)
}

// settles waits until count is at most limit: connections take a moment to
// close.
func settles(t *testing.T, what string, limit int, count func() int) {
	t.Helper()
	for end := time.Now().Add(patience); count() > limit; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			stacks := make([]byte, 1<<16)
			t.Fatalf("%d %s are left, of %d before\n%s", count(), what, limit, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

var updateNumber = regexp.MustCompile(`"[^"]*ev-(\d+)-`)

func TestAThousandJobsAtOnceAreWholeAndInOrder(t *testing.T) {
	const pages, updates = 1000, 100
	log := &record{}
	site := &Site{}
	jobs := site.Handler()
	address := serve(t, func(req *fasthttp.RequestCtx) {
		if string(req.Path()) != "/panics" {
			jobs(req)
			return
		}
		stream.Response{
			Shell: templates.Job{},
			Log:   slog.New(slog.NewTextHandler(log, nil)),
			Source: func(ctx context.Context, page *stream.Page) error {
				work(updates/2, 64, time.Millisecond)(ctx, page)
				panic("in the middle")
			},
		}.Serve(req)
	})
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: pages, DisableCompression: true}}
	get := func(path string) (string, error) {
		answer, err := client.Get(address + path)
		if err != nil {
			return "", err
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		return string(body), err
	}
	if _, err := get("/demo/job?n=1"); err != nil { // what is made once is there before counting
		t.Fatal(err)
	}
	client.CloseIdleConnections()
	goroutines, files := runtime.NumGoroutine(), openFiles(t)

	var visitors sync.WaitGroup
	for i := range pages {
		visitors.Go(func() {
			path := fmt.Sprintf("/demo/job?n=%d&delay=1ms&visitor=%d", updates, i)
			body, err := get(path)
			if err != nil {
				t.Errorf("%s: %v", path, err)
				return
			}
			if err := inOrder(body, updates); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		})
	}
	body, err := get("/panics")
	if err != nil || inOrder(body, updates/2) != nil || !strings.Contains(body, `ff("fail"`) {
		t.Errorf("the page whose source panics: %v, %d bytes, end %q", err, len(body), body[max(0, len(body)-200):])
	}
	visitors.Wait()
	if n := strings.Count(log.String(), "level=ERROR"); n != 1 || !strings.Contains(log.String(), "in the middle") || !strings.Contains(log.String(), "load_test.go") {
		t.Errorf("%d errors are logged, not one with the panic and its stack:\n%s", n, log)
	}

	client.CloseIdleConnections()
	settles(t, "goroutines", goroutines+2, runtime.NumGoroutine)
	settles(t, "descriptors", files+2, func() int { return openFiles(t) })
}

// inOrder returns an error unless page has the updates 1 to n, each once.
func inOrder(page string, n int) error {
	found := updateNumber.FindAllStringSubmatch(page, -1)
	for i, match := range found {
		if match[1] != fmt.Sprint(i+1) {
			return fmt.Errorf("update %s where %d should be", match[1], i+1)
		}
	}
	if len(found) != n {
		return fmt.Errorf("%d updates of %d", len(found), n)
	}
	return nil
}
