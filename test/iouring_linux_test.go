package test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// ioUringHere skips a test where io_uring is not to be had.
func ioUringHere(t *testing.T) {
	t.Helper()
	why, err := refused()
	must(t, err)
	if why != "" {
		t.Log(why)
		testkit.Skip(t, "io_uring")
	}
}

// TestIOUringEnterRefused: io_uring_enter may fail for a while, for want of memory (EAGAIN), because completions
// wait (EBUSY), or by a signal (EINTR). No answer is cut by that, an error that lasts is an event, and the server
// stops in order.
func TestIOUringEnterRefused(t *testing.T) {
	strace := tool(t, "strace")
	ioUringHere(t)
	for _, c := range []struct {
		errno string
		event string // part of the warning; empty: there is none
	}{
		{"EAGAIN", "resource temporarily unavailable"},
		{"EBUSY", "device or resource busy"},
		{"EINTR", ""},
	} {
		t.Run(c.errno, func(t *testing.T) {
			t.Parallel()
			root, files := t.TempDir(), map[string][]byte{"/small": pattern(1024, 1), "/medium": pattern(20_000, 2),
				"/large": pattern(300_000, 3)}
			for name, content := range files {
				write(t, root, name[1:], content)
			}
			for i := range 400 {
				write(t, root, fmt.Sprintf("d/%d", i), nil)
			}
			trace := filepath.Join(t.TempDir(), "trace")
			s := launch(t, testkit.Command(strace, "-D", "-f", "-q", "-o", trace, "-e", "trace=io_uring_enter", "-e",
				"signal=none",
				"-e", "inject=io_uring_enter:error="+c.errno+":when=20+5",
				binary, "serve", root, "--listen", "127.0.0.1:0", "--io-model", "io_uring", "--access-log", "off",
				"--loops", "1", "--listing=on"))
			t.Cleanup(func() { s.stop(t) })
			files["/d/"] = s.get(t, "/d/").body
			var clients sync.WaitGroup
			for i := range 8 {
				clients.Go(func() {
					for n := range 6 {
						if err := s.pipeline(files, i+n); err != nil {
							t.Errorf("client %d, connection %d: %v", i, n, err)
							return
						}
					}
				})
			}
			clients.Wait()
			s.stop(t)
			text, err := os.ReadFile(trace)
			must(t, err)
			if n := bytes.Count(text, []byte("(INJECTED)")); n < 5 {
				t.Errorf("only %d calls were made to fail", n)
			}
			if said := s.stderr.String(); c.event != "" && !strings.Contains(said, c.event) {
				t.Errorf("there is no event of %s:\n%s", c.errno, said)
			}
		})
	}
}

// pipeline asks for files on one connection, in batches of one to three requests, and checks each byte.
func (s *server) pipeline(files map[string][]byte, seed int) error {
	names := []string{"/small", "/d/", "/medium", "/small", "/large"}
	c, err := net.DialTimeout("tcp", s.addr, patience)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(deadline()); err != nil {
		return err
	}
	in := bufio.NewReader(c)
	const batches = 6
	for batch := range batches {
		var asked []string
		for i, most := 0, 1+(seed+batch)%3; i < most; i++ {
			asked = append(asked, names[(seed+batch+i)%len(names)])
			connection := "keep-alive"
			if batch == batches-1 && i == most-1 {
				connection = "close"
			}
			if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: %s\r\n\r\n", asked[i],
				connection); err != nil {
				return err
			}
		}
		for _, name := range asked {
			answer, err := http.ReadResponse(in, nil)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			body, err := io.ReadAll(answer.Body)
			if err != nil || !bytes.Equal(body, files[name]) {
				return fmt.Errorf("%s: %d bytes, the wrong ones or too few: %w", name, len(body), err)
			}
		}
	}
	return nil
}

// TestResetClientIsLogged: a client that sends a request and resets is logged with its own address.
func TestResetClientIsLogged(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		if !v.OwnCode() {
			return
		}
		root, log := t.TempDir(), filepath.Join(t.TempDir(), "access.log")
		write(t, root, "a", []byte(hello))
		s := start(t, v, root, "--access-log", log, "--loops", "1")
		for range 40 {
			c := s.dial(t)
			_, err := c.Write([]byte("GET /a HTTP/1.1\r\nHost: x\r\n\r\n"))
			must(t, err)
			must(t, c.SetLinger(0))
			must(t, c.Close())
		}
		s.get(t, "/a")
		s.stop(t)
		text, err := os.ReadFile(log)
		must(t, err)
		for line := range strings.Lines(string(text)) {
			if !strings.HasPrefix(line, "127.0.0.1 ") {
				t.Errorf("logged: %q", line)
			}
		}
	})
}
