package serve

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"foreverframe/bench/client"
	"foreverframe/stream/jetstream/natstest"
)

// asFollowers is the environment variable that makes this test's binary follow a
// feed; it says how.
const asFollowers = "FOREVERFRAME_TEST_AS_FOLLOWERS"

// plain returns this test's binary without the race detector, which would make
// of 15 million deliveries a test of minutes.
func plain(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "plain.test")
	if said, err := exec.Command("go", "test", "-c", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	return binary
}

// followers are many browsers, in a process of their own.
type followers struct {
	Addresses []string // of the servers; one that is lost is left for the next one
	Topic     string
	Count     int
	Events    int // that each of them is to see
}

// run follows, and prints a line for each follower that has seen all: a checksum
// of what it saw.
func (f followers) run() {
	var following sync.WaitGroup
	for n := range f.Count {
		following.Go(func() {
			one := follower{at: n, next: make(map[string]int)}
			for one.wrong == "" && one.seen < f.Events {
				one.follow(f.Addresses[one.at%len(f.Addresses)], f.Topic, f.Events)
				one.at++
			}
			fmt.Printf("%08x %d %s\n", one.sum, one.seen, one.wrong)
		})
	}
	following.Wait()
}

// A follower is one of them.
type follower struct {
	at    int
	last  uint64
	seen  int
	next  map[string]int // the number that each publisher's next event has
	sum   uint32
	wrong string
}

// follow reads an event stream until it ends or has all events.
func (f *follower) follow(address, topic string, events int) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		time.Sleep(20 * time.Millisecond)
		return
	}
	defer conn.Close()
	place := "?after=0"
	header := ""
	if f.last > 0 {
		place, header = "", fmt.Sprintf("Last-Event-ID: %d\r\n", f.last)
	}
	fmt.Fprintf(conn, "GET /feeds/%s%s HTTP/1.1\r\nHost: example.com\r\nAccept: text/event-stream\r\n%s\r\n", topic, place, header)
	r := bufio.NewReaderSize(conn, 16<<10)
	answer, err := http.ReadResponse(r, nil)
	if err != nil {
		return
	}
	if answer.StatusCode != http.StatusOK {
		time.Sleep(50 * time.Millisecond)
		return
	}
	lines := bufio.NewReaderSize(answer.Body, 16<<10)
	var id uint64
	for f.seen < events && f.wrong == "" {
		line, err := lines.ReadSlice('\n')
		if err != nil {
			return // what has no blank line at its end has not come
		}
		line = bytes.TrimSuffix(line, []byte("\n"))
		switch {
		case bytes.HasPrefix(line, []byte("id: ")):
			id, _ = strconv.ParseUint(string(line[4:]), 10, 64)
		case bytes.HasPrefix(line, []byte("data: ")):
			f.see(id, string(line[6:]))
		case bytes.HasPrefix(line, []byte("event: ")):
			f.wrong = string(line)
		}
	}
}

// see takes an event, "publisher-number".
func (f *follower) see(id uint64, text string) {
	publisher, number, _ := strings.Cut(text, "-")
	n, err := strconv.Atoi(number)
	if err != nil || id <= f.last || n != f.next[publisher] {
		f.wrong = fmt.Sprintf("after %d comes %d, %q, not number %d", f.last, id, text, f.next[publisher])
	}
	f.next[publisher]++
	f.last, f.seen = id, f.seen+1
	f.sum = crc32.Update(f.sum, crc32.IEEETable, fmt.Appendf(nil, "%d %s\n", id, text))
}

// poster publishes numbered events, in order, to whichever server takes them.
type poster struct {
	name    string
	servers []*server
	at      int
	client  http.Client
	acked   *atomic.Int64
}

// post publishes n events, together, until that is acknowledged.
func (p *poster) post(ctx context.Context, first, n int) {
	var body strings.Builder
	for i := range n {
		fmt.Fprintf(&body, `{"data":"%s-%d"}`+"\n", p.name, first+i)
	}
	for ctx.Err() == nil {
		if p.try([]string{"a", "b"}[first/n%2], body.String(), fmt.Sprint(p.name, "-", first)) {
			p.acked.Add(int64(n))
			return
		}
		p.at++
		time.Sleep(20 * time.Millisecond)
	}
}

func (p *poster) try(topic, body, key string) bool {
	req, _ := http.NewRequest("POST", p.servers[p.at%len(p.servers)].url("/feeds/"+topic), strings.NewReader(body))
	req.Header.Set("Authorization", "Bearer key")
	req.Header.Set("Content-Type", "application/x-ndjson")
	req.Header.Set("Idempotency-Key", key)
	answer, err := p.client.Do(req)
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	io.Copy(io.Discard, answer.Body)
	return answer.StatusCode == http.StatusCreated
}

// Three NATS servers and three processes, of which one each is killed while
// 50,000 events are published to all, and comes back. Each of 300 followers of two
// topics as one, of which those of the killed process go on at the others, sees
// every event, once and in order.
func TestThreeProcessesLoseNothing(t *testing.T) {
	const count, events, publishers, together = 300, 50_000, 6, 10
	program := plain(t)
	cluster := natstest.Start(t, 3, "")
	f := followers{Topic: "a,b", Count: count, Events: events}
	servers := startThree(t, program, cluster.URL(), "--nats-replicas", "3", "--keep-events", "100000", "--keep-bytes", "100000000")
	for _, s := range servers {
		f.Addresses = append(f.Addresses, s.address)
	}
	var acked atomic.Int64
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var publishing sync.WaitGroup
	for p := range publishers {
		publishing.Go(func() {
			one := poster{name: fmt.Sprint("p", p), servers: servers, at: p, acked: &acked}
			one.client.Timeout = 10 * time.Second
			for n := 0; n < events/publishers/together*together; n += together {
				one.post(ctx, n, together)
			}
			for n := events / publishers / together * together; p == 0 && n < events-(publishers-1)*(events/publishers/together*together); n++ {
				one.post(ctx, n, 1)
			}
		})
	}
	waitFor(t, "the first events", func() bool { return acked.Load() > 20*publishers })
	result := f.start(t, program)
	steps := []func(){
		func() { cluster.Leader("foreverframe").Kill() },
		func() { servers[1].kill() },
		func() { servers[1].start(servers[1].flags...) },
		func() {
			for _, s := range cluster.Servers {
				s.Restart()
			}
		},
	}
	for i, step := range steps {
		waitFor(t, "acknowledgements", func() bool { return acked.Load() > int64(events*(i+1)/6) })
		step()
		t.Logf("step %d after %d acknowledged events", i+1, acked.Load())
	}
	publishing.Wait()
	sums := map[string]int{}
	for range count {
		sums[<-result]++
	}
	if len(sums) != 1 || acked.Load() != events {
		t.Errorf("%d events were acknowledged; the followers saw %v", acked.Load(), sums)
	}
	for sum := range sums {
		if !strings.HasSuffix(sum, fmt.Sprint(" ", events, " ")) {
			t.Errorf("a follower says %q", sum)
		}
	}
}

// start starts followers, and returns what they print.
func (f followers) start(t *testing.T, program string) <-chan string {
	t.Helper()
	text, _ := json.Marshal(f)
	process := exec.Command(program)
	process.Env = append(os.Environ(), asFollowers+"="+string(text))
	process.Stderr = os.Stderr
	out, err := process.StdoutPipe()
	if err == nil {
		err = process.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { process.Process.Kill(); process.Wait() })
	result := make(chan string, f.Count)
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			result <- lines.Text()
		}
		close(result)
	}()
	return result
}

// startThree starts three processes that share NATS.
func startThree(t *testing.T, program, url string, flags ...string) (servers []*server) {
	for range 3 {
		s := &server{t: t, address: "127.0.0.1:0", program: program}
		s.flags = append([]string{"--nats", url, "--log-level", "error"}, flags...)
		s.start(s.flags...)
		t.Cleanup(s.kill)
		servers = append(servers, s)
	}
	return servers
}

// waitFor waits until done returns true.
func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(3 * patience); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s did not come", what)
		}
	}
}

// While NATS is away nothing is acknowledged, streams stay open, and then all go
// on: what was acknowledged is there, once.
func TestNATSIsAway(t *testing.T) {
	program := plain(t)
	cluster := natstest.Start(t, 1, "")
	servers := startThree(t, program, cluster.URL(), "--nats-replicas", "1", "--keep-events", "100000")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	status, _ := servers[0].post("all", "begin")
	if status != http.StatusCreated {
		t.Fatalf("the first event gets %d", status)
	}
	var following sync.WaitGroup
	var mu sync.Mutex
	var connections atomic.Int64
	seen := make([][]string, 6)
	following.Add(len(seen))
	for i := range seen {
		go func() {
			defer following.Done()
			page := &client.Page{Document: client.NewDocument(""), Saw: func(e client.Event) {
				mu.Lock()
				defer mu.Unlock()
				seen[i] = append(seen[i], e.Action+" "+e.HTML)
				if e.HTML == "end" {
					cancelOnce(ctx, cancel, seen)
				}
			}}
			c := client.Client{Dial: func(ctx context.Context) (net.Conn, error) {
				connections.Add(1)
				return servers[i%3].dial(ctx)
			}}
			c.Follow(ctx, page, servers[i%3].url("/feeds/all?after=0"), &client.EventSource{})
		}()
	}
	var acked []string
	publish := func(n int) int {
		text := fmt.Sprint("event ", n)
		status, header := servers[n%3].post("all", text)
		switch {
		case status == http.StatusCreated:
			acked = append(acked, text)
		case status != http.StatusServiceUnavailable || header.Get("Retry-After") == "":
			t.Errorf("publishing gets %d, %v", status, header)
		}
		return status
	}
	n := 0
	for ; n < 100; n++ {
		publish(n)
	}
	cluster.Servers[0].Kill()
	refused := 0
	for away := time.Now(); time.Since(away) < 10*time.Second || refused == 0; n++ {
		if publish(n) == http.StatusServiceUnavailable {
			refused++
		} else {
			t.Error("an event is acknowledged while NATS is away")
		}
		time.Sleep(50 * time.Millisecond)
	}
	for _, s := range servers {
		waitFor(t, "the word that NATS is away", func() bool { return s.status("/readyz") == http.StatusServiceUnavailable })
	}
	cluster.Servers[0].Start()
	for _, s := range servers {
		waitFor(t, "readiness", func() bool { return s.status("/readyz") == http.StatusOK })
	}
	for last := n + 100; n < last; n++ {
		publish(n)
	}
	waitFor(t, "the end", func() bool { status, _ := servers[0].post("all", "end"); return status == http.StatusCreated })
	following.Wait()
	if connections.Load() != int64(len(seen)) {
		t.Errorf("%d followers needed %d connections", len(seen), connections.Load())
	}
	for i, texts := range seen {
		checkSeen(t, i, texts, acked)
	}
	t.Logf("%d events acknowledged, %d refused", len(acked), refused)
}

// checkSeen checks that a follower saw what was acknowledged, in order and each
// once. What was refused may have come.
func checkSeen(t *testing.T, i int, texts, acked []string) {
	t.Helper()
	count := map[string]int{}
	at := 0
	for _, text := range texts {
		text = strings.TrimPrefix(text, "emit ")
		if count[text]++; count[text] > 1 && text != "end" {
			t.Errorf("follower %d sees %q %d times", i, text, count[text])
		}
		if at < len(acked) && text == acked[at] {
			at++
		}
	}
	if at != len(acked) {
		t.Errorf("follower %d misses %q", i, acked[at])
	}
}

// cancelOnce ends all followers when each of them has seen the end.
func cancelOnce(ctx context.Context, cancel func(), seen [][]string) {
	for _, texts := range seen {
		if len(texts) == 0 || !strings.HasSuffix(texts[len(texts)-1], " end") {
			return
		}
	}
	if ctx.Err() == nil {
		cancel()
	}
}

// post publishes text, without a key.
func (s *server) post(topic, text string) (status int, header http.Header) {
	req, _ := http.NewRequest("POST", s.url("/feeds/"+topic), strings.NewReader(text))
	req.Header.Set("Authorization", "Bearer key")
	req.Header.Set("Content-Type", "text/plain")
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	answer.Body.Close()
	return answer.StatusCode, answer.Header
}
