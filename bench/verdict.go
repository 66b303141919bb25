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
	for _, s := range []string{
		r.verdict("For a page that ends", "page-paced", "page-saturated"),
		r.verdict("For a feed without an end", "broadcast-paced", "broadcast-saturated"),
	} {
		if s != "" {
			sentences = append(sentences, s)
		}
	}
	return strings.Join(sentences, " ")
}

// verdict compares the techniques of the first side where updates come one by
// one, and where all are ready.
func (r *Report) verdict(lead, paced, saturated string) string {
	var parts []string
	one := r.most(paced).ranks(r.side(), "cpu")
	if len(one) > 1 {
		parts = append(parts, fmt.Sprintf("updates that come one by one cost the server least over %s, %s µs of processor time each with all around them (%s)",
			one.best(), digits(one[0].median), one.others()))
	}
	soon := r.most(paced).ranks(r.side(), "latency p50")
	if len(soon) > 1 {
		last := soon[len(soon)-1]
		parts = append(parts, fmt.Sprintf("they are soonest over %s, half of them within %s ms (%s: %s ms)", soon.best(), digits(soon[0].median), last.technique, digits(last.median)))
	}
	all := r.most(saturated).ranks(r.side(), "cpu")
	if len(all) > 1 {
		parts = append(parts, fmt.Sprintf("many that are ready at once cost least over %s, %s µs each (%s)", all.best(), digits(all[0].median), all.others()))
	}
	if len(parts) == 0 {
		return ""
	}
	return lead + ", " + strings.Join(parts, "; ") + "."
}

// side is the one that the verdict is about.
func (r *Report) side() string {
	if len(r.Results) == 0 {
		return ""
	}
	return r.Results[0].Side
}

// most returns the group of a scenario with the most clients.
func (r *Report) most(scenario string) (most group) {
	for _, g := range r.groups() {
		if g.Name == scenario && g.clients >= most.clients {
			most = g
		}
	}
	return most
}

// A rank is one technique's figure, and ranks are those of a side, the least
// first.
type (
	rank struct {
		technique      string
		median, spread float64
	}
	ranks []rank
)

func (g group) ranks(side, figure string) (all ranks) {
	for _, result := range g.results {
		median, ok := result.Median(figure)
		if ok && result.Side == side && !result.broken() {
			all = append(all, rank{result.technique(), median, result.Spread(figure) * median})
		}
	}
	slices.SortFunc(all, func(a, b rank) int { return cmp.Compare(a.median, b.median) })
	return all
}

// best names the first, and those that are not beyond the spread of both nor
// twice as much.
func (all ranks) best() string {
	names := []string{all[0].technique}
	for _, other := range all[1:] {
		if other.median-all[0].median <= other.spread+all[0].spread && other.median < 2*all[0].median {
			names = append(names, other.technique)
		}
	}
	if n := len(names) - 1; n > 0 {
		return strings.Join(names[:n], ", ") + " and " + names[n]
	}
	return names[0]
}

// others says how many times the first the others are.
func (all ranks) others() string {
	var names []string
	for _, other := range all[1:] {
		names = append(names, fmt.Sprintf("%s %s×", other.technique, digits(other.median/all[0].median)))
	}
	return strings.Join(names, ", ")
}
