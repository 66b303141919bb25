package serve

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
)

func TestProfilesAreForThisMachineOnly(t *testing.T) {
	for address, says := range map[string]string{
		":6060":         "only this machine reaches",
		"0.0.0.0:6060":  "only this machine reaches",
		"[::]:6060":     "only this machine reaches",
		"192.0.2.1:0":   "only this machine reaches",
		"127.0.0.1":     "give an address and a port",
		"127.0.0.1:abc": "give an address and a port",
	} {
		if listener, err := listenLocally(address); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", address, err, says)
			if err == nil {
				listener.Close()
			}
		}
	}
	for _, address := range []string{"127.0.0.1:0", "localhost:0"} {
		listener, err := listenLocally(address)
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		listener.Close()
	}
}

func TestProfilesAreServedUntilTheEnd(t *testing.T) {
	listener, err := listenLocally("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var serving sync.WaitGroup
	serving.Go(func() { serveProfiles(ctx, listener) })
	ask := func(host string) (int, string) {
		req, _ := http.NewRequest("GET", "http://"+listener.Addr().String()+"/debug/pprof/goroutine?debug=1", nil)
		req.Host = host
		answer, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, _ := io.ReadAll(answer.Body)
		return answer.StatusCode, string(text)
	}
	for _, host := range []string{"", "localhost", "localhost:6060", "127.0.0.1:6060", "[::1]:6060"} {
		if status, text := ask(host); status != 200 || !strings.Contains(text, "serveProfiles") {
			t.Errorf("Host %q: %d %.200q", host, status, text)
		}
	}
	for _, host := range []string{"evil.example", "evil.example:6060", "192.0.2.1", "localhost.evil.example"} {
		if status, text := ask(host); status != 403 || strings.Contains(text, "goroutine") {
			t.Errorf("Host %q: %d %.200q", host, status, text)
		}
	}
	stop()
	serving.Wait()
	http.DefaultClient.CloseIdleConnections()
}
