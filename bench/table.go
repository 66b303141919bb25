package bench

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// WriteTable writes the report for people.
func (r *Report) WriteTable(w io.Writer) {
	fmt.Fprintf(w, "\n%s\n%s\n", r.Machine, r.method())
	for _, g := range r.groups() {
		fmt.Fprintf(w, "\n%s\n%s\n", g.title(), g.Help)
		table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(table, strings.Join(r.head(g), "\t")+"\t")
		for _, result := range g.results {
			fmt.Fprintln(table, strings.Join(r.row(g, result), "\t")+"\t")
		}
		table.Flush()
	}
	fmt.Fprintln(w)
	legend := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, entry := range r.legend() {
		fmt.Fprintf(legend, "%s\t%s\n", entry[0], entry[1])
	}
	legend.Flush()
	for _, text := range r.broken() {
		fmt.Fprintf(w, "\n%s\n", text)
	}
	if verdict := r.Verdict(); verdict != "" {
		fmt.Fprintf(w, "\n%s\n", verdict)
	}
}

// method says how the figures were measured.
func (r *Report) method() string {
	return fmt.Sprintf("Each figure is the median of %d rounds of %v, ± half of the distance between the quartiles; × is to %s.", r.Rounds, r.Duration.Round(1e6), r.Baseline)
}

func (g group) title() string {
	return fmt.Sprintf("%s, %s, %s bytes an update", g.Name, clients(g.clients), thousands(g.size))
}

func clients(n int) string {
	if n == 1 {
		return "1 client"
	}
	return thousands(n) + " clients"
}

// columns returns the figures that the group has.
func (g group) columns() (columns []string) {
	for _, name := range g.Columns {
		if slices.ContainsFunc(g.results, func(r Result) bool { return len(r.Rounds) == 0 || len(r.values(name)) > 0 }) {
			columns = append(columns, name)
		}
	}
	return columns
}

// head returns the titles of the group's columns.
func (r *Report) head(g group) []string {
	head := []string{"side", "transport"}
	for _, name := range g.columns() {
		head = append(head, figure(name).Title)
		if name == g.Compare && r.compares(g) {
			head = append(head, "×")
		}
	}
	return append(head, "whole")
}

// compares reports whether the baseline takes part in a group with others.
func (r *Report) compares(g group) bool {
	return len(g.results) > 1 && slices.ContainsFunc(g.results, func(b Result) bool { return b.Side == r.Baseline })
}

// row returns the cells of a result.
func (r *Report) row(g group, result Result) []string {
	cells := []string{result.Side, result.technique()}
	for _, name := range g.columns() {
		cells = append(cells, cell(result, name))
		if name == g.Compare && r.compares(g) {
			cells = append(cells, times(g.ratio(r.Baseline, name, result)))
		}
	}
	whole := "yes"
	switch {
	case result.broken():
		whole = "NO"
	case len(result.Rounds) == 0:
		whole = "–"
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

// legend says what the columns are.
func (r *Report) legend() (legend [][2]string) {
	used := map[string]bool{}
	for _, g := range r.groups() {
		for _, name := range g.columns() {
			used[name] = true
		}
	}
	for _, f := range Figures {
		if used[f.Name] {
			legend = append(legend, [2]string{f.Title, f.Help})
		}
	}
	return append(legend, [2]string{"whole", "every update arrived, once and in order"})
}

// broken says what went wrong.
func (r *Report) broken() (texts []string) {
	for _, b := range r.Broken() {
		text := fmt.Sprintf("NOT WHOLE: %s, %d clients, %s by %s: lost %.0f, doubled %.0f, reordered %.0f, streams given up %.0f",
			b.Scenario, b.Clients, b.technique(), b.Side, b.sum("lost"), b.sum("doubled"), b.sum("reordered"), b.sum("failed"))
		if b.Failure != "" {
			text += ": " + b.Failure
		}
		texts = append(texts, text)
	}
	return texts
}
