package serve

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// The example that deploy/start starts works over HTTP/2: a stream is not
// buffered, and what is killed comes back. It leaves nothing when it ends.
func TestTheExampleOfADeployment(t *testing.T) {
	for _, program := range []string{"nginx", "openssl", "curl"} {
		_, err := exec.LookPath(program)
		if _, sbin := os.Stat("/usr/sbin/" + program); err != nil && sbin != nil {
			if os.Getenv("CI") != "" {
				t.Fatalf("%s is not installed", program)
			}
			t.Skipf("%s is not installed", program)
		}
	}
	first := 20_000 + rand.IntN(10_000)
	script := exec.Command("../deploy/start")
	script.Env = append(os.Environ(), "KEY=key", fmt.Sprint("FIRST=", first), fmt.Sprint("PORT=", first+9))
	script.Stderr = os.Stderr
	out, err := script.StdoutPipe()
	if err == nil {
		err = script.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { script.Process.Signal(syscall.SIGTERM); script.Wait() }()
	var directory string
	for lines := bufio.NewScanner(out); directory == "" && lines.Scan(); {
		if _, rest, ok := strings.Cut(lines.Text(), "logs are in "); ok {
			directory = strings.TrimSuffix(rest, ":")
		}
	}
	if directory == "" {
		t.Fatalf("it ends: %v", script.Wait())
	}
	pids := pidsIn(t, directory)
	url := fmt.Sprintf("https://127.0.0.1:%d/feeds/log", first+9)
	browser := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}}
	publish := func(text string) bool {
		req, _ := http.NewRequest("POST", url, strings.NewReader(text))
		req.Header = http.Header{"Authorization": {"Bearer key"}, "Content-Type": {"text/plain"}, "Idempotency-Key": {text}}
		answer, err := browser.Do(req)
		if err != nil {
			return false
		}
		answer.Body.Close()
		return answer.StatusCode == http.StatusCreated
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	for n := range 3 {
		text := fmt.Sprint("event-", n)
		req, _ := http.NewRequestWithContext(ctx, "GET", url+"?after=0", nil)
		req.Header.Set("Accept", "text/event-stream")
		answer, err := browser.Do(req)
		if err != nil || answer.StatusCode != http.StatusOK || answer.ProtoMajor != 2 {
			t.Fatalf("the feed: %v, %v", answer, err)
		}
		waitFor(t, "an acknowledgement", func() bool { return publish(text) })
		lines := bufio.NewScanner(answer.Body)
		for lines.Scan() && lines.Text() != "data: "+text {
		}
		if lines.Err() != nil || lines.Text() != "data: "+text {
			t.Errorf("%q does not come: %v", text, lines.Err())
		}
		answer.Body.Close()
		for _, name := range [][]string{{"nats1", "foreverframe2"}, {"foreverframe1"}, nil}[n] {
			syscall.Kill(pids[name], syscall.SIGKILL)
			waitFor(t, name, func() bool { pid := pidsIn(t, directory)[name]; return pid != 0 && pid != pids[name] })
		}
		waitFor(t, "readiness", func() bool {
			answer, err := browser.Get(strings.Replace(url, "/feeds/log", "/readyz", 1))
			if err != nil {
				return false
			}
			io.Copy(io.Discard, answer.Body)
			answer.Body.Close()
			return answer.StatusCode == http.StatusOK
		})
	}
	pids = pidsIn(t, directory)
	script.Process.Signal(syscall.SIGTERM)
	script.Wait()
	for name, pid := range pids {
		if syscall.Kill(pid, 0) == nil {
			t.Errorf("%s is still there", name)
		}
	}
	if _, err := os.Stat(directory); err == nil || len(pids) != 7 {
		t.Errorf("the directory is still there, or not all ran: %v", pids)
	}
}

// pidsIn returns the numbers of the processes whose files are in directory.
func pidsIn(t *testing.T, directory string) map[string]int {
	files, err := filepath.Glob(filepath.Join(directory, "*.pid"))
	if err != nil {
		t.Fatal(err)
	}
	pids := make(map[string]int)
	for _, file := range files {
		text, _ := os.ReadFile(file)
		pids[strings.TrimSuffix(filepath.Base(file), ".pid")], _ = strconv.Atoi(strings.TrimSpace(string(text)))
	}
	return pids
}
