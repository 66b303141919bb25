package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/shirou/gopsutil/v4/process"
)

// A running is an entrant that runs.
type running struct {
	Entrant
	base  *url.URL
	pid   int // zero means unknown
	stop  func()
	error *excerpt // of what it has said
}

// An excerpt keeps the first of what is written to it.
type excerpt struct{ strings.Builder }

func (e *excerpt) Write(b []byte) (int, error) {
	e.Builder.Write(b[:min(len(b), max(0, 2000-e.Len()))])
	return len(b), nil
}

// run starts e, on processors of its own if that can be, and waits until it
// takes connections.
func (e Entrant) run(ctx context.Context) (*running, error) {
	r := &running{Entrant: e, pid: e.PID, stop: func() {}, error: &excerpt{}}
	address := ""
	if len(e.Start) > 0 {
		var err error
		if address, err = freeAddress(); err != nil {
			return nil, err
		}
		if err := r.start(address); err != nil {
			return nil, fmt.Errorf("%s: %w", e.Name, err)
		}
	}
	at := e.URL
	if at == "" {
		at = "http://" + address
	}
	var err error
	if r.base, err = url.Parse(strings.ReplaceAll(at, "{address}", address)); err == nil {
		err = r.ready(ctx)
	}
	if err != nil {
		r.stop()
		return nil, fmt.Errorf("%s: %w\n%s", e.Name, err, r.error)
	}
	return r, nil
}

// freeAddress returns an address of this machine that nobody listens on.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

func (r *running) start(address string) error {
	var words []string
	_, port, _ := net.SplitHostPort(address)
	for _, word := range r.Start {
		words = append(words, strings.NewReplacer("{address}", address, "{port}", port).Replace(word))
	}
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Stderr = r.error
	in, err := cmd.StdinPipe() // whose end tells the server that nobody measures it any more
	if err != nil {
		return err
	}
	inGroup(cmd)
	if err := onServerProcessors(cmd.Start); err != nil {
		return err
	}
	r.pid = cmd.Process.Pid
	r.stop = func() {
		in.Close()
		endGroup(cmd)
		late := time.AfterFunc(2*time.Second, func() { killGroup(cmd) })
		cmd.Wait()
		late.Stop()
		killGroup(cmd) // what it has left
	}
	return nil
}

// ready waits until the server takes connections.
func (r *running) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		conn, err := net.Dial("tcp", r.host())
		if err == nil {
			return conn.Close()
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}

// host returns the host and port.
func (r *running) host() string {
	if r.base.Port() != "" {
		return r.base.Host
	}
	if r.base.Scheme == "https" {
		return r.base.Host + ":443"
	}
	return r.base.Host + ":80"
}

// A usage is what processes have used.
type usage struct {
	cpu    time.Duration
	memory uint64 // resident bytes
	writes int64  // calls; less than zero means unknown
}

// usage returns what the server and its children have used so far; it reports
// false if that is unknown.
func (r *running) usage() (sum usage, ok bool) {
	if r.pid == 0 {
		return sum, false
	}
	p, err := process.NewProcess(int32(r.pid))
	if err != nil {
		return sum, false
	}
	all := []*process.Process{p}
	for i := 0; i < len(all); i++ {
		if children, err := all[i].Children(); err == nil {
			all = append(all, children...)
		}
	}
	for _, p := range all {
		sum.cpu += cpuTime(p)
		if memory, err := p.MemoryInfo(); err == nil {
			sum.memory += memory.RSS
		}
		writes := writeCalls(p.Pid)
		if writes < 0 || sum.writes < 0 {
			sum.writes = -1
			continue
		}
		sum.writes += writes
	}
	return sum, true
}

// cpuTime returns the processor time of a process: on Linux to the nanosecond, from
// its threads, else as coarsely as the system counts it.
func cpuTime(p *process.Process) (sum time.Duration) {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.Pid))
	for _, thread := range threads {
		var ns int64
		if text, err := os.ReadFile(thread); err == nil {
			fmt.Sscan(string(text), &ns)
		}
		sum += time.Duration(ns)
	}
	if sum > 0 {
		return sum
	}
	times, err := p.Times()
	if err != nil {
		return 0
	}
	return time.Duration((times.User + times.System) * float64(time.Second))
}

// writeCalls returns how often a process has called write(2) and its like, as
// Linux counts them; less than zero means unknown.
func writeCalls(pid int32) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	if err != nil {
		return -1
	}
	_, after, ok := strings.Cut(string(text), "syscw: ")
	if !ok {
		return -1
	}
	var n int64
	fmt.Sscan(after, &n)
	return n
}

// ownCPU returns the processor time of this process.
func ownCPU() time.Duration {
	p, err := process.NewProcess(int32(os.Getpid()))
	if err != nil {
		return 0
	}
	return cpuTime(p)
}
