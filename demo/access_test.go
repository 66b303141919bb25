package demo

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"foreverframe/access"
	"foreverframe/stream"

	"github.com/golang-jwt/jwt/v5"
)

var tokenSecret = []byte("0123456789abcdef0123456789abcdef")

// tokenFor returns a token that lets its bearer follow and publish to topics.
func tokenFor(t *testing.T, topics ...string) string {
	t.Helper()
	text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"exp":          time.Now().Add(time.Hour).Unix(),
		"foreverframe": map[string]any{"subscribe": topics, "publish": topics},
	}).SignedString(tokenSecret)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// tokenSite serves a site whose feeds need a token, with two topics that have
// ended, so that whoever may follow them gets a whole answer.
func tokenSite(t *testing.T) (*Site, string) {
	t.Helper()
	site := &Site{Keys: []string{"key"}, Tokens: &access.Tokens{Key: tokenSecret}, Origins: access.Origins{"https://app.example"}}
	for _, topic := range []string{"news", "prices"} {
		site.Hub.Publish(topic, stream.Emit("", "said in "+topic))
		site.Hub.End(topic)
	}
	return site, serveSite(t, site)
}

func TestFeedsNeedATokenOverEveryTransport(t *testing.T) {
	_, address := tokenSite(t)
	news := tokenFor(t, "news")
	for _, transport := range []string{"sse", "frame", "poll"} {
		for _, test := range []struct {
			topics, token string
			status        int
			says          string
		}{
			{"news", "", 401, "needs a token"},
			{"news", "x", 401, "token is malformed"},
			{"news", news, 200, "said in news"},
			{"prices", news, 403, `does not have the topic "prices"`},
			{"news,prices", news, 403, `does not have the topic "prices"`},
			{"news,prices", tokenFor(t, "news", "prices"), 200, "said in prices"},
			{"news,prices", tokenFor(t, "*"), 200, "said in news"},
			{"nothing", news, 403, `does not have the topic "nothing"`}, // whether it exists or not
			{"nothing", tokenFor(t, "*"), 404, "publish to it first"},
		} {
			url := address + "/feeds/" + test.topics + "?after=0&transport=" + transport
			ways := map[string][]string{"header": {"Authorization", "Bearer " + test.token}, "cookie": {"Cookie", access.CookieName + "=" + test.token}, "query": nil}
			for way, headers := range ways {
				url := url
				if way == "query" {
					url += "&access_token=" + test.token
				}
				answer, text := ask(t, "GET", url, "", headers...)
				if answer.StatusCode != test.status || !strings.Contains(text, test.says) || test.status != 200 && strings.Contains(text, "said in") {
					t.Errorf("%s, %s, by %s: %s %q, want %d with %q", transport, test.topics, way, answer.Status, text, test.status, test.says)
				}
				if test.status == 401 && !strings.HasPrefix(answer.Header.Get("WWW-Authenticate"), "Bearer") {
					t.Errorf("%s: the challenge is %q", test.topics, answer.Header.Get("WWW-Authenticate"))
				}
			}
		}
	}
}

// The pages show them to everybody, in plain mode on the page itself.
func TestTheSitesOwnFeedsNeedNoToken(t *testing.T) {
	_, address := tokenSite(t)
	for topics, status := range map[string]int{"log": 200, "clock,log": 200, "log,news": 401} {
		answer, text := ask(t, "GET", address+"/feeds/"+topics+"?transport=poll&wait=0", "")
		if answer.StatusCode != status {
			t.Errorf("%s: %s %q", topics, answer.Status, text)
		}
	}
}

func TestATokenPublishesWhereItSaysSo(t *testing.T) {
	site, address := tokenSite(t)
	for _, test := range []struct {
		method, topic, token string
		status               int
	}{
		{"POST", "a", tokenFor(t, "a"), 201},
		{"POST", "b", tokenFor(t, "a"), 403},
		{"POST", "a", tokenFor(t, "*") + "x", 401},
		{"POST", "b", "key", 201},
		{"DELETE", "a", tokenFor(t, "b"), 403},
		{"DELETE", "a", tokenFor(t, "a"), 204},
		{"POST", "c", "", 401},
	} {
		answer, text := ask(t, test.method, address+"/feeds/"+test.topic, "hello", "Content-Type", "text/plain", "Authorization", "Bearer "+test.token)
		if answer.StatusCode != test.status {
			t.Errorf("%s %s: %s %q, want %d", test.method, test.topic, answer.Status, text, test.status)
		}
	}
	if site.Hub.Has("c") {
		t.Error("somebody without a token has made a topic")
	}
}

// A form of another site comes with the visitor's cookies, and so does a frame or
// an image; none of them publishes, not even for an origin that is allowed.
func TestAFormOfAnotherOriginCannotPublish(t *testing.T) {
	site, address := tokenSite(t)
	everything := tokenFor(t, "*")
	for _, origin := range []string{"https://evil.example", "https://app.example", "null", ""} {
		for kind, body := range map[string]string{
			"text/plain":                        `{"data":"forged"}`,
			"application/json":                  `{"data":"forged"}`,
			"application/x-www-form-urlencoded": "data=forged",
			"multipart/form-data; boundary=x":   "--x\r\nContent-Disposition: form-data; name=\"data\"\r\n\r\nforged\r\n--x--\r\n",
		} {
			answer, text := ask(t, "POST", address+"/feeds/forged?access_token="+everything, body,
				"Origin", origin, "Content-Type", kind, "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate",
				"Cookie", access.CookieName+"="+everything+"; session=key")
			if answer.StatusCode != 401 || !strings.Contains(text, "Authorization: Bearer KEY") {
				t.Errorf("%s from %q: %s %q", kind, origin, answer.Status, text)
			}
		}
	}
	if answer, _ := ask(t, "GET", address+"/feeds/forged?access_token="+everything, "", "X-HTTP-Method-Override", "POST"); answer.StatusCode != 404 {
		t.Errorf("a GET: %s", answer.Status)
	}
	if site.Hub.Has("forged") {
		t.Error("something has been published")
	}
}

func TestAPageOfAnAllowedOriginPublishesAndReadsWhatIsRefused(t *testing.T) {
	_, address := tokenSite(t)
	for origin, allowed := range map[string]bool{"https://app.example": true, "https://evil.example": false} {
		answer, _ := ask(t, "OPTIONS", address+"/feeds/a", "", "Origin", origin, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization,content-type")
		if answer.StatusCode != 204 || (answer.Header.Get("Access-Control-Allow-Methods") != "") != allowed {
			t.Errorf("the preflight of %s: %s %v", origin, answer.Status, answer.Header)
		}
		for _, test := range []struct {
			method, path, authorization string
			status                      int
		}{
			{"POST", "/feeds/a", "Bearer key", 201},
			{"POST", "/feeds/a", "", 401},
			{"DELETE", "/feeds/none", "Bearer key", 404},
			{"GET", "/feeds/none", "", 401},
			{"GET", "/feeds/none", "Bearer " + tokenFor(t, "*"), 404},
			{"GET", "/feeds/log?transport=poll&wait=0", "", 200},
		} {
			answer, _ := ask(t, test.method, address+test.path, "hello", "Origin", origin, "Content-Type", "text/plain", "Authorization", test.authorization)
			header := answer.Header
			if answer.StatusCode != test.status || (header.Get("Access-Control-Allow-Origin") == origin) != allowed || (header.Get("Access-Control-Allow-Credentials") == "true") != allowed || !strings.Contains(strings.Join(header.Values("Vary"), ","), "Origin") {
				t.Errorf("%s %s from %s: %s %v", test.method, test.path, origin, answer.Status, header)
			}
		}
	}
}

func TestNoPageCanBeFramedByOthers(t *testing.T) {
	_, address := tokenSite(t)
	paths := []string{"/", "/feeds/log?transport=frame", "/compare/pane?name=job-script", "/demo/job?n=1&transport=frame", "/demo/job?n=1&follow=1"}
	for _, d := range demos {
		paths = append(paths, d.path, d.path+"?transport=plain")
	}
	client := &http.Client{Timeout: patience}
	for _, path := range paths {
		answer, err := client.Get(address + path)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if policy := answer.Header.Get("Content-Security-Policy"); answer.StatusCode != 200 || !strings.Contains(policy, "frame-ancestors 'self'") {
			t.Errorf("%s: %s, the policy is %q", path, answer.Status, policy)
		}
	}
}

// A safe is a log that many write to.
type safe struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (s *safe) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *safe) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestNoSecretIsLogged(t *testing.T) {
	log := new(safe)
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	defer slog.SetDefault(before)

	site := &Site{Keys: []string{"secret-key"}, Tokens: &access.Tokens{Key: tokenSecret}}
	site.Hub.Publish("news", stream.Emit("", "x"))
	site.Hub.End("news")
	server := site.Server()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()

	token := tokenFor(t, "news")
	for _, path := range []string{"/feeds/news?after=0", "/feeds/news?after=1", "/feeds/other?after=0", "/demo/job?n=1&delay=0s", "/demo/nothing?x=y", "/metrics?x=y"} {
		for _, transport := range []string{"sse", "frame", "poll", "plain"} {
			for _, method := range []string{"GET", "POST", "DELETE", "HEAD", "PUT"} {
				url := "http://" + address + path + "&transport=" + transport
				cookies := "session=secret-cookie; " + access.CookieName + "=" + token
				ask(t, method, url, "secret-body", "Cookie", cookies, "Proxy-Authorization", "secret-proxy")
				ask(t, method, url+"&access_token="+token, "secret-body", "Authorization", "Basic secret-basic")
				ask(t, method, url, "{}", "Cookie", cookies, "Authorization", "Bearer secret-bearer")
				ask(t, method, url, "{}", "Authorization", "Bearer secret-key", "Content-Type", "application/json")
			}
		}
	}
	const cookie = "Cookie: session=secret-cookie\r\n"
	for _, request := range []string{
		"GET / HTTP/1.1\r\n" + cookie + "no colon secret-line\r\n\r\n",
		"GET / HTTP/1.1\r\n" + cookie + "Bad Name: secret-value\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\n" + cookie + "Content-Length: secret-length\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\n" + cookie + "Transfer-Encoding: secret-coding\r\n\r\n",
		"POST /feeds/x HTTP/1.1\r\nHost: a\r\n" + cookie + "Transfer-Encoding: chunked\r\n\r\nsecret-chunk\r\n",
		"GET /?access_token=secret-query\r\n" + cookie + "\r\n",
		"secret-method-is-not-one / HTTP/9.9\r\n" + cookie + "\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\n" + cookie + "X: " + strings.Repeat("secret-long", 10_000) + "\r\n\r\n",
		cookie,
	} {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(patience))
		io.WriteString(conn, request)
		conn.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, conn)
		conn.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	http.DefaultClient.CloseIdleConnections()
	server.ShutdownWithContext(ctx)
	<-served

	text := log.String()
	for _, transport := range []string{"sse", "frame", "poll"} {
		if !strings.Contains(text, "page=/feeds/news transport="+transport+" topic=news cause=ended") {
			t.Errorf("the log does not have the end of a stream by %s:\n%.2000s", transport, text)
		}
	}
	for line := range strings.Lines(text) {
		for _, word := range []string{"secret", token[:20], "access_token", "Cookie", "Bearer"} {
			if strings.Contains(line, word) {
				t.Errorf("the log has %q: %s", word, line)
				break
			}
		}
	}
}

func TestTheSiteShowsItsMetrics(t *testing.T) {
	_, address := tokenSite(t)
	ask(t, "GET", address+"/feeds/news?after=0&transport=sse", "", "Authorization", "Bearer "+tokenFor(t, "news"))
	answer, text := ask(t, "GET", address+"/metrics", "")
	if answer.StatusCode != 200 || !strings.HasPrefix(answer.Header.Get("Content-Type"), "text/plain") || answer.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s %v", answer.Status, answer.Header)
	}
	for _, name := range []string{`foreverframe_streams_total{transport="sse"} `, `foreverframe_streams_ended_total{transport="sse",cause="ended"} `, "foreverframe_topics ", "foreverframe_flush_seconds_bucket{le=\"0.001\"} ", "go_goroutines ", "process_open_fds "} {
		if !strings.Contains(text, "\n"+name) {
			t.Errorf("there is no %s in %q", name, text)
		}
	}
	if strings.Contains(text, "news") {
		t.Error("a topic's name is in the metrics")
	}
}
