package test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// loadReport is the part of a report of `bench load --json` that the tests look at.
type loadReport struct {
	Answered, Errors, Bytes int64
	Interrupted             bool
	Opened                  int64   `json:"connections_opened"`
	RateAsked               float64 `json:"rate_asked"`
	Statuses                map[string]int64
	Latency                 struct {
		Percentiles []struct{ Percentile float64 }
	}
}

// loadOf runs `bench load --json` and returns its exit code and what it reports.
func loadOf(t *testing.T, args ...string) (code int, r loadReport, stderr string) {
	t.Helper()
	code, stdout, stderr := command(t, append([]string{"bench", "load", "--json"}, args...)...)
	if stdout != "" {
		must(t, json.Unmarshal([]byte(stdout), &r))
	}
	return code, r, stderr
}

// nginx serves root at an address and behind a Unix socket until the test ends.
func nginx(t *testing.T, root string) (url, socket string) {
	t.Helper()
	program := tool(t, "nginx")
	folder := t.TempDir()
	socket = filepath.Join(folder, "s")
	free, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	addr := free.Addr().String()
	must(t, free.Close())
	// One process, so that it has this user's rights to the folders.
	config := fmt.Sprintf(`daemon off; master_process off; pid %[1]s/pid; error_log %[1]s/error.log; events {}
http { access_log off; client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p;
fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s.d;
server { listen %[2]s; listen unix:%[3]s; root %[4]s; location = /moved { return 301 /file; } } }`,
		folder, addr, socket, root)
	write(t, folder, "nginx.conf", []byte(config))
	var errs strings.Builder
	cmd := testkit.Command(program, "-p", folder, "-e", filepath.Join(folder, "error.log"), "-c",
		filepath.Join(folder, "nginx.conf"))
	cmd.Stderr = &errs
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt) // it may have ended
		_ = cmd.Wait()
		os.Remove(socket)
	})
	eventually(t, func() error {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return fmt.Errorf("nginx: %w: %s", err, errs.String())
		}
		return c.Close()
	})
	return "http://" + addr, socket
}

// TestBenchLoadServers: this server, nginx and Python's http.server, over TCP and over Unix sockets.
func TestBenchLoadServers(t *testing.T) {
	once(t)
	root := t.TempDir()
	content := pattern(5000, 1)
	write(t, root, "file", content)
	check := func(t *testing.T, closes bool, args ...string) {
		t.Helper()
		code, r, stderr := loadOf(t, append([]string{"-c", "4", "-n", "100", "--fail-if", "errors>0"}, args...)...)
		if code != 0 || stderr != "" || r.Answered != 100 || r.Statuses["200"] != 100 ||
			r.Bytes != int64(100*len(content)) {
			t.Errorf("%v: exit code %d, %q on stderr, %+v", args, code, stderr, r)
		}
		if closes != (r.Opened >= 100) {
			t.Errorf("%v: %d connections", args, r.Opened)
		}
	}
	socket := filepath.Join(t.TempDir(), "s")
	s := start(t, variants()[0], root, "--listen", "unix:"+socket)
	for _, args := range [][]string{nil, {"-p", "8"}, {"-q", "2000"}, {"--loops", "2"}, {"-H", "X: y"}} {
		check(t, false, append(args, "http://"+s.addr+"/file")...)
	}
	check(t, true, "--disable-keepalive", "http://"+s.addr+"/file")
	check(t, false, "http://unix:"+socket+":/file")
	check(t, false, "--unix-socket", socket, "http://any.example/file")
	t.Run("nginx", func(t *testing.T) {
		url, socket := nginx(t, root)
		check(t, false, url+"/file")
		check(t, false, "-p", "8", url+"/file")
		check(t, false, "http://unix:"+socket+":/file")
		check(t, true, "--disable-keepalive", url+"/file")
		code, stdout, stderr := command(t, "bench", "load", "-c", "1", "-n", "5", url+"/moved")
		if code != 0 || stderr != "" || !strings.Contains(stdout, "301: 5") ||
			!strings.Contains(stdout, "not followed (5 answers)") {
			t.Errorf("a redirect: exit code %d, %q on stderr\n%s", code, stderr, stdout)
		}
	})
	t.Run("http.server", func(t *testing.T) {
		url := pythonServer(t, root)
		check(t, true, url+"/file")
		check(t, true, "-p", "3", url+"/file")
	})
}

// pythonServer serves root by Python's http.server, which speaks HTTP/1.0, until the test ends.
func pythonServer(t *testing.T, root string) (url string) {
	t.Helper()
	// The port is 0 and said on standard output, and its queue is long enough for a handful at once.
	const program = `import functools, http.server as h, sys
h.ThreadingHTTPServer.request_queue_size = 64
class Quiet(h.SimpleHTTPRequestHandler):
    def log_message(self, *args): pass
s = h.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=sys.argv[1]))
print(s.server_address[1], flush=True)
s.serve_forever()`
	cmd := testkit.Command(tool(t, "python3"), "-c", program, root)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	var port int
	_, err = fmt.Fscan(out, &port)
	must(t, err)
	return fmt.Sprintf("http://127.0.0.1:%d", port)
}

// TestBenchLoadRequest: the method, fields and body of the command line are what the server gets.
func TestBenchLoadRequest(t *testing.T) {
	once(t)
	var last atomic.Value
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			body = []byte(err.Error())
		}
		last.Store(fmt.Sprintf("%s %s %s %s %s", r.Method, r.Host, r.RequestURI, r.Header.Get("Content-Type"), body))
	}))
	defer s.Close()
	folder := t.TempDir()
	write(t, folder, "body", []byte("of the file"))
	write(t, folder, "urls", []byte("# a list\n\n/a\n  "+s.URL+"/b?c\n"))
	host := strings.TrimPrefix(s.URL, "http://")
	for want, args := range map[string][]string{
		"GET " + host + " /x  ":                            nil,
		"HEAD " + host + " /x  ":                           {"-m", "HEAD"},
		"POST " + host + " /x a/b text":                    {"-d", "text", "-T", "a/b"},
		"PUT example /x  10s":                              {"-m", "PUT", "-d", "10s", "-H", "Host: example"},
		"PATCH " + host + " /x  of the file":               {"-m", "PATCH", "-D", filepath.Join(folder, "body")},
		"GET " + host + " /b?c  ":                          {"--urls", filepath.Join(folder, "urls"), "-n", "2"},
		"POST " + host + " /x application/json {\"a\": 1}": {"-d", `{"a": 1}`, "-H", "Content-Type: application/json"},
	} {
		code, r, stderr := loadOf(t, append(append([]string{"-c", "1", "-n", "1"}, args...), s.URL+"/x")...)
		if got := last.Load(); code != 0 || stderr != "" || r.Answered == 0 || got != want {
			t.Errorf("%v: exit code %d, %q on stderr, asked for %q, want %q", args, code, stderr, got, want)
		}
	}
	cmd := testkit.Command(binary, "bench", "load", "-n", "1", "-D", "-", s.URL+"/x")
	cmd.Stdin = strings.NewReader("of standard input")
	if out, err := cmd.CombinedOutput(); err != nil || last.Load() != "POST "+host+" /x  of standard input" {
		t.Errorf("%v, asked for %q\n%s", err, last.Load(), out)
	}
}

// TestBenchLoadExitCodes: 3 when a condition holds, 1 without a right answer, and the report in either case.
func TestBenchLoadExitCodes(t *testing.T) {
	once(t)
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	for _, c := range []struct {
		args   []string
		code   int
		says   string // on standard error
		report bool
	}{
		{[]string{"-n", "10", s.URL}, 1, "not one right answer: /: status 404, not 200 to 399", true},
		{[]string{"-n", "10", "--expect", "404", s.URL}, 0, "", true},
		{[]string{"-n", "10", "--expect", "any", "--fail-if", "p99>1h", "--fail-if", "404>9", s.URL}, 3,
			"--fail-if: 404>9 (10)", true},
		{[]string{"-n", "10", "--fail-if", "errors>0%", s.URL}, 3, "--fail-if: errors>0% (100 %)", true},
		{[]string{"-n", "10", "--fail-if", "p99>1h", s.URL}, 3, "--fail-if: p99>1h (there was no answer)", true},
		{[]string{closed.URL}, 1, "refused", false},
		{[]string{"--fail-if", "p99", s.URL}, 2, "want METRIC", false},
	} {
		code, stdout, stderr := command(t, append([]string{"bench", "load"}, c.args...)...)
		if code != c.code || !strings.Contains(stderr, c.says) || (c.says == "") != (stderr == "") ||
			strings.Count(stderr, "\n") > 1 || (stdout != "") != c.report {
			t.Errorf("%v: exit code %d, want %d, %q on stderr\n%s", c.args, code, c.code, stderr, stdout)
		}
	}
}

// TestBenchLoadInterrupted: Ctrl-C ends a load of a minute with its report, at a rate below 1/s too.
func TestBenchLoadInterrupted(t *testing.T) {
	once(t)
	for _, rate := range []string{"0.02", "100000"} {
		var stdout, stderr strings.Builder
		cmd := testkit.Command(binary, "bench", "load", "--json", "-z", "1m", "-q", rate, "-c", "2", "--percentiles",
			"50,99.99")
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		var asked atomic.Int64
		s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			if asked.Add(1) == 1 {
				// The answer leaves when this function returns, and may be behind the signal or before it.
				_ = cmd.Process.Signal(os.Interrupt)
			}
		}))
		cmd.Args = append(cmd.Args, s.URL)
		must(t, cmd.Start())
		stop := time.AfterFunc(patience, func() { cmd.Process.Kill() })
		_ = cmd.Wait() // the exit code is 1 if not one answer came before the signal
		stop.Stop()
		s.Close()
		var r loadReport
		must(t, json.Unmarshal([]byte(stdout.String()), &r))
		if code := cmd.ProcessState.ExitCode(); (code == 0) != (r.Answered > 0) || code > 1 {
			t.Errorf("exit code %d, %q on stderr, %+v", code, stderr.String(), r)
		}
		if !r.Interrupted || r.Errors != 0 || fmt.Sprint(r.RateAsked) != fmt.Sprint(json.Number(rate)) ||
			asked.Load() == 0 {
			t.Errorf("%+v", r)
		}
	}
}
