// Package natstest runs real NATS servers for tests: processes on loopback that
// can be killed and come back.
package natstest

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A Cluster is some servers that keep JetStream's streams together, or one.
type Cluster struct {
	Servers []*Server
}

// A Server is one nats-server.
type Server struct {
	t       testing.TB
	program string
	args    []string
	name    string
	address string
	monitor string
	process *exec.Cmd
}

// Start starts n servers that end with the test. Config, which may be empty, is
// added to the configuration file of each.
func Start(t testing.TB, n int, config string) *Cluster {
	t.Helper()
	program := build(t)
	var c Cluster
	var routes, addresses []string
	for range n {
		addresses = append(addresses, freeAddress(t))
		routes = append(routes, freeAddress(t))
	}
	for i := range n {
		directory, monitor := t.TempDir(), freeAddress(t)
		file := filepath.Join(directory, "nats.conf")
		text := fmt.Sprintf("server_name: n%d\nlisten: %q\nhttp: %q\njetstream { store_dir: %q, max_file_store: 4GB }\n%s\n", i, addresses[i], monitor, directory, config)
		if n > 1 {
			text += fmt.Sprintf("cluster { name: test, listen: %q, routes: [%s] }\n", routes[i], quoted(routes))
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c.Servers = append(c.Servers, &Server{name: fmt.Sprint("n", i), monitor: monitor, t: t, program: program, args: []string{"-c", file}, address: addresses[i]})
	}
	for _, s := range c.Servers {
		s.Start()
		t.Cleanup(s.Kill)
	}
	return &c
}

func quoted(routes []string) string {
	var all []string
	for _, r := range routes {
		all = append(all, fmt.Sprintf("%q", "nats://"+r))
	}
	return strings.Join(all, ", ")
}

// URL returns the addresses of all servers.
func (c *Cluster) URL() string {
	var all []string
	for _, s := range c.Servers {
		all = append(all, s.URL())
	}
	return strings.Join(all, ",")
}

// Leader returns the server that leads a stream, nil if nobody says.
func (c *Cluster) Leader(stream string) *Server {
	for _, asked := range c.Servers {
		answer, err := http.Get("http://" + asked.monitor + "/jsz?streams=true")
		if err != nil {
			continue
		}
		var jsz struct {
			Accounts []struct {
				Streams []struct {
					Name    string
					Cluster struct{ Leader string }
				} `json:"stream_detail"`
			} `json:"account_details"`
		}
		json.NewDecoder(answer.Body).Decode(&jsz)
		answer.Body.Close()
		for _, account := range jsz.Accounts {
			for _, s := range account.Streams {
				for _, server := range c.Servers {
					if s.Name == stream && s.Cluster.Leader == server.name {
						return server
					}
				}
			}
		}
	}
	return nil
}

// URL returns the server's address.
func (s *Server) URL() string { return "nats://" + s.address }

// Start starts the server, and returns when it listens.
func (s *Server) Start() {
	s.t.Helper()
	s.process = exec.Command(s.program, s.args...)
	var said strings.Builder
	s.process.Stderr = &said
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if conn, err := net.Dial("tcp", s.address); err == nil {
			conn.Close()
			return
		}
	}
	s.Kill()
	s.t.Fatalf("nats-server does not start: %s", &said)
}

// Restart starts the server if it does not run.
func (s *Server) Restart() {
	s.t.Helper()
	if s.process == nil {
		s.Start()
	}
}

// Kill ends the server as nothing else can.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

// Stop ends the server in order.
func (s *Server) Stop() { s.end(syscall.SIGTERM) }

func (s *Server) end(signal syscall.Signal) {
	if s.process == nil {
		return
	}
	s.process.Process.Signal(signal)
	s.process.Wait()
	s.process = nil
}

func freeAddress(t testing.TB) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

var building sync.Mutex

// build returns the program, which is built once by this machine's user, from the
// version that the module beside this file pins.
func build(t testing.TB) string {
	t.Helper()
	building.Lock()
	defer building.Unlock()
	_, file, _, _ := runtime.Caller(0)
	module := filepath.Join(filepath.Dir(file), "server")
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	list := exec.Command("go", "list", "-m", "-f", "{{.Version}}", "github.com/nats-io/nats-server/v2")
	list.Dir = module
	version, err := list.Output()
	if err != nil {
		missing(t, fmt.Errorf("%w", err))
	}
	program := filepath.Join(cache, "foreverframe", "nats-server-"+strings.TrimSpace(string(version)))
	if _, err := os.Stat(program); err == nil {
		return program
	}
	fresh := fmt.Sprintf("%s.%d", program, os.Getpid())
	command := exec.Command("go", "build", "-o", fresh, "github.com/nats-io/nats-server/v2")
	command.Dir = module
	if said, err := command.CombinedOutput(); err != nil {
		missing(t, fmt.Errorf("%w: %s", err, said))
	}
	if err := os.Rename(fresh, program); err != nil {
		t.Fatal(err)
	}
	return program
}

// missing skips a test that cannot have a server, but not where changes are
// checked.
func missing(t testing.TB, err error) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("nats-server cannot be built: %v", err)
	}
	t.Skipf("nats-server cannot be built, which needs the network once: %v", err)
}
