package test

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
)

// TestBuffers: half heads of a client who sends no more take the memory of limits.buffers and no more. The server
// goes on, says so in an event, and counts it.
func TestBuffers(t *testing.T) {
	const limit, holders = 4 << 20, 400 // of 32 KiB each
	root := t.TempDir()
	write(t, root, "a", []byte(hello))
	s := startControlled(t, variants()[0], root, "limits: {buffers: 4MiB}\n")
	half := "GET /a HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("a", 30_000)
	for range holders {
		c := s.dial(t)
		send(c, []string{half})
	}
	eventually(t, func() error {
		got, err := s.metrics()
		if err != nil {
			return err
		}
		// Each loop may have a little that it has not told yet.
		held, closed := got["evhttpd_buffers_bytes"], got["evhttpd_connections_relieved_total"]
		if held > limit || closed < holders-limit/(32<<10) {
			return fmt.Errorf("%v bytes are held, %v of %d connections were closed", held, closed, holders)
		}
		if got["evhttpd_buffers_limit_bytes"] != limit {
			return fmt.Errorf("the limit is %v", got["evhttpd_buffers_limit_bytes"])
		}
		if !strings.Contains(s.stderr.String(), "connections hold too much memory") {
			return fmt.Errorf("no event in %q", s.stderr.String())
		}
		return nil
	})
	c := s.dial(t)
	_, err := io.WriteString(c, "GET /a HTTP/1.0\r\n\r\n")
	must(t, err)
	answer, err := io.ReadAll(net.Conn(c))
	must(t, err)
	if !strings.HasPrefix(string(answer), "HTTP/1.1 200 ") {
		t.Errorf("said %.100q", answer)
	}
}
