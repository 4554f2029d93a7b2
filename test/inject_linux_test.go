package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// faulty runs the server under strace, which injects that fault and writes down the calls of that name.
func faulty(t *testing.T, v variant, inject string, flags ...string) (s *server, trace string) {
	t.Helper()
	strace := tool(t, "strace")
	root := t.TempDir()
	write(t, root, "small", []byte("small"))
	trace = filepath.Join(t.TempDir(), "trace")
	call, _, _ := strings.Cut(inject, ":")
	// -D: the server is our child and strace its own, which needs no right to trace others.
	args := []string{"-D", "-f", "-q", "-e", "trace=" + call, "-e", "signal=none", "-e", "inject=" + inject, "-o", trace,
		binary, "serve", root, "--listen", "127.0.0.1:0", "--io-model", v.model, "--trigger", v.trigger, "--access-log", "off", "--loops", "1"}
	s = launch(t, exec.Command(strace, append(args, flags...)...))
	t.Cleanup(func() { s.stop(t) })
	return s, trace
}

// TestAcceptFails: an error of accept4 that is not the new connection's own neither has the server spin nor makes it
// deaf: it is said with its cause, and accepting is tried again until it works.
func TestAcceptFails(t *testing.T) {
	for _, v := range []variant{{"epoll", "edge"}, {"blocking", "auto"}} {
		for errno, cause := range map[string]string{"EPERM": "operation not permitted", "EIO": "input/output error"} {
			t.Run(v.String()+","+errno, func(t *testing.T) {
				t.Parallel()
				const fails = 5 // the last of them is followed by a rest of 160 ms
				s, trace := faulty(t, v, fmt.Sprintf("accept4:error=%s:when=1..%d", errno, fails))
				got := s.get(t, "/small")
				if got.status != 200 {
					t.Error(got.status)
				}
				if said := s.stderr.String(); !strings.Contains(said, "accepting fails") || !strings.Contains(said, cause) {
					t.Errorf("it is not said:\n%s", said)
				}
				s.stop(t)
				text, err := os.ReadFile(trace)
				must(t, err)
				if n := strings.Count(string(text), "accept4("); n > 200 {
					t.Errorf("%d calls", n)
				}
			})
		}
	}
}
