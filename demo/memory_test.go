package demo

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"

	"foreverframe/fallback"
	"foreverframe/fallback/browsertest"
	"foreverframe/stream"

	"github.com/valyala/fasthttp"
)

// updatesOfAnHour is a hundred a second if $HOUR is set, else ten.
func updatesOfAnHour() int {
	if os.Getenv("HOUR") != "" {
		return 360_000
	}
	return 36_000
}

// quarters sends n updates with ids, each in a script of its own, and each
// quarter of them when its gate is closed. A page that comes back goes on where
// it was.
func quarters(n int, gates []chan struct{}) stream.Source {
	return func(ctx context.Context, page *stream.Page) error {
		for i := int(page.LastEventID) + 1; i <= n; i++ {
			select {
			case <-gates[(i-1)*len(gates)/n]:
			case <-ctx.Done():
				return nil
			}
			update := stream.Inner("lines", stream.Text(strconv.Itoa(i)))
			if err := page.SendEvents(stream.Event{ID: uint64(i), Update: update}); err != nil {
				return err
			}
			if err := page.Flush(); err != nil {
				return err
			}
		}
		return nil
	}
}

// framed is the number of all nodes in the frames of a page.
const framed = `[].reduce.call(frames, function (sum, frame) {
	var nodes = frame.document.createTreeWalker(frame.document, NodeFilter.SHOW_ALL);
	while (nodes.nextNode()) { sum++; }
	return sum;
}, 0)`

// A frame that carries updates for an hour stays small: its scripts remove
// themselves, and a new frame takes over before the memory of those that have
// run adds up.
func TestAForeverFrameStaysSmall(t *testing.T) {
	for _, name := range browsertest.Names {
		t.Run(name, func(t *testing.T) {
			browser := browsertest.Start(t, name)
			n, gates := updatesOfAnHour(), make([]chan struct{}, 4)
			for i := range gates {
				gates[i] = make(chan struct{})
			}
			site := (&Site{}).Handler()
			address := serve(t, func(req *fasthttp.RequestCtx) {
				switch string(req.Path()) {
				case "/":
					stream.ServePage(req, shell(req, "/feed?after=0", "frame"), nil)
				case "/feed":
					fallback.Serve(req, stream.Response{Source: quarters(n, gates)})
				default:
					site(req)
				}
			})
			tab := browser.Open(t, "")
			tab.Visit(address)
			tab.Until("ff.state == 'open'")
			memory := []int64{memoryOf(t, browser, tab)}
			for quarter, gate := range gates {
				close(gate)
				for step := 1; step <= 10; step++ { // so that the patience is not for all of them
					tab.Until(fmt.Sprintf("+document.getElementById('lines').textContent >= %d", (10*quarter+step)*n/40))
				}
				if nodes, _ := strconv.Atoi(tab.Value(framed)); nodes >= 100 {
					t.Errorf("after %d quarters there are %d nodes in the frame", quarter+1, nodes)
				}
				memory = append(memory, memoryOf(t, browser, tab))
			}
			tab.Until("ff.state == 'done'")
			tab.Quiet()
			levelsOff(t, memory)
		})
	}
}

// memoryOf returns the memory of the browser, without the garbage that it would
// let go.
func memoryOf(t *testing.T, browser *browsertest.Browser, tab *browsertest.Tab) int64 {
	t.Helper()
	with, err := browser.Memory()
	if err != nil {
		t.Fatal(err)
	}
	tab.Collect()
	without, err := browser.Memory()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s updates: %d MB, without garbage %d MB", tab.Value("document.getElementById('lines').textContent || 0"), with>>20, without>>20)
	return without
}

// levelsOff checks the memory at the start and after each quarter: the second
// half takes less than half of what the first took, and 50 MB, in which engines
// collect their garbage when they like.
func levelsOff(t *testing.T, memory []int64) {
	t.Helper()
	first, last := memory[2]-memory[0], memory[4]-memory[2]
	if last > max(first, 0)/2+50<<20 {
		t.Errorf("the first half of the updates took %d MB, the second %d MB", first>>20, last>>20)
	}
}
