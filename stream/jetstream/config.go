package jetstream

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// A Config says where NATS is, and how the stream is to be.
type Config struct {
	// URL is the address of a server, or of several with commas between them:
	// "nats://127.0.0.1:4222".
	URL string
	// Credentials is a file with a user's JWT and key, as "nsc" makes it. Empty
	// means none; a name and a password, or a token, may be in URL.
	Credentials string
	// CA is a file with the certificates that those of the servers are checked
	// with. Empty means those of the system.
	CA string
	// Cert and Key are files with a certificate for the servers to check. Empty
	// means none.
	Cert, Key string

	// Stream is the name of the stream. Empty means "foreverframe".
	Stream string
	// Subject is what the subjects begin with. Empty means "foreverframe".
	Subject string
	// Replicas is the number of servers that keep the stream. Zero means 3; a
	// single server can have 1 only.
	Replicas int
	// PerTopic is the number of events kept of each topic. Zero means 1024.
	PerTopic int
	// MaxAge, MaxBytes and MaxMessages bound what the stream keeps of all topics
	// together; the oldest goes first. Zero means any.
	MaxAge      time.Duration
	MaxBytes    int64
	MaxMessages int64
}

const (
	defaultName     = "foreverframe"
	defaultReplicas = 3
	defaultPerTopic = 1024
)

// complete returns c with its defaults.
func (c Config) complete() Config {
	if c.Stream == "" {
		c.Stream = defaultName
	}
	if c.Subject == "" {
		c.Subject = defaultName
	}
	if c.Replicas == 0 {
		c.Replicas = defaultReplicas
	}
	if c.PerTopic == 0 {
		c.PerTopic = defaultPerTopic
	}
	return c
}

// check returns nil if the names can be those of a stream and of subjects.
func (c Config) check() error {
	if c.Stream == "" || strings.ContainsAny(c.Stream, " \t\r\n.*>/\\") || len(c.Stream) > 100 {
		return fmt.Errorf("the stream's name %q: it has 1 to 100 characters other than blanks, '.', '*', '>', '/' and '\\'", c.Stream)
	}
	for token := range strings.SplitSeq(c.Subject, ".") {
		if token == "" || strings.ContainsAny(token, " \t\r\n*>") || len(c.Subject) > 100 || strings.HasPrefix(c.Subject, "$") {
			return fmt.Errorf("the subject %q: it has at most 100 characters, words with a '.' between them, and neither blanks nor '*' nor '>' nor a '$' at its begin", c.Subject)
		}
	}
	return nil
}

// secure returns how this process shows who it is, and makes sure who the servers
// are.
func (c Config) secure() (options []nats.Option, err error) {
	for _, file := range []string{c.Credentials, c.CA, c.Cert, c.Key} {
		if file == "" {
			continue
		}
		if _, err := os.Stat(file); err != nil {
			return nil, err
		}
	}
	if (c.Cert == "") != (c.Key == "") {
		return nil, errors.New("a certificate needs a key, and a key a certificate")
	}
	if c.Credentials != "" {
		options = append(options, nats.UserCredentials(c.Credentials))
	}
	if c.CA != "" {
		options = append(options, nats.RootCAs(c.CA))
	}
	if c.Cert != "" {
		options = append(options, nats.ClientCert(c.Cert, c.Key))
	}
	return options, nil
}

// The subjects. A topic's name becomes one word: NATS has a meaning for dots, and
// takes none at the ends or next to each other.

func (c Config) feed(topic string) string { return c.Subject + ".feed." + word(topic) }

func (c Config) live(topic string) string { return c.Subject + ".live." + word(topic) }

// mark is the subject of a message that is always there, see lasts.
func (c Config) mark() string { return c.Subject + ".mark" }

func word(topic string) string { return strings.ReplaceAll(topic, ".", ":") }
