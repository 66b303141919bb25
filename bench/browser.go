package bench

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/heapprofiler"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/performance"
	"github.com/chromedp/chromedp"
)

// browserRate is how many updates a second a browser gets.
const browserRate = 500

// browse has Chromium show a page while updates are published to it.
func (t *trial) browse(ctx context.Context) error {
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox)
	allocator, stopAllocator := chromedp.NewExecAllocator(ctx, options...)
	defer stopAllocator()
	ctx, stop := chromedp.NewContext(allocator)
	defer stop()
	t.topic = fmt.Sprintf("bench-%d", time.Now().UnixMicro())
	path := strings.ReplaceAll(t.Shown[t.Transport], "{topic}", t.topic)
	if err := chromedp.Do(ctx); err != nil {
		return fmt.Errorf("chromium: %w", err)
	}
	if _, err := chromedp.Call(ctx, performance.Enable, performance.EnableParams{}); err != nil {
		return err
	}
	if _, err := chromedp.Call(ctx, page.Navigate, page.NavigateParams{URL: t.base.String() + path}); err != nil {
		return err
	}
	p := newPublisher(t)
	if err := p.next(time.Now()); err != nil {
		return err
	}
	if err := t.shows(ctx, 1); err != nil {
		return err
	}
	before, err := measures(ctx)
	if err != nil {
		return err
	}
	n := max(t.duration*browserRate/time.Second, 10)
	start := time.Now()
	for i := range n {
		t.sleep(ctx, time.Until(start.Add(i*time.Second/browserRate)))
		if err := p.next(time.Now()); err != nil {
			return err
		}
	}
	if err := t.shows(ctx, int(p.last)); err != nil {
		return err
	}
	after, err := measures(ctx)
	if err != nil {
		return err
	}
	each := 10_000 / float64(n)
	t.round.set("browser cpu", (after.spent["TaskDuration"]-before.left["TaskDuration"])*each)
	t.round.set("browser heap", (after.left["JSHeapUsedSize"]-before.left["JSHeapUsedSize"])*each/1024)
	t.round.set("browser nodes", (after.left["Nodes"]-before.left["Nodes"])/float64(n))
	return nil
}

// shows waits until the page shows n updates; if it does not in time, the others
// are lost.
func (t *trial) shows(ctx context.Context, n int) error {
	shown, err := 0, error(nil)
	for late := time.Now().Add(settle); ; {
		shown, err = chromedp.Run(ctx, chromedp.Evaluate[int](`(document.getElementById("log") || document.createElement("p")).childNodes.length`))
		if err != nil || shown == n {
			return err
		}
		if time.Now().After(late) || ctx.Err() != nil {
			break
		}
		t.sleep(ctx, 100*time.Millisecond)
	}
	t.round["lost"] += float64(max(n-shown, 0))
	t.round["doubled"] += float64(max(shown-n, 0))
	return fmt.Errorf("the page shows %d updates of %d", shown, n)
}

// A measure is what the browser knows of the page.
type measure struct {
	spent, left map[string]float64 // before and after its garbage was collected
}

func measures(ctx context.Context) (m measure, err error) {
	if m.spent, err = metrics(ctx); err != nil {
		return m, err
	}
	if _, err = chromedp.Call(ctx, heapprofiler.CollectGarbage, cdp.Empty{}); err != nil {
		return m, err
	}
	m.left, err = metrics(ctx)
	return m, err
}

func metrics(ctx context.Context) (map[string]float64, error) {
	all, err := chromedp.Call(ctx, performance.GetMetrics, cdp.Empty{})
	if err != nil {
		return nil, err
	}
	values := make(map[string]float64)
	for _, m := range all.Metrics {
		values[m.Name] = m.Value
	}
	return values, nil
}
