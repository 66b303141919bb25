package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A view is a View that is a function.
type view func(w io.Writer)

func (v view) WriteHTML(w io.Writer) { v(w) }

func TestTheShellLeavesBeforeTheSourceBegins(t *testing.T) {
	w := new(wire)
	run(Response{Shell: markup("<h1>"), Source: func(ctx context.Context, page *Page) error {
		w.want(t, "<h1>")
		return nil
	}}, w)
	w.want(t, "([done ])")
}

func TestATransportsStartLeavesFirst(t *testing.T) {
	w := new(wire)
	run(Response{Transport: SSE{Retry: time.Second}, Source: func(ctx context.Context, page *Page) error {
		w.want(t, "retry: 1000\n")
		return page.Send(Emit("", "1"))
	}}, w)
	w.want(t, "data: 1\n\n", "id: done\nevent: done\ndata: \n\n")
}

func TestAResponseNeedsNeitherShellNorSource(t *testing.T) {
	w := new(wire)
	page := run(Response{}, w)
	w.want(t, "([done ])")
	if want := (Stats{Updates: 1, Flushes: 1, Bytes: len("([done ])")}); page.Stats() != want {
		t.Errorf("%+v, want %+v", page.Stats(), want)
	}
}

func TestUpdatesOfOneCallLeaveTogether(t *testing.T) {
	w := new(wire)
	run(Response{Source: func(ctx context.Context, page *Page) error {
		page.SendEvents(Event{Update: Remove("a")}, Event{Update: Remove("b")})
		page.SendEvents()
		w.want(t, "([remove a][remove b])")
		return nil
	}}, w)
}

func TestARefusedUpdateSendsNothingAndEndsNothing(t *testing.T) {
	w := new(wire)
	run(Response{Source: func(ctx context.Context, page *Page) error {
		err := page.SendEvents(Event{Update: Remove("a")}, Event{Update: Remove("")})
		if !errors.Is(err, ErrUpdate) {
			t.Errorf("%v, want an ErrUpdate", err)
		}
		w.want(t)
		if ctx.Err() != nil {
			t.Error("the page has ended")
		}
		return page.Send(Remove("b"))
	}}, w)
	w.want(t, "([remove b])", "([done ])")
}

func TestAPageKnowsWhatItHasSent(t *testing.T) {
	w := new(wire)
	var between Stats
	page := run(Response{Shell: markup("<h1>"), Source: func(ctx context.Context, page *Page) error {
		page.Send(Remove("a"))
		page.SendEvents(Event{Update: Remove("b")}, Event{Update: Remove("c")})
		between = page.Stats()
		return nil
	}}, w)
	sent := strings.Join(w.take(), "")
	if want := (Stats{Updates: 3, Flushes: 3, Bytes: len(sent) - len("([done ])")}); between != want {
		t.Errorf("%+v, want %+v", between, want)
	}
	if want := (Stats{Updates: 4, Flushes: 4, Bytes: len(sent)}); page.Stats() != want {
		t.Errorf("%+v at the end, want %+v", page.Stats(), want)
	}
}

func TestConcurrentUpdatesAreEachSentOnceAndWhole(t *testing.T) {
	const senders, each = 32, 100
	w := new(wire)
	page := run(Response{Transport: Script{}, Source: func(ctx context.Context, page *Page) error {
		var sending sync.WaitGroup
		for s := range senders {
			sending.Go(func() {
				for n := range each {
					if err := page.Send(Append(fmt.Sprint("t", s), Text(fmt.Sprint("<", n, ">")))); err != nil {
						t.Error(err)
					}
				}
			})
		}
		sending.Wait()
		return nil
	}}, w)
	writes := w.take()
	events, rest := updates(t, strings.Join(writes, ""))
	if rest != "" {
		t.Errorf("beside the updates stands %q", rest)
	}
	next := make(map[string]int)
	for _, e := range events[:len(events)-1] {
		if want := string(AppendHTML(nil, fmt.Sprint("<", next[e.Target], ">"))); e.HTML != want {
			t.Fatalf("%s gets %q, want %q", e.Target, e.HTML, want)
		}
		next[e.Target]++
	}
	for s := range senders {
		if n := next[fmt.Sprint("t", s)]; n != each {
			t.Errorf("sender %d has sent %d updates, want %d", s, n, each)
		}
	}
	if stats := page.Stats(); stats.Updates != senders*each+1 || stats.Flushes != len(writes) {
		t.Errorf("%+v, want %d updates in %d flushes", stats, senders*each+1, len(writes))
	}
}

func TestUpdatesSentDuringARenderingFollowIt(t *testing.T) {
	w := new(wire)
	run(Response{Source: func(ctx context.Context, page *Page) error {
		err := page.Render(view(func(to io.Writer) {
			io.WriteString(to, "<p>")
			page.Send(Remove("a"))
			page.Send(Remove("b"))
			io.WriteString(to, "</p>")
		}))
		w.want(t, "<p></p>", "([remove a][remove b])")
		return err
	}}, w)
}

func TestTextAndUpdatesKeepTheirOrder(t *testing.T) {
	w := new(wire)
	run(Response{Flush: Flush{Every: 10}, Source: func(ctx context.Context, page *Page) error {
		page.Send(Remove("a"))
		page.Render(markup("<p>"))
		page.Send(Remove("b"))
		return page.Send(Remove("c"))
	}}, w)
	w.want(t, "([remove a])<p>", "([remove b][remove c][done ])")
}

func TestRenderReturnsWhenTheTextHasLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := held()
		rendered := false
		go func() {
			run(Response{Heartbeat: -1, WriteTimeout: time.Hour, Source: func(ctx context.Context, page *Page) error {
				err := page.Render(view(func(to io.Writer) {
					io.WriteString(to, "one")
					time.Sleep(time.Second) // its text leaves by itself meanwhile
					io.WriteString(to, "two")
				}))
				rendered = true
				return err
			}}, w)
		}()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if rendered {
			t.Error("Render has returned before anything has left")
		}
		w.pass <- struct{}{}
		synctest.Wait()
		w.want(t, "one")
		if rendered {
			t.Error("Render has returned before all of the text has left")
		}
		close(w.pass)
		synctest.Wait()
		if got := strings.Join(w.take(), ""); got != "two([done ])" {
			t.Errorf("then %q leaves", got)
		}
	})
}

func rowsOf(ctx context.Context, page *Page, rows iter.Seq[int]) View {
	return view(func(w io.Writer) {
		for row := range Rows(ctx, page, rows) {
			fmt.Fprint(w, row, ";")
		}
	})
}

func upTo(n int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}
}

func TestRowsLeaveAsThePolicySays(t *testing.T) {
	for _, test := range []struct {
		every int
		want  []string
	}{
		{0, []string{"0;", "1;", "2;", "3;", "4;", "5;", "6;", "([done ])"}},
		{1, []string{"0;", "1;", "2;", "3;", "4;", "5;", "6;", "([done ])"}},
		{5, []string{"0;1;2;3;4;", "5;6;", "([done ])"}},
		{7, []string{"0;1;2;3;4;5;6;", "([done ])"}},
		{100, []string{"0;1;2;3;4;5;6;", "([done ])"}},
	} {
		w := new(wire)
		run(Response{Flush: Flush{Every: test.every}, Source: func(ctx context.Context, page *Page) error {
			return page.Render(rowsOf(ctx, page, upTo(7)))
		}}, w)
		w.want(t, test.want...)
	}
}

func TestRowsEndWithThePage(t *testing.T) {
	turns := 0
	run(Response{Source: func(ctx context.Context, page *Page) error {
		return page.Render(view(func(w io.Writer) {
			for range Rows(ctx, page, upTo(100)) {
				turns++
				io.WriteString(w, "row")
			}
		}))
	}}, gone{})
	if turns != 1 {
		t.Errorf("%d turns after the browser has gone, want 1", turns)
	}
}

// What is large leaves in pieces; a rendering that begins between two of them
// must not have the next in its middle.
func TestALargeBatchDoesNotComeInTheMiddleOfARendering(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := held()
		page := open(Response{Flush: Flush{Bytes: 10}, Heartbeat: -1, WriteTimeout: time.Hour}, w)
		go page.SendEvents(Event{Update: Remove("aaaaaaaa")}, Event{Update: Remove("bbbbbbbb")})
		synctest.Wait()
		go page.Render(view(func(to io.Writer) {
			io.WriteString(to, "<p ")
			time.Sleep(time.Minute)
			io.WriteString(to, "id=p>")
		}))
		synctest.Wait()
		close(w.pass)
		time.Sleep(time.Hour)
		page.end(nil)
		if got := strings.Join(w.take(), ""); !strings.Contains(got, "<p id=p>") || strings.Count(got, "bbbbbbbb") != 1 {
			t.Errorf("the page gets %q", got)
		}
	})
}
