// Package test runs the program as its users do: the built binary in a process
// of its own, on real sockets and real folders. One suite runs against every IO
// model and trigger of the platform (see variants).
//
// It imports nothing of the project but internal/testkit: what it knows of the server is what a
// client sees, the command line and the lines on stderr.
package test

import (
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// variant is one way to run the server.
type variant struct{ model, trigger string }

func (v variant) String() string { return v.model + "," + v.trigger }

// variants lists what the platform's server offers; the whole suite runs on each.
func variants() []variant {
	everywhere := []variant{{"poll", "level"}, {"select", "level"}, {"spin", "level"},
		{"blocking", "auto"}, {"goroutine", "auto"}, {"netpoll", "auto"}}
	if runtime.GOOS == "linux" {
		linux := []variant{{"epoll", "edge"}, {"epoll", "level"}, {"sigio", "edge"}, {"io_uring", "auto"}}
		return append(linux, everywhere...)
	}
	return append([]variant{{"kqueue", "edge"}, {"kqueue", "level"}}, everywhere...)
}

// loops reports whether the model runs event loops.
func (v variant) loops() bool { return v.trigger != "auto" || v.model == "io_uring" }

// ownCode reports whether the variant drives connections by code that no earlier one in the list has. The race
// detector looks at these. A readiness backend is one file in poller, and has tests there that run under the
// detector.
func (v variant) ownCode() bool { return v == variants()[0] || v.trigger == "auto" }

// described is what the server says of a model.
type described struct {
	Name, Reason string
	Available    bool
	Triggers     []string
}

// models are what the server says of all.
var models = sync.OnceValues(func() ([]described, error) {
	out, err := testkit.Command(binary, "models", "--json").Output()
	if err != nil {
		return nil, err
	}
	var all struct{ Models []described }
	return all.Models, json.Unmarshal(out, &all)
})

// refused is why this machine does not let programs use io_uring, as the server says it; empty: it does.
func refused() (string, error) {
	all, err := models()
	if i := slices.IndexFunc(all, func(m described) bool { return m.Name == "io_uring" }); i >= 0 {
		return all[i].Reason, err
	}
	return "", cmp.Or(err, errors.New("the server does not know io_uring"))
}

// TestVariants: the suite runs on every model that there is here, with each of its triggers.
func TestVariants(t *testing.T) {
	all, err := models()
	must(t, err)
	for _, m := range all {
		if len(m.Triggers) == 0 {
			m.Triggers = []string{"auto"}
		}
		for _, trigger := range m.Triggers {
			if v := (variant{m.Name, trigger}); m.Available && !slices.Contains(variants(), v) {
				t.Errorf("%s is not among variants", v)
			}
		}
	}
}

// modelEnv names the one model that the tests with variants run on; empty: see driven and testkit.Chosen.
const modelEnv = "EVHTTPD_TEST_MODEL"

// driven lists the variants; under the race detector, those that have code of their own. If one model is asked for it
// is that one's.
func driven() []variant {
	if model := os.Getenv(modelEnv); model != "" {
		return slices.DeleteFunc(variants(), func(v variant) bool { return v.model != model })
	}
	return slices.DeleteFunc(variants(), func(v variant) bool { return testkit.Race && !v.ownCode() })
}

// eachVariant runs the test once for every way to run the server that is chosen for it, beside other
// tests (see variantsAtOnce).
func eachVariant(t *testing.T, test func(t *testing.T, v variant)) {
	t.Parallel()
	if len(driven()) == 0 {
		t.Fatalf("%s=%s is no model of variants", modelEnv, os.Getenv(modelEnv))
	}
	for _, v := range testkit.Chosen(t, driven()) {
		t.Run(v.String(), func(t *testing.T) {
			t.Parallel()
			if v.model == "io_uring" {
				why, err := refused()
				must(t, err)
				if why != "" {
					t.Log(why)
					testkit.Skip(t, "io_uring")
				}
			}
			test(t, v)
		})
	}
}

// raceServer reports whether the server is built with the race detector: as the test itself is, or
// because the variable says so.
func raceServer() bool { return testkit.Race || os.Getenv("EVHTTPD_TEST_RACE") == "1" }

// binary is the built server, made once for all tests.
var binary string

// variantsAtOnce is how many servers are tested at a time unless -parallel says
// so: most of a test is waiting, for a file to be old enough to be cached, say.
const variantsAtOnce = "4"

func TestMain(m *testing.M) {
	if testkit.KeepGuard(os.Stderr) {
		return
	}
	flag.Parse()
	said := false
	flag.Visit(func(f *flag.Flag) { said = said || f.Name == "test.parallel" })
	if !said {
		flag.Set("test.parallel", variantsAtOnce)
	}
	code := guardAndRun(m)
	testkit.SaySkipped(os.Stderr)
	os.Exit(code)
}

// guardAndRun runs the tests; all their files are in one folder, which is gone afterwards.
func guardAndRun(m *testing.M) int {
	folder, err := os.MkdirTemp("", "evhttpd") // a short name: a Unix socket's has 107 bytes at most
	if err == nil {
		err = os.Chmod(folder, 0o711) // tests that give up their rights find their folders in it
	}
	var release func()
	if err == nil {
		os.Setenv(testkit.RunEnv, folder)
		os.Setenv("TMPDIR", folder)
		release, err = testkit.StartGuard(folder, os.Stderr)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer release()
	binary = os.Getenv(stoppedEnv)
	if binary == "" {
		binary = filepath.Join(folder, "evhttpd")
		args := []string{"build", "-o", binary}
		if raceServer() {
			args = append(args, "-race")
		}
		build := testkit.Command("go", append(args, "../cmd/evhttpd")...)
		build.Stdout, build.Stderr = os.Stderr, os.Stderr
		if err := build.Run(); err != nil {
			fmt.Fprintf(os.Stderr, "%v: %v\n", build.Args, err)
			return 1
		}
	}
	return m.Run()
}
