package browsertest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// A webkit is WebKitGTK's MiniBrowser, driven over WebDriver
// (https://www.w3.org/TR/webdriver2/) on a screen of its own. WebDriver has one
// place for cookies, storage and connections, so each tab that is opened is a
// browser of its own.
type webkit struct {
	screen  *child
	display string
	home    string

	mu       sync.Mutex // guards the rest
	sessions map[*webkitSession]bool
	number   string // its version
}

func startWebKit() (engine, error) {
	w := &webkit{sessions: map[*webkitSession]bool{}}
	home, err := os.MkdirTemp("", "webkit")
	if err != nil {
		return nil, err
	}
	w.home = home
	if err := w.startScreen(); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

// startScreen starts an X server, which chooses and tells its number.
func (w *webkit) startScreen() error {
	number, tell, err := os.Pipe()
	if err != nil {
		return err
	}
	defer number.Close()
	screen := exec.Command("Xvfb", "-displayfd", "3", "-screen", "0", "1280x1024x24", "-nolisten", "tcp")
	screen.ExtraFiles = []*os.File{tell}
	started, err := startChild(screen)
	tell.Close()
	if err != nil {
		return err
	}
	w.screen = started
	line, err := bufio.NewReader(number).ReadString('\n')
	w.display = ":" + strings.TrimSpace(line)
	return err
}

func (w *webkit) version() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return "WebKitGTK " + w.number
}

func (w *webkit) processes() (ids []int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for s := range w.sessions {
		ids = append(ids, s.driver.Process.Pid)
	}
	return ids
}

func (w *webkit) close() {
	if w.screen != nil {
		w.screen.kill()
	}
	os.RemoveAll(w.home)
}

func (w *webkit) open(before string) (page, error) {
	s, err := w.startSession(before)
	if err != nil {
		return nil, err
	}
	return &webkitPage{s, s.shown}, nil
}

// A webkitSession is a browser with its driver, and the proxy that puts a script
// into its documents.
type webkitSession struct {
	webkit  *webkit
	driver  *child
	proxy   *scriptProxy
	address string // of the driver and, later, the session

	mu    sync.Mutex // guards the commands of its tabs
	shown string     // the tab that commands are for
	tabs  int        // that are open
}

// startSession starts a session, at the third try at the latest: another process
// may take a port between its choice and its use.
func (w *webkit) startSession(before string) (s *webkitSession, err error) {
	for range 3 {
		if s, err = w.tryStart(before); err == nil {
			return s, nil
		}
	}
	return nil, err
}

func (w *webkit) tryStart(before string) (*webkitSession, error) {
	s := &webkitSession{webkit: w, tabs: 1}
	var err error
	if s.proxy, err = startScriptProxy(before); err != nil {
		return nil, err
	}
	if err := s.startDriver(); err != nil {
		s.proxy.close()
		return nil, err
	}
	w.mu.Lock()
	w.sessions[s] = true
	w.mu.Unlock()
	if err := s.begin(); err != nil {
		s.end()
		return nil, err
	}
	return s, nil
}

func (s *webkitSession) startDriver() error {
	port, err := freePort()
	if err != nil {
		return err
	}
	s.address = fmt.Sprintf("http://127.0.0.1:%d", port)
	command := exec.Command("WebKitWebDriver", fmt.Sprintf("--port=%d", port))
	command.Env = append(os.Environ(), "DISPLAY="+s.webkit.display, "HOME="+s.webkit.home, "GDK_BACKEND=x11")
	s.driver, err = startChild(command)
	return err
}

// freePort returns a port that nobody listens on: the driver cannot choose one.
func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}

// begin starts the browser, when the driver is there.
func (s *webkitSession) begin() error {
	if err := await("the driver never was ready", func() bool { return s.call("GET", "/status", nil, nil) == nil }); err != nil {
		return err
	}
	capabilities := object{
		"pageLoadStrategy": "none",
		"proxy":            object{"proxyType": "manual", "httpProxy": s.proxy.address()},
	}
	var session struct {
		SessionID    string
		Capabilities struct{ BrowserVersion string }
	}
	if err := s.callWithin(Patience/3, "POST", "/session", object{"capabilities": object{"alwaysMatch": capabilities}}, &session); err != nil {
		return err
	}
	s.webkit.mu.Lock()
	s.webkit.number = session.Capabilities.BrowserVersion
	s.webkit.mu.Unlock()
	s.address += "/session/" + session.SessionID
	return s.call("GET", "/window", nil, &s.shown)
}

// end ends the browser, and then the driver.
func (s *webkitSession) end() {
	s.call("DELETE", "", nil, nil)
	s.driver.kill()
	s.proxy.close()
	s.webkit.mu.Lock()
	defer s.webkit.mu.Unlock()
	delete(s.webkit.sessions, s)
}

// call calls a command of WebDriver and puts what it answers into result, unless
// that is nil.
func (s *webkitSession) call(method, path string, params object, result any) error {
	return s.callWithin(Patience, method, path, params, result)
}

func (s *webkitSession) callWithin(patience time.Duration, method, path string, params object, result any) error {
	var body io.Reader
	if params != nil {
		text, err := json.Marshal(params)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, s.address+path, body)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var answer struct{ Value json.RawMessage }
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s", method, path, answer.Value)
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(answer.Value, result)
}

// A webkitPage is a tab of a session.
type webkitPage struct {
	session *webkitSession
	handle  string
}

// call calls a command for this tab.
func (p *webkitPage) call(method, path string, params object, result any) error {
	return p.callWithin(Patience, method, path, params, result)
}

func (p *webkitPage) callWithin(patience time.Duration, method, path string, params object, result any) error {
	s := p.session
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shown != p.handle {
		if err := s.call("POST", "/window", object{"handle": p.handle}, nil); err != nil {
			return err
		}
		s.shown = p.handle
	}
	return s.callWithin(patience, method, path, params, result)
}

func (p *webkitPage) beside() (page, error) {
	s := p.session
	s.mu.Lock()
	defer s.mu.Unlock()
	var made struct{ Handle string }
	if err := s.call("POST", "/window/new", object{"type": "tab"}, &made); err != nil {
		return nil, err
	}
	s.tabs++
	return &webkitPage{s, made.Handle}, nil
}

func (p *webkitPage) visit(url string) error {
	return arrive(p, url, func() error { return p.call("POST", "/url", object{"url": url}, nil) })
}

// value is not patient: a script that is called just as the page gives way to
// another one may never be answered, but the next one is.
func (p *webkitPage) value(expression string) (string, error) {
	var text *string
	err := p.callWithin(Patience/6, "POST", "/execute/sync", object{"script": "return " + expression, "args": []string{}}, &text)
	if err == nil && text == nil {
		err = errors.New("the value is no string")
	}
	if err != nil {
		return "", err
	}
	return *text, nil
}

func (p *webkitPage) complaints() ([]string, error) {
	text, err := p.value("(window[" + complaintsName + "] || []).join('\\n')")
	if text == "" {
		return nil, err
	}
	return strings.Split(text, "\n"), nil
}

func (p *webkitPage) picture() ([]byte, error) {
	var text string
	if err := p.call("GET", "/screenshot", nil, &text); err != nil {
		return nil, err
	}
	return base64.StdEncoding.DecodeString(text)
}

// close closes the tab, and with the last one the browser.
func (p *webkitPage) close() {
	if p.handle == "" {
		return
	}
	p.call("DELETE", "/window", nil, nil)
	p.handle = ""
	s := p.session
	s.mu.Lock()
	s.tabs--
	last := s.tabs == 0
	s.mu.Unlock()
	if last {
		s.end()
	}
}
