package bench

import (
	"context"
	"time"
)

// A Scenario is something that a server is asked to do, for a number of clients.
type Scenario struct {
	Name string
	Help string // what happens, in a sentence
	// Clients are the numbers of clients that it is run with, and Quick those
	// of a quick run; none means that it is left out there.
	Clients, Quick []int
	// Size is the size of an update's text. Zero means 64 bytes.
	Size int
	// Of is what it asks the server for.
	Of Kind
	// Only is the transports that it is of use with. None means all.
	Only []string
	// Needs reports whether an entrant can take part. Nil means that all can
	// but gush.
	Needs func(Entrant) bool
	// Columns are the figures that its table shows.
	Columns []string
	// Compare is the figure whose ratios to the baseline the table shows.
	Compare string

	run func(t *trial, ctx context.Context) error
}

// A Kind is what a server is asked for.
type Kind int

const (
	Pages   Kind = iota // finite pages
	Feeds               // feeds that are published to
	Streams             // what a server sends of its own accord
	Shown               // pages in a browser
)

// paths returns the paths of e for each transport.
func (k Kind) paths(e Entrant) map[string]string {
	return [...]map[string]string{e.Jobs, e.Feeds, e.Streams, e.Shown}[k]
}

// Scenarios are all that there are: a row is a scenario.
var Scenarios = []Scenario{
	{Name: "page-saturated", Help: "Finite pages of 1,000 updates as fast as the server can send them; each client loads one after the other.",
		Clients: []int{1, 64, 512}, Quick: []int{64},
		Columns: []string{"updates per second", "cpu", "first byte", "first update", "wire", "chunks", "writes", "client busy"}, Compare: "cpu",
		run: func(t *trial, ctx context.Context) error { return t.pages(ctx, 1000, 0) }},
	{Name: "page-paced", Help: "Finite pages with an update every 10 ms, all at once.",
		Clients: []int{1, 64, 512}, Quick: []int{64},
		Columns: []string{"cpu", "first byte", "latency p50", "latency p90", "latency p99", "latency max", "wire", "chunks", "writes", "requests"}, Compare: "cpu",
		run: func(t *trial, ctx context.Context) error {
			const apart = 10 * time.Millisecond
			return t.pages(ctx, uint64(max(t.duration/apart, 1)), apart)
		}},
	{Name: "page-arrivals", Help: "Short pages of 10 updates, one every 20 ms; as many visitors as clients come in a second, at random, each with a connection of its own.",
		Clients: []int{100, 500},
		Columns: []string{"first byte", "first byte p90", "first update", "cpu", "latency p50", "latency p99"}, Compare: "first byte",
		run: (*trial).arrivals},
	{Name: "broadcast-saturated", Help: "A feed that is published to as fast as all its subscribers take it, with at most 16 updates on their way.",
		Clients: []int{100, 1000, 5000}, Quick: []int{100}, Of: Feeds,
		Columns: []string{"updates per second", "cpu", "wire", "chunks", "writes", "requests", "client busy"}, Compare: "cpu",
		run: func(t *trial, ctx context.Context) error { return t.broadcast(ctx, 0) }},
	{Name: "broadcast-paced", Help: "A feed that brings its subscribers 10,000 to 20,000 updates a second together, evenly spaced.",
		Clients: []int{100, 1000, 5000}, Quick: []int{100}, Of: Feeds,
		Columns: []string{"cpu", "latency p50", "latency p90", "latency p99", "latency max", "chunks", "writes", "requests"}, Compare: "cpu",
		run: func(t *trial, ctx context.Context) error {
			return t.broadcast(ctx, min(100, 20_000/float64(t.Clients)))
		}},
	{Name: "idle", Help: "Streams that are open and silent, and then one update for all.",
		Clients: []int{1000, 10_000}, Quick: []int{1000}, Of: Feeds, Only: []string{"sse", "frame"},
		Columns: []string{"memory", "goroutines", "idle cpu", "first byte", "latency p50", "latency max"}, Compare: "memory",
		run: (*trial).idle},
	{Name: "reconnect", Help: "All subscribers of a feed lose their connections at once, in the middle of its updates, and come back for what they have missed.",
		Clients: []int{1000}, Quick: []int{100}, Of: Feeds, Needs: func(e Entrant) bool { return e.Resumes },
		Columns: []string{"reconnect p50", "reconnect max", "latency p50", "latency max", "cpu", "requests"}, Compare: "reconnect max",
		run: (*trial).storm},
	{Name: "slow-readers", Help: "A feed with updates of 16 KB, a hundred a second, and with a fifth more subscribers that never read: what the others notice.",
		Clients: []int{100}, Of: Feeds, Size: 16 << 10, Only: []string{"sse", "frame"}, Needs: func(e Entrant) bool { return e.Stalls },
		Columns: []string{"cpu", "latency p50", "latency p99", "latency max", "memory"}, Compare: "latency p99",
		run: func(t *trial, ctx context.Context) error {
			t.stalled = t.Clients / 5
			return t.broadcast(ctx, 100)
		}},
	{Name: "watch", Help: "What a server sends of its own accord; a stream that ends is asked for again.",
		Clients: []int{10}, Quick: []int{10}, Of: Streams,
		Columns: []string{"updates per second", "pages per second", "cpu", "first byte", "first update", "latency p50", "latency p99", "latency max", "wire", "chunks"}, Compare: "updates per second",
		run: func(t *trial, ctx context.Context) error { return t.pages(ctx, 0, 0) }},
	{Name: "browser", Help: "Chromium has a page to which an update is added 500 times a second, out of sight, so that only the technique counts. Only with --browser.",
		Clients: []int{1}, Quick: []int{1}, Of: Shown,
		Columns: []string{"browser cpu", "browser heap", "browser nodes"}, Compare: "browser cpu",
		run: (*trial).browse},
	{Name: "client", Help: "This program itself: pages of 100 updates, by the limit in 100 writes and by gush in one. It is no bottleneck while gush's rate is well above the limit's.",
		Clients: []int{64, 10_000}, Only: []string{"sse"}, Needs: Entrant.yardstick,
		Columns: []string{"updates per second", "client", "client busy", "cpu"}, Compare: "updates per second",
		run: func(t *trial, ctx context.Context) error { return t.pages(ctx, 100, 0) }},
}

// scenario returns the scenario of that name, the zero value if there is none.
func scenario(name string) Scenario {
	for _, s := range Scenarios {
		if s.Name == name {
			return s
		}
	}
	return Scenario{}
}
