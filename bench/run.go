package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"foreverframe/bench/meter"
)

// A Run is what is to be measured. Set the fields and call Measure.
type Run struct {
	// Entrants are the servers. Their order is that of the tables.
	Entrants []Entrant
	// Baseline is the name of the entrant that ratios are to.
	Baseline string
	// Scenarios are the names of those to run. None means all, or those of a
	// quick run.
	Scenarios []string
	// Clients, Sizes and Transports take the place of what the scenarios say.
	// None means what they say.
	Clients    []int
	Sizes      []int
	Transports []string
	// Duration is how long a round of a case is measured. Zero means two
	// seconds, or in a quick run what lets it end in time.
	Duration time.Duration
	// Rounds is how often each case is run. Zero means five, or three.
	Rounds int
	// Browser runs the scenario in a browser, which is left out without it.
	Browser bool
	// Quick makes a run that ends within half a minute. On a machine that is
	// busy, some cases have a round less then.
	Quick bool
	// Before is called before each round of a case, and After when it is over
	// and before the first, with how many have been and how many there are.
	Before func(c Case, done, of int)
	After  func(r *Report, done, of int)
}

const (
	quickTime = 18 * time.Second       // for all rounds of all cases of a quick run
	quickEnd  = 25 * time.Second       // when what is left of them is left out
	overhead  = 110 * time.Millisecond // of a round beside its duration
)

// Measure runs all cases and returns what it has found by then when ctx is done.
// The error is about what cannot be run at all.
func (r Run) Measure(ctx context.Context) (*Report, error) {
	takeClientProcessors()
	report := &Report{Machine: thisMachine(), Started: time.Now(), Baseline: r.Baseline}
	cases, err := r.cases(ctx)
	if err != nil {
		return nil, err
	}
	r.pace(len(cases))
	report.Rounds, report.Duration = r.Rounds, r.Duration
	for _, c := range cases {
		report.Results = append(report.Results, Result{Case: c})
	}
	done, of := 0, len(cases)*r.Rounds
	if r.After != nil {
		r.After(report, 0, of)
	}
	for range r.Rounds {
		for i, c := range cases {
			if r.Quick && time.Since(report.Started) > quickEnd {
				return report, nil
			}
			if r.Before != nil {
				r.Before(c, done, of)
			}
			t, failure := r.try(ctx, c)
			if ctx.Err() != nil {
				return report, nil
			}
			result := &report.Results[i]
			result.Rounds = append(result.Rounds, t.round)
			result.add(t.latency)
			if failure != nil && result.Failure == "" {
				result.Failure = failure.Error()
			}
			done++
			if r.After != nil {
				r.After(report, done, of)
			}
		}
	}
	return report, nil
}

// pace chooses the duration and the number of rounds that are not given.
func (r *Run) pace(cases int) {
	if r.Rounds == 0 {
		r.Rounds = 5
		if r.Quick {
			r.Rounds = 3
		}
	}
	if r.Duration == 0 {
		r.Duration = 2 * time.Second
		if r.Quick {
			r.Duration = max(100*time.Millisecond, (quickTime/time.Duration(max(cases, 1)*r.Rounds)-overhead)*3/4)
		}
	}
}

// try runs a case once.
func (r Run) try(ctx context.Context, c Case) (*trial, error) {
	s := scenario(c.Scenario)
	t := &trial{Case: c, kind: s.Of, duration: r.Duration, round: Round{"lost": 0, "doubled": 0, "reordered": 0, "failed": 0}}
	i := slices.IndexFunc(r.Entrants, func(e Entrant) bool { return e.Name == c.Side })
	var err error
	if t.running, err = r.Entrants[i].run(ctx); err != nil {
		t.round["failed"]++
		return t, err
	}
	defer t.stop()
	if err = s.run(t, ctx); err != nil {
		t.round["failed"]++
	} else {
		err = t.failure
	}
	return t, err
}

// cases returns all cases, those that are compared next to each other.
func (r Run) cases(ctx context.Context) (cases []Case, err error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	gzip, err := r.gzips(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range Scenarios {
		if !r.wants(s) {
			continue
		}
		for _, clients := range r.clients(s) {
			for _, size := range r.sizes(s) {
				for _, e := range r.Entrants {
					for _, c := range r.techniques(s, e) {
						c.Clients, c.Size = clients, size
						cases = append(cases, c)
						if c.Gzip = true; gzip[probe{e.Name, s.Of, c.Transport}] {
							cases = append(cases, c)
						}
					}
				}
			}
		}
	}
	if len(cases) == 0 {
		return nil, errors.New("there is nothing to run: no server that was chosen can take part in a scenario that was chosen")
	}
	return cases, nil
}

// check returns an error if a name is unknown.
func (r Run) check() error {
	for _, name := range r.Scenarios {
		if scenario(name).Name == "" {
			return fmt.Errorf("there is no scenario %q: it must be one of %s", name, ScenarioNames())
		}
	}
	for _, name := range r.Transports {
		if meter.TransportOf(name).Name == "" {
			return fmt.Errorf("there is no transport %q: it must be script, sse, frame, poll or plain", name)
		}
	}
	return nil
}

// ScenarioNames returns the names of all scenarios, with commas between them.
func ScenarioNames() string {
	var names []string
	for _, s := range Scenarios {
		names = append(names, s.Name)
	}
	return strings.Join(names, ", ")
}

func (r Run) wants(s Scenario) bool {
	if s.Of == Shown {
		return r.Browser
	}
	if len(r.Scenarios) > 0 {
		return slices.Contains(r.Scenarios, s.Name)
	}
	return !r.Quick || len(s.Quick) > 0
}

func (r Run) clients(s Scenario) []int {
	switch {
	case len(r.Clients) > 0:
		return r.Clients
	case r.Quick && len(s.Quick) > 0:
		return s.Quick
	}
	return s.Clients
}

func (r Run) sizes(s Scenario) []int {
	switch {
	case s.Size > 0:
		return []int{s.Size}
	case len(r.Sizes) > 0:
		return r.Sizes
	}
	return []int{64}
}

// techniques returns the cases of e in s, without clients and size.
func (r Run) techniques(s Scenario, e Entrant) (cases []Case) {
	paths := s.Of.paths(e)
	if s.Needs != nil && !s.Needs(e) || s.Needs == nil && e.Name == "gush" {
		return nil
	}
	for _, name := range transports(paths) {
		switch {
		case len(r.Transports) > 0 && !slices.Contains(r.Transports, name):
		case len(s.Only) > 0 && !slices.Contains(s.Only, name):
		case r.Quick && e.Name != r.Entrants[0].Name && name != "sse" && paths["sse"] != "": // enough to compare with
		default:
			cases = append(cases, Case{Scenario: s.Name, Transport: name, Side: e.Name})
		}
	}
	return cases
}

// A probe is a question: whether a side compresses what it is asked for.
type probe struct {
	side      string
	kind      Kind
	transport string
}

// gzips asks every entrant what it compresses.
func (r Run) gzips(ctx context.Context) (map[probe]bool, error) {
	var mu sync.Mutex // guards found
	found := make(map[probe]bool)
	for _, e := range r.Entrants {
		running, err := e.run(ctx)
		if err != nil {
			return nil, err
		}
		var asking sync.WaitGroup
		for _, kind := range []Kind{Pages, Feeds, Streams} {
			paths := kind.paths(e)
			for _, name := range transports(paths) {
				if name == "poll" && kind == Feeds { // whose answer comes with an update
					continue
				}
				asking.Go(func() {
					if running.gzips(ctx, paths[name], name) {
						mu.Lock()
						defer mu.Unlock()
						found[probe{e.Name, kind, name}] = true
					}
				})
			}
		}
		asking.Wait()
		running.stop()
	}
	return found, nil
}

// gzips reports whether the answer to a request for path is compressed.
func (r *running) gzips(ctx context.Context, path, transport string) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	path = strings.NewReplacer("{topic}", "probe", "{n}", "100", "{size}", "64", "{delay}", "0s", "{after}", "0", "{began}", "").Replace(path)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(r.base.String(), "/")+path, nil)
	if err != nil {
		return false
	}
	req.Header.Set("Accept", meter.TransportOf(transport).Accept)
	req.Header.Set("Accept-Encoding", "gzip")
	answer, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	return answer.Header.Get("Content-Encoding") == "gzip"
}
