package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/host"
	"github.com/shirou/gopsutil/v4/load"
)

// A Report is all that a run has found.
type Report struct {
	Machine  Machine       `json:"machine"`
	Started  time.Time     `json:"started"`
	Duration time.Duration `json:"duration"` // of one round of a case, in nanoseconds
	Rounds   int           `json:"rounds"`
	Baseline string        `json:"baseline"`
	Results  []Result      `json:"results"`
}

// A Machine is where figures come from.
type Machine struct {
	OS         string  `json:"os"`
	Processor  string  `json:"processor"`
	Processors int     `json:"processors"`
	Go         string  `json:"go"`
	Load       float64 `json:"load"` // the load average of the last minute before the run
}

func thisMachine() Machine {
	m := Machine{OS: runtime.GOOS, Processors: len(allowed), Go: runtime.Version()}
	if info, err := host.Info(); err == nil {
		m.OS = info.OS + " " + info.KernelVersion
	}
	if all, err := cpu.Info(); err == nil && len(all) > 0 {
		m.Processor = strings.TrimSpace(all[0].ModelName)
	}
	if average, err := load.Avg(); err == nil {
		m.Load = average.Load1
	}
	return m
}

// String says what the machine is, in a line.
func (m Machine) String() string {
	busy := ""
	if m.Load > 0.3*float64(m.Processors) {
		busy = " (busy: measure again when it is quiet)"
	}
	return fmt.Sprintf("%s, %d processors, %s, %s; load before the run %.1f%s", m.Processor, m.Processors, m.OS, m.Go, m.Load, busy)
}

// find returns the result of a case, nil if there is none.
func (r *Report) find(c Case) *Result {
	for i := range r.Results {
		if r.Results[i].Case == c {
			return &r.Results[i]
		}
	}
	return nil
}

// Broken returns the results in which something was lost, doubled, reordered or
// given up.
func (r *Report) Broken() (broken []Result) {
	for _, result := range r.Results {
		if result.broken() {
			broken = append(broken, result)
		}
	}
	return broken
}

// A group is the results that are compared: those of a scenario with one number
// of clients and one size.
type group struct {
	Scenario
	clients, size int
	results       []Result
}

// groups returns the results in groups, in the order of the scenarios.
func (r *Report) groups() (groups []group) {
	for _, result := range r.Results {
		if n := len(groups) - 1; n < 0 || groups[n].Name != result.Scenario || groups[n].clients != result.Clients || groups[n].size != result.Size {
			groups = append(groups, group{Scenario: scenario(result.Scenario), clients: result.Clients, size: result.Size})
		}
		g := &groups[len(groups)-1]
		g.results = append(g.results, result)
	}
	return groups
}

// baseline returns the result that another one is compared with: the same
// technique of that side, else its first; nil if it has none.
func (g group) baseline(side string, of Result) *Result {
	var first *Result
	for i := range g.results {
		switch b := &g.results[i]; {
		case b.Side != side:
		case b.technique() == of.technique():
			return b
		case first == nil:
			first = b
		}
	}
	return first
}

// ratio returns how many times the baseline's figure the result's is, the median
// over the rounds; it reports false if that is unknown.
func (g group) ratio(side, figure string, of Result) (float64, bool) {
	base := g.baseline(side, of)
	if base == nil {
		return 0, false
	}
	var ratios Result
	for i := range min(len(base.Rounds), len(of.Rounds)) { // which were run one after the other
		b, ok := base.Rounds[i][figure]
		v, known := of.Rounds[i][figure]
		if ok && known && b != 0 {
			ratios.Rounds = append(ratios.Rounds, Round{figure: v / b})
		}
	}
	return ratios.Median(figure)
}

// WriteJSON writes the report for programs, and for Compare.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(r)
}

// ReadReport reads what WriteJSON has written to a file.
func ReadReport(name string) (*Report, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	r := &Report{}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return r, nil
}

// WriteBenchmarks writes a line for each round in the format of Go's benchmarks,
// which benchstat reads.
func (r *Report) WriteBenchmarks(w io.Writer) {
	fmt.Fprintf(w, "goos: %s\ngoarch: %s\npkg: foreverframe/bench\ncpu: %s\n", runtime.GOOS, runtime.GOARCH, r.Machine.Processor)
	for _, result := range r.Results {
		for _, round := range result.Rounds {
			fmt.Fprintf(w, "BenchmarkPush/scenario=%s/clients=%d/size=%d/transport=%s/side=%s 1", result.Scenario, result.Clients, result.Size, result.technique(), result.Side)
			for _, f := range Figures {
				if v, ok := round[f.Name]; ok {
					fmt.Fprintf(w, " %v %s", v, f.Unit)
				}
			}
			fmt.Fprintln(w)
		}
	}
}
