package client

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// read returns the events that t reads from body, in pieces of one byte.
func read(t Transport, body string) (events []Event, err error) {
	err = t.Read(iotest.OneByteReader(strings.NewReader(body)), func(e Event) error {
		events = append(events, e)
		return nil
	})
	return events, err
}

func TestAnEventSourceReadsAsTheStandardSays(t *testing.T) {
	for body, want := range map[string][]Event{
		"data: YHOO\ndata: +2\ndata: 10\n\n":                                                     {{0, "emit", "message", "YHOO\n+2\n10"}},
		": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third\n\n": {{1, "emit", "message", "first event"}, {0, "emit", "message", "second event"}, {0, "emit", "message", " third"}},
		"data\n\ndata\ndata\n\ndata:":                                                            {{0, "emit", "message", ""}, {0, "emit", "message", "\n"}},
		"data:test\n\ndata: test\n\n":                                                            {{0, "emit", "message", "test"}, {0, "emit", "message", "test"}},
		"\ufeffdata: a\r\rdata: b\r\n\r\ndata: c\n\r":                                            {{0, "emit", "message", "a"}, {0, "emit", "message", "b"}, {0, "emit", "message", "c"}},
		"id: 7\nevent: append\ndata: log\ndata: <p>\ndata: x\n\n":                                {{7, "append", "log", "<p>\nx"}},
		"id: 7\n\ndata: none of its own\n\n":                                                     {{0, "emit", "message", "none of its own"}},
		"id: 7\ndata: cut\nid: 8\ndata: off\n":                                                   nil,
		"event: tick\ndata: \xff\n\n":                                                            {{0, "emit", "tick", "\ufffd"}},
		"event: title\ndata: \ndata: a title\n\n":                                                {{0, "title", "", "a title"}},
		"event: nothing\n\ndata: x\n\n":                                                          {{0, "emit", "message", "x"}},
		"id: done\nevent: done\ndata: \n\n":                                                      {{0, "done", "", ""}},
	} {
		if got, err := read(&EventSource{}, body); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v, %v; not %v", body, got, err, want)
		}
	}
}

func TestTheLastEventIDIsThatOfAWholeBlock(t *testing.T) {
	s := &EventSource{}
	read(s, "retry: 300\nid: 7\ndata: x\n\nid: 8\ndata: cut")
	if s.LastEventID != "7" || s.Retry != "300" {
		t.Errorf("the last event id is %q, the retry %q", s.LastEventID, s.Retry)
	}
	header := http.Header{}
	s.Ask(header, nil)
	if header.Get("Last-Event-ID") != "7" {
		t.Errorf("it asks with %v", header)
	}
}

const batch = `<script nonce="N">ff("append","log","\u003cp\u003e\"\\\u2028",7);ff("emit","news","");ff()` + "\n</script>"

func TestAScriptRunsWhenItIsWhole(t *testing.T) {
	want := []Event{{7, "append", "log", "<p>\"\\\u2028"}, {0, "emit", "news", ""}}
	shell := "<!doctype html><script>ff=1</script><p>a</p>"
	for end := range len(batch) {
		s := &Script{}
		if got, err := read(s, shell+batch+batch[:end]); err != nil || !slices.Equal(got, want) || !strings.HasPrefix(s.Text.String(), shell) {
			t.Fatalf("cut after %d bytes: %v, %v, shell %q", end, got, err, s.Text.String())
		}
	}
	for _, wrong := range []string{`ff("a","b","c");`, `ff("a","b");ff()` + "\n", `ff("a","b","c",x);ff()` + "\n", `ff('a',"b","c");ff()` + "\n", `ff();alert(1)`} {
		if got, err := read(&Script{}, "<script>"+wrong+"</script>"); err == nil {
			t.Errorf("%s is read as %v", wrong, got)
		}
	}
}

func TestAFrameTakesFFFromItsPage(t *testing.T) {
	if _, err := read(Frame{}, "<!doctype html>"+batch); !errors.Is(err, errNoHead) {
		t.Errorf("a frame without its head: %v", err)
	}
	got, err := read(Frame{}, "<!doctype html><script>var ff=parent.ff.frame(window)</script>"+batch)
	if err != nil || len(got) != 2 {
		t.Errorf("a frame: %v, %v", got, err)
	}
}

func TestAPollIsWholeOrNothing(t *testing.T) {
	got, err := read(Poll{}, ` [{"id":7,"action":"append","target":"log","html":"\u003cp>"},{"id":8,"event":"news","data":""},{"data":"x"},{"action":"done"}]`)
	want := []Event{{7, "append", "log", "<p>"}, {8, "emit", "news", ""}, {0, "emit", "message", "x"}, {0, "done", "", ""}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := read(Poll{}, `[{"id":7,"action":"title"},`); err == nil || got != nil {
		t.Errorf("half an answer: %v, %v", got, err)
	}
}

func TestADocumentChangesAsInABrowser(t *testing.T) {
	d := NewDocument("<title>t</title><div id=log><p id=a>A</p><p id=b>B</p><table><tbody id=rows></table></div>")
	for _, u := range []struct{ action, target, html string }{
		{"append", "log", "<i>end</i>"},
		{"prepend", "log", "start &lt;"},
		{"before", "b", "<i>before</i>"},
		{"after", "a", "\r\nafter"},
		{"replace", "b", `<p id="b" class=new>new</p>`},
		{"inner", "a", "x\x00y<i title=\"a\x00b\"></i>"},
		{"append", "rows", "<tr><td>1"},
		{"attr", "b", "title\nline 1\n\"2\""},
		{"attr", "b", "TITLE\nagain\ufdd0"},
		{"title", "", "a </title>"},
	} {
		if err := d.Apply(u.action, u.target, u.html); err != nil {
			t.Errorf("%v: %v", u, err)
		}
	}
	want := "<div id=\"log\">start &lt;<p id=\"a\">x\x00y<i title=\"a\ufffdb\"></i></p>\nafter<i>before</i><p id=\"b\" class=\"new\" title=\"again\ufffd\">new</p><table><tbody id=\"rows\"><tr><td>1</td></tr></tbody></table><i>end</i></div>"
	if got := d.HTML("log"); got != want || d.Title() != "a </title>" || d.Text("b") != "new" {
		t.Errorf("the document is %q, its title %q, b %q", got, d.Title(), d.Text("b"))
	}
	d.Apply("remove", "log", "")
	if d.HTML("log") != "" || d.Apply("append", "log", "") == nil || d.Apply("explode", "b", "") == nil {
		t.Error("what is gone is found, or what there is not is done")
	}
}

func TestAPageTakesEachEventOnce(t *testing.T) {
	p := &Page{Document: NewDocument("<p id=x></p>"), Last: 5}
	for _, e := range []Event{{5, "append", "x", "5"}, {6, "append", "x", "6"}, {6, "append", "x", "6"}, {0, "append", "x", "0"}, {7, "emit", "news", "a"}, {8, "remove", "none", ""}} {
		if err := p.Apply(e); err != nil {
			t.Fatal(err)
		}
	}
	if p.Document.Text("x") != "60" || p.Refused != 2 || p.Last != 8 || len(p.Heard) != 1 || len(p.Troubles) != 1 {
		t.Errorf("the page is %+v, its text %q", p, p.Document.Text("x"))
	}
	for action, want := range map[string]error{"done": ErrDone, "fail": ErrFailed, "reload": ErrReload} {
		if err := p.Apply(Event{Action: action}); err != want {
			t.Errorf("%s: %v", action, err)
		}
	}
}

// answering returns a client whose every request gets answer, and the requests.
func answering(answer string) (Client, chan *http.Request) {
	asked := make(chan *http.Request, 1)
	return Client{Dial: func(context.Context) (net.Conn, error) {
		near, far := net.Pipe()
		go func() {
			defer far.Close()
			req, err := http.ReadRequest(bufio.NewReader(far))
			if err == nil {
				asked <- req
				fmt.Fprint(far, answer)
			}
		}()
		return near, nil
	}}, asked
}

func TestAClientAsksForWhatFollowsItsPage(t *testing.T) {
	const answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n18\r\nid: 9\ndata: x\n\nid: 10\nda\r\n"
	for end := range len(answer) + 1 {
		c, asked := answering(answer[:end])
		page := &Page{Document: NewDocument(""), Last: 3}
		if err := c.Follow(t.Context(), page, "/feed?after=7&a=b", &EventSource{}); err != nil {
			t.Fatalf("cut after %d bytes: %v", end, err)
		}
		req := <-asked
		if got := req.URL.String(); got != "/feed?a=b&after=7" || req.Header.Get("Accept") != "text/event-stream" {
			t.Fatalf("it asks %s with %v", got, req.Header)
		}
		if want := uint64(7 + 2*min(len(page.Heard), 1)); page.Last != want {
			t.Fatalf("cut after %d bytes, the cursor is %d with %q", end, page.Last, page.Heard)
		}
	}
	c, _ := answering("HTTP/1.1 204 No Content\r\n\r\n")
	if err := c.Follow(t.Context(), &Page{}, "/feed", Poll{}); err != StatusError(204) {
		t.Errorf("204: %v", err)
	}
}

func TestAClientReadsWhatIsCompressedAsItIsFlushed(t *testing.T) {
	var body strings.Builder
	w := gzip.NewWriter(&body)
	fmt.Fprint(w, "id: 7\ndata: x\n\n")
	w.Flush() // and it is never closed
	c, asked := answering("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + body.String())
	c.Gzip = true
	page := &Page{}
	if err := c.Follow(t.Context(), page, "/", &EventSource{}); err != nil || page.Last != 7 {
		t.Errorf("the page is %+v, %v", page, err)
	}
	if req := <-asked; req.Header.Get("Accept-Encoding") != "gzip" {
		t.Errorf("it asks with %v", req.Header)
	}
}

func TestAClientLoadsAPageWithItsUpdates(t *testing.T) {
	c, _ := answering("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n<body data-ff-feed=' /feed?after=7 '><p id=log></p>" + batch + `<script>ff("done","","");ff()` + "\n</script>")
	page, err := c.Load(t.Context(), "/", nil)
	if err != ErrDone || page.Feed() != "/feed?after=7" || page.Last != 7 || page.Document.HTML("log") == "" {
		t.Errorf("the page is %+v, %v", page, err)
	}
}
