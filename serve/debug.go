package serve

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"time"
)

// listenLocally listens on address, which must be one that this machine alone
// reaches: a profile can have whatever the memory has.
func listenLocally(address string) (net.Listener, error) {
	tcp, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("--debug-listen %s: %w: give an address and a port, for example 127.0.0.1:6060", address, err)
	}
	if !tcp.IP.IsLoopback() {
		return nil, fmt.Errorf("--debug-listen %s: it must be an address that only this machine reaches, for example 127.0.0.1:6060", address)
	}
	listener, err := net.ListenTCP("tcp", tcp)
	if err != nil {
		return nil, fmt.Errorf("--debug-listen: %w", err)
	}
	return listener, nil
}

// serveProfiles serves what net/http/pprof knows of the process to those who
// come to listener, until ctx is done.
func serveProfiles(ctx context.Context, listener net.Listener) {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	server := &http.Server{Handler: local(mux), ReadHeaderTimeout: 10 * time.Second}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	server.Serve(listener) // it fails when it is closed only
}

// local refuses what a page has sent whose own name was made to point to this
// machine (DNS rebinding): that name is the request's Host.
func local(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		host, _, err := net.SplitHostPort(req.Host)
		if err != nil {
			host = req.Host
		}
		if ip := net.ParseIP(host); host != "localhost" && !ip.IsLoopback() {
			http.Error(w, "ask by an address of this machine, for example 127.0.0.1", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, req)
	})
}
