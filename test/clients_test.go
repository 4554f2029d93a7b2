package test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// run runs a program to its end and returns what it wrote on stdout.
func run(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	cmd := testkit.Command(tool(t, name), args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	stop := time.AfterFunc(2*patience, func() { cmd.Process.Kill() })
	defer stop.Stop()
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %v\n%s%s", cmd.Args, err, stdout.Bytes(), stderr.Bytes())
	}
	return stdout.Bytes()
}

// curl asks with the flags and returns the head and the body.
func (s *server) curl(t *testing.T, path string, flags ...string) (head, body string) {
	t.Helper()
	out := run(t, "curl", append([]string{"-s", "-S", "-i", "--max-time", "30", "--noproxy", "*", s.url + path},
		flags...)...)
	head, body, found := strings.Cut(string(out), "\r\n\r\n")
	if !found {
		t.Fatalf("curl got no head: %q", out)
	}
	return head, body
}

func TestCurl(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		root := t.TempDir()
		small, big := pattern(3000, 1), pattern(300_000, 2)
		write(t, root, "small.bin", small)
		write(t, root, "big.bin", big)
		modified := time.Date(2024, 5, 17, 12, 0, 0, 0, time.UTC)
		for _, name := range []string{"small.bin", "big.bin"} {
			if err := os.Chtimes(filepath.Join(root, name), modified, modified); err != nil {
				t.Fatal(err)
			}
		}
		s := start(t, v, root)
		for _, c := range []struct {
			name, path string
			flags      []string
			status     string
			body       string
			field      string
		}{
			{"a small file", "small.bin", nil, "HTTP/1.1 200 ", string(small), "Content-Length: 3000"},
			{"a large file", "big.bin", nil, "HTTP/1.1 200 ", string(big), "Content-Length: 300000"},
			{"-r, the first bytes", "big.bin", []string{"-r", "0-99"}, "HTTP/1.1 206 ", string(big[:100]),
				"Content-Range: bytes 0-99/300000"},
			{"-r, bytes in the middle", "big.bin", []string{"-r", "1000-199999"}, "HTTP/1.1 206 ",
				string(big[1000:200000]), "Content-Range: bytes 1000-199999/300000"},
			{"-r, the last bytes", "big.bin", []string{"-r", "-5"}, "HTTP/1.1 206 ", string(big[299995:]),
				"Content-Range: bytes 299995-299999/300000"},
			{"-r, of a file in memory", "small.bin", []string{"-r", "2990-"}, "HTTP/1.1 206 ", string(small[2990:]),
				"Content-Range: bytes 2990-2999/3000"},
			{"-I of a small file", "small.bin", []string{"-I"}, "HTTP/1.1 200 ", "", "Content-Length: 3000"},
			{"-I of a large file", "big.bin", []string{"-I"}, "HTTP/1.1 200 ", "", "Content-Length: 300000"},
			{"-z, not changed since", "small.bin", []string{"-z", "17 May 2024 12:00:00 GMT"}, "HTTP/1.1 304 ", "",
				"Last-Modified: Fri, 17 May 2024 12:00:00 GMT"},
			{"-z, changed since", "small.bin", []string{"-z", "16 May 2024 12:00:00 GMT"}, "HTTP/1.1 200 ",
				string(small), "Last-Modified: Fri, 17 May 2024 12:00:00 GMT"},
			{"--http1.0", "small.bin", []string{"--http1.0"}, "HTTP/1.1 200 ", string(small), "Connection: close"},
			{"a target that curl sends raw", "a|b^[1]", []string{"-g"}, "HTTP/1.1 404 ", "",
				"Content-Type: text/plain"},
			{"a body with Expect: 100-continue", "small.bin", []string{"-X", "GET", "-H", "Expect: 100-continue",
				"--data-binary", "abc"}, "HTTP/1.1 ", "", ""},
		} {
			t.Run(c.name, func(t *testing.T) {
				head, body := s.curl(t, c.path, c.flags...)
				if !strings.HasPrefix(head, c.status) || !strings.Contains(head+"\r\n", c.field) {
					t.Errorf("want %q with %q, got\n%s", c.status, c.field, head)
				}
				if c.body != "" && body != c.body {
					t.Errorf("got %d bytes, not the %d of the file", len(body), len(c.body))
				}
			})
		}
	})
}

// TestCurlKeepsTheConnection: two requests, one connection, for 1.1 and for 1.0 that asks for it (RFC 9112 section
// 9.3).
func TestCurlKeepsTheConnection(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		root := t.TempDir()
		write(t, root, "a", []byte(hello))
		s := start(t, v, root)
		for _, flags := range [][]string{nil, {"--http1.0", "-H", "Connection: keep-alive"}} {
			args := append([]string{"-s", "-S", "--noproxy", "*", "--max-time", "30", "-w",
				"%{num_connects} %{http_code}\n", "-o", os.DevNull, "-o", os.DevNull, s.url + "a", s.url + "a"},
				flags...)
			if got := string(run(t, "curl", args...)); got != "1 200\n0 200\n" {
				t.Errorf("%q: new connections and status of each request: %q", flags, got)
			}
		}
	})
}

// TestWgetResumes: -c asks for the rest and gets it.
func TestWgetResumes(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		root, folder := t.TempDir(), t.TempDir()
		content := pattern(2<<20, 3)
		write(t, root, "large.bin", content)
		s := start(t, v, root)
		target := filepath.Join(folder, "large.bin")
		for _, have := range []int{0, 1, 70_000, len(content) - 1, len(content)} {
			if err := os.WriteFile(target, content[:have], 0o644); err != nil {
				t.Fatal(err)
			}
			run(t, "wget", "-q", "-c", "--no-proxy", "--tries=1", "--timeout=30", "-O", target, s.url+"large.bin")
			if got, err := os.ReadFile(target); err != nil || !bytes.Equal(got, content) {
				t.Errorf("resumed at %d: %d bytes, %v, not the file", have, len(got), err)
			}
		}
	})
}

func TestPythonClient(t *testing.T) {
	const script = `
import http.client, sys
c = http.client.HTTPConnection(sys.argv[1], timeout=30)
for path, status, size in (("/a", 200, 13), ("/missing", 404, None), ("/big", 200, 300000), ("/a", 200, 13)):
    for method in ("GET", "HEAD"):
        c.request(method, path)
        r = c.getresponse()
        body = r.read()
        assert r.status == status, (method, path, r.status)
        assert method == "HEAD" or size is None or len(body) == size, (path, len(body))
        assert method == "GET" or body == b"", (path, body)
c.request("GET", "/big", headers={"Range": "bytes=10-19"})
r = c.getresponse()
assert r.status == 206 and len(r.read()) == 10, r.status
print("fine")
`
	eachVariant(t, func(t *testing.T, v variant) {
		root := t.TempDir()
		write(t, root, "a", []byte(hello))
		write(t, root, "big", pattern(300_000, 4))
		s := start(t, v, root)
		if got := string(run(t, "python3", "-c", script, s.addr)); got != "fine\n" {
			t.Errorf("got %q", got)
		}
	})
}

// TestPythonSingleRecv: head and body of a small file arrive together, as users of python3 -m http.server expect.
func TestPythonSingleRecv(t *testing.T) {
	const script = `
import socket, sys
host, port = sys.argv[1].rsplit(":", 1)
s = socket.create_connection((host, int(port)), timeout=30)
s.sendall(b"GET /a HTTP/1.0\r\n\r\n")
print(s.recv(4096).endswith(b"\r\n\r\nhello, world\n"))
`
	eachVariant(t, func(t *testing.T, v variant) {
		root := t.TempDir()
		write(t, root, "a", []byte(hello))
		s := start(t, v, root)
		s.get(t, "/a")
		if got := string(run(t, "python3", "-c", script, s.addr)); got != "True\n" {
			t.Errorf("head and body in one recv: %q", got)
		}
	})
}

// wrkFaults finds what wrk says went wrong; wrk prints these lines only then.
var wrkFaults = regexp.MustCompile(`(?m)^\s*(Socket errors|Non-2xx or 3xx responses).*$`)

var wrkRequests = regexp.MustCompile(`(?m)^\s*(\d+) requests in `)

// parseWrk reads wrk's report.
func parseWrk(report string) (requests int, fault string, err error) {
	m := wrkRequests.FindStringSubmatch(report)
	if m == nil {
		return 0, "", fmt.Errorf("not a report of wrk: %q", report)
	}
	requests, err = strconv.Atoi(m[1])
	return requests, strings.TrimSpace(wrkFaults.FindString(report)), err
}

func TestParseWrk(t *testing.T) {
	const report = "Running 1s test @ http://127.0.0.1:1/\n  1 threads and 8 connections\n  12345 requests in 1.00s, " +
		"9.1MB read\n%sRequests/sec:  12345.00\n"
	for fault, want := range map[string]string{
		"": "",
		"  Socket errors: connect 0, read 3, write 0, timeout 0\n": "Socket errors: connect 0, read 3, write 0, " +
			"timeout 0",
		"  Non-2xx or 3xx responses: 7\n": "Non-2xx or 3xx responses: 7",
	} {
		n, got, err := parseWrk(fmt.Sprintf(report, fault))
		if n != 12345 || got != want || err != nil {
			t.Errorf("%q: got %d, %q, %v", fault, n, got, err)
		}
	}
	if _, _, err := parseWrk("unable to connect"); err == nil {
		t.Error("took an error for a report")
	}
}

// wrk runs wrk for a second, which must end without a fault, and returns the number of requests.
func (s *server) wrk(t *testing.T, path string, flags ...string) int {
	t.Helper()
	report := string(run(t, "wrk", append([]string{"-t1", "-d1s", "--timeout", "20s", s.url + path}, flags...)...))
	requests, fault, err := parseWrk(report)
	if err != nil || fault != "" || requests == 0 {
		t.Errorf("%d requests, %q, %v", requests, fault, err)
	}
	return requests
}

func TestWrk(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		root := t.TempDir()
		write(t, root, "small", pattern(1024, 5))
		write(t, root, "large", pattern(1<<20, 6))
		s := start(t, v, root)
		t.Run("small", func(t *testing.T) { s.wrk(t, "small", "-c64") })
		t.Run("large", func(t *testing.T) { s.wrk(t, "large", "-c16") })
		t.Run("a connection a request", func(t *testing.T) { s.wrk(t, "small", "-c16", "-H", "Connection: close") })
	})
}
