package serve

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"foreverframe/bench/client"

	"github.com/alecthomas/kong"
)

// asServer is the environment variable that makes this test's binary the server.
const asServer = "FOREVERFRAME_TEST_AS_SERVER"

func TestMain(m *testing.M) {
	if os.Getenv(asServer) != "" {
		var c struct {
			Serve Command `cmd:""`
		}
		command := kong.Parse(&c)
		command.BindTo(UntilSignal(), (*context.Context)(nil))
		command.FatalIfErrorf(command.Run())
		os.Exit(0)
	}
	if text := os.Getenv(asFollowers); text != "" {
		var f followers
		if err := json.Unmarshal([]byte(text), &f); err != nil {
			panic(err)
		}
		f.run()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// A server is a process of this program.
type server struct {
	t       *testing.T
	data    string // directory that keeps its topics; empty means none
	address string // "127.0.0.1:0" until it has started once
	program string // empty means this test's binary
	flags   []string
	process *exec.Cmd
}

// start starts the server, and returns when it listens.
func (s *server) start(flags ...string) {
	s.t.Helper()
	args := append([]string{"serve", "--listen", s.address, "--publish-key", "key", "--keep-events", "1000000", "--drain", "1s"}, flags...)
	if s.data != "" {
		args = append(args, "--data", s.data)
	}
	s.process = exec.Command(cmp.Or(s.program, os.Args[0]), args...)
	s.process.Env = append(os.Environ(), asServer+"=1")
	s.process.Stderr = os.Stderr
	out, err := s.process.StdoutPipe()
	if err == nil {
		err = s.process.Start()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	_, address, ok := strings.Cut(strings.TrimSpace(line), "http://")
	if !ok {
		s.t.Fatalf("the server says %q: %v", line, s.process.Wait())
	}
	if s.address != address {
		s.address = address // it stays the same from now on
	}
}

// kill ends the server as nothing else can.
func (s *server) kill() {
	s.process.Process.Kill()
	s.process.Wait()
}

// stop ends the server in order.
func (s *server) stop() {
	s.t.Helper()
	s.process.Process.Signal(syscall.SIGTERM)
	if err := s.process.Wait(); err != nil {
		s.t.Errorf("after SIGTERM: %v", err)
	}
}

func (s *server) url(path string) string { return "http://" + s.address + path }

func (s *server) dial(ctx context.Context) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", s.address)
}

// A publisher publishes numbered events and knows which were acknowledged.
type publisher struct {
	name   string
	key    bool // it has an Idempotency-Key, and sends again until there is an answer
	server *server
	client http.Client
	acks   *atomic.Int64

	acked map[uint64]string // by id
}

// run publishes until ctx is done.
func (p *publisher) run(ctx context.Context, random *rand.Rand) {
	p.acked = make(map[uint64]string)
	for n := 0; ctx.Err() == nil; {
		topic, texts := string(rune('a'+random.IntN(2))), []string{}
		for range 1 + random.IntN(3) {
			texts = append(texts, fmt.Sprintf("%s-%d", p.name, n))
			n++
		}
		for !p.publish(topic, texts) && p.key {
			time.Sleep(5 * time.Millisecond) // also when ctx is done: what was begun is ended
		}
	}
}

// publish publishes texts together, and reports whether that was acknowledged.
func (p *publisher) publish(topic string, texts []string) bool {
	var body strings.Builder
	for _, text := range texts {
		fmt.Fprintf(&body, `{"action":"append","target":"log","html":"<i>%s</i>"}`+"\n", text)
	}
	req, _ := http.NewRequest("POST", p.server.url("/feeds/"+topic), strings.NewReader(body.String()))
	req.Header.Set("Authorization", "Bearer key")
	req.Header.Set("Content-Type", "application/x-ndjson")
	if p.key {
		req.Header.Set("Idempotency-Key", texts[0])
	}
	answer, err := p.client.Do(req)
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	var got struct{ IDs []uint64 }
	if answer.StatusCode != 201 || json.NewDecoder(answer.Body).Decode(&got) != nil {
		return false
	}
	for i, id := range got.IDs {
		p.acked[id] = texts[i]
	}
	p.acks.Add(1)
	return true
}

// ended is the answer to an EventSource that was away when the feed ended.
const ended = client.StatusError(http.StatusNoContent)

// A reader follows the feed over all lives of the server.
type reader struct {
	name string
	page *client.Page
	ids  []uint64
	html []string
	err  error
}

func (r *reader) run(ctx context.Context, s *server, t client.Transport) {
	r.page = &client.Page{Document: client.NewDocument("<div id=log></div>"), Saw: func(e client.Event) {
		if e.ID != 0 {
			r.ids, r.html = append(r.ids, e.ID), append(r.html, e.HTML)
		}
	}}
	c := client.Client{Dial: s.dial}
	for ctx.Err() == nil {
		switch r.err = c.Follow(ctx, r.page, s.url("/feeds/a,b?after=0"), t); r.err {
		case client.ErrDone, client.ErrReload, client.ErrFailed, ended:
			return
		}
		time.Sleep(5 * time.Millisecond) // the server is not there
	}
}

// The server is killed 20 times while programs publish and pages follow. What
// was acknowledged is there, once and in order, and the pages are the same as
// one that comes at the end.
func TestAKillLosesNothing(t *testing.T) {
	const seed, lives, publishers = 7, 20, 4
	random := rand.New(rand.NewPCG(seed, 0))
	s := &server{t: t, data: t.TempDir(), address: "127.0.0.1:0"}
	s.start()
	defer func() { s.process.Process.Kill() }()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()

	var acks atomic.Int64
	first := &publisher{name: "first", server: s, acks: &acks, acked: make(map[uint64]string)}
	if !first.publish("a", []string{"first-0"}) || !first.publish("b", []string{"first-1"}) {
		t.Fatal("the first events are not acknowledged")
	}
	all := []*publisher{first}
	publishing, stopPublishing := context.WithCancel(ctx)
	defer stopPublishing()
	var running, following sync.WaitGroup
	for n := range publishers {
		p := &publisher{name: fmt.Sprint("p", n), key: n%2 == 0, server: s, acks: &acks}
		p.client.Timeout = 10 * time.Second
		all = append(all, p)
		running.Go(func() { p.run(publishing, rand.New(rand.NewPCG(seed, uint64(n)+1))) })
	}
	readers := []*reader{{name: "sse"}, {name: "frame"}, {name: "poll"}, {name: "an EventSource that stays"}}
	for i, t := range []client.Transport{nil, client.Frame{}, client.Poll{Wait: "1"}, &client.EventSource{}} {
		following.Go(func() {
			if t == nil {
				t = new(client.EventSource)
			}
			readers[i].run(ctx, s, t)
		})
	}

	for range lives {
		for enough := acks.Load() + 5 + int64(random.IntN(20)); acks.Load() < enough && ctx.Err() == nil; {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Duration(random.IntN(3000)) * time.Microsecond)
		s.kill()
		s.start()
	}
	stopPublishing()
	running.Wait()
	s.stop()
	s.start()

	last := &reader{name: "one that comes late"}
	readers = append(readers, last)
	following.Go(func() { last.run(ctx, s, client.Poll{Wait: "1"}) })
	for _, topic := range []string{"a", "b"} {
		req, _ := http.NewRequest("DELETE", s.url("/feeds/"+topic), nil)
		req.Header.Set("Authorization", "Bearer key")
		if answer, err := http.DefaultClient.Do(req); err != nil || answer.StatusCode != 204 {
			t.Errorf("the end of %s: %v, %v", topic, answer, err)
		}
	}
	following.Wait()
	s.stop()
	checkKept(t, all, last)
	for _, r := range readers {
		checkReader(t, r, last)
	}
	t.Logf("%d requests acknowledged, %d events kept", acks.Load(), len(last.ids))
}

// checkKept checks that last has what the publishers were told.
func checkKept(t *testing.T, all []*publisher, last *reader) {
	t.Helper()
	if len(last.ids) != len(last.html) || !slices.IsSorted(last.ids) {
		t.Error("the ids are not in order")
	}
	kept, numbers := make(map[uint64]string), make(map[string]int)
	for i, id := range last.ids {
		text := strings.TrimSuffix(strings.TrimPrefix(last.html[i], "<i>"), "</i>")
		kept[id] = text
		name, after, _ := strings.Cut(text, "-")
		var n int
		fmt.Sscan(after, &n)
		if n+1 <= numbers[name] {
			t.Errorf("%s comes twice or late", text)
		}
		numbers[name] = n + 1
	}
	for _, p := range all {
		for id, text := range p.acked {
			if kept[id] != text {
				t.Errorf("%s was acknowledged with the id %d, where %q is", text, id, kept[id])
			}
		}
	}
}

// checkReader checks that r has seen what last has.
func checkReader(t *testing.T, r, last *reader) {
	t.Helper()
	if r.err != client.ErrDone && r.err != ended || len(r.page.Troubles) > 0 || r.page.Refused > 0 {
		t.Errorf("%s ends with %v, troubles %q, %d events that it had", r.name, r.err, r.page.Troubles, r.page.Refused)
	}
	if !slices.Equal(r.ids, last.ids) || r.page.Document.HTML("log") != last.page.Document.HTML("log") {
		t.Errorf("%s has seen %d events, %d are kept", r.name, len(r.ids), len(last.ids))
	}
}
