package clients

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"foreverframe/bench/client"

	r3labs "github.com/r3labs/sse/v2"
	tmaxmax "github.com/tmaxmax/go-sse"
	"gopkg.in/cenkalti/backoff.v1"
)

// An event is what a client tells of one. A plain message has the name "message".
type event struct{ ID, Name, Data string }

// A listener listens at url until ctx is done, connects again when it has to, and
// calls heard for each event.
type listener func(ctx context.Context, url string, heard func(event)) error

// listeners are the clients, each made for one test.
var listeners = []struct {
	name string
	make func(t *testing.T) listener
}{
	{"curl", curl},
	{"eventsource", eventSource},
	{"go-sse", goSSE},
	{"r3labs", r3labsSSE},
}

// tool returns the path of a program. In CI a missing one is a failure.
func tool(t *testing.T, name, from string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		missing(t, "%s is not installed: %s has it", name, from)
	}
	return path
}

func missing(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// pause is how long the clients that do not take retry from the server wait
// before they connect again.
const pause = 50 * time.Millisecond

// curl is the command-line program, asked again with the last id when it ends, as
// a shell script would. What it prints is read as the standard says.
func curl(t *testing.T) listener {
	path := tool(t, "curl", "your system's package curl")
	return func(ctx context.Context, url string, heard func(event)) error {
		var source client.EventSource
		for ctx.Err() == nil {
			command := exec.CommandContext(ctx, path, "-sN", "-H", "Accept: text/event-stream", "-H", "Last-Event-ID: "+source.LastEventID, url)
			err := output(command, func(stdout io.Reader) error {
				return source.Read(stdout, func(e client.Event) error {
					heard(fromStandIn(source.LastEventID, e))
					return nil
				})
			})
			if err != nil && ctx.Err() == nil && !errors.As(err, new(*exec.ExitError)) {
				return err
			}
			time.Sleep(pause)
		}
		return nil
	}
}

// fromStandIn undoes what the stand-in makes of an event: our own actions.
func fromStandIn(id string, e client.Event) event {
	if e.Action == "emit" {
		return event{id, e.Target, e.HTML}
	}
	return event{id, e.Action, e.Target + e.HTML}
}

// output runs command and lets read read its standard output.
func output(command *exec.Cmd, read func(io.Reader) error) error {
	command.Stderr = os.Stderr
	stdout, err := command.StdoutPipe()
	if err != nil {
		return err
	}
	if err := command.Start(); err != nil {
		return err
	}
	readErr := read(stdout)
	return errors.Join(readErr, command.Wait())
}

// eventSource is the npm package, installed as package-lock.json says.
func eventSource(t *testing.T) listener {
	node := tool(t, "node", "your system's package nodejs, from 20 on,")
	npm := tool(t, "npm", "your system's package npm")
	directory := t.TempDir()
	for _, name := range []string{"package.json", "package-lock.json", "eventsource.js"} {
		text, err := os.ReadFile(name)
		if err == nil {
			err = os.WriteFile(filepath.Join(directory, name), text, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	install := exec.CommandContext(t.Context(), npm, "ci", "--prefer-offline", "--no-audit", "--no-fund", "--silent")
	install.Dir = directory
	if said, err := install.CombinedOutput(); err != nil {
		missing(t, "npm cannot install eventsource: %v\n%s", err, said)
	}
	return func(ctx context.Context, url string, heard func(event)) error {
		command := exec.CommandContext(ctx, node, filepath.Join(directory, "eventsource.js"), url)
		return output(command, func(stdout io.Reader) error {
			lines := bufio.NewScanner(stdout)
			for lines.Scan() {
				var e event
				if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
					return err
				}
				heard(e)
			}
			return lines.Err()
		})
	}
}

// goSSE is github.com/tmaxmax/go-sse. Though it says that it never does, its
// Connect returns nil when a stream ends behind a heartbeat; it goes on when it
// is called again.
func goSSE(*testing.T) listener {
	return func(ctx context.Context, url string, heard func(event)) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		source := (&tmaxmax.Client{Backoff: tmaxmax.Backoff{InitialInterval: pause, Multiplier: 1}}).NewConnection(req)
		source.SubscribeToAll(func(e tmaxmax.Event) { whole(event{e.LastEventID, e.Type, e.Data}, heard) })
		for ctx.Err() == nil {
			if err := source.Connect(); err != nil {
				return err
			}
		}
		return nil
	}
}

// r3labsSSE is github.com/r3labs/sse. It returns when a stream ends, and has to be
// asked to go on.
func r3labsSSE(*testing.T) listener {
	return func(ctx context.Context, url string, heard func(event)) error {
		source := r3labs.NewClient(url)
		source.ReconnectStrategy = backoff.NewConstantBackOff(pause)
		for ctx.Err() == nil {
			err := source.SubscribeRawWithContext(ctx, func(e *r3labs.Event) {
				whole(event{string(e.ID), string(e.Event), string(e.Data)}, heard)
			})
			if err != nil && ctx.Err() == nil {
				return err
			}
		}
		return nil
	}
}

// whole passes e on to heard. Of a stream that ends before its first event, with
// the retry field only, go-sse and r3labs make an event without name and data,
// which the standard drops.
func whole(e event, heard func(event)) {
	if e.Name == "" && e.Data == "" {
		return
	}
	if e.Name == "" {
		e.Name = "message"
	}
	heard(e)
}
