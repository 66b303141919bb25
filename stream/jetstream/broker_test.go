package jetstream

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"foreverframe/stream"
	"foreverframe/stream/brokertest"
	"foreverframe/stream/jetstream/natstest"
)

// patience bounds what a test waits for; nothing is measured against it.
const patience = time.Minute

// connect returns a broker that is closed when the test ends.
func connect(t testing.TB, c Config) *Broker {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	b, err := Connect(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// run returns a hub that runs until the test ends.
func run(t testing.TB, b stream.Broker, keep int) *stream.Hub {
	hub := &stream.Hub{Broker: b, KeepEvents: keep}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); hub.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	return hub
}

func contract(t *testing.T, servers, replicas int) {
	cluster := natstest.Start(t, servers, "")
	var streams atomic.Int64
	brokertest.Run(t, func(t *testing.T) func() *stream.Hub {
		name := fmt.Sprint("s", streams.Add(1))
		config := Config{URL: cluster.URL(), Stream: name, Subject: name, Replicas: replicas, PerTopic: brokertest.Keep}
		return func() *stream.Hub { return run(t, connect(t, config), brokertest.Keep) }
	})
}

func TestContract(t *testing.T)               { contract(t, 1, 1) }
func TestContractOfThreeServers(t *testing.T) { contract(t, 3, 3) }
