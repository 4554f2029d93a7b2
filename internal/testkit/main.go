//go:build unix

package testkit

import (
	"flag"
	"fmt"
	"os"
	"strconv"
)

// Main is the TestMain of tests that run the server. run prepares what they need in a folder, such as the built server,
// and runs them. The folder's name begins with prefix: a short one, since the path of a Unix socket has 107 bytes at
// most. All files of the tests are in it, and it and all processes are gone afterwards, also if the run is stopped. out
// is where it is said what went wrong, and what was skipped.
func Main(out *os.File, prefix string, run func(folder string) (code int, err error)) {
	if keepGuard(out) {
		return
	}
	code, err := guarded(out, prefix, run)
	if err != nil {
		fmt.Fprintln(out, err)
		code = 1
	}
	SaySkipped(out)
	os.Exit(code)
}

func guarded(out *os.File, prefix string, run func(folder string) (int, error)) (code int, err error) {
	folder, err := os.MkdirTemp("", prefix)
	if err != nil {
		return 1, err
	}
	if err := os.Chmod(folder, 0o711); err != nil { // tests that give up their rights find their folders in it
		return 1, err
	}
	os.Setenv(RunEnv, folder)
	os.Setenv("TMPDIR", folder)
	release, err := startGuard(folder, out)
	if err != nil {
		return 1, err
	}
	defer release()
	return run(folder)
}

// AtOnce is how many parallel tests run at a time unless -parallel says so: most of a test that runs a server is
// waiting. A TestMain calls it first.
func AtOnce(n int) {
	flag.Parse()
	said := false
	flag.Visit(func(f *flag.Flag) { said = said || f.Name == "test.parallel" })
	if !said {
		_ = flag.Set("test.parallel", strconv.Itoa(n)) // it is a flag of package testing, and this is a number
	}
}

// Build builds the server into a file, with flags of go build, and with more variables in the environment.
func Build(file string, environ []string, flags ...string) error {
	args := append([]string{"build", "-o", file}, flags...)
	build := Command("go", append(args, "github.com/evhttpd/evhttpd/cmd/evhttpd")...)
	build.Env = append(os.Environ(), environ...)
	if said, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", build.Args, err, said)
	}
	return nil
}
