// Package browsertest drives real browsers from tests, all in one way: Chromium
// over its DevTools protocol, Firefox over WebDriver BiDi and WebKitGTK over
// WebDriver, each without a screen.
package browsertest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/shirou/gopsutil/v4/process"
)

// Patience bounds what a test waits for; nothing is measured against it.
const Patience = 60 * time.Second

// Names are the browsers that Start knows.
var Names = []string{"chromium", "firefox", "webkit"}

// A kind is what one browser needs.
type kind struct {
	commands []string // that it is made of
	packages string   // of Debian, that have them
	start    func() (engine, error)
}

var kinds = map[string]kind{
	"chromium": {[]string{"chromium"}, "chromium", startChromium},
	"firefox":  {[]string{"firefox-esr"}, "firefox-esr", startFirefox},
	"webkit":   {[]string{"WebKitWebDriver", "Xvfb"}, "webkit2gtk-driver xvfb", startWebKit},
}

// An engine is a running browser.
type engine interface {
	// open opens a tab with cookies, storage and connections of its own. before
	// is JavaScript that runs in each of its pages before their own.
	open(before string) (page, error)
	// version is what the browser calls itself; it may need an open tab.
	version() string
	// processes are the ids of those whose children the browser consists of.
	processes() []int
	close()
}

// A page is an engine's part of a Tab. Each call is bounded by Patience.
type page interface {
	beside() (page, error)                   // opens a tab that shares all with this one
	visit(url string) error                  // returns when the new document is there
	value(expression string) (string, error) // of a string
	complaints() ([]string, error)
	picture() ([]byte, error) // a PNG
	close()
}

// A Browser is a browser that runs until its test has ended. Its methods may be
// called by parallel tests.
type Browser struct {
	Name   string
	engine engine
}

// Require skips t or, in CI, fails it if the browser with the name is not
// installed.
func Require(t testing.TB, name string) {
	t.Helper()
	kind, ok := kinds[name]
	if !ok {
		t.Fatalf("there is no browser %q: it must be one of %q", name, Names)
	}
	for _, command := range kind.commands {
		if _, err := exec.LookPath(command); err != nil {
			missing(t, fmt.Sprintf("%s is not installed: apt-get install %s, or make install", command, kind.packages))
		}
	}
}

// Start starts the browser with the name, without any tab that counts, if it is
// installed: it calls Require.
func Start(t testing.TB, name string) *Browser {
	t.Helper()
	Require(t, name)
	engine, err := kinds[name].start()
	if err != nil {
		t.Fatalf("%s does not start: %v", name, err)
	}
	t.Cleanup(engine.close)
	return &Browser{name, engine}
}

func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// Open opens a tab for t with cookies, storage and connections of its own.
// before is JavaScript that runs in each of its pages before their own, in some
// browsers also in the frames of the pages.
func (b *Browser) Open(t testing.TB, before string) *Tab {
	t.Helper()
	page, err := b.engine.open(before)
	if err != nil {
		t.Fatalf("%s opens no tab: %v", b.Name, err)
	}
	return newTab(t, page)
}

// Version returns what the browser calls itself, once it has opened a tab.
func (b *Browser) Version() string { return b.engine.version() }

// Memory returns the bytes of memory that the processes of the browser have in
// use together. What several of them share counts in each.
func (b *Browser) Memory() (int64, error) {
	all, err := process.Processes()
	if err != nil {
		return 0, err
	}
	children := map[int32][]*process.Process{}
	for _, p := range all {
		if parent, err := p.Ppid(); err == nil {
			children[parent] = append(children[parent], p)
		}
	}
	var sum int64
	for _, root := range b.engine.processes() {
		sum += tree(children, &process.Process{Pid: int32(root)})
	}
	return sum, nil
}

// tree returns the memory of p and its descendants. One that has just ended has
// none.
func tree(children map[int32][]*process.Process, p *process.Process) int64 {
	var sum int64
	if memory, err := p.MemoryInfo(); err == nil {
		sum = int64(memory.RSS)
	}
	for _, child := range children[p.Pid] {
		sum += tree(children, child)
	}
	return sum
}

// await calls condition until it is true.
func await(what string, condition func() bool) error {
	for end := time.Now().Add(Patience); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			return errors.New(what)
		}
	}
	return nil
}

// arrive calls visit, which begins to load url, and returns when the document of
// p is another one, not when all of it is there: that may never be.
func arrive(p page, url string, visit func() error) error {
	const mark = "'a document that is being left'"
	if _, err := p.value("String(window[" + mark + "] = 1)"); err != nil {
		return err
	}
	if err := visit(); err != nil {
		return err
	}
	return await(url+" never came", func() bool {
		left, err := p.value("String(window[" + mark + "])")
		return err == nil && left == "undefined"
	})
}
