package main

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/evhttpd/evhttpd/internal/config"
)

// runs are the subcommands that serve or measure: theirs are tests of their own.
var runs = []string{"serve", "bench"}

// execute runs a command line that serves nothing.
func execute(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	root := newRootCommand()
	var out, errs bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&errs)
	root.SetArgs(args)
	err = root.Execute()
	return out.String(), errs.String(), err
}

// TestSubcommandBeforeDirectory: a subcommand's name wins over a directory's,
// and when there are both, one line says so and how to name the directory.
func TestSubcommandBeforeDirectory(t *testing.T) {
	names := []string{"models", "version", "help", "completion"}
	for _, c := range newRootCommand().Commands() {
		if !slices.Contains(runs, c.Name()) && !slices.Contains(names, c.Name()) {
			names = append(names, c.Name())
		}
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			args := []string{name}
			switch name {
			case "completion":
				args = append(args, "bash")
			case "healthcheck":
				server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
				defer server.Close()
				args = append(args, server.URL)
			}
			alone, stderr, err := execute(t, args...)
			if err != nil || stderr != "" || alone == "" {
				t.Fatalf("without a directory of that name: %v, %q on stderr", err, stderr)
			}
			if err := os.WriteFile(name, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, stderr, err = execute(t, args...); err != nil || stderr != "" {
				t.Errorf("a file of that name: %v, %q on stderr", err, stderr)
			}
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(name, 0o700); err != nil {
				t.Fatal(err)
			}
			both, stderr, err := execute(t, args...)
			if want := "evhttpd: " + name + " is the subcommand; the directory of that name is ./" + name +
				"\n"; err != nil || stderr != want {
				t.Errorf("both: %v, %q on stderr, want %q", err, stderr, want)
			}
			if both != alone {
				t.Errorf("the subcommand says something else beside a directory:\n%s\n%s", alone, both)
			}
		})
	}
}

// TestServeBeforeDirectory: `serve` is the subcommand too.
func TestServeBeforeDirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("serve", 0o700); err != nil {
		t.Fatal(err)
	}
	_, stderr, err := execute(t, "serve", "none")
	if err == nil || !strings.Contains(err.Error(), `ROOT "none": there is no such directory`) ||
		strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, "./serve") {
		t.Errorf("%v, %q on stderr", err, stderr)
	}
}

// TestRootIsNoSubcommand: a ROOT that is served is not warned of.
func TestRootIsNoSubcommand(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("evhttpd", 0o700); err != nil { // the root command's own name
		t.Fatal(err)
	}
	if _, stderr, err := execute(t, "./models"); err == nil || stderr != "" ||
		!strings.Contains(err.Error(), "./models") {
		t.Errorf("%v, %q on stderr", err, stderr)
	}
}

// TestFlagErrors: each mistake is one clear line that begins with the flag.
func TestFlagErrors(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string // the beginning
		says string
	}{
		{[]string{"--io-model", "nope"}, `--io-model "nope": there is no such model; available here: `,
			"spin, select, poll"},
		{[]string{"--io-model", "select", "--trigger", "edge"},
			`--io-model "select" cannot be driven with the edge trigger: it has level only; with edge here: `, ""},
		{[]string{"--io-model", "select", "--trigger", "x"}, `--trigger "x": want auto, edge, level`, ""},
		{[]string{"--cache-valid", "soon"}, `--cache-valid "soon": want a duration such as 500ms, 30s or 1h, or 0s`,
			""},
		{[]string{"--cache-valid", "-1s"}, `--cache-valid "-1s": want a duration such as 500ms, 30s or 1h, or 0s`, ""},
		{[]string{"--loops", "0"}, `--loops "0": want auto or a number`, ""},
		{[]string{"--listing", "maybe"}, `--listing "maybe": want on or off`, ""},
		{[]string{"--listen", ""}, `--listen "": want host:port, [v6]:port, a port, unix:PATH or systemd:NAME`, ""},
		{[]string{"--hide", "["}, `--hide "[": is no pattern for one name: `, ""},
		{[]string{""}, `ROOT is empty: give the directory to serve`, ""},
		{[]string{"completion", "xx"}, `no completion for ["xx"]: want one of bash, zsh, fish, powershell`, ""},
		{[]string{"completion", "bash", "zsh"}, `no completion for ["bash" "zsh"]: want one of `, ""},
		{[]string{"help", "serv"}, `no command "serv"; did you mean "evhttpd help serve"?`, ""},
		{[]string{"help", "frobnicate"}, `no command "frobnicate"; see "evhttpd --help"`, ""},
		{[]string{"sarve"}, `ROOT "sarve": there is no such directory; did you mean "evhttpd serve"?`, ""},
		{[]string{"models", "x"}, `evhttpd models takes no arguments, not ["x"]`, ""},
		{[]string{"version", "x"}, `evhttpd version takes no arguments, not ["x"]`, ""},
		{[]string{"bench", "quick"}, `bench has no "quick"; see "evhttpd bench --help"`, ""},
		{[]string{"bench", "--rounds", "0"}, `--rounds, --duration and --loops must be more than 0`, ""},
		{[]string{"bench", "--duration", "1h"}, `bench: --duration 1h0m0s: it must be more than 0 and at most `, ""},
		{[]string{"bench", "--rounds", "100000"}, `bench: --rounds 100000: there must be 1 to 1000`, ""},
		{[]string{"bench", "--quick", "--scenarios", "small"}, `bench: --quick has its own two cells`, ""},
		{[]string{"bench", "--scenarios", "smal"},
			`bench: --scenarios: there is no scenario "smal": want one or more of small, `, "steady"},
		{[]string{"bench", "--quik"}, `unknown flag: --quik; did you mean --quick?`, ""},
		{[]string{"bench", "compare", "a.json"}, `two results.json are compared, not 1 files`, ""},
		{[]string{"bench", "compare", "none.json", "none.json"}, `open none.json: no such file`, ""},
		{[]string{"bench", "load"}, `one URL is loaded, not 0; see "evhttpd bench load --help"`, ""},
		{[]string{"bench", "load", "localhost:80"}, `bench load: "localhost:80": want http://HOST[:PORT]`, "unix:"},
		{[]string{"bench", "load", "https://localhost/"}, `bench load: "https://localhost/": TLS is not measured`,
			"http://"},
		{[]string{"bench", "load", "-z", "0s", "http://[::1]/"}, `--duration must be more than 0`, ""},
		{[]string{"bench", "load", "-q", "0", "http://[::1]/"}, `--rate must be more than 0`, ""},
		{[]string{"bench", "load", "-t4", "-c64", "-d5s", "http://[::1]/"},
			`invalid argument "4" for "-t, --timeout" flag`,
			"duration"},
		{[]string{"bench", "load", "-c64", "-d5s", "http://[::1]/"}, `-d 5s: -d is the request's body`, "-z 5s"},
		{[]string{"bench", "load", "-c", "0", "http://127.0.0.1:1/"}, `load: 0 connections`, ""},
		{[]string{"bench", "load", "--expect", "2xx", "http://[::1]/"},
			`--expect "2xx": want success, any or a status`, ""},
		{[]string{"bench", "load", "--percentiles", "50,x", "http://[::1]/"}, `--percentiles: "x" is not a number`, ""},
		{[]string{"bench", "load", "--percentiles", "0", "http://[::1]/"}, `bench load: a percentile of 0: `, ""},
		{[]string{"bench", "load", "--fail-if", "p99>5", "http://[::1]/"},
			`--fail-if "p99>5": "5" is not a duration`, "5ms"},
		{[]string{"bench", "load", "--urls", "none", "http://[::1]/"}, `--urls: open none: no such file`, ""},
		{[]string{"bench", "load", "--data-file", "none", "http://[::1]/"}, `--data-file: open none: no such file`, ""},
		{[]string{"bench", "load", "-d", "x", "-D", "y", "http://[::1]/"}, `--data and --data-file say the same`, ""},
		{[]string{"bench", "load", "-H", "no colon", "http://127.0.0.1:1/"},
			`load: field "no colon" is not of the form`, ""},
		{[]string{"bench", "load", "-m", "CONNECT", "http://127.0.0.1:1/"}, `load: method "CONNECT"`, "tunnel"},
		{[]string{"models", "--jsn"}, `unknown flag: --jsn; did you mean --json?`, ""},
		{[]string{"models", "--port", "80"}, `unknown flag: --port; see "evhttpd models --help"`, ""},
		{[]string{"--port", "80"}, `unknown flag: --port; did you mean --listen?`, ""},
		{[]string{"-p", "80"}, `unknown shorthand flag: 'p' in -p; did you mean --listen?`, ""},
		{[]string{"serve", "--io_modl", "epoll"}, `unknown flag: --io_modl; did you mean --io-model?`, ""},
		{[]string{"-x"}, `unknown shorthand flag: 'x' in -x; see "evhttpd --help"`, ""},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			_, _, err := execute(t, c.args...)
			if err == nil || !strings.HasPrefix(err.Error(), c.want) || strings.Contains(err.Error(), "\n") ||
				!strings.Contains(err.Error(), c.says) {
				t.Errorf("got  %v\nwant %s...%s", err, c.want, c.says)
			}
			var wrong *config.Error
			var usage *usageError
			if !errors.As(err, &wrong) && !errors.As(err, &usage) {
				t.Errorf("%T is not the caller's mistake", err)
			}
		})
	}
}

// TestEveryMistakeIsReported: a wrong trigger does not hide a wrong model.
func TestEveryMistakeIsReported(t *testing.T) {
	_, _, err := execute(t, "--listen", "", "--io-model", "sel", "--trigger", "x", "--loops", "0")
	if err == nil {
		t.Fatal("no error")
	}
	lines := strings.Split(err.Error(), "\n")
	want := []string{`--listen "": `, `--trigger "x": `, `--loops "0": `, `--io-model "sel": `}
	if !slices.EqualFunc(lines, want, strings.HasPrefix) {
		t.Errorf("got\n%s\nwant lines that begin with %q", err, want)
	}
}

// TestVersionFlag: --version says what version says.
func TestVersionFlag(t *testing.T) {
	command, _, err := execute(t, "version")
	if err != nil {
		t.Fatal(err)
	}
	flag, stderr, err := execute(t, "--version")
	if err != nil || stderr != "" || flag != command || strings.Count(flag, "\n") != 1 {
		t.Errorf("%v, %q on stderr, %q, want %q", err, stderr, flag, command)
	}
}

// TestCompletionCommand: there is a script for each shell, and help without one.
func TestCompletionCommand(t *testing.T) {
	t.Chdir(t.TempDir())
	help, stderr, err := execute(t, "completion")
	if err != nil || stderr != "" || !strings.Contains(help, "Usage:") {
		t.Errorf("no shell: %v, %q on stderr, %q", err, stderr, help)
	}
	for shell, says := range map[string]string{"bash": "complete -o", "zsh": "#compdef evhttpd",
		"fish": "complete -c evhttpd", "powershell": "Register-ArgumentCompleter"} {
		script, stderr, err := execute(t, "completion", shell)
		if err != nil || stderr != "" || !strings.Contains(script, says) {
			t.Errorf("%s: %v, %q on stderr, no %q in %d bytes", shell, err, stderr, says, len(script))
		}
	}
}

// TestCompletions: what a shell is offered behind the words that were typed.
func TestCompletions(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, c := range []struct{ typed, offers, never string }{
		{"serve|", ":16", ""}, // directories
		{"", ":16", ""},
		{"check|", ":16", ""},
		{"serve|x|", ":4", ""}, // one ROOT
		{"serve|--io-model|", "io_uring", ""},
		{"bench|--models|", "epoll", ""},
		{"bench|--models|epoll,", "epoll,poll", "epoll,epoll"},
		{"bench|--triggers|", "level", ""},
		{"bench|--scenarios|", "small", ""},
		{"bench|--classic|", "waits", ""},
		{"bench|--out|", ":16", ""},
		{"man|--dir|", ":16", ""},
		{"completion|", "fish", ""},
	} {
		args := append([]string{"__complete"}, strings.Split(c.typed, "|")...)
		stdout, _, err := execute(t, args...)
		offered := strings.Fields(stdout)
		if err != nil || !slices.Contains(offered, c.offers) || c.never != "" && slices.Contains(offered, c.never) {
			t.Errorf("%q: %v, %q, want %q, never %q", args, err, offered, c.offers, c.never)
		}
	}
}

// TestHelpTopics: help explains commands at any depth.
func TestHelpTopics(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, topic := range []string{"", "serve", "lab", "lab starve", "bench", "bench compare", "bench load",
		"completion",
		"help"} {
		stdout, stderr, err := execute(t, append([]string{"help"}, strings.Fields(topic)...)...)
		if want := strings.TrimSpace("evhttpd " + topic); err != nil || stderr != "" ||
			!strings.Contains(stdout, "\n  "+want+" ") {
			t.Errorf("help %s: %v, %q on stderr, no usage line in\n%s", topic, err, stderr, stdout)
		}
	}
}

// TestHelpFits: nothing in the help of a command is wider than 80 columns, no word is broken, and an example stays on
// its line.
func TestHelpFits(t *testing.T) {
	t.Chdir(t.TempDir())
	var all func(c *cobra.Command)
	all = func(c *cobra.Command) {
		path := strings.Fields(c.CommandPath())[1:]
		stdout, _, err := execute(t, append(path, "--help")...)
		if err != nil {
			t.Fatalf("%q: %v", path, err)
		}
		for line := range strings.Lines(stdout) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 {
				t.Errorf("%q: %d columns: %s", path, n, line)
			}
		}
		c.InitDefaultHelpFlag()
		words := strings.Fields(c.Long + "\n" + c.UsageString())
		if c.Long == "" {
			words = strings.Fields(c.Short + "\n" + c.UsageString())
		}
		if !slices.Equal(strings.Fields(stdout), words) {
			t.Errorf("%q: the words are others:\n%s", path, stdout)
		}
		for line := range strings.Lines(c.Example) {
			if !strings.Contains(stdout, strings.TrimSuffix(line, "\n")+"\n") {
				t.Errorf("%q: the example is broken: %s", path, line)
			}
		}
		for _, each := range c.Commands() {
			all(each)
		}
	}
	all(newRootCommand())
}

// TestWrapHelp: a narrow terminal has the same words.
func TestWrapHelp(t *testing.T) {
	const text = "A paragraph of two\nlines.\n\nFlags:\n  -c, --config file   a YAML file; flags beat variables, " +
		"which beat it\n      --x [a]   [a] of it\n"
	const want = "A paragraph of two lines.\n\nFlags:\n  -c, --config file   a YAML file; flags\n" +
		"                      beat variables, which\n                      beat it\n      --x [a]   [a] of it\n"
	if got := wrapHelp(text, 44); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestModelsCommand: both forms go to stdout.
func TestModelsCommand(t *testing.T) {
	t.Chdir(t.TempDir())
	for args, begin := range map[string]string{"models": "  MODEL", "models --json": "{"} {
		if stdout, stderr, err := execute(t, strings.Fields(args)...); err != nil || stderr != "" ||
			!strings.HasPrefix(stdout, begin) {
			t.Errorf("%s: %v, %q on stderr, on stdout\n%s", args, err, stderr, stdout)
		}
	}
}
