package browsertest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// serve serves pages until the test has ended: "/" is one whose end never comes.
// WebKitGTK shows such a page when there are 512 bytes of it, and paints it when
// it has some 200 characters.
func serve(t *testing.T) string {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "script-src 'nonce-N'")
		fmt.Fprint(w, `<!doctype html><html lang="en"><head><title>endless</title><script nonce="N">var seen = window.planted</script></head><body><p id="p">text</p><iframe src="/frame"></iframe><p>`, strings.Repeat("enough to be painted ", 50))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	mux.HandleFunc("/frame", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, `<!doctype html><title>frame</title>`)
	})
	mux.HandleFunc("/wrong", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "script-src 'nonce-N'")
		fmt.Fprint(w, `<!doctype html><title>wrong</title><script nonce="N">console.error("on purpose"); setTimeout(function () { missing() })</script><script>var run = 1</script><p id="p">`)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	return server.URL
}

func inEachBrowser(t *testing.T, test func(t *testing.T, browser *Browser)) {
	for _, name := range Names {
		t.Run(name, func(t *testing.T) { test(t, Start(t, name)) })
	}
}

func TestAPageWithoutAnEndIsSeenAsItComes(t *testing.T) {
	address := serve(t)
	inEachBrowser(t, func(t *testing.T, browser *Browser) {
		tab := browser.Open(t, "window.planted = 'planted';")
		tab.Visit(address)
		tab.Until("document.getElementById('p') && seen == 'planted'")
		tab.Until("frames[0].document.title == 'frame'")
		if got := tab.Value("document.title + document.readyState + document.documentElement.lang + document.scripts.length"); got != "endlessloadingen1" {
			t.Errorf("the page is %q", got)
		}
		if got := tab.Value("'\\0\\u2028😀'"); got != "\x00\u2028😀" {
			t.Errorf("text arrives as %q", got)
		}
		tab.Quiet()
	})
}

func TestABrowserTellsWhatAPageComplainsOf(t *testing.T) {
	address := serve(t)
	inEachBrowser(t, func(t *testing.T, browser *Browser) {
		tab := browser.Open(t, "")
		tab.Visit(address + "/wrong")
		tab.Until("document.getElementById('p')")
		for _, want := range []string{"on purpose", "missing", "script-src"} {
			err := await(want, func() bool {
				return slices.ContainsFunc(tab.Complaints(), func(c string) bool { return strings.Contains(c, want) })
			})
			if err != nil {
				t.Errorf("%q is not among %q", want, tab.Complaints())
			}
		}
	})
}

func TestTabsAreApartUnlessTheyAreOpenedBesideAnother(t *testing.T) {
	address := serve(t)
	inEachBrowser(t, func(t *testing.T, browser *Browser) {
		first := browser.Open(t, "window.planted = 'planted';")
		first.Visit(address)
		first.Value("localStorage.setItem('key', 'value')")
		apart := browser.Open(t, "")
		apart.Visit(address)
		if got := apart.Value("localStorage.getItem('key') + typeof planted"); got != "nullundefined" {
			t.Errorf("a tab apart has %q", got)
		}
		beside := first.Beside()
		beside.Visit(address)
		if got := beside.Value("localStorage.getItem('key') + planted"); got != "valueplanted" {
			t.Errorf("a tab beside has %q", got)
		}
		first.Close()
		if got := beside.Value("document.title"); got != "endless" {
			t.Errorf("the tab that is left is %q", got)
		}
	})
}

func TestABrowserHasMemoryAndPictures(t *testing.T) {
	address := serve(t)
	inEachBrowser(t, func(t *testing.T, browser *Browser) {
		tab := browser.Open(t, "")
		tab.Visit(address)
		if memory, err := browser.Memory(); err != nil || memory < 50<<20 {
			t.Errorf("%d bytes, %v", memory, err)
		}
		picture, err := tab.page.picture()
		if err != nil || !strings.HasPrefix(string(picture), "\x89PNG") {
			t.Errorf("%v: %.20q", err, picture)
		}
	})
}
