// Command evhttpd serves files over HTTP/1.x with its own event loop.
//
// It knows the command line and nothing else: internal/config checks what was said, internal/daemon serves, bench
// measures. It imports these, and iomodel, poller, healthcheck and sink for what a subcommand needs.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/evhttpd/evhttpd/internal/config"
	"github.com/evhttpd/evhttpd/internal/daemon"
	"github.com/evhttpd/evhttpd/internal/sink"
)

// Exit codes: 1 for run-time failures, 2 for usage and configuration, 3 for a condition that a measurement was not
// to meet.
const (
	exitFailure   = 1
	exitUsage     = 2
	exitCondition = 3
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	root := newRootCommand()
	root.SetArgs(args)
	err := root.Execute()
	if err == nil {
		return 0
	}
	if told := (*daemon.Told)(nil); !errors.As(err, &told) {
		fmt.Fprint(standardError(), complaint(err))
	}
	var unusable *config.UnusableError
	var wrong *config.Error
	var usage *usageError
	var held *conditionError
	switch {
	case errors.As(err, &unusable) || errors.As(err, &wrong) || errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &held):
		return exitCondition
	default:
		return exitFailure
	}
}

// standardError is for what this program says of itself. A reader that does not read, or has gone, holds up nothing
// and changes no exit code: the new process of an upgrade has the standard error of the old one, whose reader may
// have gone long ago.
var standardError = sync.OnceValue(func() io.Writer {
	return sink.Bounded{To: sink.Inherited(syscall.Stderr), Grace: complaintMax}
})

// complaintMax is how long the reader of standard error is waited for.
const complaintMax = time.Second

// complaint is what is said of an error: several mistakes are one a line. A line
// that begins with its place in a file begins with nothing else, so that editors find it.
func complaint(err error) string {
	var b strings.Builder
	if wrong := (*config.Error)(nil); errors.As(err, &wrong) {
		for _, p := range wrong.Problems {
			if p.File == "" {
				b.WriteString("evhttpd: ")
			}
			b.WriteString(p.String() + "\n")
		}
		return b.String()
	}
	for line := range strings.Lines(err.Error()) {
		b.WriteString("evhttpd: " + strings.TrimSuffix(line, "\n") + "\n")
	}
	return b.String()
}
