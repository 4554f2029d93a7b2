package test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// controlled is a server whose control plane is on TCP and on a Unix socket.
type controlled struct {
	*server
	url, socket string
}

var controlLine = regexp.MustCompile(`control plane at (http://\S+)/["\n]`)

// startControlled runs the server with a control plane and, in its file, these lines too.
func startControlled(t *testing.T, v variant, root, config string, flags ...string) *controlled {
	t.Helper()
	folder, err := os.MkdirTemp("", "admin") // a Unix socket's path is short
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(folder) })
	c := &controlled{socket: filepath.Join(folder, "s")}
	write(t, folder, "evhttpd.yaml", []byte("admin: {listen: [\"127.0.0.1:0\", \"unix:"+c.socket+"\"], pprof: true}\n"+
		config))
	c.server = start(t, v, root, append([]string{"--config", filepath.Join(folder, "evhttpd.yaml")}, flags...)...)
	c.findControl(t)
	return c
}

// findControl waits until the server says where its control plane is.
func (c *controlled) findControl(t *testing.T) {
	t.Helper()
	eventually(t, func() error {
		m := controlLine.FindStringSubmatch(c.stderr.String())
		if m == nil {
			return fmt.Errorf("no control plane in %q", c.stderr.String())
		}
		c.url = m[1]
		return nil
	})
}

// ask reads an address of the control plane over TCP, or over the Unix socket.
func (c *controlled) ask(overUnix bool, method, path string) (status int, body string, err error) {
	transport := &http.Transport{DisableKeepAlives: true}
	if overUnix {
		transport.DialContext = func(context.Context, string, string) (net.Conn,
			error) {
			return net.Dial("unix", c.socket)
		}
	}
	client := http.Client{Timeout: patience, Transport: transport}
	req, err := http.NewRequest(method, c.url+path, nil)
	if err != nil {
		return 0, "", err
	}
	answer, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(text), err
}

// metrics scrapes: values by name and labels as they are written.
func (c *controlled) metrics() (map[string]float64, error) {
	status, body, err := c.ask(false, "GET", "/metrics")
	if err != nil || status != 200 {
		return nil, fmt.Errorf("/metrics: %d, %w", status, err)
	}
	values := make(map[string]float64)
	for line := range strings.Lines(body) {
		name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if strings.HasPrefix(line, "#") || !ok {
			continue
		}
		if at := strings.LastIndexByte(line, '}'); at >= 0 { // label values may have spaces
			name, value = line[:at+1], strings.TrimSpace(line[at+1:])
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
		values[name] = n
	}
	return values, nil
}

// eventuallyMetrics waits until all these have these values.
func (c *controlled) eventuallyMetrics(t *testing.T, want map[string]float64) map[string]float64 {
	t.Helper()
	var got map[string]float64
	eventually(t, func() (err error) {
		if got, err = c.metrics(); err != nil {
			return err
		}
		var wrong []string
		for name, value := range want {
			if has, ok := got[name]; !ok || has != value {
				wrong = append(wrong, fmt.Sprintf("%s is %v (%v), want %v", name, has, ok, value))
			}
		}
		if len(wrong) > 0 {
			return fmt.Errorf("%s", strings.Join(wrong, "; "))
		}
		return nil
	})
	return got
}

// metered counts a connection's bytes.
type metered struct {
	net.Conn
	in, out *atomic.Int64
}

func (m *metered) Read(p []byte) (int, error) {
	n, err := m.Conn.Read(p)
	m.in.Add(int64(n))
	return n, err
}

func (m *metered) Write(p []byte) (int, error) {
	n, err := m.Conn.Write(p)
	m.out.Add(int64(n))
	return n, err
}

// TestMetricsAreWhatClientsSaw: what a checked client has sent and received is
// what the control plane counts, whatever drives the connections.
func TestMetricsAreWhatClientsSaw(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		root := t.TempDir()
		write(t, root, "small", []byte(hello))
		write(t, root, "cached", pattern(20_000, 3))
		write(t, root, "large", pattern(600_000, 5))
		c := startControlled(t, v, root, "", "--loops", "2")
		var in, out atomic.Int64
		paths := []string{"/small", "/none", "/cached", "/small", "/large", "/small?q", "/cached", "/large"}
		var ok, missing float64
		const connections = 3
		for i := range connections {
			m := &metered{c.dial(t), &in, &out}
			w := newWire(m)
			for range 5 {
				for _, path := range paths[i:] {
					_, err := io.WriteString(m, request(path))
					must(t, err)
					got, err := w.next("GET")
					must(t, err)
					switch got.status {
					case 200:
						ok++
					case 404:
						missing++
					default:
						t.Fatalf("%s: %d", path, got.status)
					}
				}
			}
			if i == 0 {
				m.Close()
			}
		}
		got := c.eventuallyMetrics(t, map[string]float64{
			`evhttpd_requests_total{class="2xx"}`: ok, `evhttpd_requests_total{class="4xx"}`: missing,
			`evhttpd_requests_total{class="5xx"}`: 0, `evhttpd_request_duration_seconds_count`: ok + missing,
			`evhttpd_connections_accepted_total`: connections, `evhttpd_connections{state="idle"}`: connections - 1,
			`evhttpd_connections{state="sending"}`: 0, `evhttpd_received_bytes_total`: float64(out.Load()),
			`evhttpd_jobs_in_flight`: 0, `evhttpd_ready`: 1, `evhttpd_loops_silent`: 0,
		})
		sent := got[`evhttpd_sent_bytes_total{source="copy"}`] + got[`evhttpd_sent_bytes_total{source="memory"}`] +
			got[`evhttpd_sent_bytes_total{source="sendfile"}`]
		if sent != float64(in.Load()) {
			t.Errorf("%v bytes are counted as sent, the clients have %d", sent, in.Load())
		}
		if lookups := got[`evhttpd_cache_lookups_total{result="hit"}`] +
			got[`evhttpd_cache_lookups_total{result="miss"}`] +
			got[`evhttpd_cache_lookups_total{result="revalidation"}`]; lookups < ok+missing {
			t.Errorf("%v lookups for %v requests", lookups, ok+missing)
		}
		checkModel(t, v, got)
	})
}

// checkModel checks that the info metric names the model, and that those system calls are counted which the model
// makes itself.
func checkModel(t *testing.T, v variant, got map[string]float64) {
	t.Helper()
	trigger := v.Trigger
	if trigger == "auto" {
		trigger = ""
	}
	for name := range got {
		if strings.HasPrefix(name, "evhttpd_info{") &&
			(!strings.Contains(name, `model="`+v.Model+`"`) || !strings.Contains(name, `trigger="`+trigger+`"`)) {
			t.Errorf("%s, want %s and %q", name, v.Model, trigger)
		}
	}
	known := func(call string) bool { _, ok := got[`evhttpd_system_calls_total{call="`+call+`"}`]; return ok }
	for _, call := range []string{"recv", "wait"} {
		if want := v.Model != "goroutine" && v.Model != "netpoll"; known(call) != want {
			t.Errorf("the number of %s calls is known: %v, want %v", call, known(call), want)
		}
	}
	if !known("send") || !known("sendfile") || got[`evhttpd_system_calls_total{call="close"}`] < 1 {
		t.Error("calls that every model makes itself are not counted")
	}
	if loops := got["evhttpd_loops"]; (loops == 2) != v.Loops() {
		t.Errorf("%v loops", loops)
	}
}

// TestControlPlane reads every address over TCP and over the Unix socket, and checks that nothing can be written.
func TestControlPlane(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		c := startControlled(t, v, t.TempDir(), "")
		for _, overUnix := range []bool{false, true} {
			for path, want := range map[string]string{"/healthz": "ok\n", "/readyz": "ready\n",
				"/metrics": "evhttpd_info{", "/status": `"model": "` + v.Model + `"`, "/debug/pprof/": "goroutine"} {
				if status, body, err := c.ask(overUnix, "GET", path); status != 200 || err != nil ||
					!strings.Contains(body, want) {
					t.Errorf("GET %s: %d, %v: %.200s", path, status, err, body)
				}
				if status, body, err := c.ask(overUnix, "HEAD", path); status != 200 || err != nil || body != "" {
					t.Errorf("HEAD %s: %d, %v: %.200s", path, status, err, body)
				}
				for _, method := range []string{"POST", "DELETE", "PUT"} {
					if status, _, err := c.ask(overUnix, method, path); status != 405 || err != nil {
						t.Errorf("%s %s: %d, %v", method, path, status, err)
					}
				}
			}
		}
		_, body, err := c.ask(true, "GET", "/status")
		must(t, err)
		var status struct {
			Version, Model, Config string
			PID                    int
			Ready                  bool
			Listeners              []string
			Limits                 struct{ Connections int }
			Counters               struct{ Model string }
			Warnings               []any
		}
		must(t, json.Unmarshal([]byte(body), &status))
		if status.Version == "" || status.PID != c.cmd.Process.Pid || !status.Ready || len(status.Listeners) != 1 ||
			status.Listeners[0] != c.addr ||
			status.Limits.Connections < 1 || status.Counters.Model != v.Model ||
			!strings.HasSuffix(status.Config, "evhttpd.yaml") || status.Warnings == nil {
			t.Errorf("%+v", status)
		}
	})
}

// TestReadinessWhileDraining: a server that finishes its last answers is alive and not ready.
func TestReadinessWhileDraining(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		root := t.TempDir()
		write(t, root, "a", []byte(hello))
		c := startControlled(t, v, root, "timeouts: {drain: 1m}\n")
		half := c.dial(t)
		_, err := io.WriteString(half, "GET /a HTTP/1.1\r\n")
		must(t, err)
		c.eventuallyMetrics(t, map[string]float64{`evhttpd_connections{state="head"}`: 1, "evhttpd_ready": 1})
		c.signal(t, syscall.SIGTERM)
		eventually(t, func() error {
			if status, body, err := c.ask(false, "GET", "/readyz"); status != 503 {
				return fmt.Errorf("/readyz: %d %q, %v", status, body, err)
			}
			return nil
		})
		if status, _, err := c.ask(true, "GET", "/healthz"); status != 200 || err != nil {
			t.Errorf("/healthz while draining: %d, %v", status, err)
		}
		_, err = io.WriteString(half, "Host: x\r\n\r\n")
		must(t, err)
		if got, err := newWire(half).next("GET"); err != nil || got.status != 200 {
			t.Errorf("what was in flight: %d, %v", got.status, err)
		}
		half.Close()
		if code := c.wait(t); code != 0 {
			t.Errorf("exit code %d\n%s", code, c.stderr.String())
		}
		if _, err := os.Stat(c.socket); err == nil {
			t.Error("the control plane's socket is left behind")
		}
	})
}

// TestAccessLogThatStandsStill: a FIFO that nobody reads holds no client up; the
// lines that it costs are counted.
func TestAccessLogThatStandsStill(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		root := t.TempDir()
		write(t, root, "a", []byte(hello))
		fifo := filepath.Join(t.TempDir(), "log")
		must(t, unix.Mkfifo(fifo, 0o600))
		c := startControlled(t, v, root, "", "--access-log", fifo, "--loops", "1")
		const requests, depth = 6000, 20
		batch := strings.Repeat(request("/a", "User-Agent: "+strings.Repeat("x", 400)), depth)
		conn := c.dial(t)
		w := newWire(conn)
		for range requests / depth {
			_, err := io.WriteString(conn, batch)
			must(t, err)
			for range depth {
				if got, err := w.next("GET"); err != nil || got.status != 200 {
					t.Fatalf("%d, %v", got.status, err)
				}
			}
		}
		got := c.eventuallyMetrics(t, map[string]float64{`evhttpd_requests_total{class="2xx"}`: requests})
		if n := got["evhttpd_access_log_lines_dropped_total"]; n == 0 || n >= requests {
			t.Errorf("%v lines are counted as lost of %d", n, requests)
		}
		conn.Close()
		c.signal(t, syscall.SIGTERM)
		c.wait(t) // the lines that are left are an error, which is not this test's
	})
}

// TestAccessLogToSyslog: JSON lines arrive at a real syslog, one a datagram.
func TestAccessLogToSyslog(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		root := t.TempDir()
		write(t, root, "a", []byte(hello))
		folder, err := os.MkdirTemp("", "syslog")
		must(t, err)
		defer os.RemoveAll(folder)
		for _, network := range []string{"udp", "unixgram"} {
			address, name := "127.0.0.1:0", "syslog:udp://"
			if network == "unixgram" {
				address, name = filepath.Join(folder, "log"), "syslog:unix:"
			}
			syslog, err := net.ListenPacket(network, address)
			must(t, err)
			defer syslog.Close()
			must(t, syslog.SetDeadline(deadline()))
			s := start(t, v, root, "--access-log", name+syslog.LocalAddr().String(), "--log-format", "json")
			s.get(t, "/a", "User-Agent: \x80\xe9")
			packet := make([]byte, 64<<10)
			n, _, err := syslog.ReadFrom(packet)
			must(t, err)
			text := string(packet[:n])
			at := strings.IndexByte(text, '{')
			var line struct {
				Method, Target, Host, Remote string
				UserAgent                    string `json:"user_agent"`
				Status, Bytes                int
			}
			if !strings.HasPrefix(text, "<190>") || at < 0 {
				t.Fatalf("not syslog: %q", text)
			}
			must(t, json.Unmarshal([]byte(text[at:]), &line))
			if line.Method != "GET" || line.Target != "/a" || line.Status != 200 || line.Bytes != len(hello) ||
				line.Host != "x" ||
				line.Remote != "127.0.0.1" || line.UserAgent != `\x80\xE9` {
				t.Errorf("%s: %+v", network, line)
			}
			s.stop(t)
		}
	})
}

// TestReopenUnderLoad: SIGUSR1 while requests are answered loses no line of any log, and splits none.
func TestReopenUnderLoad(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		root, logs := t.TempDir(), t.TempDir()
		write(t, root, "a", []byte(hello))
		access, events := filepath.Join(logs, "access"), filepath.Join(logs, "events")
		c := startControlled(t, v, root, "log: {output: \""+events+"\", format: json}\n", "--access-log", access,
			"--log-format", "json")
		const requests, reopens = 2000, 8
		conn := c.dial(t)
		w := newWire(conn)
		for i := range requests {
			_, err := io.WriteString(conn, request("/a?"+strconv.Itoa(i)))
			must(t, err)
			if got, err := w.next("GET"); err != nil || got.status != 200 {
				t.Fatalf("%d, %v", got.status, err)
			}
			if i%(requests/reopens) == 0 {
				for _, name := range []string{access, events} {
					must(t, os.Rename(name, fmt.Sprintf("%s.%d", name, i)))
				}
				c.signal(t, syscall.SIGUSR1)
				eventually(t, func() error {
					_, err := os.Stat(access)
					if err == nil {
						_, err = os.Stat(events) // it is made with the first event after
					}
					return err
				})
			}
		}
		conn.Close()
		c.stop(t)
		seen := make(map[string]bool)
		names, err := filepath.Glob(access + "*")
		must(t, err)
		for _, name := range names {
			text, err := os.ReadFile(name)
			must(t, err)
			for line := range strings.Lines(string(text)) {
				var got struct{ Target string }
				if err := json.Unmarshal([]byte(line), &got); err != nil || seen[got.Target] {
					t.Fatalf("%s: %v: %q", name, err, line)
				}
				seen[got.Target] = true
			}
		}
		if len(names) != reopens+1 || len(seen) != requests {
			t.Errorf("%d files have %d of %d lines", len(names), len(seen), requests)
		}
		names, err = filepath.Glob(events + "*")
		must(t, err)
		reopened := 0
		for _, name := range names {
			text, err := os.ReadFile(name)
			must(t, err)
			for line := range strings.Lines(string(text)) {
				if !json.Valid([]byte(line)) {
					t.Errorf("not an event: %q", line)
				}
				if strings.Contains(line, "access log reopened") {
					reopened++
				}
			}
		}
		if reopened != reopens {
			t.Errorf("%d events of reopening, want %d", reopened, reopens)
		}
	})
}

// TestEventsAreSafeToRead: an event that repeats what a client asked for has no control character in it.
func TestEventsAreSafeToRead(t *testing.T) {
	for _, format := range []string{"console", "json"} {
		root, outside := t.TempDir(), t.TempDir()
		write(t, outside, "secret", []byte(hello))
		must(t, os.Symlink(filepath.Join(outside, "secret"), filepath.Join(root, "x\x1b[31m\x07y")))
		c := startControlled(t, variants()[0], root, "log: {format: "+format+"}\n")
		if got := c.get(t, "/x%1b%5b31m%07y"); got.status != 404 {
			t.Errorf("a link that leaves the root: %d", got.status)
		}
		eventually(t, func() error {
			if said := c.stderr.String(); !strings.Contains(said, "31m") {
				return fmt.Errorf("no event: %q", said)
			}
			return nil
		})
		if said := c.stderr.String(); strings.ContainsAny(said, "\x1b\x07") {
			t.Errorf("%s: %q", format, said)
		}
		_, body, err := c.ask(false, "GET", "/status")
		must(t, err)
		if !strings.Contains(body, "31m") || strings.ContainsAny(body, "\x1b\x07") {
			t.Errorf("/status: %q", body)
		}
		c.stop(t)
	}
}

// TestControlPlaneThatCannotListen: the server says so and does not start.
func TestControlPlaneThatCannotListen(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer taken.Close()
	folder := t.TempDir()
	write(t, folder, "c.yaml", []byte("admin: {listen: [\""+taken.Addr().String()+"\"]}\n"))
	code, stdout, stderr := command(t, "serve", t.TempDir(), "--listen", "127.0.0.1:0", "--config",
		filepath.Join(folder, "c.yaml"))
	if code != 1 || stdout != "" || !strings.Contains(stderr, "admin: listen "+taken.Addr().String()) {
		t.Errorf("exit code %d, %q, %q", code, stdout, stderr)
	}
}

// TestSilentClientsOfTheControlPlane: clients that send nothing keep neither a health check nor a scraper out.
func TestSilentClientsOfTheControlPlane(t *testing.T) {
	c := startControlled(t, defaultVariant(), t.TempDir(), "")
	address := strings.TrimPrefix(c.url, "http://")
	for range 100 {
		silent, err := net.Dial("tcp", address)
		must(t, err)
		defer silent.Close()
		_, err = io.WriteString(silent, "G") // else the kernel keeps them (TCP_DEFER_ACCEPT)
		must(t, err)
	}
	for _, target := range []string{c.url + "/healthz", c.url + "/readyz"} {
		if code, said, complaint := command(t, "healthcheck", target); code != 0 {
			t.Errorf("exit %d, %q, %q", code, said, complaint)
		}
	}
	got, err := c.metrics()
	must(t, err)
	if n := got["evhttpd_admin_connections_evicted_total"]; n < 100-64 {
		t.Errorf("%v connections are counted as closed for others", n)
	}
}

// TestControlPlaneAnswersToItsNames: a request by a name that is not the server's gets 421, though the name leads
// here. The machine's own name is allowed, and a reload changes the list.
func TestControlPlaneAnswersToItsNames(t *testing.T) {
	c := startControlled(t, defaultVariant(), t.TempDir(), "")
	machine, err := os.Hostname()
	must(t, err)
	as := func(host string) int {
		t.Helper()
		req, err := http.NewRequest("GET", c.url+"/status", nil)
		must(t, err)
		req.Host = host
		client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
		answer, err := client.Do(req)
		must(t, err)
		answer.Body.Close()
		return answer.StatusCode
	}
	for host, want := range map[string]int{"": 200, machine: 200, machine + ":9180": 200, "localhost:1": 200,
		"evil.example": 421, "admin.example.org": 421} {
		if got := as(host); got != want {
			t.Errorf("Host: %s: %d, want %d", host, got, want)
		}
	}
	config := filepath.Join(filepath.Dir(c.socket), "evhttpd.yaml")
	text, err := os.ReadFile(config)
	must(t, err)
	must(t, os.WriteFile(config, []byte(strings.Replace(string(text), "pprof: true", "hosts: [admin.example.org]", 1)),
		0o600))
	c.signal(t, syscall.SIGHUP)
	eventually(t, says(c.stderr.String, `"msg":"reloaded"`))
	_, body, err := c.ask(true, "GET", "/status")
	must(t, err)
	if !strings.Contains(body, "model") {
		t.Errorf("over the Unix socket: %s", body)
	}
	eventually(t, func() error { // the address stays, and so does its port
		if got := as("admin.example.org"); got != 200 {
			return fmt.Errorf("the new name: %d", got)
		}
		return nil
	})
	if got := as("evil.example"); got != 421 {
		t.Errorf("another name: %d", got)
	}
}
