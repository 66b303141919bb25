package client

import (
	"errors"
	"strings"
)

// An Event is one update as it has arrived: what ff is called with.
type Event struct {
	ID     uint64 // zero means none
	Action string
	Target string // for an event of the application, "emit", its name
	HTML   string // for an event of the application its data
}

// Why a page follows no longer.
var (
	// ErrDone means that the feed or the job has ended.
	ErrDone = errors.New("done")
	// ErrFailed means that the source of the updates has failed.
	ErrFailed = errors.New("failed")
	// ErrReload means that the page has to load itself again: events are
	// missing.
	ErrReload = errors.New("reload")

	// errAgain means that the server wants the page to connect again at once.
	errAgain = errors.New("again")
)

// A Page is what a browser shows, and how much of its feed it has seen: the part
// of the runtime that all transports share. It is for one goroutine.
type Page struct {
	// Document is what the page shows.
	Document *Document
	// Shell is the text that Load has made the document of: all in front of
	// the first update.
	Shell string
	// Last is the page's cursor, the id of the last event that it has seen.
	Last uint64
	// Refused counts the events that came though the page had seen them.
	Refused int
	// Heard has the events of the application, each "name: data".
	Heard []string
	// Troubles has the updates that could not be made, and why.
	Troubles []string
	// Saw, if set, is called with each event that is not refused.
	Saw func(Event)
}

// open makes the document of shell, once.
func (p *Page) open(shell string) {
	if p.Document == nil {
		p.Shell, p.Document = shell, NewDocument(shell)
	}
}

// Apply does what the runtime does with e. Its error is the end of the page,
// ErrDone, ErrFailed or ErrReload, or of the connection.
func (p *Page) Apply(e Event) error {
	if e.ID != 0 && e.Action != "reload" {
		if e.ID <= p.Last {
			p.Refused++
			return nil
		}
		p.Last = e.ID
	}
	if p.Saw != nil {
		p.Saw(e)
	}
	switch e.Action {
	case "done":
		return ErrDone
	case "fail":
		return ErrFailed
	case "reload":
		return ErrReload
	case "again":
		return errAgain
	case "beat":
	case "emit":
		p.Heard = append(p.Heard, e.Target+": "+e.HTML)
	default:
		if err := p.Document.Apply(e.Action, e.Target, e.HTML); err != nil {
			p.Troubles = append(p.Troubles, err.Error())
		}
	}
	return nil
}

// Feed returns the URL of the feed that the page names on its body, or "".
func (p *Page) Feed() string {
	body := p.Document.find(func(n *node) bool { return n.Data == "body" })
	if body == nil {
		return ""
	}
	return strings.TrimSpace(attribute(body, "data-ff-feed"))
}
