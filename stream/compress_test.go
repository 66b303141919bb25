package stream

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httputil"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

func TestAClientSaysWhetherItAcceptsGzip(t *testing.T) {
	for accept, want := range map[string]bool{
		"":                             false,
		"gzip":                         true,
		"GZIP":                         true,
		"deflate, gzip;q=0.5, br":      true,
		"gzip;q=0":                     false,
		"gzip; q=0.000":                false,
		"gzip;q=x":                     false,
		"*":                            true,
		"*;q=0":                        false,
		"*;q=0, gzip":                  true,
		"gzip;q=0, *":                  false,
		"identity":                     false,
		"x-gzip-not, deflate":          false,
		"br;q=1.0, gzip;q=0.8, *;q=.1": true,
	} {
		if got := acceptsGzip(accept); got != want {
			t.Errorf("%q: %v", accept, got)
		}
	}
}

// Each update can be read when it has come, before the next one exists.
func TestACompressedPageIsReadAsItComes(t *testing.T) {
	onEveryNetwork(t, func(t *testing.T, network string) {
		next := make(chan struct{})
		s := serve(t, network, func(s *site, req *fasthttp.RequestCtx) {
			Response{Transport: plain{}, Compress: true, Shell: markup("<h1>"), Source: func(ctx context.Context, page *Page) error {
				for range 3 {
					select {
					case <-next:
					case <-ctx.Done():
						return nil
					}
					if err := page.Send(Remove(strings.Repeat("a", 1000))); err != nil {
						return err
					}
				}
				return nil
			}}.Serve(req)
		})
		c := s.connect(t)
		for range 2 { // the second on the same connection, with a writer that was used
			c.ask("GET /", "Accept-Encoding: gzip")
			if answer := c.head(); answer.Header.Get("Content-Encoding") != "gzip" || answer.Header.Get("Vary") != "Accept-Encoding" {
				t.Fatalf("%v", answer.Header)
			}
			body, err := gzip.NewReader(bufio.NewReader(httputil.NewChunkedReader(c.r)))
			if err != nil {
				t.Fatal(err)
			}
			read := func(want string) {
				t.Helper()
				got := make([]byte, len(want))
				if _, err := io.ReadFull(body, got); err != nil || string(got) != want {
					t.Fatalf("%q, %v; want %q", got, err, want)
				}
			}
			read("<h1>")
			for range 3 {
				next <- struct{}{}
				read("([remove " + strings.Repeat("a", 1000) + "])")
			}
			if rest, err := io.ReadAll(body); err != nil || string(rest) != "([done ])" {
				t.Errorf("it ends with %q, %v", rest, err)
			}
			if line, _ := c.r.ReadString('\n'); line != "\r\n" {
				t.Errorf("the chunks end with %q", line)
			}
		}
	})
}

func TestWhoDoesNotAcceptGzipGetsNone(t *testing.T) {
	s := serve(t, "memory", func(s *site, req *fasthttp.RequestCtx) {
		Response{Transport: plain{}, Compress: string(req.Path()) == "/", Shell: markup("<h1>")}.Serve(req)
	})
	for _, test := range []struct{ path, header, vary string }{
		{"/", "Accept-Encoding: identity", "Accept-Encoding"},
		{"/never", "Accept-Encoding: gzip", ""},
	} {
		answer, body := s.get(t, test.path, test.header)
		if answer.Header.Get("Content-Encoding") != "" || answer.Header.Get("Vary") != test.vary || !strings.HasPrefix(body, "<h1>") {
			t.Errorf("%s: %v %q", test.path, answer.Header, body)
		}
	}
	c := s.connect(t)
	c.ask("GET / HTTP/1.0", "Accept-Encoding: gzip")
	if answer := c.head(); answer.Header.Get("Content-Encoding") != "" || !strings.HasPrefix(c.rest(), "<h1>") {
		t.Errorf("HTTP/1.0: %v", answer.Header)
	}
	c = s.connect(t)
	c.ask("HEAD /", "Accept-Encoding: gzip")
	if answer := c.head(); answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Encoding") != "gzip" {
		t.Errorf("HEAD: %v", answer.Header)
	}
}

// What is cut off has no end that looks whole.
func TestACompressedPageThatIsCutHasNoEnd(t *testing.T) {
	w := new(wire)
	s := &session{Response: Response{Transport: plain{}, Compress: true}, path: "/page", server: context.Background(), gzip: true}
	s.Source = func(ctx context.Context, page *Page) error {
		page.Send(Remove("a"))
		page.gone()
		return errors.New("gone")
	}
	s.run(w)
	body, err := gzip.NewReader(strings.NewReader(strings.Join(w.take(), "")))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(body); string(got) != "([remove a])" || err != io.ErrUnexpectedEOF {
		t.Errorf("%q, %v", got, err)
	}
}
