package accesslog

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/internal/sink"
)

// stdout is the path that means standard output.
const stdout = "-"

// openSink opens path, never waiting: not for a FIFO's reader either.
func openSink(path string) (sink.Sink, error) {
	switch {
	case strings.HasPrefix(path, SyslogPrefix):
		return openSyslog(path)
	case path == stdout:
		return sink.Inherited(unix.Stdout), nil
	}
	f, err := sink.Open(path)
	if err != nil {
		return nil, fmt.Errorf("accesslog: %w", err)
	}
	return f, nil
}
