package serve

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

const aKey = "0123456789abcdef0123456789abcdef"

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestWrongCredentialsEndTheStartWithAReason(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	for _, test := range []struct {
		command Command
		says    string
	}{
		{Command{CORSOrigin: []string{"https://a.example", "*"}}, `--cors-origin: the origin "*": any page could read`},
		{Command{CORSOrigin: []string{"a.example"}}, `--cors-origin: the origin "a.example": it must be a scheme and a host`},
		{Command{PublishKeyFile: missing}, "--publish-key-file: open "},
		{Command{PublishKeyFile: file(t, "short\n")}, "line 1: a key has at least 16"},
		{Command{JWTKeyFile: missing}, "--jwt-key-file: open "},
		{Command{JWTKeyFile: file(t, "short")}, "the secret has 5 bytes"},
		{Command{JWTKey: "short"}, "the secret has 5 bytes"},
		{Command{JWTKey: aKey, JWTKeyFile: file(t, aKey)}, "give one of them"},
	} {
		_, err := test.command.site()
		if err == nil || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), aKey) {
			t.Errorf("%v, want %q", err, test.says)
		}
	}
}

// A random key is for those who have said nothing of keys: nobody else is told it.
func TestARandomKeyIsMadeOnlyIfNobodyMayPublishOtherwise(t *testing.T) {
	for name, test := range map[string]struct {
		command Command
		keys    int
	}{
		"nothing":    {Command{}, 1},
		"keys":       {Command{PublishKey: []string{"a", "b"}}, 2},
		"a key file": {Command{PublishKeyFile: file(t, aKey)}, 0},
		"tokens":     {Command{JWTKey: aKey, JWTAudience: "us"}, 0},
		"both":       {Command{PublishKey: []string{"a"}, PublishKeyFile: file(t, aKey)}, 1},
	} {
		site, err := test.command.site()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(site.Keys) != test.keys || (site.KeyFile != nil) != (test.command.PublishKeyFile != "") || (site.Tokens != nil) != (test.command.JWTKey != "") {
			t.Errorf("%s: %d keys, %v, %v", name, len(site.Keys), site.KeyFile, site.Tokens)
		}
	}
}

func TestEveryFlagIsAnEnvironmentVariable(t *testing.T) {
	seen := make(map[string]bool)
	for _, command := range []any{Command{}, Pipe{}, brokerFlags{}} {
		for _, field := range reflect.VisibleFields(reflect.TypeOf(command)) {
			if _, flags := field.Tag.Lookup("embed"); flags || field.Anonymous {
				continue
			}
			if name := field.Tag.Get("env"); !strings.HasPrefix(name, "FOREVERFRAME_") {
				t.Errorf("%T.%s has the variable %q", command, field.Name, name)
			} else {
				seen[name] = true
			}
		}
	}
	if !seen["FOREVERFRAME_NATS"] {
		t.Error("--nats is none of them")
	}
}
