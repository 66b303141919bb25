package serve

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// keyPair returns a certificate for 127.0.0.1 with a serial number, and its key,
// in PEM.
func keyPair(t *testing.T, serial int64) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
}

// files are where a certificate and its key are.
type files struct{ cert, key string }

func newFiles(t *testing.T) files {
	dir := t.TempDir()
	return files{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
}

// write writes a file that is age old: a test's files follow each other faster
// than some file systems tell apart.
func write(t *testing.T, name string, content []byte, age time.Duration) {
	t.Helper()
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(-age)
	if err := os.Chtimes(name, at, at); err != nil {
		t.Fatal(err)
	}
}

func TestACertificateIsReadAgainWhenItsFilesChange(t *testing.T) {
	cert1, key1 := keyPair(t, 1)
	cert2, key2 := keyPair(t, 2)
	f := newFiles(t)
	var log bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	defer slog.SetDefault(before)
	synctest.Test(t, func(t *testing.T) {
		write(t, f.cert, cert1, 5*time.Hour)
		write(t, f.key, key1, 5*time.Hour)
		c, err := loadCertificate(f.cert, f.key)
		if err != nil {
			t.Fatal(err)
		}
		want := func(when string, serial int64, errors, news int) {
			t.Helper()
			for range 3 { // it looks once
				pair, err := c.get(nil)
				if err != nil || pair.Leaf.SerialNumber.Int64() != serial {
					t.Errorf("%s: certificate %d, %v, want number %d", when, pair.Leaf.SerialNumber, err, serial)
				}
			}
			if e, n := strings.Count(log.String(), "level=ERROR"), strings.Count(log.String(), "level=INFO"); e != errors || n != news {
				t.Errorf("%s: %d errors and %d changes are logged, want %d and %d: %s", when, e, n, errors, news, &log)
			}
			log.Reset()
		}
		want("at first", 1, 0, 0)
		write(t, f.cert, cert2, 4*time.Hour)
		want("within a second", 1, 0, 0)
		time.Sleep(time.Second)
		want("in the middle of a change", 1, 1, 0)
		time.Sleep(time.Hour)
		want("still in the middle", 1, 0, 0)
		write(t, f.key, key2, 3*time.Hour)
		time.Sleep(time.Second)
		want("after a change", 2, 0, 1)
		os.Remove(f.key)
		time.Sleep(time.Second)
		want("without a key", 2, 1, 0)
		write(t, f.key, []byte("nonsense"), 2*time.Hour)
		time.Sleep(time.Second)
		want("with nonsense", 2, 1, 0)
		write(t, f.cert, cert1, time.Hour)
		write(t, f.key, key1, time.Hour)
		time.Sleep(time.Second)
		want("as at first", 1, 0, 1)
	})
}

func TestTLSNeedsBothFilesAndThatTheyFit(t *testing.T) {
	cert, _ := keyPair(t, 1)
	_, key := keyPair(t, 2)
	f := newFiles(t)
	write(t, f.cert, cert, 0)
	write(t, f.key, key, 0)
	for _, test := range []struct{ cert, key, says string }{
		{f.cert, "", "--tls-key"},
		{"", f.key, "--tls-cert"},
		{f.cert, "nowhere.pem", "no such file"},
		{f.cert, f.key, "does not match"},
		{f.key, f.key, "in PEM"},
	} {
		c := Command{Listen: "127.0.0.1:0", TLSCert: test.cert, TLSKey: test.key}
		if err := c.Run(t.Context()); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%q and %q: %v, want %q in it", test.cert, test.key, err, test.says)
		}
	}
}

// output returns what is printed while run runs, line by line.
func output(t *testing.T, run func()) *lines {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout := os.Stdout
	os.Stdout = w
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		run()
	}()
	t.Cleanup(func() {
		<-ended
		os.Stdout = stdout
		r.Close()
		w.Close()
	})
	return &lines{r}
}

type lines struct{ io.Reader }

// until reads until text has come.
func (l *lines) until(t *testing.T, text string) string {
	t.Helper()
	var all []byte
	for b := make([]byte, 1); !strings.Contains(string(all), text); all = append(all, b...) {
		if _, err := l.Read(b); err != nil {
			t.Fatalf("%v after %q", err, all)
		}
	}
	return string(all)
}

func TestTheServerSpeaksTLSIfItHasACertificate(t *testing.T) {
	cert, key := keyPair(t, 1)
	f := newFiles(t)
	write(t, f.cert, cert, 0)
	write(t, f.key, key, 0)
	ctx, stop := context.WithCancel(t.Context())
	printed := output(t, func() {
		c := Command{Listen: "127.0.0.1:0", TLSCert: f.cert, TLSKey: f.key, Drain: time.Second}
		if err := c.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop) // before that of output
	_, address, _ := strings.Cut(printed.until(t, "/demo/hello"), "https://")
	address, _, _ = strings.Cut(address, "\n")
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	defer client.CloseIdleConnections()
	answer, err := client.Get("https://" + address + "/demo/job?n=3&delay=0s")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || !strings.Contains(string(body), "ev-3-") {
		t.Errorf("%v, %q", err, body)
	}
}
