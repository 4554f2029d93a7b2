package faults_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/evhttpd/evhttpd/internal/testkit"
	"github.com/evhttpd/evhttpd/test/faults"
)

// TestCallsOfTheSuite runs the end-to-end tests with every process of theirs behind a filter that asks for the calls
// which the matrix does not know: what the server alone makes of these has to have a row.
func TestCallsOfTheSuite(t *testing.T) {
	able(t)
	if !whole() {
		testkit.Skip(t, "EVHTTPD_TEST=faults")
	}
	allowed := faults.Unasked()
	for _, r := range rows {
		allowed = append(allowed, r.call)
	}
	for _, c := range changes {
		allowed = append(allowed, c.call)
	}
	slices.Sort(allowed)
	program := filepath.Join(t.TempDir(), "suite.test")
	out, err := testkit.Command("go", "test", "-c", "-o", program, "..").CombinedOutput()
	if err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	var mu sync.Mutex
	missing := make(map[int]string)
	cmd := testkit.Command(program, "-test.timeout", "40m")
	cmd.Dir = ".."
	cmd.Env = append(os.Environ(), "EVHTTPD_TEST=")
	var said testkit.Transcript
	cmd.Stdout, cmd.Stderr = &said, &said
	super, err := faults.Watch(cmd, slices.Compact(allowed), func(c *faults.Call) {
		if c.Number < 0 { // strace(1) has put it in a call's place
			return
		}
		if line := serverBehind(c.Thread); line != "" {
			mu.Lock()
			missing[c.Number] = line
			mu.Unlock()
		}
	})
	testkit.Must(t, err)
	if err := cmd.Wait(); err != nil {
		t.Errorf("the end-to-end tests: %v:\n%s", err, tail(said.String()))
	}
	<-super.Ended()
	mu.Lock()
	defer mu.Unlock()
	for number, by := range missing {
		t.Errorf("%s makes system call %d, which has no row in the matrix and is no exception", by, number)
	}
}

// serverBehind is the command of a thread that is a server's, which the tests build under that name; "": it is not.
func serverBehind(thread int) string {
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", thread))
	if err != nil || filepath.Base(exe) != "evhttpd" {
		return ""
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", thread))
	words := strings.Split(strings.TrimRight(string(text), "\x00"), "\x00")
	if err != nil || len(words) < 2 || slices.Contains(others, words[1]) {
		return ""
	}
	return strings.Join(words, " ")
}

// others are the commands of the program that serve nothing.
var others = []string{"bench", "lab", "models", "healthcheck", "config", "check", "man", "version", "completion"}
