package demo

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"foreverframe/fallback"
	"foreverframe/stream"
	"foreverframe/templates"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/disk"
	"github.com/shirou/gopsutil/v4/load"
	"github.com/shirou/gopsutil/v4/mem"
	"github.com/shirou/gopsutil/v4/net"
	"github.com/shirou/gopsutil/v4/process"
	"github.com/valyala/fasthttp"
)

const dashboardTopic = "dashboard"

var dashboardPage = templates.Page{
	Title:     "This machine",
	Lead:      "Slots fill in the order in which their data arrives: one is slow, one fails, the others do not care. Then the page goes on live.",
	Technique: "Slots by snippets while the page loads; then a topic of the hub, by server-sent events or a forever frame",
	Why:       "The page carries the feed's place from before it was rendered, so that nothing falls in between.",
	Wire:      "/demo/dashboard?wire=1",
}

// A gauge is a slot of the dashboard: where it stands and how it is measured.
type gauge struct {
	templates.Gauge
	measure func(ctx context.Context) (templates.Reading, error)
	timeout time.Duration
	live    bool // it goes on after the page has loaded
}

var gauges = []gauge{
	{templates.Gauge{ID: "load", Title: "Load"}, measureLoad, time.Second, true},
	{templates.Gauge{ID: "memory", Title: "Memory"}, measureMemory, time.Second, true},
	{templates.Gauge{ID: "disk", Title: "Disk"}, measureDisk, time.Second, true},
	{templates.Gauge{ID: "network", Title: "Network"}, measureNetwork, time.Second, true},
	{templates.Gauge{ID: "processes", Title: "Processes"}, measureProcesses, time.Second, true},
	{templates.Gauge{ID: "cpu", Title: "Processor, over two seconds"}, measureCPU, 5 * time.Second, true},
	{templates.Gauge{ID: "broken", Title: "A disk that is not there"}, measureMissing, time.Second, false},
}

func (s *Site) dashboard(req *fasthttp.RequestCtx, page templates.Page) {
	feed := s.Hub.Feed(dashboardTopic) // before the page is rendered
	page.Feed = "/feeds/" + dashboardTopic + "?" + feed.Query()
	shell := templates.Dashboard{Page: page}
	var slots []stream.Slot
	for _, g := range gauges {
		shell.Gauges = append(shell.Gauges, g.Gauge)
		slots = append(slots, g.slot())
	}
	fallback.ServePage(req, shell, func(ctx context.Context, page *stream.Page) error {
		return page.Fill(ctx, slots...)
	})
}

func (g gauge) slot() stream.Slot {
	return stream.Slot{
		Target:  g.ID,
		Timeout: g.timeout,
		View: func(ctx context.Context) (stream.View, error) {
			return g.measure(ctx)
		},
		Failed: func(err error) stream.View {
			return templates.Trouble{Text: "not available: " + err.Error()}
		},
	}
}

// runDashboard publishes the live gauges. It is as fast as the slowest of them,
// which takes two seconds.
func (s *Site) runDashboard(ctx context.Context) {
	for ctx.Err() == nil {
		started := time.Now()
		for _, g := range gauges {
			if !g.live {
				continue
			}
			if reading, err := g.measure(ctx); err == nil {
				s.Hub.Publish(dashboardTopic, stream.Inner(g.ID, reading))
			}
		}
		wait(ctx, 2*time.Second-time.Since(started))
	}
}

func measureLoad(ctx context.Context) (r templates.Reading, err error) {
	avg, err := load.AvgWithContext(ctx)
	if err != nil {
		return r, err
	}
	return templates.Reading{
		Value: fmt.Sprintf("%.2f", avg.Load1),
		Share: min(100, int(100*avg.Load1/float64(runtime.NumCPU()))),
		Note:  fmt.Sprintf("%.2f over 5 minutes, %.2f over 15; %d processors", avg.Load5, avg.Load15, runtime.NumCPU()),
	}, nil
}

func measureMemory(ctx context.Context) (r templates.Reading, err error) {
	m, err := mem.VirtualMemoryWithContext(ctx)
	if err != nil {
		return r, err
	}
	return templates.Reading{Value: inBytes(m.Used), Share: int(m.UsedPercent), Note: "in use of " + inBytes(m.Total)}, nil
}

func measureDisk(ctx context.Context) (templates.Reading, error) { return diskAt(ctx, "/") }

func measureMissing(ctx context.Context) (templates.Reading, error) {
	return diskAt(ctx, "/no/such/disk")
}

func diskAt(ctx context.Context, path string) (r templates.Reading, err error) {
	d, err := disk.UsageWithContext(ctx, path)
	if err != nil {
		return r, err
	}
	return templates.Reading{Value: inBytes(d.Used), Share: int(d.UsedPercent), Note: "in use of " + inBytes(d.Total) + " at " + path}, nil
}

func measureNetwork(ctx context.Context) (r templates.Reading, err error) {
	all, err := net.IOCountersWithContext(ctx, false)
	if err != nil {
		return r, err
	}
	if len(all) == 0 {
		return r, fmt.Errorf("no network interface")
	}
	return templates.Reading{Value: inBytes(all[0].BytesRecv), Share: -1, Note: "received since the start, " + inBytes(all[0].BytesSent) + " sent"}, nil
}

func measureProcesses(ctx context.Context) (r templates.Reading, err error) {
	pids, err := process.PidsWithContext(ctx)
	if err != nil {
		return r, err
	}
	return templates.Reading{Value: fmt.Sprint(len(pids)), Share: -1, Note: fmt.Sprintf("and %d goroutines in this server", runtime.NumGoroutine())}, nil
}

func measureCPU(ctx context.Context) (r templates.Reading, err error) {
	shares, err := cpu.PercentWithContext(ctx, 2*time.Second, false)
	if err != nil {
		return r, err
	}
	if len(shares) == 0 {
		return r, fmt.Errorf("no processor")
	}
	return templates.Reading{Value: fmt.Sprintf("%.0f %%", shares[0]), Share: int(shares[0]), Note: "of all processors"}, nil
}

// inBytes returns n in the largest unit that leaves at least one.
func inBytes(n uint64) string {
	units := []string{"bytes", "KB", "MB", "GB", "TB"}
	v := float64(n)
	i := 0
	for ; v >= 1000 && i < len(units)-1; i++ {
		v /= 1000
	}
	if i == 0 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%.1f %s", v, units[i])
}
