package bench

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"foreverframe/bench/client"
	"foreverframe/bench/meter"
	"foreverframe/bench/server"
)

// served serves one of the sides within the test, and returns its address.
func served(t *testing.T, side string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go server.Sides[side](l)
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// A plainPage reads a page without scripts as a text browser does.
type plainPage struct{ client.Script }

func (*plainPage) Name() string { return "plain" }

func (p *plainPage) Read(body io.Reader, event func(client.Event) error) error {
	text, err := io.ReadAll(body)
	for _, line := range strings.SplitAfter(string(text), "</p>") {
		if _, update, ok := strings.Cut(line, "<p>ev-"); ok {
			event(client.Event{Action: "emit", Target: "line", HTML: "<p>ev-" + update})
		}
	}
	return err
}

// The meter looks for texts only. What it finds is what the stand-in browsers
// find, which read every byte as a browser does, and do what the updates say.
func TestTheMeterSeesWhatABrowserSees(t *testing.T) {
	const n = 300
	address := served(t, "foreverframe")
	for name, transport := range map[string]client.Transport{
		"script": &client.Script{}, "sse": &client.EventSource{}, "frame": client.Frame{}, "poll": client.Poll{}, "plain": &plainPage{},
	} {
		t.Run(name, func(t *testing.T) {
			path := fmt.Sprintf("/job?n=%d&size=40&delay=0s&transport=%s", n, name)
			var seen []string
			page := &client.Page{Document: client.NewDocument("<div id=log></div>"), Saw: func(e client.Event) {
				if _, text, ok := strings.Cut(e.HTML, "ev-"); ok {
					number, _, _ := strings.Cut(text, "-")
					seen = append(seen, number)
				}
			}}
			c := client.Client{Dial: func(ctx context.Context) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "tcp", address)
			}}
			for len(seen) < n {
				known := len(seen)
				err := c.Follow(t.Context(), page, "http://"+address+path, transport)
				if err != nil && err != client.ErrDone || len(seen) == known {
					t.Fatalf("%d updates, %v", len(seen), err)
				}
			}
			for i, number := range seen {
				if number != fmt.Sprint(i+1) {
					t.Fatalf("the browser sees %s where %d should be", number, i+1)
				}
			}
			for _, driver := range []string{"one for all", "a goroutine each"} {
				m := &meter.Meter{Address: address, Transport: meter.TransportOf(name), Marker: "ev-", Updates: n}
				m.Ask = func(id string, _ time.Time) []byte {
					return fmt.Appendf(nil, "GET %s&after=%s HTTP/1.1\r\nHost: bench\r\n\r\n", path, id)
				}
				if driver != "one for all" {
					m.Dial = c.Dial
				}
				m.Start(t.Context(), 3)
				for !m.Over() {
					<-m.Moved()
				}
				if got := m.Stop(n); !got.Whole() || got.Updates != 3*n || got.Pages != 3 {
					t.Errorf("%s: %+v", driver, got)
				}
			}
		})
	}
}

// What two servers of equal content send differs in their framing only.
func TestTheSidesServeTheSame(t *testing.T) {
	for _, side := range []string{"nethttp", "limit", "gush"} {
		address := served(t, side)
		for _, transport := range []string{"script", "sse"} {
			m := &meter.Meter{Address: address, Transport: meter.TransportOf(transport), Marker: "ev-", Updates: 50}
			m.Ask = func(string, time.Time) []byte {
				return []byte("GET /job?n=50&size=64&delay=0s&transport=" + transport + " HTTP/1.1\r\nHost: bench\r\n\r\n")
			}
			m.Start(t.Context(), 2)
			for !m.Over() {
				<-m.Moved()
			}
			got := m.Stop(50)
			if !got.Whole() || got.Updates != 100 || !slices.Contains([]uint64{100, 102}, got.Chunks) {
				t.Errorf("%s over %s: %+v", side, transport, got)
			}
		}
	}
}
