package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/valyala/fasthttp"
)

// Command measures, as the command line has it.
type Command struct {
	Scenario  []string      `help:"Scenario to run: ${scenarios}. Repeatable; all if there is none."`
	Clients   []int         `help:"Numbers of clients, in the place of the scenarios' own."`
	Size      []int         `help:"Sizes of an update's text in bytes." default:"64"`
	Transport []string      `help:"Transports: script, sse, frame, poll, plain. All if there is none."`
	Duration  time.Duration `help:"How long each round of a case is measured; 0 means 2s, or in a quick run what lets it end in time." default:"0s"`
	Rounds    int           `help:"How often each case is run, all taking turns; 0 means 5, or 3 in a quick run." default:"0"`
	Quick     bool          `help:"A few cases only, within half a minute."`
	Browser   bool          `help:"Measure what an update costs Chromium, too."`
	Side      []string      `help:"Built-in servers to run: ${enum}." enum:"foreverframe,nethttp,limit,gush,none" default:"foreverframe,nethttp,limit,gush"`
	Baseline  string        `help:"The server that ratios are to." default:"limit"`
	Against   string        `help:"Another build of this program, whose server takes turns with this one's; what has changed is told at the end." type:"existingfile"`
	Entrant   []string      `help:"JSON file that describes another server, see bench/README.md. Repeatable." type:"existingfile"`

	URL           string            `help:"Stream of another server that runs already; only it is measured. Its type says how it is read, unless --transport does."`
	Marker        string            `help:"Text in front of the number of each update in the stream of --url." default:"ev-"`
	Publish       string            `help:"URL to publish updates to the stream of --url; without it, the stream is only watched."`
	PublishHeader map[string]string `help:"Headers of the request that publishes, NAME=VALUE."`
	PublishBody   string            `help:"Body of the request that publishes; {text} is the update." default:"{text}"`
	PID           int               `name:"pid" help:"Process of the server of --url, to see what it uses."`

	JSON      string  `name:"json" help:"File to write the report to, for bench compare."`
	Benchstat string  `help:"File to write the rounds to as Go benchmark lines, for benchstat."`
	HTML      string  `name:"html" help:"File to write the report to as a page with plots."`
	Listen    string  `help:"Address to show the report at, /bench, while it fills: 127.0.0.1:8090."`
	Slow      float64 `hidden:"" help:"Makes foreverframe so much slower: 0.1 is 10 %. For tests."`
}

// ErrNotWhole means that updates were lost, doubled or reordered, or that streams
// were given up.
var ErrNotWhole = errors.New("not all updates arrived once and in order: see NOT WHOLE above")

// Run measures until it is done or ctx is.
func (c Command) Run(ctx context.Context) error {
	r, err := c.run()
	if err != nil {
		return err
	}
	watch, err := c.watch()
	if err != nil {
		return err
	}
	bar := &progress{to: os.Stderr}
	r.Before = bar.before
	r.After = func(report *Report, done, of int) {
		bar.after(done)
		if watch != nil {
			watch.show(report, done, of)
		}
	}
	report, err := r.Measure(ctx)
	bar.end()
	if err != nil {
		return err
	}
	interrupted := ctx.Err()
	err = c.tell(report)
	if watch != nil {
		watch.end(report)
		fmt.Fprintln(os.Stderr, "The report stays until this program is interrupted.")
		<-ctx.Done()
	}
	return errors.Join(err, interrupted)
}

// tell writes what has been found.
func (c Command) tell(report *Report) error {
	report.WriteTable(os.Stdout)
	if c.Against != "" {
		changes, all := Compare(report.sides(against, ours))
		fmt.Printf("\nFrom %s to this build:\n", c.Against)
		WriteChanges(os.Stdout, changes, all)
	}
	if err := c.write(report); err != nil {
		return err
	}
	if len(report.Broken()) > 0 {
		return ErrNotWhole
	}
	return nil
}

// watch serves the report while it fills, where that is wanted; nil means that it
// is not.
func (c Command) watch() (*Watch, error) {
	if c.Listen == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(os.Stderr, "The report fills at http://%s/bench\n", l.Addr())
	w := &Watch{}
	go fasthttp.Serve(l, w.Handle) // for as long as the process lives
	return w, nil
}

func (c Command) run() (Run, error) {
	program, err := os.Executable()
	if err != nil {
		return Run{}, err
	}
	r := Run{
		Baseline: c.Baseline, Scenarios: c.Scenario, Clients: c.Clients, Sizes: c.Size, Transports: c.Transport,
		Duration: c.Duration, Rounds: c.Rounds, Quick: c.Quick, Browser: c.Browser,
	}
	if c.URL != "" {
		e, err := c.other()
		r.Entrants, r.Baseline = []Entrant{e}, e.Name
		return r, err
	}
	for _, e := range builtIn(program, c.Slow) {
		if slices.Contains(c.Side, e.Name) {
			r.Entrants = append(r.Entrants, e)
		}
	}
	if c.Against != "" {
		other := builtIn(c.Against, 0)[0]
		other.Name = against
		r.Entrants = append(r.Entrants, other)
	}
	for _, file := range c.Entrant {
		e, err := ReadEntrant(file)
		if err != nil {
			return Run{}, err
		}
		r.Entrants = append(r.Entrants, e)
	}
	return r, nil
}

// other returns the server of --url.
func (c Command) other() (Entrant, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" {
		return Entrant{}, fmt.Errorf("--url %q: it must be a whole URL, for example http://127.0.0.1:8080/events", c.URL)
	}
	transport := ""
	if len(c.Transport) > 0 {
		transport = c.Transport[0]
	} else if transport, err = transportAt(c.URL); err != nil {
		return Entrant{}, err
	}
	paths := map[string]string{transport: u.RequestURI()}
	e := Entrant{Name: u.Host, URL: u.Scheme + "://" + u.Host, PID: c.PID, Marker: c.Marker, Streams: paths}
	if c.Publish != "" {
		e.Streams, e.Feeds = nil, paths
		e.Publish = Publish{Path: c.Publish, Header: c.PublishHeader, Body: c.PublishBody}
	}
	return e, e.check()
}

// transportAt returns the transport that fits the type of what is at a URL.
func transportAt(at string) (string, error) {
	req, err := http.NewRequest(http.MethodGet, at, nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("Accept", "text/event-stream, text/html;q=0.9, */*;q=0.5")
	client := http.Client{Timeout: 10 * time.Second}
	answer, err := client.Do(req)
	if err != nil {
		return "", err
	}
	answer.Body.Close()
	if strings.HasPrefix(answer.Header.Get("Content-Type"), "text/event-stream") {
		return "sse", nil
	}
	return "plain", nil
}

// ours is the side of this build, and against that of another one.
const (
	ours    = "foreverframe"
	against = "old build"
)

// write writes the files that were asked for.
func (c Command) write(r *Report) error {
	var errs []error
	if c.JSON != "" {
		errs = append(errs, writeFile(c.JSON, r.WriteJSON))
	}
	if c.HTML != "" {
		errs = append(errs, writeFile(c.HTML, r.WriteHTML))
	}
	if c.Benchstat != "" {
		errs = append(errs, writeFile(c.Benchstat, func(w io.Writer) error {
			r.WriteBenchmarks(w)
			return nil
		}))
	}
	return errors.Join(errs...)
}

func writeFile(name string, write func(io.Writer) error) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(write(file), file.Close())
}

// A progress shows how far a run is.
type progress struct {
	to  io.Writer
	bar *progressbar.ProgressBar // nil before the first round
}

func (p *progress) before(c Case, _, of int) {
	if p.bar == nil {
		p.bar = progressbar.NewOptions(of,
			progressbar.OptionSetWriter(p.to),
			progressbar.OptionSetWidth(20),
			progressbar.OptionShowCount(),
			progressbar.OptionSetPredictTime(true),
			progressbar.OptionSetElapsedTime(true),
			progressbar.OptionThrottle(50*time.Millisecond),
			progressbar.OptionClearOnFinish())
	}
	p.bar.Describe(fmt.Sprintf("%-20s %6s %-6s %-12s", c.Scenario, thousands(c.Clients), c.technique(), c.Side))
}

func (p *progress) after(done int) {
	if p.bar != nil {
		p.bar.Set(done)
	}
}

func (p *progress) end() {
	if p.bar != nil {
		p.bar.Finish()
	}
}
