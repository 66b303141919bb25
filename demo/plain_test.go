package demo

import (
	"net/http"
	"strings"
	"testing"

	"foreverframe/stream"
)

// plainPages are the paths of all pages of the site, with what each shows.
var plainPages = map[string]string{
	"/":                              "A synthetic job",
	"/demo/hello":                    `<div id="data" class="big">4 o</div>`,
	"/demo/template":                 "<li>49 o</li>",
	"/demo/template?buffer=5":        "<li>49 o</li>",
	"/demo/spinner":                  "An endless spinner",
	"/demo/counter":                  "A counter",
	"/demo/clock":                    `<h2 id="time" class="big"><time>20`,
	"/demo/ping":                     "Pings and messages",
	"/demo/ticks":                    "Nobody has left",
	"/demo/dashboard":                "not available: ",
	"/demo/log":                      "<span>a &lt;line&gt;\n</span>",
	"/demo/echo?text=%3Cb%3E":        `<pre id="out" class="wire">&lt;b&gt;</pre>`,
	"/demo/job?n=20":                 "<p>ev-20-",
	"/demo/job?n=20&follow=1":        "<p>ev-20-",
	"/compare":                       "Runs the job again.",
	"/compare/pane?name=job-script":  "<p>ev-10-",
	"/compare/pane?name=job-sse":     `<div id="log" class="job"></div>`,
	"/compare/pane?name=feed-script": `<div id="log" class="job">`,
	"/compare/pane?name=feed-sse":    `<div id="log" class="job">`,
}

func TestEveryPageHasAPlainMode(t *testing.T) {
	site := &Site{}
	address := serveSite(t, site)
	if err := site.Pipe(t.Context(), strings.NewReader("a <line>\n")); err != nil {
		t.Fatal(err)
	}
	for path, shows := range plainPages {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			url := address + path + "?transport=plain"
			if strings.Contains(path, "?") {
				url = address + path + "&transport=plain"
			}
			answer, page := ask(t, "GET", url, "")
			if answer.StatusCode != http.StatusOK || !strings.Contains(page, shows) || !strings.HasSuffix(page, "</body></html>") {
				t.Errorf("%s, not with %q:\n%s", answer.Status, shows, page)
			}
			for _, other := range []string{"<script", "<noscript", "data-ff-", "measuring", "nothing received yet</div>\n<ol"} {
				if strings.Contains(page, other) {
					t.Errorf("%q is left:\n%s", other, page)
				}
			}
			if answer, _ := ask(t, "HEAD", url, ""); answer.StatusCode != http.StatusOK {
				t.Errorf("HEAD: %s", answer.Status)
			}
		})
	}
}

func TestAFormInPlainModeStaysThere(t *testing.T) {
	address := serveSite(t, &Site{})
	_, page := ask(t, "POST", address+"/demo/echo?transport=plain", "text=%3Cb%3E", "Content-Type", "application/x-www-form-urlencoded")
	if !strings.Contains(page, `action="/demo/echo?transport=plain"`) || !strings.Contains(page, `<pre id="out" class="wire">&lt;b&gt;</pre>`) {
		t.Errorf("the page is\n%s", page)
	}
	if _, page := ask(t, "POST", address+"/demo/echo", "text=x", "Content-Type", "application/x-www-form-urlencoded"); strings.Contains(page, "refresh") {
		t.Errorf("what has been posted is asked for again:\n%s", page)
	}
}

func TestWithoutScriptsABrowserIsLedToPlainMode(t *testing.T) {
	address := serveSite(t, &Site{})
	chromium := browser(t)
	for path, end := range map[string]string{
		"/demo/hello":                         "document.getElementById('data').textContent == '4 o'",
		"/demo/template":                      "document.querySelectorAll('.letters li').length == 50 && document.body.lastElementChild.textContent == '49 o'",
		"/demo/job?n=20":                      "document.querySelectorAll('#log p').length == 20",
		"/demo/log":                           "document.querySelector('meta[http-equiv=refresh]').content == '30'",
		"/compare":                            "document.querySelectorAll('table').length == 1 && !document.querySelector('iframe')",
		"/demo/dashboard":                     "document.querySelectorAll('.gauge .value').length == 6 && /not available/.test(document.getElementById('broken').textContent)",
		"/demo/echo?text=" + percent(hostile): "JSON.stringify(document.getElementById('out').textContent) == JSON.stringify(" + string(stream.AppendJS(nil, strings.ReplaceAll(hostile, "\x00", "\ufffd"))) + ")",
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			tab := chromium.Open(t, "")
			tab.WithoutScripts()
			tab.Visit(address + path)
			tab.Until("document.readyState == 'complete' && /[?&]transport=plain/.test(location.search) && " + end)
			if left := tab.Value("document.querySelectorAll('script, noscript, [data-ff-feed], [data-ff-live]').length"); left != "0" {
				t.Errorf("%s elements of scripts are left", left)
			}
			tab.Quiet()
		})
	}
}

// The refresh is heeded when the page has ended; the link is there at once.
func TestWithoutScriptsAPageHasALinkToPlainMode(t *testing.T) {
	address := serveSite(t, &Site{})
	tab := browser(t).Open(t, "")
	tab.WithoutScripts()
	tab.Visit(address + "/demo/job?n=2&delay=1m")
	tab.Until("document.querySelector('body a[href*=\"transport=plain\"]')")
	tab.Quiet()
}
