// Command evhttpd serves files over HTTP/1.x with its own event loop.
//
// It knows the command line and nothing else: internal/config checks what was
// said, internal/daemon does it. It imports those two and bench.
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/evhttpd/evhttpd/internal/daemon"
)

// Exit codes: 1 for run-time failures, 2 for usage and configuration.
const (
	exitFailure = 1
	exitUsage   = 2
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	root := newRootCommand()
	root.SetArgs(args)
	err := root.Execute()
	if err == nil {
		return 0
	}
	for line := range strings.Lines(err.Error()) { // several mistakes are one a line
		fmt.Fprintln(os.Stderr, "evhttpd:", strings.TrimSuffix(line, "\n"))
	}
	var config *daemon.ConfigError
	var usage *usageError
	if errors.As(err, &config) || errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailure
}
