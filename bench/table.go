package bench

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"
)

// WriteTable writes the report for people.
func (r *Report) WriteTable(w io.Writer) {
	fmt.Fprintf(w, "\n%s\nEach figure is the median of %d rounds of %v, ± half of the distance between the extremes; × is to %s.\n", r.Machine, r.Rounds, r.Duration.Round(1e6), r.Baseline)
	for _, g := range r.groups() {
		fmt.Fprintf(w, "\n%s, %s clients, %d bytes an update\n%s\n", g.Name, thousands(g.clients), g.size, g.Help)
		r.writeGroup(w, g)
	}
	fmt.Fprintln(w)
	r.writeLegend(w)
	r.writeBroken(w)
	fmt.Fprintf(w, "\n%s\n", r.Verdict())
}

func (r *Report) writeGroup(w io.Writer, g group) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	defer table.Flush()
	head := []string{"side", "transport"}
	for _, name := range g.Columns {
		head = append(head, figure(name).Title)
		if name == g.Compare {
			head = append(head, "×")
		}
	}
	fmt.Fprintln(table, strings.Join(append(head, "whole"), "\t")+"\t")
	for _, result := range g.results {
		fmt.Fprintln(table, strings.Join(r.row(g, result), "\t")+"\t")
	}
}

// row returns the cells of a result.
func (r *Report) row(g group, result Result) []string {
	cells := []string{result.Side, result.technique()}
	for _, name := range g.Columns {
		cells = append(cells, cell(result, name))
		if name == g.Compare {
			cells = append(cells, times(g.ratio(r.Baseline, name, result)))
		}
	}
	whole := "yes"
	if result.broken() {
		whole = "NO"
	}
	return append(cells, whole)
}

// cell returns a figure with its spread.
func cell(result Result, name string) string {
	median, ok := result.Median(name)
	if !ok {
		return "–"
	}
	spread := result.Spread(name)
	if spread < 0.005 {
		return digits(median)
	}
	return fmt.Sprintf("%s ±%.0f%%", digits(median), 100*spread)
}

func times(ratio float64, ok bool) string {
	if !ok {
		return "–"
	}
	return digits(ratio)
}

// digits returns v with three significant digits.
func digits(v float64) string {
	switch {
	case v == 0:
		return "0"
	case math.Abs(v) >= 1000:
		return thousands(int(math.Round(v)))
	case math.Abs(v) >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case math.Abs(v) >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case math.Abs(v) < 0.01:
		return strconv.FormatFloat(v, 'g', 2, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

// thousands returns n with commas.
func thousands(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// writeLegend says what the columns are.
func (r *Report) writeLegend(w io.Writer) {
	used := map[string]bool{}
	for _, g := range r.groups() {
		for _, name := range g.Columns {
			used[name] = true
		}
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	defer table.Flush()
	for _, f := range Figures {
		if used[f.Name] {
			fmt.Fprintf(table, "%s\t%s\n", f.Title, f.Help)
		}
	}
	fmt.Fprintf(table, "whole\tevery update arrived, once and in order\n")
}

// writeBroken says what went wrong.
func (r *Report) writeBroken(w io.Writer) {
	for _, b := range r.Broken() {
		sum := func(name string) (n float64) {
			for _, v := range b.values(name) {
				n += v
			}
			return n
		}
		fmt.Fprintf(w, "\nNOT WHOLE: %s, %d clients, %s by %s: lost %.0f, doubled %.0f, reordered %.0f, streams given up %.0f", b.Scenario, b.Clients, b.technique(), b.Side, sum("lost"), sum("doubled"), sum("reordered"), sum("failed"))
		if b.Failure != "" {
			fmt.Fprintf(w, ": %s", b.Failure)
		}
		fmt.Fprintln(w)
	}
}
