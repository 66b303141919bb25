package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"foreverframe/bench/server"
	"foreverframe/fallback/browsertest"

	"github.com/valyala/fasthttp"
)

// TestMain makes the test's own program the servers that it measures.
func TestMain(m *testing.M) {
	beNode()
	if len(os.Args) > 2 && os.Args[1] == "bench-server" {
		c := server.Command{Side: os.Args[2], Listen: os.Args[4]}
		if err := c.Run(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	slog.SetLogLoggerLevel(slog.LevelWarn)
	os.Exit(m.Run())
}

func entrants(t *testing.T) []Entrant {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return builtIn(program, 0)
}

func TestEveryScenarioIsWholeOverEveryTransport(t *testing.T) {
	r := Run{Entrants: entrants(t), Baseline: "limit", Clients: []int{5}, Duration: 100 * time.Millisecond, Rounds: 1}
	before := 0
	r.Before = func(c Case, done, of int) {
		if done != before || of < 30 {
			t.Errorf("%v starts after %d of %d", c, done, of)
		}
		before++
	}
	report, err := r.Measure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if broken := report.broken(); len(broken) > 0 {
		t.Error(strings.Join(broken, "\n"))
	}
	ran := make(map[string]int)
	for _, result := range report.Results {
		ran[result.Scenario]++
		for _, name := range scenario(result.Scenario).Columns {
			if v, ok := result.Median(name); !ok && name != "writes" {
				t.Errorf("%+v has no %s", result.Case, name)
			} else if v < 0 && name != "memory" {
				t.Errorf("%+v: %s is %v", result.Case, name, v)
			}
		}
	}
	for _, s := range Scenarios {
		if (ran[s.Name] == 0) != (s.Of == Streams || s.Of == Shown) { // which none of them has, and which needs a browser
			t.Errorf("%s was run %d times", s.Name, ran[s.Name])
		}
	}
	checkCounts(t, report)
	checkFiles(t, report)
}

func TestABrowserShowsEveryUpdate(t *testing.T) {
	browsertest.Require(t, "chromium")
	r := Run{Entrants: entrants(t)[:1], Scenarios: []string{"browser"}, Browser: true, Duration: 200 * time.Millisecond, Rounds: 1}
	report, err := r.Measure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if broken := report.broken(); len(broken) > 0 || len(report.Results) != 4 {
		t.Errorf("%d transports, %s", len(report.Results), strings.Join(broken, "\n"))
	}
	for _, result := range report.Results {
		if nodes, _ := result.Median("browser nodes"); math.Round(nodes) != 2 { // a paragraph and its text; a script may not have gone yet
			t.Errorf("an update over %s adds %v nodes", result.Transport, nodes)
		}
		if cpu, _ := result.Median("browser cpu"); cpu <= 0 {
			t.Errorf("over %s it takes %v s", result.Transport, cpu)
		}
	}
}

// checkCounts checks what does not depend on time: an update that comes alone is
// a chunk of its own, and a write.
func checkCounts(t *testing.T, report *Report) {
	for _, result := range report.Results {
		chunks, _ := result.Median("chunks")
		wire, _ := result.Median("wire")
		switch {
		case result.Scenario == "page-paced" && result.Transport == "sse" && (chunks < 1 || chunks > 1.5):
			t.Errorf("%+v: %v chunks an update", result.Case, chunks)
		case result.Scenario == "broadcast-paced" && (wire < float64(result.Size)) != (result.Gzip && result.Transport == "sse"):
			t.Errorf("%+v: %v bytes an update", result.Case, wire)
		}
	}
}

// checkFiles checks that what is written can be read.
func checkFiles(t *testing.T, report *Report) {
	name := filepath.Join(t.TempDir(), "report.json")
	if err := writeFile(name, report.WriteJSON); err != nil {
		t.Fatal(err)
	}
	again, err := ReadReport(name)
	if err != nil {
		t.Fatal(err)
	}
	if changes, all := Compare(report, again); len(changes) > 0 || all < 100 {
		t.Errorf("a report differs from itself in %d of %d figures", len(changes), all)
	}
	var table, page, lines bytes.Buffer
	report.WriteTable(&table)
	for _, want := range []string{"page-saturated, 5 clients, 64 bytes an update", "For a page that ends, ", "For a feed without an end, ", "foreverframe"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, table.String())
		}
	}
	if err := report.WriteHTML(&page); err != nil || strings.Count(page.String(), "<svg") < 5 || strings.Contains(page.String(), "<script") {
		t.Errorf("the page has %d plots, %v", strings.Count(page.String(), "<svg"), err)
	}
	report.WriteBenchmarks(&lines)
	if !strings.Contains(lines.String(), "\nBenchmarkPush/scenario=page-saturated/clients=5/size=64/transport=sse/side=limit 1 ") {
		t.Errorf("the benchmark lines are %s", lines.String())
	}
}

func TestAServerThatLosesUpdatesIsReported(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go fasthttp.Serve(l, func(req *fasthttp.RequestCtx) {
		req.SetContentType("text/event-stream")
		req.SetBodyStreamWriter(func(w *bufio.Writer) {
			for i := 1; i <= 1000; i++ {
				if i%100 != 0 {
					fmt.Fprintf(w, "data: %s\n\n", server.Text(uint64(i), 0, 64))
				}
			}
		})
	})
	t.Cleanup(func() { l.Close() })
	e := Entrant{Name: "leaky", URL: "http://" + l.Addr().String(), Jobs: map[string]string{"sse": "/"}}
	report, err := Run{Entrants: []Entrant{e}, Scenarios: []string{"page-saturated"}, Clients: []int{2}, Duration: 50 * time.Millisecond, Rounds: 2}.Measure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	result := report.Results[0]
	lost, doubled := result.sum("lost"), result.sum("doubled")+result.sum("reordered")+result.sum("failed")
	if lost == 0 || doubled > 0 || len(report.Broken()) != 1 {
		t.Errorf("lost %v, %v of other kinds", lost, doubled)
	}
	var table bytes.Buffer
	report.WriteTable(&table)
	if !strings.Contains(table.String(), "NOT WHOLE: page-saturated, 2 clients, sse by leaky: lost ") {
		t.Errorf("the table is %s", table.String())
	}
}

// watching returns an entrant that streams pages with the texts of send, and a run
// that watches it.
func watching(t *testing.T, send func(w io.Writer)) Run {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go fasthttp.Serve(l, func(req *fasthttp.RequestCtx) {
		req.SetContentType("text/html")
		req.SetBodyStreamWriter(func(w *bufio.Writer) { send(w) })
	})
	t.Cleanup(func() { l.Close() })
	c := Command{URL: "http://" + l.Addr().String() + "/", Marker: "tick "}
	e, err := c.other()
	if err != nil {
		t.Fatal(err)
	}
	return Run{Entrants: []Entrant{e}, Scenarios: []string{"watch"}, Clients: []int{2}, Duration: 50 * time.Millisecond, Rounds: 1}
}

func TestAnyServerCanBeWatched(t *testing.T) {
	for name, test := range map[string]struct {
		send func(w io.Writer)
		want string // of what went wrong
	}{
		"numbers from any on": {func(w io.Writer) {
			for i := range 50 {
				fmt.Fprintf(w, "<p>tick %d</p>", 700+i)
			}
		}, ""},
		"no numbers": {func(w io.Writer) { io.WriteString(w, "<p>tick tock</p>") }, ""},
		"a hole":     {func(w io.Writer) { io.WriteString(w, "<p>tick 7</p><p>tick 9</p>") }, "lost "},
		"twice":      {func(w io.Writer) { io.WriteString(w, "<p>tick 7</p><p>tick 7</p>") }, "doubled "},
		"nothing":    {func(w io.Writer) { io.WriteString(w, "<p>tack 1</p>") }, `is "tick " the text in front of its number?`},
	} {
		t.Run(name, func(t *testing.T) {
			report, err := watching(t, test.send).Measure(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			broken := strings.Join(report.broken(), "\n")
			if (broken == "") != (test.want == "") || !strings.Contains(broken, test.want) {
				t.Errorf("%q, which lacks %q", broken, test.want)
			}
			if rate, _ := report.Results[0].Median("updates per second"); rate <= 0 && name != "nothing" {
				t.Errorf("%v updates a second", rate)
			}
		})
	}
}

func TestWhatTheServerCompressesIsACaseOfItsOwn(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	page := func(req *fasthttp.RequestCtx) {
		req.SetContentType("text/html")
		for i := 1; i <= 1000; i++ {
			fmt.Fprintf(req, "<p>%s</p>", server.Text(uint64(i), 0, 64))
		}
	}
	go fasthttp.Serve(l, fasthttp.CompressHandler(page))
	t.Cleanup(func() { l.Close() })
	e := Entrant{Name: "gzip", URL: "http://" + l.Addr().String(), Jobs: map[string]string{"plain": "/"}}
	report, err := Run{Entrants: []Entrant{e}, Scenarios: []string{"page-saturated"}, Clients: []int{2}, Duration: 50 * time.Millisecond, Rounds: 1}.Measure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Results) != 2 || report.Results[0].Gzip || !report.Results[1].Gzip || len(report.Broken()) > 0 {
		t.Fatalf("%+v", report.Results)
	}
	plain, _ := report.Results[0].Median("wire")
	packed, _ := report.Results[1].Median("wire")
	if packed == 0 || packed > plain/2 {
		t.Errorf("an update takes %v bytes, compressed %v", plain, packed)
	}
}

func TestARunThatIsInterruptedHasWhatItFound(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	r := Run{Entrants: entrants(t)[2:3], Scenarios: []string{"page-saturated"}, Clients: []int{1}, Duration: 20 * time.Millisecond, Rounds: 1000}
	r.After = func(_ *Report, done, _ int) {
		if done == 2 {
			stop()
		}
	}
	report, err := r.Measure(ctx)
	if err != nil || len(report.Results[0].Rounds) != 1 {
		t.Errorf("%v, %+v", err, report)
	}
}

func TestAnEntrantIsReadFromAFile(t *testing.T) {
	read := func(text string) (Entrant, error) {
		name := filepath.Join(t.TempDir(), "entrant.json")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return ReadEntrant(name)
	}
	for text, want := range map[string]string{
		`{`:                             "unexpected end of JSON input",
		`{}`:                            `needs a "name"`,
		`{"name":"x"}`:                  `needs "start"`,
		`{"name":"x","url":"http://x"}`: `needs "jobs"`,
		`{"name":"x","url":"http://x","feeds":{"sse":"/"}}`:           `needs "publish"`,
		`{"name":"x","url":"http://x","jobs":{"carrier pigeon":"/"}}`: "there is no transport",
	} {
		if _, err := read(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	ours := entrants(t)[0]
	text, _ := json.Marshal(ours)
	if e, err := read(string(text)); err != nil || !slices.Equal(e.Start, ours.Start) || e.Publish.Body != ours.Publish.Body {
		t.Errorf("%+v, %v", e, err)
	}
	_, err := Run{Entrants: []Entrant{{Name: "none", Start: []string{"/does/not/exist"}}}}.Measure(t.Context())
	if err == nil || !strings.HasPrefix(err.Error(), "none: ") {
		t.Errorf("a server that cannot be started: %v", err)
	}
	_, err = Run{Entrants: entrants(t), Scenarios: []string{"hurricane"}}.Measure(t.Context())
	if err == nil || !strings.Contains(err.Error(), "page-saturated") {
		t.Errorf("a scenario that there is not: %v", err)
	}
}

func TestTheReportFillsWhileItIsWatched(t *testing.T) {
	watch := &Watch{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go fasthttp.Serve(l, watch.Handle)
	t.Cleanup(func() { l.Close() })
	report := &Report{Rounds: 2, Results: []Result{{Case: Case{Scenario: "page-saturated", Clients: 1, Size: 64, Transport: "sse", Side: "x"}}}}
	watch.show(report, 0, 2)
	address := "http://" + l.Addr().String()
	page := get(t, address+"/bench")
	_, feed, _ := strings.Cut(page, `data-ff-feed="`)
	feed, _, _ = strings.Cut(feed, `"`)
	if !strings.Contains(page, `<tr id="page-saturated-1-64-sse-x">`) || !strings.Contains(page, "0 of 2 rounds") || feed == "" {
		t.Fatalf("the page is %s", page)
	}
	report.Results[0].Rounds = []Round{{"cpu": 4.25, "updates per second": 1000}}
	watch.show(report, 1, 2)
	watch.end(report)
	events := get(t, address+feed+"&transport=sse")
	for _, want := range []string{"data: page-saturated-1-64-sse-x\n", "<td>4.25</td>", "The run is over.", "event: done"} {
		if !strings.Contains(events, want) {
			t.Errorf("the feed lacks %q: %s", want, events)
		}
	}
}

func TestABrowserSeesTheReportFill(t *testing.T) {
	tab := browsertest.Start(t, "chromium").Open(t, "")
	watch := &Watch{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go fasthttp.Serve(l, watch.Handle)
	t.Cleanup(func() { l.Close() })
	report := &Report{Rounds: 1}
	for i := range 3 {
		report.Results = append(report.Results, Result{Case: Case{Scenario: "page-saturated", Clients: i + 1, Size: 64, Transport: "sse", Side: "x"}})
	}
	watch.show(report, 0, 3)
	tab.Visit("http://" + l.Addr().String() + "/bench")
	tab.Until("ff.state == 'open' && document.querySelectorAll('tbody tr').length == 3")
	for i := range report.Results {
		report.Results[i].Rounds = []Round{{"cpu": float64(i) + 1.25}}
		watch.show(report, i+1, 3)
		tab.Until(fmt.Sprintf("document.body.textContent.indexOf('%d.25') > 0 && document.getElementById('progress').textContent == '%d of 3 rounds have been run.'", i+1, i+1))
	}
	watch.end(report)
	tab.Until("ff.state == 'done' && document.querySelectorAll('svg').length == 1 && document.querySelectorAll('tbody tr').length == 3")
	tab.Quiet()
}

func get(t *testing.T, address string) string {
	t.Helper()
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(answer.Body); err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	return b.String()
}
