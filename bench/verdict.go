package bench

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Verdict says in two sentences which technique is better for what, by the
// figures of the first side. It is empty where they are not enough.
func (r *Report) Verdict() string {
	var sentences []string
	if s := r.verdict(Pages, "For a page that ends"); s != "" {
		sentences = append(sentences, s)
	}
	if s := r.verdict(Feeds, "For a feed without an end"); s != "" {
		sentences = append(sentences, s)
	}
	return strings.Join(sentences, " ")
}

// verdict compares the transports of the first side in the saturated scenario
// with the most clients.
func (r *Report) verdict(kind Kind, lead string) string {
	g := r.most(kind)
	type cost struct {
		technique     string
		cpu, requests float64
	}
	var costs []cost
	for _, result := range g.results {
		cpu, ok := result.Median("cpu")
		requests, _ := result.Median("requests")
		if ok && result.Side == r.Results[0].Side && !result.broken() {
			costs = append(costs, cost{result.technique(), cpu, requests})
		}
	}
	if len(costs) < 2 {
		return ""
	}
	slices.SortFunc(costs, func(a, b cost) int { return cmp.Compare(a.cpu, b.cpu) })
	best := costs[0]
	var others []string
	for _, c := range costs[1:] {
		others = append(others, fmt.Sprintf("%s %s×", c.technique, digits(c.cpu/best.cpu)))
	}
	s := fmt.Sprintf("%s, %s costs the server least, %s µs of processor time an update with %s clients (%s)", lead, best.technique, digits(best.cpu), thousands(g.clients), strings.Join(others, ", "))
	if kind == Feeds {
		return s + r.slowest(g.clients) + "."
	}
	return s + r.firstUpdate(g) + "."
}

// most returns the saturated group with the most clients.
func (r *Report) most(kind Kind) (most group) {
	for _, g := range r.groups() {
		if g.Of == kind && slices.Contains([]string{"page-saturated", "broadcast-saturated"}, g.Name) && g.clients >= most.clients {
			most = g
		}
	}
	return most
}

// firstUpdate says which transport brings the first update of a page earliest.
func (r *Report) firstUpdate(g group) string {
	name, least := r.least(g, "first update")
	if name == "" {
		return ""
	}
	return fmt.Sprintf("; %s has its first update earliest, after %s ms in that crowd", name, digits(least))
}

// slowest says which transport brings updates soonest when they are paced.
func (r *Report) slowest(clients int) string {
	for _, g := range r.groups() {
		if g.Name == "broadcast-paced" && g.clients == clients {
			if name, least := r.least(g, "latency p99"); name != "" {
				return fmt.Sprintf("; at an even pace %s is soonest, 99 %% of its updates within %s ms", name, digits(least))
			}
		}
	}
	return ""
}

// least returns which technique of the first side has the least of a figure.
func (r *Report) least(g group, figure string) (technique string, least float64) {
	for _, result := range g.results {
		v, ok := result.Median(figure)
		if ok && result.Side == r.Results[0].Side && !result.broken() && (technique == "" || v < least) {
			technique, least = result.technique(), v
		}
	}
	return technique, least
}
