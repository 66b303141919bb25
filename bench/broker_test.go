package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"foreverframe/stream"
	"foreverframe/stream/jetstream"
	"foreverframe/stream/jetstream/natstest"
)

// asNode is the environment variable that makes this test's binary one of the
// processes that share a broker; it says how.
const asNode = "FOREVERFRAME_BENCH_AS_NODE"

// beNode makes the process a node if it was started as one.
func beNode() {
	text := os.Getenv(asNode)
	if text == "" {
		return
	}
	var n node
	if err := json.Unmarshal([]byte(text), &n); err != nil {
		panic(err)
	}
	n.run()
	os.Exit(0)
}

// A node is a process whose followers read a topic up to a number of events.
type node struct {
	Config    jetstream.Config
	Followers int
	Events    int
}

// run prints a line when all follow, and one with the seconds from the first
// event to the last of all followers.
func (n node) run() {
	ctx := context.Background()
	broker, err := jetstream.Connect(ctx, n.Config)
	if err != nil {
		panic(err)
	}
	hub := &stream.Hub{Broker: broker, KeepEvents: n.Config.PerTopic}
	go hub.Run(ctx)
	place := hub.Feed("bench").After
	var began atomic.Int64
	var following sync.WaitGroup
	for range n.Followers {
		following.Go(func() {
			count := 0
			for events, err := range hub.Subscribe(ctx, place, "bench") {
				if err != nil {
					panic(err)
				}
				began.CompareAndSwap(0, time.Now().UnixNano())
				if count += len(events); count >= n.Events {
					return
				}
			}
		})
	}
	fmt.Println("ready")
	following.Wait()
	fmt.Println(time.Since(time.Unix(0, began.Load())).Seconds())
}

func update(n int) stream.Update {
	return stream.Append("log", stream.Text(fmt.Sprintf("%0200d", n)))
}

// BenchmarkBrokerDeliveries publishes b.N events of 200 B with 64 publishers, and
// says how many deliveries a second each of some processes made to 50 followers.
func BenchmarkBrokerDeliveries(b *testing.B) {
	const followers = 50
	for _, servers := range []int{1, 3} {
		for processes := range 4 {
			if processes == 0 {
				continue
			}
			b.Run(fmt.Sprintf("replicas=%d/processes=%d", servers, processes), func(b *testing.B) {
				config := jetstream.Config{URL: natstest.Start(b, servers, "").URL(), Replicas: servers, PerTopic: b.N + 1}
				publisher := shared(b, config)
				var nodes []*bufio.Scanner
				for range processes {
					nodes = append(nodes, node{config, followers, b.N}.start(b))
				}
				b.ResetTimer()
				var next atomic.Int64
				var publishing sync.WaitGroup
				for range 64 {
					publishing.Go(func() {
						for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
							if _, err := publisher.Publish("bench", update(int(n))); err != nil {
								b.Error(err)
							}
						}
					})
				}
				publishing.Wait()
				rate := 0.0
				for _, n := range nodes {
					n.Scan()
					var seconds float64
					fmt.Sscan(n.Text(), &seconds)
					rate += float64(b.N*followers) / seconds / float64(processes)
				}
				b.StopTimer()
				b.ReportMetric(rate, "deliveries/s/process")
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
			})
		}
	}
}

// start starts n as a process of its own, and returns when it follows.
func (n node) start(b *testing.B) *bufio.Scanner {
	b.Helper()
	text, _ := json.Marshal(n)
	process := exec.Command(os.Args[0])
	process.Env = append(os.Environ(), asNode+"="+string(text))
	process.Stderr = os.Stderr
	out, err := process.StdoutPipe()
	if err == nil {
		err = process.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { process.Process.Kill(); process.Wait() })
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		b.Fatal("a process does not follow")
	}
	return lines
}

// shared returns a hub that shares its topics by NATS.
func shared(b *testing.B, config jetstream.Config) *stream.Hub {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	broker, err := jetstream.Connect(ctx, config)
	if err != nil {
		b.Fatal(err)
	}
	hub := &stream.Hub{Broker: broker, KeepEvents: config.PerTopic}
	running, stop := context.WithCancel(context.Background())
	go hub.Run(running)
	b.Cleanup(func() { stop(); broker.Close() })
	return hub
}

// BenchmarkBrokerLatency is the time from Publish to its answer and to a follower
// at another hub: one event after the other. Several topics are the same with a
// reader that follows a silent one, too.
func BenchmarkBrokerLatency(b *testing.B) {
	b.Run("alone", func(b *testing.B) {
		hub := new(stream.Hub)
		latency(b, hub, hub, "bench")
	})
	for _, servers := range []int{1, 3} {
		cluster := natstest.Start(b, servers, "")
		for _, topics := range [][]string{{"bench"}, {"bench", "silent"}} {
			b.Run(fmt.Sprintf("replicas=%d/topics=%d", servers, len(topics)), func(b *testing.B) {
				config := jetstream.Config{URL: cluster.URL(), Replicas: servers, PerTopic: 1024}
				latency(b, shared(b, config), shared(b, config), topics...)
			})
		}
	}
}

func latency(b *testing.B, publisher, follower *stream.Hub, topics ...string) {
	place := follower.Feed(topics...).After
	arrived := make(chan time.Time, 1)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		for events, err := range follower.Subscribe(ctx, place, topics...) {
			if err != nil {
				panic(err)
			}
			for range events {
				arrived <- time.Now()
			}
		}
	}()
	var answers, deliveries []time.Duration
	for b.Loop() {
		began := time.Now()
		if _, err := publisher.Publish("bench", update(0)); err != nil {
			b.Fatal(err)
		}
		answers = append(answers, time.Since(began))
		deliveries = append(deliveries, (<-arrived).Sub(began))
	}
	report := func(name string, all []time.Duration) {
		slices.Sort(all)
		b.ReportMetric(float64(all[len(all)/2].Nanoseconds())/1000, name+"-p50-µs")
		b.ReportMetric(float64(all[len(all)*99/100].Nanoseconds())/1000, name+"-p99-µs")
	}
	report("answer", answers)
	report("delivery", deliveries)
}
