package test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// command runs evhttpd to its end.
func command(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := testkit.Command(binary, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	stop := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	defer stop.Stop()
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// TestCommandLineErrors: bad input gets one clear line that names it, exit 2
// for usage and configuration, 1 for what fails at run time.
func TestCommandLineErrors(t *testing.T) {
	root := t.TempDir()
	write(t, root, "file", []byte(hello))
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().String()
	missing := filepath.Join(root, "none", "s")
	serve := func(args ...string) []string {
		return append([]string{"serve", root, "--listen", "127.0.0.1:0"}, args...)
	}
	for _, c := range []struct {
		name string
		args []string
		code int
		says []string
	}{
		{"unknown flag", serve("--frobnicate"), 2, []string{"--frobnicate"}},
		{"flag without its value", []string{"serve", root, "--listen"}, 2, []string{"listen"}},
		{"two roots", []string{"serve", root, root}, 2, nil},
		{"no such root", []string{"serve", filepath.Join(root, "none")}, 2, []string{filepath.Join(root, "none"),
			"no "}},
		{"root is a file", []string{"serve", filepath.Join(root, "file")}, 2, []string{filepath.Join(root, "file"),
			"director"}},
		{"port in use", []string{"serve", root, "--listen", port}, 1, []string{port, "in use"}},
		{"address without a port", []string{"serve", root, "--listen", "nowhere"}, 2, []string{"nowhere"}},
		{"port out of range", []string{"serve", root, "--listen", "127.0.0.1:99999"}, 2, []string{"99999"}},
		{"port that is no number", []string{"serve", root, "--listen", "127.0.0.1:http!"}, 2, []string{"http!"}},
		{"address of another machine", []string{"serve", root, "--listen", "192.0.2.1:8080"}, 1,
			[]string{"192.0.2.1:8080"}},
		{"unknown model", serve("--io-model", "quantum"), 2, []string{"quantum", variants()[0].Model}},
		{"unknown trigger", serve("--trigger", "sideways"), 2, []string{"sideways", "edge", "level"}},
		{"no number of loops", serve("--loops", "many"), 2, []string{"many", "loops"}},
		{"no loops", serve("--loops", "0"), 2, []string{"loops"}},
		{"unknown accept", serve("--accept", "never"), 2, []string{"never", "reuseport", "shared"}},
		{"no duration", serve("--cache-valid", "soon"), 2, []string{"soon"}},
		{"no address", []string{"serve", root, "--listen", ""}, 2, []string{`--listen ""`, "want host:port"}},
		{"socket in a missing directory", []string{"serve", root, "--listen", "unix:" + missing}, 1,
			[]string{missing, "make its directory first"}},
		{"host without an address", []string{"serve", root, "--listen", "no-such-host.invalid:0"}, 1,
			[]string{"no-such-host.invalid"}},
		{"access log in a missing directory", serve("--access-log", missing), 1,
			[]string{missing, "create its directory first"}},
		{"no pattern to hide", serve("--hide", "["), 2, []string{"hide", `"["`}},
		{"empty root", []string{""}, 2, []string{"ROOT is empty"}},
		{"nearly a subcommand", []string{"versoin"}, 2, []string{`ROOT "versoin": there is no such directory`,
			`did you mean "evhttpd version"?`}},
		{"help on no command", []string{"help", "serv"}, 2, []string{`did you mean "evhttpd help serve"?`}},
		{"completion for no shell", []string{"completion", "xx"}, 2, []string{`"xx"`, "bash, zsh, fish"}},
		{"listing neither on nor off", serve("--listing", "perhaps"), 2, []string{"perhaps"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, stdout, stderr := command(t, c.args...)
			if code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			if stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.HasSuffix(stderr, "\n") {
				t.Errorf("want one line on stderr and none on stdout, got %q and %q", stderr, stdout)
			}
			for _, part := range c.says {
				if !strings.Contains(stderr, part) {
					t.Errorf("does not name %q: %q", part, stderr)
				}
			}
		})
	}
}

func TestCommandLine(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		says []string
	}{
		{"version", []string{"version"}, []string{"evhttpd", "go1."}},
		{"version flag", []string{"--version"}, []string{"evhttpd", "go1."}},
		{"help", []string{"--help"}, []string{"evhttpd", "serve", "--listen", "--io-model", "--trigger"}},
		{"help of serve", []string{"serve", "--help"}, []string{"--config", "--log-format", "--listen", "--io-model",
			"--trigger", "--loops", "--accept", "--listing", "--hide", "--cache-valid", "--access-log"}},
		{"completion", []string{"completion", "bash"}, []string{"complete", "evhttpd"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, stdout, stderr := command(t, c.args...)
			if code != 0 || stderr != "" {
				t.Errorf("exit code %d, %q on stderr", code, stderr)
			}
			for _, part := range c.says {
				if !strings.Contains(stdout, part) {
					t.Errorf("%q is missing in\n%s", part, stdout)
				}
			}
		})
	}
}

// TestShortForm: `evhttpd ROOT` serves like `evhttpd serve ROOT`, with the listing on.
func TestShortForm(t *testing.T) {
	root := t.TempDir()
	write(t, root, "file.txt", []byte(hello))
	s := launch(t, testkit.Command(binary, root, "--listen", "127.0.0.1:0"))
	defer s.stop(t)
	if got := s.get(t, "/"); got.status != 200 || !strings.Contains(string(got.body), `href="file.txt"`) {
		t.Errorf("the folder: %d %s", got.status, got.body)
	}
}

// TestStartupLines: who starts the server reads what is served, where and how.
func TestStartupLines(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		root := t.TempDir()
		s := start(t, v, root, "--loops", "1", "--listing", "off")
		said, _, _, _ := parseStartup(s.stderr.String())
		if said != root {
			t.Errorf("the root is %q, want %q", said, root)
		}
		write(t, root, "a", []byte(hello))
		if got := s.get(t, "/a"); got.status != 200 {
			t.Errorf("the URL that it names answers %d", got.status)
		}
		parts := []string{v.Model, "listing off"}
		if v.Trigger != "auto" {
			parts = append(parts, v.Trigger)
		}
		if v.Loops() {
			parts = append(parts, "1 loop")
		}
		for _, part := range parts {
			eventually(t, func() error {
				if said := s.stderr.String(); !strings.Contains(said, part) {
					return fmt.Errorf("%q is missing in\n%s", part, said)
				}
				return nil
			})
		}
	})
}
