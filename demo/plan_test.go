package demo

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"foreverframe/bench/client"
	"foreverframe/stream"
)

// expected returns what a page looks like that starts as shell and applies
// updates, without a wire between.
func expected(shell string, updates []stream.Update) string {
	page := &client.Page{Document: client.NewDocument(shell)}
	for _, u := range updates {
		switch u.Action {
		case stream.ActionTitle, stream.ActionEmit:
			u.HTML = strings.ReplaceAll(lineFeeds.Replace(u.HTML), "\x00", "\ufffd")
		case stream.ActionAttr:
			u.HTML = lineFeeds.Replace(u.HTML)
		}
		page.Apply(client.Event{Action: u.Action, Target: u.Target, HTML: u.HTML})
	}
	return look(page)
}

// lineFeeds makes of what is no HTML what every reader gets: a line feed for each
// line end.
var lineFeeds = strings.NewReplacer("\r\n", "\n", "\r", "\n")

const cutShell = "<!doctype html><title>t</title><div id=log></div>"

// A plan is updates of a page that starts as cutShell, and what it becomes.
type plan struct {
	updates []stream.Update
	want    string
}

// randomPlans returns plans that many courses can share.
func randomPlans(seed uint64) []plan {
	plans := make([]plan, 50)
	for i := range plans {
		updates := randomUpdates(random(seed, -i), 20)
		plans[i] = plan{updates, expected(cutShell, updates)}
	}
	return plans
}

// randomUpdates returns updates of a page that starts as cutShell. Each depends
// on those before it, so that none can be missed or come twice unseen.
func randomUpdates(rng *rand.Rand, n int) []stream.Update {
	page := client.NewDocument(cutShell)
	ids := []string{"log"}
	updates := make([]stream.Update, n)
	for i := range updates {
		u := randomUpdate(rng, ids[rng.IntN(len(ids))], i)
		updates[i] = u
		page.Apply(u.Action, u.Target, u.HTML)
		ids = append(ids, fmt.Sprint("e", i))
		ids = slices.DeleteFunc(ids, func(id string) bool { return page.HTML(id) == "" })
	}
	return updates
}

// randomUpdate returns an update of target, often with a new element e0, e1….
func randomUpdate(rng *rand.Rand, target string, i int) stream.Update {
	text := []rune(hostile)
	text = text[rng.IntN(len(text)):]
	line := fmt.Sprintf("%d %s\n", i, string(text[:rng.IntN(len(text))]))
	element := view(fmt.Sprintf("<p id=e%d title='\r\n%d'>", i, i) + string(stream.AppendHTML(nil, line)) + "</p>\n")
	changes := []func() stream.Update{
		func() stream.Update { return stream.Append(target, element) },
		func() stream.Update { return stream.Prepend(target, element) },
		func() stream.Update { return stream.Inner(target, element) },
		func() stream.Update { return stream.Attr(target, "class", line) },
		func() stream.Update { return stream.Title(line) },
		func() stream.Update { return stream.Emit([]string{"news", "message"}[rng.IntN(2)], line) },
		func() stream.Update { return stream.Remove(fmt.Sprint("none", i)) }, // trouble
	}
	if target != "log" {
		changes = append(changes,
			func() stream.Update { return stream.Before(target, element) },
			func() stream.Update { return stream.After(target, element) },
			func() stream.Update { return stream.Replace(target, element) },
			func() stream.Update { return stream.Remove(target) })
	}
	return changes[rng.IntN(len(changes))]()
}
