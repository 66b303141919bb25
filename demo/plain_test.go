package demo

import (
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
)

// withoutScripts opens a tab in which no page runs scripts.
func withoutScripts(t *testing.T, address string) *tab {
	tab := open(t, browser(t), "")
	call(tab, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	tab.visit(address)
	return tab
}

func TestWithoutScriptsABrowserIsLedToPlainMode(t *testing.T) {
	address := serveSite(t, &Site{})
	for path, end := range map[string]string{
		"/demo/hello":     "document.getElementById('data').textContent == '4 o'",
		"/demo/template":  "document.querySelectorAll('.letters li').length == 50 && document.body.lastElementChild.textContent == '49 o'",
		"/demo/job?n=20":  "document.querySelectorAll('#log p').length == 20",
		"/demo/log":       "document.querySelector('meta[http-equiv=refresh]').content == '30'",
		"/compare":        "document.querySelectorAll('table').length == 1 && !document.querySelector('iframe')",
		"/demo/dashboard": "document.querySelectorAll('.gauge .value').length == 6 && /not available/.test(document.getElementById('broken').textContent)",
	} {
		t.Run(path, func(t *testing.T) {
			tab := withoutScripts(t, address+path)
			tab.until("document.readyState == 'complete' && /[?&]transport=plain/.test(location.search) && " + end)
			if page := tab.value("document.documentElement.outerHTML"); strings.Contains(page, "<script") || strings.Contains(page, "<noscript") || strings.Contains(page, "data-ff-") {
				t.Errorf("something of scripts is left:\n%s", page)
			}
			tab.quiet()
		})
	}
}
