package browsertest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/heapprofiler"
	"github.com/chromedp/cdproto/log"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
)

// A chromium is driven over its DevTools protocol.
type chromium struct {
	ctx  context.Context
	stop func()
}

func startChromium() (engine, error) {
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath("chromium"),
		chromedp.NoSandbox,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true))
	allocator, stopAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, stop := chromedp.NewContext(allocator)
	c := &chromium{ctx, func() { stop(); stopAllocator() }}
	if err := chromedp.Do(ctx); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *chromium) version() string {
	version, err := chromedp.CallBrowser(c.ctx, browser.GetVersion, cdp.Empty{})
	if err != nil {
		return "Chromium"
	}
	return strings.NewReplacer("Headless", "", "Chrome/", "Chromium ").Replace(version.Product)
}

func (c *chromium) processes() []int {
	return []int{chromedp.FromContext(c.ctx).Browser.Process().Pid}
}

func (c *chromium) close() {
	ctx, cancel := context.WithTimeout(c.ctx, Patience)
	defer cancel()
	chromedp.Cancel(ctx)
	c.stop()
}

func (c *chromium) open(before string) (page, error) {
	made, err := chromedp.CallBrowser(c.ctx, target.CreateBrowserContext, target.CreateBrowserContextParams{})
	if err != nil {
		return nil, err
	}
	return (&chromiumProfile{chromium: c, id: made.BrowserContextID, before: before}).tab()
}

// A chromiumProfile is the cookies, storage and connections of some tabs.
type chromiumProfile struct {
	chromium *chromium
	id       cdp.BrowserContextID
	before   string
	tabs     atomic.Int32 // that are open
}

// A chromiumPage is a tab of Chromium, which tells all that it complains of.
type chromiumPage struct {
	ctx     context.Context
	stop    func()
	profile *chromiumProfile

	mu  sync.Mutex // guards all
	all []string   // complaints
}

func (f *chromiumProfile) tab() (page, error) {
	ctx, stop := chromedp.NewContext(f.chromium.ctx, chromedp.WithExistingBrowserContext(f.id))
	f.tabs.Add(1)
	p := &chromiumPage{ctx: ctx, profile: f}
	p.stop = sync.OnceFunc(func() {
		stop()
		if f.tabs.Add(-1) == 0 {
			chromedp.CallBrowser(f.chromium.ctx, target.DisposeBrowserContext, target.DisposeBrowserContextParams{BrowserContextID: f.id})
		}
	})
	err := chromedp.Listen(ctx, p.listen)
	if err == nil {
		_, err = call(p, log.Enable, cdp.Empty{})
	}
	if err == nil {
		_, err = call(p, cdppage.AddScriptToEvaluateOnNewDocument, cdppage.AddScriptToEvaluateOnNewDocumentParams{Source: f.before})
	}
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *chromiumPage) beside() (page, error) { return p.profile.tab() }

func (p *chromiumPage) close() { p.stop() }

// call calls a command of the browser's protocol.
func call[P, R any](p *chromiumPage, command cdp.Command[P, R], params P) (R, error) {
	ctx, cancel := context.WithTimeout(p.ctx, Patience)
	defer cancel()
	result, err := chromedp.Call(ctx, command, params)
	if err != nil {
		err = fmt.Errorf("%s: %w", command.Method, err)
	}
	return result, err
}

func (p *chromiumPage) visit(url string) error {
	result, err := call(p, cdppage.Navigate, cdppage.NavigateParams{URL: url})
	if err == nil && result.ErrorText != "" {
		err = errors.New(result.ErrorText)
	}
	return err
}

func (p *chromiumPage) withoutScripts() error {
	_, err := call(p, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	return err
}

func (p *chromiumPage) collect() error {
	_, err := call(p, heapprofiler.CollectGarbage, cdp.Empty{})
	return err
}

func (p *chromiumPage) value(expression string) (string, error) {
	return run(p, chromedp.Evaluate[string](expression))
}

func (p *chromiumPage) picture() ([]byte, error) {
	return run(p, chromedp.CaptureScreenshot())
}

func run[T any](p *chromiumPage, action chromedp.Action[T]) (T, error) {
	ctx, cancel := context.WithTimeout(p.ctx, Patience)
	defer cancel()
	return chromedp.Run(ctx, action)
}

// listen takes down console errors, exceptions and violations of the content
// security policy.
func (p *chromiumPage) listen(event any) {
	var complaint string
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		complaint = e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			complaint += " " + e.ExceptionDetails.Exception.Description
		}
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
			complaint = string(e.Type) + ":"
			for _, arg := range e.Args {
				complaint += " " + cmp.Or(arg.Description, string(arg.Value))
			}
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			complaint = e.Entry.Text + " " + e.Entry.URL
		}
	}
	if complaint != "" {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.all = append(p.all, complaint)
	}
}

func (p *chromiumPage) complaints() ([]string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.all...), nil
}
