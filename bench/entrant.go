package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"foreverframe/bench/meter"
	"foreverframe/bench/server"
)

// An Entrant is a server that is measured: how it is started, what it is asked
// for, and how updates are published to it. In the fields {address} stands for
// the host and port to listen on, {url} for the server's URL, and in paths and
// bodies {topic}, {n}, {size}, {delay}, {after} and {text} for what they say;
// {began} is when the page was asked for, in microseconds since 1970.
type Entrant struct {
	// Name is what the reports call it.
	Name string `json:"name"`
	// Start is the command that starts it. Empty means that it runs at URL.
	Start []string `json:"start,omitempty"`
	// URL is where it runs. Empty means the address that Start was given.
	URL string `json:"url,omitempty"`
	// PID is its process, if it runs already. Zero means that what it uses is
	// not measured.
	PID int `json:"pid,omitempty"`
	// Jobs has the path of the finite page for each transport: script, sse,
	// frame, poll or plain. Its update i has the text that server.Text makes.
	Jobs map[string]string `json:"jobs,omitempty"`
	// Feeds has the path of a feed for each transport.
	Feeds map[string]string `json:"feeds,omitempty"`
	// Streams has the path of what it sends of its own accord for each
	// transport. The texts of updates have any numbers that follow each other,
	// or none.
	Streams map[string]string `json:"streams,omitempty"`
	// Shown has the path of a page that shows {topic} in a browser over each
	// transport: every update adds a child to its element "log".
	Shown map[string]string `json:"shown,omitempty"`
	// Publish publishes an update to a feed. It is needed for feeds.
	Publish Publish `json:"publish,omitzero"`
	// Resumes says that a stream which asks with {after} or Last-Event-ID gets
	// what it has missed.
	Resumes bool `json:"resumes,omitempty"`
	// Stalls says that it can be asked for streams that are never read.
	Stalls bool `json:"stalls,omitempty"`
	// Counters is the path of what the process knows of itself, in JSON with
	// the number "goroutines". Empty means that there is none.
	Counters string `json:"counters,omitempty"`
	// Marker stands in front of an update's number. Empty means "ev-".
	Marker string `json:"marker,omitempty"`
}

// A Publish is a request that publishes an update.
type Publish struct {
	Method string            `json:"method,omitempty"` // empty means POST
	Path   string            `json:"path,omitempty"`   // or a whole URL
	Header map[string]string `json:"header,omitempty"`
	Body   string            `json:"body,omitempty"` // empty means {text}
}

// builtIn returns the entrants that the program itself has.
func builtIn(program string, slow float64) []Entrant {
	const job = "/job?n={n}&size={size}&delay={delay}&began={began}&transport="
	const feed = "/feeds/{topic}?after={after}&transport="
	const page = "/page?topic={topic}&over="
	publish := Publish{
		Path:   "/feeds/{topic}",
		Header: map[string]string{"Authorization": "Bearer " + server.Key, "Content-Type": "application/json"},
		Body:   `{"action":"append","target":"log","html":"<p>{text}</p>"}`,
	}
	start := func(side string) []string {
		return []string{program, "bench-server", side, "--listen", "{address}"}
	}
	ours := Entrant{
		Name:     "foreverframe",
		Start:    start("foreverframe"),
		Jobs:     map[string]string{"script": job + "script", "sse": job + "sse", "frame": job + "frame", "poll": job + "poll&after={after}", "plain": job + "plain"},
		Feeds:    map[string]string{"sse": feed + "sse", "frame": feed + "frame", "poll": feed + "poll"},
		Shown:    map[string]string{"script": page + "script", "sse": page + "sse", "frame": page + "frame", "poll": page + "poll"},
		Publish:  publish,
		Resumes:  true,
		Stalls:   true,
		Counters: "/counters",
	}
	if slow > 0 {
		ours.Start = append(ours.Start, "--slow", fmt.Sprint(slow))
	}
	neighbour := Entrant{
		Name:     "nethttp",
		Start:    start("nethttp"),
		Jobs:     map[string]string{"script": job + "script", "sse": job + "sse"},
		Feeds:    map[string]string{"sse": feed + "sse"},
		Publish:  publish,
		Stalls:   true,
		Counters: "/counters",
	}
	limit := neighbour
	limit.Name, limit.Start, limit.Stalls = "limit", start("limit"), false
	gush := Entrant{Name: "gush", Start: start("gush"), Jobs: map[string]string{"sse": limit.Jobs["sse"]}}
	return []Entrant{ours, neighbour, limit, gush}
}

// ReadEntrant reads an entrant from a file of JSON.
func ReadEntrant(name string) (e Entrant, err error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return e, err
	}
	if err := json.Unmarshal(text, &e); err != nil {
		return e, fmt.Errorf("%s: %w", name, err)
	}
	if err := e.check(); err != nil {
		return e, fmt.Errorf("%s: %w", name, err)
	}
	return e, nil
}

// check returns why e cannot be measured.
func (e Entrant) check() error {
	switch {
	case e.Name == "":
		return errors.New(`an entrant needs a "name"`)
	case len(e.Start) == 0 && e.URL == "":
		return errors.New(`an entrant needs "start", the command that starts it, or "url", where it runs`)
	case len(e.Jobs)+len(e.Feeds)+len(e.Streams) == 0:
		return errors.New(`an entrant needs "jobs", "feeds" or "streams", with a path for each transport`)
	case len(e.Feeds) > 0 && e.Publish.Path == "":
		return errors.New(`an entrant with "feeds" needs "publish"`)
	}
	for _, paths := range []map[string]string{e.Jobs, e.Feeds, e.Streams} {
		for name := range paths {
			if meter.TransportOf(name).Name == "" {
				return fmt.Errorf("there is no transport %q: it must be script, sse, frame, poll or plain", name)
			}
		}
	}
	return nil
}

// yardstick reports whether e is there to measure the client by.
func (e Entrant) yardstick() bool { return e.Name == "limit" || e.Name == "gush" }

func (e Entrant) marker() string {
	if e.Marker != "" {
		return e.Marker
	}
	return "ev-"
}

// transports returns the names of those that paths has, in the order of
// meter.Transports.
func transports(paths map[string]string) (names []string) {
	for _, t := range meter.Transports {
		if _, ok := paths[t.Name]; ok {
			names = append(names, t.Name)
		}
	}
	return slices.Clip(names)
}

// asks returns what makes the requests for a path at base.
func asks(base *url.URL, path string, t meter.Transport, gzip bool) func(id string, began time.Time) []byte {
	header := " HTTP/1.1\r\nHost: " + base.Host + "\r\n"
	if t.Accept != "" {
		header += "Accept: " + t.Accept + "\r\n"
	}
	if gzip {
		header += "Accept-Encoding: gzip\r\n"
	}
	return func(id string, began time.Time) []byte {
		after := id
		if after == "" {
			after = "0"
		}
		b := append([]byte("GET "), strings.NewReplacer("{after}", after, "{began}", strconv.FormatInt(began.UnixMicro(), 10)).Replace(path)...)
		b = append(b, header...)
		if id != "" && t.Name == "sse" {
			b = append(b, "Last-Event-ID: "+id+"\r\n"...)
		}
		return append(b, "\r\n"...)
	}
}
