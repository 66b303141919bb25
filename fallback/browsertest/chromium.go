package browsertest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
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
	ctx, stop := chromedp.NewContext(c.ctx, chromedp.WithNewBrowserContext())
	return newChromiumPage(ctx, stop, before)
}

// A chromiumPage is a tab of Chromium, which tells all that it complains of.
type chromiumPage struct {
	ctx    context.Context
	stop   func()
	before string

	mu  sync.Mutex // guards all
	all []string   // complaints
}

func newChromiumPage(ctx context.Context, stop func(), before string) (page, error) {
	p := &chromiumPage{ctx: ctx, stop: stop, before: before}
	err := chromedp.Listen(ctx, p.listen)
	if err == nil {
		_, err = call(p, log.Enable, cdp.Empty{})
	}
	if err == nil {
		_, err = call(p, cdppage.AddScriptToEvaluateOnNewDocument, cdppage.AddScriptToEvaluateOnNewDocumentParams{Source: before})
	}
	if err != nil {
		stop()
		return nil, err
	}
	return p, nil
}

// beside opens a child, which chromedp does in the browser context of its parent.
func (p *chromiumPage) beside() (page, error) {
	ctx, stop := chromedp.NewContext(p.ctx)
	return newChromiumPage(ctx, stop, p.before)
}

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
