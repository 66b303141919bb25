package serve

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// A certificate is a certificate and its key in two files, which may change
// while the server runs. Its functions may be called by several goroutines at
// once.
type certificate struct {
	certFile, keyFile string

	mu     sync.Mutex // guards the rest
	pair   *tls.Certificate
	state  [2]fileState // of the files when they were last read
	looked time.Time    // when the files were last looked at
}

// A fileState changes when its file does.
type fileState struct {
	modified time.Time
	size     int64
}

// loadCertificate returns the certificate in two files, with its chain, in PEM.
func loadCertificate(certFile, keyFile string) (*certificate, error) {
	switch {
	case certFile == "":
		return nil, errors.New("--tls-key needs --tls-cert: the file with the certificate")
	case keyFile == "":
		return nil, errors.New("--tls-cert needs --tls-key: the file with the certificate's key")
	}
	c := &certificate{certFile: certFile, keyFile: keyFile}
	c.changed()
	if err := c.load(); err != nil {
		return nil, err
	}
	return c, nil
}

// config returns a configuration for a server that has the certificate.
func (c *certificate) config() *tls.Config {
	return &tls.Config{GetCertificate: c.get, NextProtos: []string{"http/1.1"}}
}

// get is a GetCertificate. Once a second it looks whether the files have changed;
// while they cannot be read as a pair, as in the middle of a change, it returns
// the pair before.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.looked) >= time.Second {
		c.looked = now
		if c.changed() {
			c.reload()
		}
	}
	return c.pair, nil
}

// changed reports whether the files are others than the last time.
func (c *certificate) changed() bool {
	before := c.state
	for i, name := range []string{c.certFile, c.keyFile} {
		c.state[i] = fileState{}
		if info, err := os.Stat(name); err == nil {
			c.state[i] = fileState{info.ModTime(), info.Size()}
		}
	}
	return c.state != before
}

func (c *certificate) reload() {
	if err := c.load(); err != nil {
		slog.Error("the certificate stays as it was", "err", err)
		return
	}
	slog.Info("the certificate is a new one", "file", c.certFile, "until", c.pair.Leaf.NotAfter)
}

func (c *certificate) load() error {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("--tls-cert %s, --tls-key %s: %w: they must be a certificate, with its chain, and its key, in PEM", c.certFile, c.keyFile, err)
	}
	c.pair = &pair
	return nil
}
