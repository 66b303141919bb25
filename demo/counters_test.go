package demo

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"foreverframe/bench/client"
	"foreverframe/bench/meter"
)

// The comparison counts what the benchmark counts: of each finite pane, followed
// by its meter, the server says the same.
func TestTheCountersOfTheComparisonAreThoseOfTheBenchmark(t *testing.T) {
	site := &Site{}
	address := strings.TrimPrefix(serve(t, site.Handler()), "http://")
	c := client.Client{Dial: func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", address)
	}}
	page, err := c.Load(t.Context(), "http://"+address+"/compare", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, run, _ := strings.Cut(page.Feed(), "run=")
	run, _, _ = strings.Cut(run, "&")

	want := make(map[string]string)
	for pane, transport := range map[string]string{"job-script": "script", "job-sse": "sse"} {
		path := "/compare/pane?name="
		if transport == "sse" {
			path = "/compare/stream?transport=sse&name="
		}
		m := &meter.Meter{Address: address, Transport: meter.TransportOf(transport), Marker: "ev-", Updates: 10}
		m.Ask = func(string, time.Time) []byte {
			return fmt.Appendf(nil, "GET %s%s&run=%s HTTP/1.1\r\nHost: site\r\nAccept: %s\r\n\r\n", path, pane, run, m.Transport.Accept)
		}
		m.Start(t.Context(), 1)
		for !m.Over() {
			<-m.Moved()
		}
		got := m.Stop(10)
		if !got.Whole() || got.Updates != 10 {
			t.Errorf("%s: %+v", pane, got)
		}
		want[pane+"-requests"] = strconv.FormatUint(got.Requests, 10)
		want[pane+"-updates"] = strconv.FormatUint(got.Updates, 10)
		want[pane+"-writes"] = strconv.FormatUint(got.Chunks, 10)
		want[pane+"-bytes"] = strconv.FormatUint(got.Body, 10)
	}

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	agree := func() bool {
		for id, n := range want {
			if page.Document.Text(id) != n {
				return false
			}
		}
		return true
	}
	page.Last = 0
	for ctx.Err() == nil && !agree() {
		if err := c.Follow(ctx, page, "http://"+address+page.Feed(), client.Poll{Wait: "1"}); err != nil && ctx.Err() == nil {
			t.Fatal(err)
		}
	}
	for id, n := range want {
		if got := page.Document.Text(id); got != n {
			t.Errorf("%s is %s on the page, %s by the benchmark", id, got, n)
		}
	}
}
