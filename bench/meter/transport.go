package meter

import (
	"bytes"
)

// A Transport is what a meter has to know of the way in which updates travel.
type Transport struct {
	// Name is what reports call it.
	Name string
	// Accept is the media type that a browser asks with. Empty means any.
	Accept string
	// Whole is what follows an update that a browser can run. Empty means the
	// end of the text's number.
	Whole string
	// Answers says that an update is whole when its answer is, and that the
	// next one has to be asked for.
	Answers bool
	// id returns the id of the newest event in a part of a body that has at
	// least one whole update, empty if there is none; nil means that there are
	// never any.
	id func(part []byte) string
}

// Transports are those of Foreverframe, which other servers use as well: "sse"
// is any event stream, "plain" any page.
var Transports = []Transport{
	{Name: "script", Accept: "text/html", Whole: "</script>", id: scriptID},
	{Name: "sse", Accept: "text/event-stream", Whole: "\n\n", id: eventID},
	{Name: "frame", Accept: "text/html", Whole: "</script>", id: scriptID},
	{Name: "poll", Accept: "application/json", Answers: true, id: jsonID},
	{Name: "plain", Accept: "text/html", Whole: "<"},
}

// TransportOf returns the transport of that name, the zero value if there is
// none.
func TransportOf(name string) Transport {
	for _, t := range Transports {
		if t.Name == name {
			return t
		}
	}
	return Transport{}
}

// eventID finds the last id field of an event stream that has a value.
func eventID(part []byte) string {
	for {
		i := bytes.LastIndex(part, []byte("id:"))
		if i < 0 {
			return ""
		}
		if i == 0 || part[i-1] == '\n' {
			value, _, _ := bytes.Cut(part[i+len("id:"):], []byte("\n"))
			if id := bytes.TrimSpace(value); len(id) > 0 {
				return string(id)
			}
		}
		part = part[:i]
	}
}

// scriptID finds the last call that has an id: ff("append","log","…",7);
func scriptID(part []byte) string {
	for {
		end := bytes.LastIndex(part, []byte(");"))
		if end < 0 {
			return ""
		}
		start := end
		for start > 0 && digit(part[start-1]) {
			start--
		}
		if start < end && start > 1 && part[start-1] == ',' && part[start-2] == '"' {
			return string(part[start:end])
		}
		part = part[:end]
	}
}

// jsonID finds the last member "id" that is a number.
func jsonID(part []byte) string {
	const name = `"id":`
	for {
		i := bytes.LastIndex(part, []byte(name))
		if i < 0 {
			return ""
		}
		start := i + len(name)
		end := start
		for end < len(part) && digit(part[end]) {
			end++
		}
		if end > start {
			return string(part[start:end])
		}
		part = part[:i]
	}
}

func digit(c byte) bool { return '0' <= c && c <= '9' }
