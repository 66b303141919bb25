package demo

import (
	"strings"
	"testing"
)

// noEventSource, run before a page's own scripts, makes a browser of the kind
// that the forever frame is for.
const noEventSource = "delete window.EventSource;"

func TestEveryDemoReachesItsEnd(t *testing.T) {
	site := &Site{Keys: []string{"key"}}
	address := serveSite(t, site)
	chromium := browser(t)
	ends := map[string]string{ // by path: what is true at the end
		"/":                       "document.querySelectorAll('.demos li').length == 12",
		"/demo/hello":             "document.getElementById('data').textContent == '4 o' && document.readyState == 'complete' && ff.state == 'done'",
		"/demo/template":          "document.getElementById('data').textContent == '49 o' && document.querySelectorAll('.letters li').length == 50 && ff.state == 'done'",
		"/demo/template?buffer=5": "document.getElementById('data').textContent == '49 o' && document.querySelectorAll('.letters li').length == 50 && ff.state == 'done'",
		"/demo/spinner":           `/^[\\|\/-] \d+$/.test(document.getElementById('data').textContent) && ff.state == 'open'`,
		"/demo/counter":           "document.querySelectorAll('#log li').length >= 3 && document.querySelector('#log').textContent.indexOf('message: 0message: 1message: 2') == 0",
		"/demo/clock":             "window.before = window.before || document.getElementById('time').textContent, document.getElementById('time').textContent != before",
		"/demo/ping":              "/^ping at \\d{4}-/.test(document.querySelector('#list').textContent) && /message: This is a message/.test(document.querySelector('#list').textContent)",
		"/demo/ticks":             "document.querySelectorAll('#list li').length == 20 && ff.state == 'done' && /中文/.test(document.querySelector('#list').textContent)",
		"/demo/dashboard":         "ff.state == 'open' && document.querySelectorAll('.gauge .value').length == 6 && /not available/.test(document.getElementById('broken').textContent)",
		"/demo/log":               "ff.state == 'open'",
		"/demo/echo?text=%3Cb%3E": "document.getElementById('out').textContent == '<b>' && document.getElementById('after').textContent == 'done'",
		"/demo/job?n=20":          "document.querySelectorAll('#log p').length == 20 && ff.state == 'done'",
		"/demo/job?n=20&follow=1": "document.querySelectorAll('#log p').length == 20 && ff.state == 'done'",
		"/compare":                "document.getElementById('job-script-updates').textContent == '10' && document.getElementById('job-sse-state').textContent == 'done' && +document.getElementById('feed-sse-updates').textContent > 1 && document.getElementById('job-script-state').textContent == 'done'",
	}
	for path, end := range ends {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			tab := chromium.Open(t, "")
			tab.Visit(address + path)
			tab.Until(end)
			tab.Screenshot(strings.NewReplacer("/", "_", "?", "_").Replace(path))
			tab.Quiet()
		})
	}
}

func TestFeedsRunOverTheFrameWithoutEventSource(t *testing.T) {
	site := &Site{}
	address := serveSite(t, site)
	chromium := browser(t)
	framed := " && !window.EventSource && document.getElementsByTagName('iframe').length == 1"
	ends := map[string]string{
		"/demo/spinner":           `/^[\\|\/-] \d+$/.test(document.getElementById('data').textContent)` + framed,
		"/demo/counter":           "document.querySelector('#log').textContent.indexOf('message: 0message: 1message: 2') == 0" + framed,
		"/demo/clock":             "window.before = window.before || document.getElementById('time').textContent, document.getElementById('time').textContent != before" + framed,
		"/demo/ping":              "/^ping at \\d{4}-/.test(document.querySelector('#list').textContent) && /message: This is a message/.test(document.querySelector('#list').textContent)" + framed,
		"/demo/ticks":             "document.querySelectorAll('#list li').length == 20 && ff.state == 'done' && !document.getElementsByTagName('iframe').length",
		"/demo/dashboard":         "ff.state == 'open' && document.querySelectorAll('.gauge .value').length == 6" + framed,
		"/demo/job?n=20&follow=1": "document.querySelectorAll('#log p').length == 20 && ff.state == 'done' && !document.getElementsByTagName('iframe').length",
	}
	for path, end := range ends {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			tab := chromium.Open(t, noEventSource)
			tab.Visit(address + path)
			tab.Until(end)
			tab.Quiet()
		})
	}
}

func TestCloseButtonEndsTheStream(t *testing.T) {
	address := serveSite(t, &Site{})
	tab := browser(t).Open(t, "")
	tab.Visit(address + "/demo/ping")
	tab.Until("ff.state == 'open'")
	tab.Value("document.getElementById('close').click()")
	tab.Until("ff.state == 'closed' && /closed/.test(document.getElementById('trouble').textContent)")
	tab.Quiet()
}

func TestTheNextVisitorSeesThatTheOneBeforeLeft(t *testing.T) {
	address := serveSite(t, &Site{})
	chromium := browser(t)
	first := chromium.Open(t, "")
	first.Visit(address + "/demo/ticks")
	first.Until("document.querySelectorAll('#list li').length >= 2")
	first.Visit("about:blank")
	next := chromium.Open(t, "")
	next.Visit(address + "/demo/ticks")
	next.Until("/The visitor before left after [0-9]+ ticks/.test(document.getElementById('before').textContent) || (location.reload(), false)")
	next.Quiet()
}

func TestTheWireIsShownAsText(t *testing.T) {
	address := serveSite(t, &Site{})
	tab := browser(t).Open(t, "")
	tab.Visit(address + "/demo/echo?text=%3C/script%3E&wire=1")
	tab.Until(`document.contentType == "text/plain" && document.body.textContent.indexOf('ff("inner","out","\\u0026lt;/script\\u0026gt;")') > 0`)
	if !strings.Contains(tab.Value("document.body.textContent"), `ff("done"`) {
		t.Error("the wire does not show the end")
	}
}
