package browsertest

import (
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"regexp"
	"strings"
)

// A scriptProxy is an HTTP proxy that passes everything on as it comes and puts
// a script in front of each page: WebDriver has no way to run one before those
// of a page. What is in a frame it leaves as it is, also in length.
type scriptProxy struct {
	listener net.Listener
	server   *http.Server
	served   chan error
}

func startScriptProxy(before string) (*scriptProxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			if isPage(r.In) {
				r.Out.Header.Del("Accept-Encoding")
			}
		},
		Transport:      &http.Transport{DisableCompression: true},
		FlushInterval:  -1, // at once
		ModifyResponse: func(response *http.Response) error { insert(response, before); return nil },
		ErrorLog:       log.New(io.Discard, "", 0), // browsers leave when they like
	}
	p := &scriptProxy{listener, &http.Server{Handler: forward, ErrorLog: forward.ErrorLog}, make(chan error, 1)}
	go func() { p.served <- p.server.Serve(listener) }()
	return p, nil
}

func (p *scriptProxy) address() string { return p.listener.Addr().String() }

func (p *scriptProxy) close() {
	p.server.Close()
	<-p.served
}

// isPage reports whether a request is one for a page, not for a part of one.
func isPage(req *http.Request) bool { return req.Header.Get("Sec-Fetch-Dest") == "document" }

const doctype = "<!doctype html>"

var nonce = regexp.MustCompile(`'nonce-([^']+)'`)

// insert puts a script behind the doctype of an HTML document, under the nonce
// of the document's policy, if it has one. The script removes its element.
func insert(response *http.Response, before string) {
	if !isPage(response.Request) || !strings.HasPrefix(response.Header.Get("Content-Type"), "text/html") {
		return
	}
	start := "<script>"
	if found := nonce.FindStringSubmatch(response.Header.Get("Content-Security-Policy")); found != nil {
		start = `<script nonce="` + found[1] + `">`
	}
	script := start + collect + before + "\ndocument.currentScript.parentNode.removeChild(document.currentScript)</script>"
	body := response.Body
	response.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(io.LimitReader(body, int64(len(doctype))), strings.NewReader(script), body), body}
	response.ContentLength = -1
	response.Header.Del("Content-Length")
}

// complaintsName is the name of the property of a window that has what its
// document complained of.
const complaintsName = "'what the document complains of'"

// collect takes down what a document complains of. Its first line leaves JSON to
// the automation of WebKit where the page must do without.
const collect = `let JSON = window.JSON;
(function (name) {
  Object.defineProperty(window, name, {value: []});
  function complain(text) { window[name].push(text); }
  function replace(level) {
    var original = console[level];
    console[level] = function () { complain(level + ": " + [].join.call(arguments, " ")); original.apply(console, arguments); };
  }
  replace("error");
  replace("warn");
  addEventListener("error", function (e) { complain("error: " + (e.message || e.target.outerHTML) + " " + (e.filename || "") + ":" + (e.lineno || "")); }, true);
  addEventListener("unhandledrejection", function (e) { complain("rejection: " + e.reason); });
  addEventListener("securitypolicyviolation", function (e) { complain("policy: " + e.violatedDirective + " " + e.blockedURI); });
})(` + complaintsName + ");\n"
