package bench

import (
	"fmt"
	"io"
	"math"
	"os"
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
	return c.P < benchmath.DefaultThresholds.CompareAlpha && math.Abs(c.Ratio()-1) > spreads
}

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
	fmt.Fprintf(w, "%d of %d figures have changed beyond the noise: p < 0.05 by the Mann-Whitney U test, and the medians further apart than both spreads together.\n", len(changes), all)
}
