package demo

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"foreverframe/bench/client"
	"foreverframe/fallback"
	"foreverframe/stream"

	"github.com/valyala/fasthttp"
)

// nginxConfig is what Debian's configuration comes to, for streams at its worst:
// HTTP/1.0 to the server, answers buffered, everything compressed.
const nginxConfig = `
daemon off;
master_process off;
pid %[1]s/nginx.pid;
events {}
http {
	access_log off;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	default_type application/octet-stream;
	gzip on;
	gzip_types *;
	server {
		listen %[2]s;
		location / { proxy_pass %[3]s; }
	}
}
`

// nginx puts a real nginx in front of the server at address until the test has
// ended, and returns where it listens.
func nginx(t *testing.T, address string) string {
	t.Helper()
	path, err := exec.LookPath("nginx")
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/nginx")
	}
	switch {
	case err != nil && os.Getenv("CI") != "":
		t.Fatal("nginx is not installed: apt-get install nginx")
	case err != nil:
		t.Skip("nginx is not installed: apt-get install nginx, or make test")
	}
	for range 5 { // somebody may take the port in between
		if listen, ok := startNginx(t, path, address); ok {
			return listen
		}
	}
	t.Fatal("nginx does not start")
	return ""
}

func startNginx(t *testing.T, path, address string) (listen string, ok bool) {
	directory := t.TempDir()
	listen = freePort(t)
	config := filepath.Join(directory, "nginx.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, nginxConfig, directory, listen, address), 0o644); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	command := exec.Command(path, "-e", "stderr", "-p", directory, "-c", config)
	command.Stderr = &said
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { command.Wait(); close(ended) }()
	t.Cleanup(func() {
		command.Process.Signal(syscall.SIGTERM)
		<-ended
	})
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if conn, err := net.Dial("tcp", listen); err == nil {
			conn.Close()
			return listen, true
		}
		select {
		case <-ended:
			t.Logf("nginx ends: %s", &said)
			return "", false
		default:
		}
	}
	return "", false
}

func freePort(t *testing.T) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// dialTo connects to address.
func dialTo(address string) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", address)
	}
}

func TestUpdatesPassNginxOneByOne(t *testing.T) {
	site := newCutSite(nil)
	listen := nginx(t, serve(t, site.handler()))
	for _, by := range append(transports(), &client.Script{}) {
		for _, gzip := range []bool{false, true} {
			name := fmt.Sprintf("%s-gzip-%t", by.Name(), gzip)
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				browser := client.Client{Dial: dialTo(listen), Gzip: gzip}
				if err := oneByOne(ctx, site, name, browser, transport(by.Name())); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// oneByOne follows a feed whose every event is published when the one before has
// been seen.
func oneByOne(ctx context.Context, site *cutSite, topic string, browser client.Client, by client.Transport) error {
	const count = 20
	feed := (&publication{hub: &site.Hub, topics: []string{topic}}).feed("")
	seen := 0
	publish := func(client.Event) {
		if seen == count {
			site.Hub.End(topic)
			return
		}
		seen++
		site.Hub.Publish(topic, stream.Append("log", view(fmt.Sprint(seen, ";"))))
	}
	publish(client.Event{})
	err := follow(ctx, browser, feed, by, publish)
	if err != client.ErrDone || seen != count {
		return fmt.Errorf("after %d events: %w", seen, err)
	}
	return nil
}

// follow follows f, as its own page if by is a script, to its end.
func follow(ctx context.Context, browser client.Client, f feed, by client.Transport, saw func(client.Event)) (err error) {
	only := func(e client.Event) {
		if e.ID != 0 {
			saw(e)
		}
	}
	if by.Name() == "script" {
		_, err = browser.Load(ctx, f.page, only)
		return err
	}
	page := &client.Page{Document: client.NewDocument(f.shell), Saw: only}
	for err == nil {
		err = browser.Follow(ctx, page, f.url, by)
	}
	return err
}

// Behind nginx too a stream ends when its browser leaves.
func TestNginxTellsThatABrowserHasLeft(t *testing.T) {
	var hub stream.Hub
	var open atomic.Int32
	address := serve(t, func(req *fasthttp.RequestCtx) {
		fallback.Serve(req, stream.Response{Source: counted(&open, hub.Feed("x"))})
	})
	hub.Publish("x", stream.Emit("", "first"))
	listen := nginx(t, address)
	for _, by := range transports()[:2] {
		ctx, leave := context.WithCancel(t.Context())
		page := &client.Page{Saw: func(client.Event) { leave() }}
		client.Client{Dial: dialTo(listen)}.Follow(ctx, page, "/", by)
		settles(t, "streams", 0, func() int { return int(open.Load()) })
	}
}
