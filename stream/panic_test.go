package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/net/html"
)

// A faulty transport panics in one of its functions.
type faulty struct {
	plain
	in string
}

func (f faulty) append(function string, b []byte) []byte {
	if f.in == function {
		panic("oh no: " + function)
	}
	return b
}

func (f faulty) AppendStart(b []byte) []byte { return f.append("start", f.plain.AppendStart(b)) }
func (f faulty) AppendOpen(b []byte) []byte  { return f.append("open", f.plain.AppendOpen(b)) }
func (f faulty) AppendEvent(b []byte, e Event) []byte {
	return f.append(e.Action, f.plain.AppendEvent(b, e))
}
func (f faulty) AppendClose(b []byte) []byte { return f.append("close", f.plain.AppendClose(b)) }
func (f faulty) AppendHeartbeat(b []byte) []byte {
	return f.append("heartbeat", f.plain.AppendHeartbeat(b))
}

// panicking panics when it renders.
var panicking = view(func(w io.Writer) { io.WriteString(w, "<p "); panic("oh no: view") })

// injections are responses that panic once, by the stage that counts it.
var injections = []struct {
	stage string
	in    Response
}{
	{inShell, Response{Shell: panicking}},
	{inSource, Response{Source: func(context.Context, *Page) error { panic("oh no: source") }}},
	{inSource, Response{Source: func(_ context.Context, p *Page) error { return p.Send(Inner("a", panicking)) }}},
	{inSource, Response{Source: func(_ context.Context, p *Page) error { return p.Render(panicking) }}},
	{inSlot, Response{Source: fills(Slot{Target: "a", View: func(context.Context) (View, error) { panic("oh no: slot") }})}},
	{inSlot, Response{Source: fills(Slot{Target: "a", View: func(context.Context) (View, error) { return panicking, nil }})}},
	{inSlot, Response{Source: fills(Slot{
		Target: "a",
		View:   func(context.Context) (View, error) { return nil, errors.New("no data") },
		Failed: func(error) View { panic("oh no: failed") },
	})}},
	{inEncoder, Response{Transport: faulty{in: "open"}, Source: sends}},
	{inEncoder, Response{Transport: faulty{in: ActionRemove}, Source: sends}},
	{inEncoder, Response{Transport: faulty{in: "close"}, Source: sends}},
	{inEncoder, Response{Transport: faulty{in: "close"}, Source: sends, Flush: Flush{Every: 2, Delay: time.Millisecond}}},
	{inEncoder, Response{Transport: faulty{in: ActionDone}, Source: sends}},
	{inEncoder, Response{Transport: faulty{in: ActionInner}, Source: fills(Slot{Target: "a", View: func(context.Context) (View, error) { return Text("b"), nil }})}},
	{inEncoder, Response{Transport: faulty{in: "heartbeat"}, Source: waits, Heartbeat: 2 * time.Millisecond}},
	{inEncoder, Response{Transport: faulty{in: "open"}, Source: waits, Wait: time.Millisecond}},
	{inEncoder, Response{Transport: faulty{in: ActionAgain}, Source: sends, Limit: Limit{Flushes: 1}}},
	{inEncoder, Response{Transport: faulty{in: "start"}, Source: waits}},
}

// sends sends an event and waits for its end.
func sends(ctx context.Context, page *Page) error {
	page.SendEvents(Event{ID: 1, Update: Remove("a")})
	if _, ok := page.transport.(faulty); ok && page.transport.(faulty).in == ActionDone {
		return nil
	}
	<-ctx.Done()
	return context.Cause(ctx)
}

func waits(ctx context.Context, _ *Page) error {
	<-ctx.Done()
	return context.Cause(ctx)
}

func fills(slots ...Slot) Source {
	return func(ctx context.Context, page *Page) error { return page.Fill(ctx, slots...) }
}

// A panic anywhere ends its own stream, is logged once with where it was, and is
// counted; what is beside it is whole.
func TestAPanicAnywhereEndsItsStreamOnly(t *testing.T) {
	for i, injection := range injections {
		for _, protocol := range []string{"HTTP/1.1", "HTTP/1.0"} {
			t.Run(fmt.Sprintf("%s/%d/%s", injection.stage, i, protocol), func(t *testing.T) {
				var hub Hub
				feed := hub.Feed("log")
				s := serve(t, "tcp", func(s *site, req *fasthttp.RequestCtx) {
					if string(req.Path()) == "/feed" {
						ServeSSE(req, feed.Follow)
						return
					}
					r := injection.in
					r.Log = s.log.logger()
					r.Serve(req)
				})
				const healthy, events = 10, 50
				var following sync.WaitGroup
				for range healthy {
					c := s.connect(t)
					c.ask("GET /feed")
					c.head()
					c.chunk()
					following.Go(func() {
						got, _ := parseSSE(c.body())
						if len(got) != events+1 {
							t.Errorf("a stream beside it has %d events", len(got)-1)
						}
					})
				}
				before := panicsOf(injection.stage)
				panics := s.connect(t)
				panics.ask("GET / "+protocol, "Connection: close")
				for n := range events {
					hub.Publish("log", Remove(fmt.Sprint("a", n)))
				}
				io.Copy(io.Discard, panics.r)
				hub.End("log")
				following.Wait()
				if got := panicsOf(injection.stage) - before; got != 1 {
					t.Errorf("%d panics are counted", got)
				}
				logged := strings.Join(s.log.all(), "\n")
				if strings.Count(logged, "oh no") != 1 || !strings.Contains(logged, "panic_test.go") {
					t.Errorf("the log is\n%s", logged)
				}
				s.server.want(t)
			})
		}
	}
}

func panicsOf(stage string) uint64 {
	return registry.GetOrCreateCounter(fmt.Sprintf("foreverframe_panics_total{stage=%q}", stage)).Get()
}

// Wherever a view panics, the script that tells the page runs.
func TestAPageCanShowThatItsViewHasPanicked(t *testing.T) {
	const page = `<!doctype html><title>a&amp;b</title><style>a > b {}</style><script>if (a < b) "<!--<script>c</script>"; /* --> */</script>` +
		`<body class="a 'b' c" id='d "e" f' data-g=h hidden><!-- i -- > j --><textarea rows=3>k</textarea><p>l &lt; m<br/>n</p><xmp>o</xmp></body>`
	for end := range len(page) + 1 {
		w := new(wire)
		run(Response{Transport: Script{}, Log: new(records).logger(), Shell: view(func(out io.Writer) {
			io.WriteString(out, page[:end])
			panic("oh no")
		})}, w)
		document, err := html.Parse(strings.NewReader(strings.Join(w.take(), "")))
		if err != nil {
			t.Fatal(err)
		}
		tells := 0
		for n := range document.Descendants() {
			if n.Type == html.ElementNode && n.Data == "script" && n.FirstChild != nil && strings.HasPrefix(n.FirstChild.Data, `ff("fail"`) {
				tells++
			}
		}
		if tells != 1 {
			t.Errorf("after %q the page is told %d times", page[max(0, end-20):end], tells)
		}
	}
}

func TestAHubSurvivesItsLatest(t *testing.T) {
	hub := Hub{Latest: func(string) bool { panic("oh no") }}
	before := panicsOf(inCallback)
	if _, err := hub.Publish("a", Remove("b")); err != nil {
		t.Error(err)
	}
	if panicsOf(inCallback) != before+1 {
		t.Error("the panic is not counted")
	}
}
