package browsertest

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// A firefox is driven over WebDriver BiDi (https://w3c.github.io/webdriver-bidi/).
type firefox struct {
	command *child
	profile string
	bidi    *bidi
	session struct {
		Capabilities struct{ BrowserVersion string }
	}

	mu      sync.Mutex        // guards the rest
	parents map[string]string // of each document that is a frame: the one around it
	all     []complaint
}

// A complaint is what Firefox logged for a document.
type complaint struct{ document, text string }

// firefoxPreferences keep Firefox from asking the world for anything.
const firefoxPreferences = `
user_pref("app.normandy.enabled", false);
user_pref("app.update.disabledForTesting", true);
user_pref("browser.safebrowsing.malware.enabled", false);
user_pref("browser.safebrowsing.phishing.enabled", false);
user_pref("browser.topsites.contile.enabled", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("dom.ipc.processPrelaunch.enabled", false);
user_pref("extensions.update.enabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("services.settings.server", "data:,");
user_pref("toolkit.telemetry.enabled", false);
`

func startFirefox() (engine, error) {
	profile, err := os.MkdirTemp("", "firefox")
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(profile, "user.js"), []byte(firefoxPreferences), 0o600); err != nil {
		return nil, err
	}
	f := &firefox{profile: profile, parents: map[string]string{}}
	if err := f.connect(); err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

// connect starts the command and connects to the address that it tells.
func (f *firefox) connect() error {
	command := exec.Command("firefox-esr", "--headless", "--no-remote", "--remote-debugging-port=0", "--profile", f.profile, "about:blank")
	command.Env = append(os.Environ(), "HOME="+f.profile, "MOZ_CRASHREPORTER_DISABLE=1")
	output, write, err := os.Pipe()
	if err != nil {
		return err
	}
	command.Stderr = write
	f.command, err = startChild(command)
	write.Close()
	if err != nil {
		return err
	}
	address, err := announced(output, "WebDriver BiDi listening on ")
	if err != nil {
		return err
	}
	if f.bidi, err = dialBidi(address+"/session", f.listen); err != nil {
		return err
	}
	if err := f.bidi.call("session.new", object{"capabilities": object{}}, &f.session); err != nil {
		return err
	}
	return f.bidi.call("session.subscribe", object{"events": []string{"log.entryAdded", "browsingContext.contextCreated"}}, nil)
}

// announced returns what follows label in a line of output, and drops the rest.
func announced(output io.ReadCloser, label string) (string, error) {
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		if _, address, ok := strings.Cut(lines.Text(), label); ok {
			go func() { // ends with the command
				defer output.Close()
				io.Copy(io.Discard, output)
			}()
			return strings.TrimSpace(address), nil
		}
	}
	return "", errors.New("it does not tell its address")
}

func (f *firefox) version() string { return "Firefox " + f.session.Capabilities.BrowserVersion }

func (f *firefox) processes() []int { return []int{f.command.Process.Pid} }

// close asks Firefox to close, so that its children do, and ends it.
func (f *firefox) close() {
	if f.bidi != nil {
		f.bidi.call("browser.close", object{}, nil)
		f.bidi.close()
	}
	if f.command != nil {
		select {
		case <-f.command.ended:
		case <-time.After(Patience / 3):
			f.command.kill()
		}
	}
	os.RemoveAll(f.profile)
}

// listen takes down what documents complain of, and which are frames.
func (f *firefox) listen(method string, event bidiEvent) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case method == "browsingContext.contextCreated":
		f.parents[event.Context] = event.Parent
	case event.Level == "error" || event.Level == "warn":
		f.all = append(f.all, complaint{event.Source.Context, event.Text})
	}
}

// complaintsOf returns what document and the frames in it complained of.
func (f *firefox) complaintsOf(document string) (texts []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.all {
		top := c.document
		for f.parents[top] != "" {
			top = f.parents[top]
		}
		if top == document {
			texts = append(texts, c.text)
		}
	}
	return texts
}

func (f *firefox) open(before string) (page, error) {
	var made struct{ UserContext string }
	if err := f.bidi.call("browser.createUserContext", object{}, &made); err != nil {
		return nil, err
	}
	script := object{
		"functionDeclaration": "function () {" + tellViolations + before + "}",
		"userContexts":        []string{made.UserContext},
	}
	if err := f.bidi.call("script.addPreloadScript", script, nil); err != nil {
		return nil, err
	}
	return f.tab(made.UserContext)
}

// tellViolations makes Firefox log violations of the content security policy as
// errors.
const tellViolations = `addEventListener("securitypolicyviolation", function (e) { console.error("policy: " + e.violatedDirective + " " + e.blockedURI) });`

// tab opens a tab, at the third try at the latest: once in some hundred times
// Firefox does not answer.
func (f *firefox) tab(user string) (page, error) {
	p := &firefoxPage{firefox: f, user: user}
	var err error
	for range 3 {
		if err = f.bidi.callWithin(Patience/3, "browsingContext.create", object{"type": "tab", "userContext": user}, p); err == nil {
			return p, nil
		}
	}
	return nil, err
}

// A firefoxPage is a tab of Firefox.
type firefoxPage struct {
	firefox *firefox
	user    string // the container with its cookies, storage and connections
	Context string // its id
}

func (p *firefoxPage) beside() (page, error) { return p.firefox.tab(p.user) }

func (p *firefoxPage) visit(url string) error {
	return arrive(p, url, func() error {
		return p.firefox.bidi.call("browsingContext.navigate", object{"context": p.Context, "url": url, "wait": "none"}, nil)
	})
}

func (p *firefoxPage) value(expression string) (string, error) {
	var answer struct {
		Result           struct{ Type, Value string }
		ExceptionDetails struct{ Text string }
	}
	err := p.firefox.bidi.call("script.evaluate", object{"expression": expression, "target": object{"context": p.Context}, "awaitPromise": false}, &answer)
	switch {
	case err != nil:
		return "", err
	case answer.ExceptionDetails.Text != "":
		return "", errors.New(answer.ExceptionDetails.Text)
	case answer.Result.Type != "string":
		return "", fmt.Errorf("the value is of the type %s", answer.Result.Type)
	}
	return answer.Result.Value, nil
}

func (p *firefoxPage) complaints() ([]string, error) { return p.firefox.complaintsOf(p.Context), nil }

func (p *firefoxPage) picture() ([]byte, error) {
	var answer struct{ Data string }
	if err := p.firefox.bidi.call("browsingContext.captureScreenshot", object{"context": p.Context}, &answer); err != nil {
		return nil, err
	}
	return base64.StdEncoding.DecodeString(answer.Data)
}

func (p *firefoxPage) close() {
	p.firefox.bidi.call("browsingContext.close", object{"context": p.Context}, nil)
}
