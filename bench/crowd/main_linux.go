// Command crowd measures what one event to many subscribers costs the server, and
// what a subscriber costs while nothing happens: Foreverframe's crowd, its simple
// path of one goroutine each, and net/http, beside a loop of write(2) of the same
// bytes to the same sockets, the limit. Every side has a server process of its own
// whose processor time is counted, and a client process; the sides take turns.
//
//	go run ./bench/crowd -subscribers 1000 -events 400 -rate 20   # paced
//	go run ./bench/crowd -subscribers 1000 -events 20000          # saturated
//	go run ./bench/crowd -subscribers 10000 -memory -sides crowd
//	go run ./bench/crowd -subscribers 5000 -memory -sides crowd+tls,goroutine+tls,nethttp+tls
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"math"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// A run is one measurement.
type run struct {
	Events int
	Rate   float64 // events a second; zero is as fast as they are taken
	Window int     // events that may be under way, if there is no rate
	Bytes  int     // of each event
}

// A result is what a run has cost.
type result struct {
	CPU      float64 // of the server for a delivery, in microseconds
	Wall     float64 // seconds
	P50, P99 float64 // milliseconds from publish to the client's read; of paced runs
	Writes   float64 // system calls that write, for a delivery
	Publish  float64 // the median of one Publish, in microseconds
	Allocs   float64 // of the server, for an event
	Reloads  int
}

// A memory is what the server holds for a subscriber, in bytes.
type memory struct {
	Grown   float64 // growth of its resident memory
	Heap    float64 // growth of what Go has in use, after a collection
	Settled float64 // growth of its resident memory after a collection
}

var (
	role        = flag.String("role", "", "what the process is: set by the program itself")
	sides       = flag.String("sides", "limit,crowd,goroutine,nethttp", "the ways to serve, with commas between them; crowd+gzip and goroutine+gzip are compressed, crowd+tls, goroutine+tls and nethttp+tls encrypted")
	transport   = flag.String("transport", "sse", "sse or frame, for crowd and goroutine")
	subscribers = flag.Int("subscribers", 1000, "how many")
	events      = flag.Int("events", 400, "events in a run")
	rate        = flag.Float64("rate", 0, "events a second; zero is as fast as they are taken")
	window      = flag.Int("window", 256, "events that may be under way if there is no rate")
	size        = flag.Int("bytes", 128, "bytes of an event")
	rounds      = flag.Int("rounds", 5, "how often each side is measured")
	processors  = flag.Int("procs", 1, "GOMAXPROCS of the servers")
	profile     = flag.String("profile", "", "a file for a profile of the processor's time of the servers, one after the other")
	idle        = flag.Bool("memory", false, "measure memory only")
)

func main() {
	log.SetFlags(0)
	flag.Parse()
	var err error
	switch *role {
	case "server":
		err = serve(*sides)
	case "client":
		err = subscribe()
	default:
		err = measure()
	}
	if err != nil {
		log.Fatal(err)
	}
}

// A process is this program in another role, which answers a line with a line.
type process struct {
	*exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func start(role, side string, procs int) (*process, error) {
	args := append(slices.Clone(os.Args[1:]), "-role", role, "-sides", side)
	p := &process{Cmd: exec.Command(os.Args[0], args...)}
	p.Env = append(os.Environ(), fmt.Sprint("GOMAXPROCS=", procs))
	p.Stderr = os.Stderr
	var err error
	if p.in, err = p.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewReader(out)
	return p, p.Start()
}

func (p *process) end() {
	p.in.Close()
	p.Wait()
}

// read reads one line.
func (p *process) read(v any) error {
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("%v: %w", p.Args, err)
	}
	return json.Unmarshal(line, v)
}

func measure() error {
	names := strings.Split(*sides, ",")
	results := make([][]result, len(names))
	clients := make([]*process, len(names))
	for i, name := range names {
		c, err := start("client", name, 1)
		if err != nil {
			return err
		}
		defer c.end()
		clients[i] = c
		var m memory
		if err := c.read(&m); err != nil {
			return err
		}
		if *idle {
			fmt.Printf("%-13s %d subscribers: resident %.0f B each, after a collection %.0f, Go's heap %.0f\n", name, *subscribers, m.Grown, m.Settled, m.Heap)
			c.end()
		}
	}
	if *idle {
		return nil
	}
	for range *rounds {
		for i, c := range clients {
			if err := json.NewEncoder(c.in).Encode(run{*events, *rate, *window, *size}); err != nil {
				return err
			}
			var r result
			if err := c.read(&r); err != nil {
				return err
			}
			results[i] = append(results[i], r)
			time.Sleep(200 * time.Millisecond)
		}
	}
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Printf("%d subscribers, %d events of %d bytes, rate %v, window %d, %d rounds, load %s", *subscribers, *events, *size, *rate, *window, *rounds, load)
	for i, name := range names {
		fmt.Printf("%-13s µs/delivery %s", name, spread(results[i], func(_ int, r result) float64 { return r.CPU }))
		fmt.Printf("  of the first %s", spread(results[i], func(n int, r result) float64 { return r.CPU / results[0][n].CPU }))
		fmt.Printf("  writes %s", spread(results[i], func(_ int, r result) float64 { return r.Writes }))
		if *rate > 0 {
			fmt.Printf("  p50 ms %s  p99 ms %s", spread(results[i], func(_ int, r result) float64 { return r.P50 }), spread(results[i], func(_ int, r result) float64 { return r.P99 }))
			fmt.Printf("  p99 of the first %s", spread(results[i], func(n int, r result) float64 { return r.P99 / results[0][n].P99 }))
		}
		fmt.Printf("  s %s  publish µs %s", spread(results[i], func(_ int, r result) float64 { return r.Wall }), spread(results[i], func(_ int, r result) float64 { return r.Publish }))
		fmt.Printf("  allocations/event %s", spread(results[i], func(_ int, r result) float64 { return r.Allocs }))
		reloads := 0
		for _, r := range results[i] {
			reloads += r.Reloads
		}
		fmt.Printf("  reloads %d\n", reloads)
	}
	return nil
}

// spread returns the median of values and, in brackets, the least and the largest.
func spread(results []result, value func(int, result) float64) string {
	var values []float64
	for i, r := range results {
		values = append(values, value(i, r))
	}
	slices.Sort(values)
	if math.IsNaN(values[0]) {
		return "-"
	}
	return fmt.Sprintf("%.3g [%.3g–%.3g]", values[len(values)/2], values[0], values[len(values)-1])
}
