package browsertest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A Tab is one page in a browser and what the browser complained of in it. It
// is closed when its test has ended.
type Tab struct {
	t    testing.TB
	page page
}

func newTab(t testing.TB, page page) *Tab {
	t.Cleanup(page.close)
	return &Tab{t, page}
}

// Beside opens another tab that shares cookies, storage, connections and the
// script that runs before the documents' own.
func (b *Tab) Beside() *Tab {
	b.t.Helper()
	page, err := b.page.beside()
	if err != nil {
		b.t.Fatalf("no tab opens: %v", err)
	}
	return newTab(b.t, page)
}

// WithoutScripts makes the pages that follow run no scripts; Value and Until
// still do. Only Chromium can.
func (b *Tab) WithoutScripts() {
	b.t.Helper()
	page, ok := b.page.(*chromiumPage)
	if !ok {
		b.t.Fatal("this browser cannot do without scripts")
	}
	if err := page.withoutScripts(); err != nil {
		b.t.Fatal(err)
	}
}

// Visit begins to load url and returns when the first of it is there, not when
// all is: that may never be.
func (b *Tab) Visit(url string) {
	b.t.Helper()
	if err := b.page.visit(url); err != nil {
		b.t.Fatalf("%s: %v", url, err)
	}
}

// Until waits until the JavaScript condition is true.
func (b *Tab) Until(condition string) {
	b.t.Helper()
	for end := time.Now().Add(Patience); ; time.Sleep(20 * time.Millisecond) {
		held, err := b.page.value("(function () { try { return String(!!(" + condition + ")) } catch (e) { return String(e) } })()")
		if err != nil {
			held = err.Error()
		}
		if held == "true" {
			return
		}
		if time.Now().After(end) {
			page, _ := b.page.value("document.documentElement.outerHTML.slice(-3000)")
			complaints, _ := b.page.complaints()
			b.t.Fatalf("it never was so that %s (%s); the browser complains: %q; the page was\n%s", condition, held, complaints, page)
		}
	}
}

// Value returns the value of a JavaScript expression as text.
func (b *Tab) Value(expression string) string {
	b.t.Helper()
	text, err := b.page.value("String(" + expression + ")")
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return text
}

// Collect makes Chromium collect the page's garbage, which it leaves to grow by a
// gigabyte where there is memory; the others collect theirs by themselves.
func (b *Tab) Collect() {
	b.t.Helper()
	if page, ok := b.page.(*chromiumPage); ok {
		if err := page.collect(); err != nil {
			b.t.Fatal(err)
		}
	}
}

// Complaints returns what the browser complained of so far: console errors and
// warnings, exceptions and violations of the content security policy, as far as
// it tells them: WebKit tells them of the page only, not of its frames.
func (b *Tab) Complaints() []string {
	b.t.Helper()
	complaints, err := b.page.complaints()
	if err != nil {
		b.t.Fatal(err)
	}
	return complaints
}

// Quiet fails the test if the browser has complained of anything.
func (b *Tab) Quiet() {
	b.t.Helper()
	if complaints := b.Complaints(); len(complaints) > 0 {
		b.t.Errorf("the browser complains:\n%s", strings.Join(complaints, "\n"))
	}
}

// Screenshot writes a picture of the page to $SCREENSHOTS/name.png, if set.
func (b *Tab) Screenshot(name string) {
	b.t.Helper()
	directory := os.Getenv("SCREENSHOTS")
	if directory == "" {
		return
	}
	picture, err := b.page.picture()
	if err == nil {
		err = os.WriteFile(filepath.Join(directory, name+".png"), picture, 0o644)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// Close closes the tab before its test has ended.
func (b *Tab) Close() { b.page.close() }
