package stream

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httputil"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	brotli "github.com/molecule-man/go-brrr"
	"github.com/valyala/fasthttp"
)

func TestAClientSaysWhichCodingItPrefers(t *testing.T) {
	for accept, want := range map[string]string{
		"":                             "",
		"gzip":                         "gzip",
		"GZIP":                         "gzip",
		"br":                           "br",
		"zstd":                         "zstd",
		"zstd, br":                     "br",
		"gzip, deflate, br, zstd":      "gzip",
		"deflate, gzip;q=0.5, br":      "br",
		"deflate, gzip;q=0.5":          "gzip",
		"gzip;q=0.5, br;q=0.6, zstd":   "zstd",
		"br;q=0.001, zstd; q=0.002":    "zstd",
		"gzip;q=0":                     "",
		"gzip; q=0.000":                "",
		"gzip;q=x":                     "",
		"*":                            "gzip",
		"*;q=0":                        "",
		"*;q=0, gzip":                  "gzip",
		"gzip;q=0, *":                  "br",
		"gzip;q=0, br;q=0, *;q=0.1":    "zstd",
		"identity":                     "",
		"identity, gzip;q=0.5":         "",
		"identity;q=0.5, *":            "gzip",
		"identity, gzip":               "gzip",
		"x-gzip-not, deflate":          "",
		"br;q=1.0, gzip;q=0.8, *;q=.1": "br",
		"gzip;q=0.8, *;q=0.9":          "br",
	} {
		got := ""
		if c := preferred(accept, codings); c != nil {
			got = c.name
		}
		if got != want {
			t.Errorf("%q: %q, want %q", accept, got, want)
		}
	}
}

// decoders read what each coding makes, by code that is not its own where there is
// some.
var decoders = map[string]func(io.Reader) (io.Reader, error){
	"gzip": func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
	"br":   func(r io.Reader) (io.Reader, error) { return brotli.NewReader(r), nil },
	"zstd": func(r io.Reader) (io.Reader, error) { return zstd.NewReader(r, zstd.WithDecoderConcurrency(1)) },
}

func forEachCoding(t *testing.T, f func(t *testing.T, c *coding)) {
	for i := range codings {
		t.Run(codings[i].name, func(t *testing.T) { f(t, &codings[i]) })
	}
}

// Each update can be read when it has come, before the next one exists.
func TestACompressedPageIsReadAsItComes(t *testing.T) {
	onEveryNetwork(t, func(t *testing.T, network string) {
		forEachCoding(t, func(t *testing.T, c *coding) { readsAsItComes(t, network, c.name) })
	})
}

func readsAsItComes(t *testing.T, network, coding string) {
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
		c.ask("GET /", "Accept-Encoding: "+coding)
		if answer := c.head(); answer.Header.Get("Content-Encoding") != coding || answer.Header.Get("Vary") != "Accept-Encoding" {
			t.Fatalf("%v", answer.Header)
		}
		chunks := bufio.NewReader(httputil.NewChunkedReader(c.r))
		body, err := decoders[coding](chunks)
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
		if more, err := io.ReadAll(chunks); len(more) > 0 || err != nil {
			t.Errorf("behind its end stands %q, %v", more, err)
		}
		if line, _ := c.r.ReadString('\n'); line != "\r\n" {
			t.Errorf("the chunks end with %q", line)
		}
	}
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

// compressed is a session of source whose body is compressed.
func compressed(c *coding, source Source) *session {
	return &session{Response: Response{Transport: plain{}, Source: source}, path: "/page", server: context.Background(), coding: c}
}

// What is cut off has no end that looks whole.
func TestACompressedPageThatIsCutHasNoEnd(t *testing.T) {
	forEachCoding(t, func(t *testing.T, c *coding) {
		w := new(wire)
		compressed(c, func(ctx context.Context, page *Page) error {
			page.Send(Remove("a"))
			page.gone()
			return errors.New("gone")
		}).run(w)
		body, err := decoders[c.name](strings.NewReader(strings.Join(w.take(), "")))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(body); string(got) != "([remove a])" || err == nil {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// Text of every length, which repeats what is near and far, comes out as it went
// in.
func TestWhatIsCompressedComesOutAgain(t *testing.T) {
	forEachCoding(t, func(t *testing.T, c *coding) {
		random := rand.New(rand.NewPCG(1, 2))
		var want []byte
		w := new(wire)
		compressed(c, func(ctx context.Context, page *Page) error {
			for _, n := range []int{1, 2, gzipPast - 1, 3, gzipPast, gzipPast + 1, 10, 30_000, 40_000, 70_000, 5, 200_000, 1} {
				from := len(want)
				for range (n + 1) / 2 {
					want = append(want, byte('a'+random.IntN(26)))
				}
				for len(want)-from < n {
					want = append(want, want[random.IntN(len(want))])
				}
				text := want[from:]
				if err := page.Render(view(func(to io.Writer) { to.Write(text) })); err != nil {
					return err
				}
			}
			return nil
		}).run(w)
		body, err := decoders[c.name](strings.NewReader(strings.Join(w.take(), "")))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(body); string(got) != string(want)+"([done ])" || err != nil {
			t.Errorf("%d bytes come out, %v, want %d", len(got), err, len(want))
		}
	})
}

// BenchmarkCompress is one update of 150 bytes in a page that is compressed.
func BenchmarkCompress(b *testing.B) {
	for i := range codings {
		b.Run(codings[i].name, func(b *testing.B) {
			b.ReportAllocs()
			c := codings[i].compressor(io.Discard)
			defer c.end(true)
			random := rand.New(rand.NewPCG(1, 2))
			text := make([]byte, 150)
			for b.Loop() {
				for k := range 10 {
					text[random.IntN(len(text))] = byte('a' + k)
				}
				c.Write(text)
			}
		})
	}
}
