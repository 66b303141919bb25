package demo

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// These tests drive a real Chromium. In CI a missing one is a failure.

// patience bounds what a test waits for; nothing is measured against it.
const patience = 60 * time.Second

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

// browser starts a Chromium for the test, once for all its tabs.
func browser(t *testing.T) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("chromium is not installed: apt-get install chromium")
		}
		t.Skip("chromium is not installed: apt-get install chromium, or make test")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.NoSandbox,
		chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true))
	allocator, stopAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, stop := chromedp.NewContext(allocator)
	t.Cleanup(func() { chromedp.Cancel(ctx); stop(); stopAllocator() })
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("chromium does not start: %v", err)
	}
	return ctx
}

// A tab is one page in the browser and what it complained of.
type tab struct {
	ctx  context.Context
	t    *testing.T
	last string // what the page was when it was last looked at

	mu         sync.Mutex // guards complaints
	complaints []string
}

// open opens a tab with a profile and connections of its own. before is
// JavaScript that runs in each of its documents before their own.
func open(t *testing.T, browser context.Context, before string) *tab {
	t.Helper()
	return openTab(t, browser, before, chromedp.WithNewBrowserContext())
}

// openTab opens a tab, in the browser's first profile if no option says otherwise.
func openTab(t *testing.T, browser context.Context, before string, options ...chromedp.ContextOption) *tab {
	t.Helper()
	ctx, stop := chromedp.NewContext(browser, options...)
	ctx, cancel := context.WithTimeout(ctx, patience)
	tab := &tab{ctx: ctx, t: t}
	t.Cleanup(func() { cancel(); stop() })
	if err := chromedp.Listen(ctx, tab.listen); err != nil {
		t.Fatal(err)
	}
	call(tab, log.Enable, cdp.Empty{})
	call(tab, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: before})
	return tab
}

// listen takes down what the browser complains of: console errors, exceptions
// and violations of the content security policy.
func (b *tab) listen(event any) {
	var complaint string
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		complaint = fmt.Sprint(e.ExceptionDetails.Text, e.ExceptionDetails.Exception)
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
			complaint = fmt.Sprint(e.Type, e.Args)
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			complaint = e.Entry.Text + " " + e.Entry.URL
		}
	}
	if complaint != "" {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.complaints = append(b.complaints, complaint)
	}
}

// call calls a command of the browser's protocol.
func call[P, R any](b *tab, command cdp.Command[P, R], params P) R {
	b.t.Helper()
	result, err := chromedp.Call(b.ctx, command, params)
	if err != nil {
		b.t.Fatalf("%s: %v", command.Method, err)
	}
	return result
}

// visit begins to load url and returns when the first of it is there, not when
// all is: that may never be.
func (b *tab) visit(url string) {
	b.t.Helper()
	if result := call(b, page.Navigate, page.NavigateParams{URL: url}); result.ErrorText != "" {
		b.t.Fatalf("%s: %s", url, result.ErrorText)
	}
}

// until waits until the JavaScript condition is true.
func (b *tab) until(condition string) {
	b.t.Helper()
	for {
		true, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("(function () { try { return !!("+condition+") } catch (e) { return false } })()"))
		switch {
		case true:
			return
		case b.ctx.Err() != nil:
			b.t.Fatalf("it never was so that %s; the page was\n%s", condition, b.last)
		case err == nil:
			b.last = b.value("document.documentElement.outerHTML.slice(-3000)")
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// value returns the value of a JavaScript expression as text.
func (b *tab) value(expression string) string {
	text, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string]("String("+expression+")"))
	return text
}

// quiet fails the test if the browser has complained of anything.
func (b *tab) quiet() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.complaints) > 0 {
		b.t.Errorf("the browser complains:\n%s", strings.Join(b.complaints, "\n"))
	}
}

// screenshot writes a picture of the page to $SCREENSHOTS/name.png, if set.
func (b *tab) screenshot(name string) {
	b.t.Helper()
	directory := os.Getenv("SCREENSHOTS")
	if directory == "" {
		return
	}
	picture, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(directory+"/"+name+".png", picture, 0o644); err != nil {
		b.t.Fatal(err)
	}
}
