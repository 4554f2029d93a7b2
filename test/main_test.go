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
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

type variant = testkit.Variant

var variants = testkit.Variants

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
			if v := (variant{Model: m.Name, Trigger: trigger}); m.Available && !slices.Contains(variants(), v) {
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
		return slices.DeleteFunc(variants(), func(v variant) bool { return v.Model != model })
	}
	return slices.DeleteFunc(variants(), func(v variant) bool { return testkit.Race && !v.OwnCode() })
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
			if v.Model == "io_uring" {
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
const variantsAtOnce = 4

func TestMain(m *testing.M) {
	testkit.AtOnce(variantsAtOnce)
	testkit.Main(os.Stderr, "evhttpd", func(folder string) (int, error) {
		if binary = os.Getenv(stoppedEnv); binary != "" {
			return m.Run(), nil
		}
		binary = filepath.Join(folder, "evhttpd")
		var flags []string
		if raceServer() {
			flags = []string{"-race"}
		}
		if err := testkit.Build(binary, nil, flags...); err != nil {
			return 1, err
		}
		return m.Run(), nil
	})
}
