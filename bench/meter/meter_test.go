package meter

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A fake is a server of known behaviour: it sends the updates 1 to 200, due every
// 10 ms, each by send.
type fake struct {
	head string // of the answer, without the blank line; empty means chunked HTML
	send func(w io.Writer, number int, update string)
	end  string // of the answer; empty means the last chunk
}

const (
	updates = 200
	apart   = 10 * time.Millisecond
)

// chunk writes the parts as one chunk each.
func chunk(w io.Writer, parts ...string) {
	for _, part := range parts {
		fmt.Fprintf(w, "%x\r\n%s\r\n", len(part), part)
	}
}

func script(number int, due time.Time) string {
	return fmt.Sprintf(`<script>ff("append","log","\u003cp>ev-%d-%d-xxx",%d);ff()`+"\n</script>", number, due.UnixMicro(), 1000+number)
}

// serve answers one request on conn.
func (f fake) serve(conn net.Conn) {
	defer conn.Close()
	if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
		return
	}
	start := time.Now()
	if f.head == "" {
		f.head, f.end = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked", "0\r\n\r\n"
	}
	fmt.Fprint(conn, f.head+"\r\n\r\n")
	for i := 1; i <= updates; i++ {
		if _, err := conn.Write(nil); err != nil {
			return
		}
		due := start.Add(time.Duration(i) * apart)
		time.Sleep(time.Until(due))
		f.send(conn, i, script(i, due))
	}
	fmt.Fprint(conn, f.end)
}

// measure has a meter follow three streams of the server over pipes, in which
// bytes take no time.
func (f fake) measure(t *testing.T, m *Meter) *Tally { return f.measureStreams(t, m, 3) }

func (f fake) measureStreams(t *testing.T, m *Meter, streams int) *Tally {
	t.Helper()
	m.Marker = "ev-"
	if m.Transport.Name == "" {
		m.Transport = TransportOf("script")
	}
	if m.Ask == nil {
		m.Ask = func(string, time.Time) []byte { return []byte("GET / HTTP/1.1\r\nHost: fake\r\n\r\n") }
	}
	m.Updates = updates
	m.Dial = func(context.Context) (net.Conn, error) {
		near, far := net.Pipe()
		go f.serve(far)
		return near, nil
	}
	m.Start(t.Context(), streams)
	for !m.Over() {
		<-m.Moved()
	}
	return m.Stop(0)
}

// about reports whether a time of a histogram, in microseconds, is d within the
// accuracy of three digits.
func about(us int64, d time.Duration) bool {
	want := float64(d.Microseconds())
	return math.Abs(float64(us)-want) <= max(1, want/1000)
}

func TestAServerOfKnownBehaviourIsMeasuredAsItIs(t *testing.T) {
	plain := func(w io.Writer, _ int, update string) { chunk(w, update) }
	for name, test := range map[string]struct {
		fake  fake
		check func(t *testing.T, got *Tally)
	}{
		"all is well": {fake{send: plain}, func(t *testing.T, got *Tally) {
			if !got.Whole() || got.Updates != 600 || got.Chunks != 600 || got.Pages != 3 || got.Requests != 3 {
				t.Errorf("%+v", got)
			}
			if p := got.Latency.Max(); p > 1 {
				t.Errorf("the latency is up to %d µs", p)
			}
			if p := got.FirstUpdate.ValueAtQuantile(50); !about(p, apart) {
				t.Errorf("the first update is there after %d µs", p)
			}
		}},
		"1 % is lost": {fake{send: func(w io.Writer, i int, update string) {
			if i%100 != 0 {
				chunk(w, update)
			}
		}}, func(t *testing.T, got *Tally) {
			if got.Lost != 6 || got.Updates != 594 || got.Doubled+got.Reordered != 0 {
				t.Errorf("lost %d, %+v", got.Lost, got)
			}
		}},
		"every fiftieth comes twice": {fake{send: func(w io.Writer, i int, update string) {
			chunk(w, update)
			if i%50 == 0 {
				chunk(w, update)
			}
		}}, func(t *testing.T, got *Tally) {
			if got.Doubled != 12 || got.Lost+got.Reordered != 0 {
				t.Errorf("doubled %d, %+v", got.Doubled, got)
			}
		}},
		"pairs change places": {fake{send: func(w io.Writer, i int, update string) {
			switch i % 20 { // 20 comes after 21, 40 after 41, …
			case 0:
			case 1:
				chunk(w, update)
				if i > 1 {
					chunk(w, script(i-1, time.Now()))
				}
			default:
				chunk(w, update)
			}
			if i == updates { // which has nothing behind it
				chunk(w, update)
			}
		}}, func(t *testing.T, got *Tally) {
			if got.Reordered != 3*9 || got.Lost+got.Doubled != 0 {
				t.Errorf("reordered %d, %+v", got.Reordered, got)
			}
		}},
		"10 ms later": {fake{send: func(w io.Writer, i int, update string) {
			go func() {
				time.Sleep(10*time.Millisecond - time.Duration(i)) // never together with another
				chunk(w, update)
			}()
			if i == updates {
				time.Sleep(20 * time.Millisecond)
			}
		}}, func(t *testing.T, got *Tally) {
			for _, quantile := range []float64{0, 50, 99, 100} {
				if p := got.Latency.ValueAtQuantile(quantile); !about(p, 10*time.Millisecond) {
					t.Errorf("the latency's quantile %v is %d µs", quantile, p)
				}
			}
		}},
		"a stall of 500 ms": {fake{send: func(w io.Writer, i int, update string) {
			if i == 100 {
				time.Sleep(500 * time.Millisecond)
			}
			chunk(w, update)
		}}, func(t *testing.T, got *Tally) {
			// 51 of 200 wait: 500 ms, 490 ms, … 0 ms
			if p := got.Latency.Max(); !about(p, 500*time.Millisecond) {
				t.Errorf("the latency is up to %d µs", p)
			}
			if p := got.Latency.ValueAtQuantile(90); !about(p, 300*time.Millisecond) {
				t.Errorf("the latency's 90th percentile is %d µs", p)
			}
			if p := got.Latency.ValueAtQuantile(50); p > 1 {
				t.Errorf("the median latency is %d µs", p)
			}
		}},
		"ten in a chunk": {fake{send: func(w io.Writer, i int, update string) {
			if i%10 == 0 {
				all := ""
				for k := i - 9; k <= i; k++ {
					all += script(k, time.Now().Add(time.Duration(k-i)*apart))
				}
				chunk(w, all)
			}
		}}, func(t *testing.T, got *Tally) {
			if got.Chunks != 60 || got.Updates != 600 || !got.Whole() {
				t.Errorf("%+v", got)
			}
			if p := got.Latency.Max(); !about(p, 90*time.Millisecond) {
				t.Errorf("the latency is up to %d µs", p)
			}
		}},
		"ten in a script": {fake{send: func(w io.Writer, i int, update string) {
			start, _ := strings.CutSuffix(update, "ff()\n</script>")
			if i%10 != 1 {
				start = strings.TrimPrefix(start, "<script>")
			}
			if i%10 == 0 {
				start += "ff()\n</script>"
			}
			chunk(w, start)
		}}, func(t *testing.T, got *Tally) {
			if got.Chunks != 600 || got.Updates != 600 || !got.Whole() {
				t.Errorf("%+v", got)
			}
			if p := got.Latency.Max(); !about(p, 90*time.Millisecond) {
				t.Errorf("the latency is up to %d µs: a script runs when it is whole", p)
			}
		}},
		"an update over three chunks, 2 ms apart": {fake{send: func(w io.Writer, i int, update string) {
			cut := i % len(update)
			chunk(w, update[:max(cut/2, 1)])
			time.Sleep(2 * time.Millisecond)
			chunk(w, update[max(cut/2, 1):max(cut, 2)])
			time.Sleep(2 * time.Millisecond)
			chunk(w, update[max(cut, 2):])
		}}, func(t *testing.T, got *Tally) {
			if got.Chunks != 1800 || got.Updates != 600 || !got.Whole() {
				t.Errorf("%+v", got)
			}
			if low, high := got.Latency.Min(), got.Latency.Max(); !about(low, 4*time.Millisecond) || !about(high, 4*time.Millisecond) {
				t.Errorf("the latency is %d to %d µs", low, high)
			}
		}},
		"no chunks": {fake{
			head: "HTTP/1.1 200 OK\r\nConnection: close",
			send: func(w io.Writer, _ int, update string) { io.WriteString(w, update) },
		}, func(t *testing.T, got *Tally) {
			if got.Chunks != 0 || got.Updates != 600 || got.Pages != 3 || !got.Whole() {
				t.Errorf("%+v", got)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test.check(t, test.fake.measure(t, &Meter{})) })
		})
	}
}

func TestCompressedAnswersAreMeasuredAsTheyAreFlushed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fake{head: "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked", end: "0\r\n\r\n"}
		wires := make(map[io.Writer]*zipped) // of three streams that take turns
		turn := make(chan bool, 1)
		f.send = func(w io.Writer, i int, update string) {
			turn <- true
			z := wires[w]
			if z == nil {
				z = &zipped{}
				z.to = gzip.NewWriter(&z.bytes)
				wires[w] = z
			}
			<-turn
			io.WriteString(z.to, update)
			z.to.Flush()
			if i == updates {
				z.to.Close()
			}
			chunk(w, z.bytes.String())
			z.bytes.Reset()
		}
		got := f.measure(t, &Meter{Gzip: true})
		if got.Updates != 600 || got.Chunks != 600 || !got.Whole() || got.Latency.Max() > 1 {
			t.Errorf("%+v, the latency is up to %d µs", got, got.Latency.Max())
		}
		if text := uint64(600 * len(script(1, time.Now()))); got.Body >= text {
			t.Errorf("the bodies have %d bytes, their text %d", got.Body, text)
		}
		if got := f.measure(t, &Meter{}); got.Failed != 3 {
			t.Errorf("an answer that is compressed unasked: %+v", got)
		}
	})
}

type zipped struct {
	bytes bytes.Buffer
	to    *gzip.Writer
}

func TestAStreamGoesOnAfterItsLastEvent(t *testing.T) {
	for name, update := range map[string]func(int) string{
		"script": func(i int) string { return script(i, time.Now()) },
		"frame":  func(i int) string { return script(i, time.Now()) },
		"sse": func(i int) string {
			return fmt.Sprintf("id: %d\nevent: append\ndata: log\ndata: ev-%d-0-x\n\n", 1000+i, i)
		},
		"poll": func(i int) string {
			return fmt.Sprintf(`[{"id":%d,"action":"append","target":"log","html":"ev-%d-0-x%s"}]`, 1000+i, i, strings.Repeat("x", 600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &Meter{Transport: TransportOf(name), Marker: "ev-"}
				m.Ask = func(id string, _ time.Time) []byte {
					return []byte("GET /?after=" + id + " HTTP/1.1\r\nHost: fake\r\n\r\n")
				}
				m.Dial = func(context.Context) (net.Conn, error) {
					near, far := net.Pipe()
					go func() { // sends ten more and is lost in the middle of another
						defer far.Close()
						var after int
						in := bufio.NewReader(far)
						for range 10 {
							req, err := http.ReadRequest(in)
							if err != nil {
								return
							}
							fmt.Sscan(req.URL.Query().Get("after"), &after)
							after = max(after-1000, 0)
							if name == "poll" {
								time.Sleep(time.Millisecond)
								fmt.Fprintf(far, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(update(after+1)), update(after+1))
								continue
							}
							fmt.Fprint(far, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
							for i := range 10 {
								chunk(far, update(after+i+1))
							}
							next := update(after + 11)
							chunk(far, next[:len(next)-4])
							time.Sleep(time.Second)
							return
						}
					}()
					return near, nil
				}
				for n := range uint64(50) {
					m.Expect(n + 1)
				}
				m.Start(t.Context(), 2)
				for !m.Reached(50) {
					<-m.Moved()
				}
				m.Drop()
				time.Sleep(100 * time.Millisecond)
				got := m.Stop(50)
				time.Sleep(2 * time.Second) // until the servers have ended
				if !got.Whole() || got.Connected < 10 || got.Reconnect.TotalCount() == 0 {
					t.Errorf("%+v", got)
				}
				if name == "poll" && got.Requests < 100 {
					t.Errorf("%d requests", got.Requests)
				}
			})
		})
	}
}

func TestWhatIsNoStreamIsAFailure(t *testing.T) {
	for name, answer := range map[string]string{
		"a refusal":  "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
		"not HTTP":   "SSH-2.0-OpenSSH\r\n\r\n",
		"no end":     "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
		"wrong size": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
		"empty":      "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			m := &Meter{Transport: TransportOf("sse"), Marker: "ev-"}
			m.Ask = func(string, time.Time) []byte { return []byte("GET / HTTP/1.1\r\nHost: fake\r\n\r\n") }
			m.Dial = func(context.Context) (net.Conn, error) {
				near, far := net.Pipe()
				go func() {
					http.ReadRequest(bufio.NewReader(far))
					io.WriteString(far, answer)
					far.Close()
				}()
				return near, nil
			}
			m.Start(t.Context(), 1)
			for !m.Over() {
				<-m.Moved()
			}
			if got := m.Stop(0); got.Failed != 1 || got.Failure == nil || got.Whole() {
				t.Errorf("%+v", got)
			}
		})
	}
	m := &Meter{Dial: func(context.Context) (net.Conn, error) { return nil, errors.New("nobody listens") }}
	m.Start(t.Context(), 1)
	for !m.Over() {
		<-m.Moved()
	}
	if got := m.Stop(0); got.Failed != 1 {
		t.Errorf("%+v", got)
	}
}

// Streams that begin at random do so at their rate, however long their answers
// take, and at the same times in every run.
func TestStreamsArriveAtTheirRate(t *testing.T) {
	arrivals := func() (all []time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			var mu sync.Mutex
			m := &Meter{Arrivals: 10, Ask: func(_ string, began time.Time) []byte {
				mu.Lock()
				defer mu.Unlock()
				all = append(all, began.Sub(start))
				return []byte("GET / HTTP/1.1\r\nHost: fake\r\n\r\n")
			}}
			got := fake{send: func(w io.Writer, _ int, update string) { chunk(w, update) }}.measureStreams(t, m, 100)
			if !got.Whole() || got.Pages != 100 {
				t.Errorf("%+v", got)
			}
		})
		return all
	}
	all := arrivals()
	if end := all[len(all)-1]; end < 7*time.Second || end > 13*time.Second {
		t.Errorf("100 streams have begun after %v", end)
	}
	if again := arrivals(); !slices.Equal(all, again) {
		t.Errorf("%v, and then %v", all, again)
	}
}
