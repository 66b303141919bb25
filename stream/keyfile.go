package stream

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"
)

// A KeyFile is a file of keys, one a line, which may change while it is used:
// keys are rotated by adding the new one, giving it to those who publish, and
// taking the old one away. Blank lines and those that begin with '#' are none. A
// key has at least 16 visible ASCII characters, so that no part of a line that
// is being written can be guessed. Set the fields and do not copy it afterwards.
// Its methods may be called by several goroutines at once.
type KeyFile struct {
	// Path is the file's name.
	Path string
	// Log receives why the file cannot be used any more, once for each reason.
	// Nil means slog.Default().
	Log *slog.Logger

	mu    sync.Mutex // guards the rest
	keys  []string
	asked time.Time // when the file was read last
	wrong string    // what was wrong with it
}

const (
	minKey       = 16      // characters
	maxKeyFile   = 1 << 20 // bytes
	keyFileEvery = time.Second
)

// Load reads the file, and returns what is wrong with it: a file that cannot be
// read, or without a key.
func (f *KeyFile) Load() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.load()
}

// Keys returns the keys. The file is read again if it has not been for a
// second; one that is wrong leaves the keys as they are.
func (f *KeyFile) Keys() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.asked) < keyFileEvery {
		return f.keys
	}
	wrong := ""
	if err := f.load(); err != nil {
		wrong = err.Error()
	}
	if wrong != f.wrong && wrong != "" {
		f.logger().Error("key file: the keys stay as they were", "err", wrong)
	}
	f.wrong = wrong
	return f.keys
}

func (f *KeyFile) load() error {
	f.asked = time.Now()
	text, err := readKeyFile(f.Path)
	if err != nil {
		return err
	}
	keys, err := parseKeys(text)
	if err != nil {
		return fmt.Errorf("%s: %w", f.Path, err)
	}
	f.keys = keys
	return nil
}

func (f *KeyFile) logger() *slog.Logger {
	if f.Log != nil {
		return f.Log
	}
	return slog.Default()
}

func readKeyFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxKeyFile+1))
	if err == nil && len(text) > maxKeyFile {
		err = fmt.Errorf("%s: it has more than %d bytes", path, maxKeyFile)
	}
	return text, err
}

// parseKeys returns the keys in text. Errors name lines and not what they hold.
func parseKeys(text []byte) (keys []string, err error) {
	number := 0
	for line := range bytes.Lines(text) {
		number++
		line = bytes.TrimSpace(line)
		switch {
		case len(line) == 0 || line[0] == '#':
		case !isKey(line):
			return nil, fmt.Errorf("line %d: a key has at least %d visible ASCII characters and no blank", number, minKey)
		default:
			keys = append(keys, string(line))
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("it has no key: write one a line")
	}
	return keys, nil
}

func isKey(line []byte) bool {
	for _, c := range line {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return len(line) >= minKey
}
