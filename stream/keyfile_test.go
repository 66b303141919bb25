package stream

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const (
	oldKey = "old-key-0123456789"
	newKey = "new-key-0123456789"
)

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestKeysAreRotatedWhileTheFileIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "keys")
		writeFile(t, path, "# ours\n\n"+oldKey+"\r\n")
		var log records
		p := &Publisher{Hub: new(Hub), Keys: []string{"fixed"}, KeyFile: &KeyFile{Path: path, Log: log.logger()}}
		want := func(key string, status int) {
			t.Helper()
			if response := post(p, "log", "text/plain", "a", "Authorization: Bearer "+key); response.StatusCode() != status {
				t.Errorf("%s: %d, want %d", key, response.StatusCode(), status)
			}
		}
		want(oldKey, 201)
		want(newKey, 401)
		want("fixed", 201)
		want("# ours", 401)

		writeFile(t, path, oldKey+"\n  "+newKey+"  ")
		want(newKey, 401) // it is read once a second
		time.Sleep(time.Second)
		want(newKey, 201)
		want(oldKey, 201)

		writeFile(t, path, newKey+"\n")
		time.Sleep(time.Second)
		want(newKey, 201)
		want(oldKey, 401)
		want("fixed", 201)
		log.want(t)
	})
}

func TestAWrongKeyFileLeavesTheKeysAsTheyWere(t *testing.T) {
	for name, test := range map[string]struct{ text, says string }{
		"empty":         {"", "it has no key"},
		"comments only": {"# nothing\n\n", "it has no key"},
		"short":         {newKey + "\n" + "secret\n", "line 2: a key has at least 16"},
		"with a blank":  {"two words in a line\n", "line 1: a key has"},
		"binary":        {"\x00\x01\xff0123456789abcdef\n", "line 1: a key has"},
		"large":         {strings.Repeat(newKey+"\n", 100_000), "more than 1048576 bytes"},
		"gone":          {"", "no such file"},
	} {
		synctest.Test(t, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "keys")
			writeFile(t, path, oldKey)
			var log records
			f := &KeyFile{Path: path, Log: log.logger()}
			if err := f.Load(); err != nil {
				t.Fatal(err)
			}
			writeFile(t, path, test.text)
			if name == "gone" {
				os.Remove(path)
			}
			for range 3 {
				time.Sleep(time.Second)
				if keys := f.Keys(); !slices.Equal(keys, []string{oldKey}) {
					t.Errorf("%s: the keys are %q", name, keys)
				}
			}
			log.want(t, "key file: the keys stay as they were|"+test.says)
			if text := log.all()[0]; strings.Contains(text, "secret") || strings.Contains(text, newKey) {
				t.Errorf("%s: the log has what is in the file: %s", name, text)
			}
			if err := f.Load(); err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%s: %v", name, err)
			}
			writeFile(t, path, newKey)
			time.Sleep(time.Second)
			if keys := f.Keys(); !slices.Equal(keys, []string{newKey}) {
				t.Errorf("%s: then the keys are %q", name, keys)
			}
		})
	}
}

func TestAKeyFileIsForManyAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	writeFile(t, path, oldKey)
	p := &Publisher{Hub: new(Hub), KeyFile: &KeyFile{Path: path}}
	var publishing sync.WaitGroup
	for range 8 {
		publishing.Go(func() {
			for range 100 {
				if response := post(p, "log", "text/plain", "a", "Authorization: Bearer "+oldKey); response.StatusCode() != 201 {
					t.Error(response.StatusCode())
				}
			}
		})
	}
	publishing.Wait()
}

func TestRatesForgetThoseThatAreWholeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r rates
		for i := range 3 * maxAllowances {
			r.take(formatID(uint64(i)), 1, 1, 1)
			if i%maxAllowances == maxAllowances-1 {
				time.Sleep(time.Second)
			}
		}
		if n := len(r.left); n > maxAllowances {
			t.Errorf("%d are kept", n)
		}
	})
}
