package bench

import (
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"text/tabwriter"

	"golang.org/x/perf/benchmath"
)

// CompareCommand compares two reports, as the command line has it.
type CompareCommand struct {
	Old string `arg:"" type:"existingfile" help:"Report that bench --json has written."`
	New string `arg:"" type:"existingfile" help:"Report of the same scenarios."`
}

// Run writes what has changed.
func (c CompareCommand) Run() error {
	before, err := ReadReport(c.Old)
	if err != nil {
		return err
	}
	after, err := ReadReport(c.New)
	if err != nil {
		return err
	}
	changes, all := Compare(before, after)
	if all == 0 {
		return fmt.Errorf("%s and %s have no case in common", c.Old, c.New)
	}
	WriteChanges(os.Stdout, changes, all)
	for _, name := range []string{"cpu", "updates per second"} {
		WriteOverall(os.Stdout, name, before, after)
	}
	return nil
}

// A Change is a figure of a case that two reports have.
type Change struct {
	Case
	Figure   Figure
	Old, New Result // of the case
	P        float64
}

// Ratio returns how many times the old median the new one is.
func (c Change) Ratio() float64 {
	before, _ := c.Old.Median(c.Figure.Name)
	after, _ := c.New.Median(c.Figure.Name)
	return after / before
}

// Worse reports whether the change is for the worse.
func (c Change) Worse() bool { return (c.Ratio() < 1) == c.Figure.More }

// real reports whether the change is beyond the noise: the rounds are unlikely to
// come from one distribution by the Mann-Whitney U test, and the medians are
// further apart than both spreads together.
func (c Change) real() bool {
	spreads := c.Old.Spread(c.Figure.Name) + c.New.Spread(c.Figure.Name)*c.Ratio()
	return c.P < alpha && math.Abs(c.Ratio()-1) > spreads
}

// alpha is how often chance alone may look like a change.
const alpha = 0.01

// compared are the figures of which a change says something about the server.
var compared = []string{
	"updates per second", "cpu", "idle cpu", "first byte", "first update", "latency p50", "latency p99",
	"reconnect p50", "reconnect max", "memory", "goroutines", "wire", "chunks", "writes",
}

// Compare returns what has changed beyond the noise, and how many figures of the
// cases that both reports have were compared.
func Compare(before, after *Report) (changes []Change, all int) {
	for _, o := range before.Results {
		n := after.find(o.Case)
		if n == nil {
			continue
		}
		for _, name := range compared {
			c := Change{Case: o.Case, Figure: figure(name), Old: o, New: *n}
			v, w := o.values(name), n.values(name)
			if len(v) == 0 || len(w) == 0 || v[0] <= 0 {
				continue
			}
			all++
			t := benchmath.DefaultThresholds
			c.P = benchmath.AssumeNothing.Compare(benchmath.NewSample(v, &t), benchmath.NewSample(w, &t)).P
			if c.real() {
				changes = append(changes, c)
			}
		}
	}
	return changes, all
}

// WriteChanges writes changes for people.
func WriteChanges(w io.Writer, changes []Change, all int) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	if len(changes) > 0 {
		fmt.Fprintln(table, "scenario\tclients\ttransport\tside\tfigure\told\tnew\tchange\tp\t\t")
	}
	for _, c := range changes {
		verdict := "better"
		if c.Worse() {
			verdict = "WORSE"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%+.1f%%\t%.3f\t%s\t\n", c.Scenario, thousands(c.Clients), c.technique(), c.Side, c.Figure.Title,
			cell(c.Old, c.Figure.Name), cell(c.New, c.Figure.Name), 100*(c.Ratio()-1), c.P, verdict)
	}
	table.Flush()
	fmt.Fprintf(w, "%d of %d figures have changed beyond the noise: p < 0.01 by the Mann-Whitney U test, and the medians further apart than both spreads together.\n", len(changes), all)
}

// WriteOverall writes by how much a figure has changed over all cases that both
// reports have, relative to how much the baseline's has in the same scenario,
// which is the same program on the same machine.
func WriteOverall(w io.Writer, name string, before, after *Report) {
	var logs []float64
	more := 0
	groups := after.groups()
	for _, g := range before.groups() {
		i := slices.IndexFunc(groups, func(n group) bool { return n.Name == g.Name && n.clients == g.clients && n.size == g.size })
		for _, o := range g.results {
			n := after.find(o.Case)
			if n == nil || i < 0 || o.Side == before.Baseline {
				continue
			}
			old, ok := g.ratio(before.Baseline, name, o)
			now, known := groups[i].ratio(before.Baseline, name, *n)
			if ok && known && old > 0 && now > 0 {
				logs = append(logs, math.Log(now/old))
				if now > old {
					more++
				}
			}
		}
	}
	if len(logs) == 0 {
		return
	}
	sum := 0.0
	for _, l := range logs {
		sum += l
	}
	fmt.Fprintf(w, "%s over all, beside %s: %+.1f%%; more in %d of %d cases, which chance does with p = %.3f.\n",
		figure(name).Title, before.Baseline, 100*(math.Exp(sum/float64(len(logs)))-1), more, len(logs), sign(more, len(logs)))
}

// sign returns the probability that chance makes at least so uneven a division of
// n into two, the p-value of the sign test.
func sign(k, n int) float64 {
	k = max(k, n-k)
	p := 0.0
	for i := k; i <= n; i++ {
		p += math.Exp(logChoose(n, i) - float64(n)*math.Ln2)
	}
	return min(1, 2*p)
}

func logChoose(n, k int) float64 {
	a, _ := math.Lgamma(float64(n + 1))
	b, _ := math.Lgamma(float64(k + 1))
	c, _ := math.Lgamma(float64(n - k + 1))
	return a - b - c
}

// sides returns the results of two sides of a report as two reports, as if they
// were of one side.
func (r *Report) sides(before, after string) (o, n *Report) {
	o, n = &Report{Baseline: r.Baseline}, &Report{Baseline: r.Baseline}
	for _, result := range r.Results {
		switch result.Side {
		case before:
			result.Side = after
			o.Results = append(o.Results, result)
		case after:
			n.Results = append(n.Results, result)
		}
	}
	return o, n
}
