package demo

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"testing"

	"foreverframe/fallback/browsertest"
)

// These tests drive real browsers. In CI a missing one is a failure.

// patience bounds what a test waits for; nothing is measured against it.
const patience = browsertest.Patience

// serveSite serves a site with its feeds until the test has ended, and returns
// its address.
func serveSite(t *testing.T, site *Site) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	site.Address = "http://" + listener.Addr().String()
	ctx, stop := context.WithCancel(t.Context())
	server := site.Server()
	var running sync.WaitGroup
	running.Go(func() { site.Run(ctx) })
	running.Go(func() { server.Serve(listener) })
	t.Cleanup(func() {
		stop()
		shutdown, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		server.ShutdownWithContext(shutdown)
		running.Wait()
	})
	return site.Address
}

// The ends of streams are not for a test's output.
func init() { slog.SetLogLoggerLevel(slog.LevelWarn) }

// browser starts a Chromium for the test, once for all its tabs.
func browser(t *testing.T) *browsertest.Browser {
	t.Helper()
	return browsertest.Start(t, "chromium")
}
