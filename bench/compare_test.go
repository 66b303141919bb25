package bench

import (
	"bytes"
	"math"
	"strings"
	"testing"
)

// sample is a report of one case with the values of two figures.
func sample(cpu, rate []float64) *Report {
	result := Result{Case: Case{Scenario: "page-saturated", Clients: 64, Size: 64, Transport: "sse", Side: "x"}}
	for i := range cpu {
		result.Rounds = append(result.Rounds, Round{"cpu": cpu[i], "updates per second": rate[i]})
	}
	return &Report{Results: []Result{result}}
}

func scaled(values []float64, by float64) (scaled []float64) {
	for _, v := range values {
		scaled = append(scaled, v*by)
	}
	return scaled
}

func TestAChangeIsReportedIfItIsBeyondTheNoise(t *testing.T) {
	cpu, rate := []float64{5.00, 5.10, 4.95, 5.05, 4.90}, []float64{200e3, 198e3, 203e3, 199e3, 201e3}
	again := []float64{5.08, 4.93, 5.12, 4.97, 5.03}
	noisy := []float64{5.0, 6.2, 4.1, 5.6, 4.6}
	for name, test := range map[string]struct {
		before, after *Report
		want          string // the verdicts
	}{
		"the same build":                {sample(cpu, rate), sample(again, rate), ""},
		"10 % slower":                   {sample(cpu, rate), sample(scaled(again, 1.1), scaled(rate, 1/1.1)), "WORSE WORSE"},
		"10 % faster":                   {sample(cpu, rate), sample(scaled(again, 0.9), scaled(rate, 1/0.9)), "better better"},
		"10 % slower within the noise":  {sample(noisy, rate), sample(scaled(noisy, 1.1), rate), ""},
		"too few rounds to say":         {sample(cpu[:3], rate[:3]), sample(scaled(cpu[:3], 1.1), rate[:3]), ""},
		"a case that the other has not": {sample(cpu, rate), &Report{}, ""},
	} {
		changes, all := Compare(test.before, test.after)
		var table bytes.Buffer
		WriteChanges(&table, changes, all)
		var verdicts []string
		for line := range strings.Lines(table.String()) {
			if fields := strings.Fields(line); len(fields) > 0 && (fields[len(fields)-1] == "WORSE" || fields[len(fields)-1] == "better") {
				verdicts = append(verdicts, fields[len(fields)-1])
			}
		}
		if got := strings.Join(verdicts, " "); got != test.want {
			t.Errorf("%s: %q, not %q\n%s", name, got, test.want, table.String())
		}
	}
}

func TestTheSignTestIsThatOfTheBinomialDistribution(t *testing.T) {
	for _, c := range []struct {
		k, n int
		want float64
	}{{5, 10, 1}, {10, 10, 2. / 1024}, {0, 10, 2. / 1024}, {9, 10, 22. / 1024}, {1, 1, 1}} {
		if got := sign(c.k, c.n); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%d of %d: %v, not %v", c.k, c.n, got, c.want)
		}
	}
}

func TestWhatTheMachineDidIsNotTheBuilds(t *testing.T) {
	report := func(machine, build float64) *Report {
		r := &Report{Baseline: "limit"}
		for i := range 8 {
			for _, side := range []string{"x", "limit"} {
				result := Result{Case: Case{Scenario: "page-saturated", Clients: i + 1, Size: 64, Transport: "sse", Side: side}}
				for round := range 3 {
					cpu := float64(5+round) * machine
					if side == "x" {
						cpu *= build
					}
					result.Rounds = append(result.Rounds, Round{"cpu": cpu})
				}
				r.Results = append(r.Results, result)
			}
		}
		return r
	}
	for want, after := range map[string]*Report{
		"+0.0%; more in 0 of 8":  report(1.5, 1),
		"+10.0%; more in 8 of 8": report(1.5, 1.1),
	} {
		var text bytes.Buffer
		WriteOverall(&text, "cpu", report(1, 1), after)
		if !strings.Contains(text.String(), want) {
			t.Errorf("%s, not %s", text.String(), want)
		}
	}
}

func TestTheVerdictFollowsFromTheFigures(t *testing.T) {
	report := &Report{Baseline: "x"}
	add := func(scenario, transport string, values ...Round) {
		report.Results = append(report.Results, Result{Case: Case{Scenario: scenario, Clients: 64, Size: 64, Transport: transport, Side: "x"}, Rounds: values})
	}
	add("page-paced", "script", Round{"cpu": 10, "latency p50": 2}, Round{"cpu": 13, "latency p50": 2})
	add("page-paced", "sse", Round{"cpu": 12, "latency p50": 1}, Round{"cpu": 13, "latency p50": 1})
	add("page-paced", "poll", Round{"cpu": 22, "latency p50": 10}, Round{"cpu": 22, "latency p50": 10})
	add("page-saturated", "script", Round{"cpu": 5})
	add("page-saturated", "poll", Round{"cpu": 1, "lost": 1}) // which does not count
	add("page-saturated", "sse", Round{"cpu": 4})
	want := "For a page that ends, updates that come one by one cost the server least over script and sse, 11.5 µs of processor time each with all around them (sse 1.09×, poll 1.91×); " +
		"they are soonest over sse, half of them within 1.00 ms (poll: 10.0 ms); many that are ready at once cost least over sse, 4.00 µs each (script 1.25×)."
	if got := report.Verdict(); got != want {
		t.Errorf("the verdict is\n%s, not\n%s", got, want)
	}
	if got := (&Report{}).Verdict(); got != "" {
		t.Errorf("without figures it is %q", got)
	}
}
