package demo

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

// These tests drive real browsers that run no scripts. In CI a missing one is a
// failure.

// textBrowsers are commands that show a page as text and end.
var textBrowsers = [][]string{
	{"lynx", "-dump", "-nolist", "-width=120"},
	{"w3m", "-dump", "-cols", "120"},
	{"links2", "-dump", "-width", "120"},
	{"elinks", "-dump", "-dump-width", "120", "-no-references", "-no-numbering"},
}

// installed skips or fails the test if there is no such program.
func installed(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is not installed: make install", name)
		}
		t.Skipf("%s is not installed: make install", name)
	}
}

// dump runs a program with an empty home and returns its output, with blanks and
// line ends as one blank each.
func dump(t *testing.T, command ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "LANG=C.UTF-8")
	output, err := cmd.Output()
	if err != nil {
		t.Fatalf("%q: %v", command, err)
	}
	return strings.Join(strings.Fields(string(output)), " ")
}

func TestTextBrowsersShowEveryPage(t *testing.T) {
	site := &Site{Keys: []string{"key"}, Address: "http://example.com"}
	address := serveSite(t, site)
	if err := site.Pipe(t.Context(), strings.NewReader("the first line\nand a <second> one\n")); err != nil {
		t.Fatal(err)
	}
	pages := map[string]struct{ shows, hides []string }{
		"/":               {[]string{"Hello, by snippets", "A synthetic job"}, nil},
		"/demo/hello":     {[]string{"Hello, by snippets", "4 o", "show the wire"}, []string{"nothing received yet", "3 l"}},
		"/demo/template":  {[]string{"0 h", "1 e", "24 o", "48 l", "49 o", "show the wire"}, []string{"nothing received yet"}},
		"/demo/dashboard": {[]string{"Load", "in use of", "of all processors", "not available: no such file or directory"}, []string{"measuring"}},
		"/demo/job?n=20":  {[]string{"20 updates of 64 bytes", "ev-1-xxx", "ev-20-xxx"}, []string{"ev-21-"}},
		"/demo/echo?text=%3Cb%3Ebold%3C/b%3E%20%26amp;": {[]string{"<b>bold</b> &amp;", "done"}, nil},
		"/demo/log":     {[]string{"the first line and a <second> one"}, nil},
		"/demo/clock":   {[]string{"The server's time", "show the wire"}, nil},
		"/demo/counter": {[]string{"A counter"}, nil},
		"/demo/ping":    {[]string{"Pings and messages"}, []string{"Close the connection"}},
		"/demo/spinner": {[]string{"An endless spinner"}, nil},
		"/demo/ticks":   {[]string{"Fifty ticks"}, nil},
		"/compare":      {[]string{"Without scripts", "The page ends with the job"}, []string{"Load all four again"}},
	}
	for _, browser := range textBrowsers {
		t.Run(browser[0], func(t *testing.T) {
			t.Parallel()
			installed(t, browser[0])
			for path, page := range pages {
				text := dump(t, append(browser, address+path)...)
				for _, want := range page.shows {
					if !strings.Contains(text, want) {
						t.Errorf("%s lacks %q:\n%s", path, want, text)
					}
				}
				for _, other := range append(page.hides, "This page without scripts") {
					if strings.Contains(text, other) {
						t.Errorf("%s shows %q:\n%s", path, other, text)
					}
				}
			}
		})
	}
}

// NetSurf has no output but its window: here it is one that nobody sees, and the
// server tells what it asked for and got. That it asks for the style sheet says
// that it has read the head of the page.
func TestNetSurfGetsPlainMode(t *testing.T) {
	installed(t, netSurf)
	site := (&Site{}).Handler()
	policies, styled := make(chan string, 1), make(chan struct{}, 1)
	address := serve(t, func(req *fasthttp.RequestCtx) {
		site(req)
		switch string(req.Path()) {
		case "/demo/job":
			tell(policies, string(req.Response.Header.Peek(fasthttp.HeaderContentSecurityPolicy)))
		case "/style.css":
			tell(styled, struct{}{})
		}
	})
	startNetSurf(t, address+"/demo/job?n=20")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	select {
	case policy := <-policies:
		if !strings.Contains(policy, "script-src 'none'") {
			t.Errorf("the policy of the page is %q", policy)
		}
	case <-ctx.Done():
		t.Fatal("NetSurf asks for nothing")
	}
	select {
	case <-styled:
	case <-ctx.Done():
		t.Error("NetSurf does not read the page")
	}
}

// netSurf is the program of the browser that draws by itself.
const netSurf = "netsurf-fb"

// startNetSurf shows url in a window that nobody sees until the test has ended.
func startNetSurf(t *testing.T, url string) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, netSurf, "-f", "sdl", url)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "SDL_VIDEODRIVER=dummy")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		cmd.Wait()
	})
}

// tell sends v the first time.
func tell[T any](to chan T, v T) {
	select {
	case to <- v:
	default:
	}
}
