package test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// oneCell are flags with which bench measures the fewest subjects in one cell, for a moment a round.
var oneCell = []string{"--models", "epoll", "--triggers", "edge", "--scenarios", "small", "--duration", "40ms"}

// countedTarget is a server of the files in root. It calls then at its nth connection.
func countedTarget(root string, n int, then func(*httptest.Server)) *httptest.Server {
	connections := 0
	other := httptest.NewUnstartedServer(http.FileServer(http.Dir(root)))
	other.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state != http.StateNew {
			return
		}
		// Called by the one goroutine that accepts.
		if connections++; connections == n {
			go then(other)
		}
	}
	other.Start()
	return other
}

// wholeRounds finds, in a report, how many rounds are whole, and of how many.
func wholeRounds(t *testing.T, report string) (whole, all int) {
	t.Helper()
	at := strings.Index(report, "This is ")
	if at < 0 {
		t.Fatalf("no sentence of the rounds in\n%s", report)
	}
	if _, err := fmt.Sscanf(report[at:], "This is %d of %d rounds", &whole, &all); err != nil {
		t.Fatal(err)
	}
	return whole, all
}

// TestBenchWholeRoundsSurvive a target that ends in the second round, and Ctrl-C in the third.
// A round opens 64 connections to the target, after a few that look at it.
func TestBenchWholeRoundsSurvive(t *testing.T) {
	once(t)
	testkit.Long(t)
	t.Run("a target that ends", func(t *testing.T) {
		root, folder := t.TempDir(), t.TempDir()
		other := countedTarget(root, 100, func(s *httptest.Server) {
			s.Listener.Close()
			s.CloseClientConnections()
		})
		defer other.Close()
		code, stdout, stderr := command(t, append(append([]string{"bench"}, oneCell...), "--rounds", "3", "--root",
			root,
			"--out", folder, "--target", "other="+other.URL+"/")...)
		if whole, all := wholeRounds(t, stdout); whole != 1 || all != 3 || !strings.Contains(stdout, "\n  other ") {
			t.Errorf("%d of %d rounds in\n%s", whole, all, stdout)
		}
		if code != 1 || strings.Count(withoutProgress(stderr), "\n") != 1 ||
			!strings.Contains(stderr, "round 2, other: ") ||
			!strings.Contains(stderr, "refused") {
			t.Errorf("exit code %d, %q on stderr", code, stderr)
		}
		if _, err := os.Stat(filepath.Join(folder, "results.json")); err != nil {
			t.Error(err)
		}
	})
	t.Run("Ctrl-C", func(t *testing.T) {
		root := t.TempDir()
		var stdout, stderr strings.Builder
		cmd := testkit.Command(binary, append([]string{"bench"}, oneCell...)...)
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		other := countedTarget(root, 150, func(*httptest.Server) { cmd.Process.Signal(os.Interrupt) })
		defer other.Close()
		cmd.Args = append(cmd.Args, "--rounds", "1000", "--root", root, "--target", "other="+other.URL+"/")
		must(t, cmd.Start())
		stop := time.AfterFunc(patience, func() { cmd.Process.Kill() })
		defer stop.Stop()
		var exit *exec.ExitError
		if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 1 ||
			!strings.Contains(stderr.String(), "interrupt") {
			t.Errorf("%v, %q on stderr", err, stderr.String())
		}
		if whole, all := wholeRounds(t, stdout.String()); whole < 2 || all != 1000 {
			t.Errorf("%d of %d rounds in\n%s", whole, all, stdout.String())
		}
	})
}

// answering is a server that answers every request of a connection with the same answer. It may close the
// connection after it.
func answering(t *testing.T, answer func() string, closes bool) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for in := bufio.NewReader(c); ; {
					if _, err := http.ReadRequest(in); err != nil {
						return
					}
					if _, err := io.WriteString(c, answer()); err != nil || closes {
						return
					}
				}
			}()
		}
	}()
	return "http://" + listener.Addr().String()
}

// TestBenchTargetsOfEveryKind: other servers' framings are measured as they are, and what cannot be measured is said.
func TestBenchTargetsOfEveryKind(t *testing.T) {
	once(t)
	always := func(text string) func() string { return func() string { return text } }
	var n atomic.Int64
	for _, c := range []struct {
		name   string
		answer func() string
		closes bool
		says   string // on standard error; empty: it is measured
		notes  string
	}{
		{"chunked", always("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), false, "",
			""},
		{"until the close", always("HTTP/1.1 200 OK\r\n\r\nhello"), true, "",
			"other closes the connection behind nearly every answer"},
		{"HTTP/1.0", always("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello"), true, "",
			"other closes the connection behind nearly every answer"},
		{"another content each time", func() string {
			return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n%05d", n.Add(1)%100000)
		}, false, "", "differ in their content"},
		{"a redirect", always("HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n"), false,
			"redirects are not followed: give the URL of what it leads to, /other", ""},
		{"a reset", always(""), true, "the head, after 0 bytes", ""},
		{"no HTTP", always("220 ready\r\n"), false, "status line", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			url := answering(t, c.answer, c.closes)
			code, stdout, stderr := command(t, append(append([]string{"bench"}, oneCell...), "--rounds", "1",
				"--target",
				"other="+url+"/file")...)
			if c.says != "" {
				oneLine(t, 1, code, stdout, withoutProgress(stderr), []string{"--target other", c.says})
				return
			}
			if code != 0 || withoutProgress(stderr) != "" || !strings.Contains(stdout, "\n  other ") ||
				strings.Contains(stdout, " failures in ") || !strings.Contains(stdout, c.notes) {
				t.Errorf("exit code %d, %q on stderr\n%s", code, stderr, stdout)
			}
		})
	}
}
