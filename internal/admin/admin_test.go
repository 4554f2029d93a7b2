package admin

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/internal/testkit"
)

const patience = testkit.Patience

var must = testkit.Must

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sample is a Snapshot in which everything has a value of its own.
func sample() *Snapshot {
	s := &Snapshot{
		Model: "epoll", Trigger: "edge",
		Counters: conn.Counters{
			Requests: [6]uint64{2: 12, 4: 3},
			Latency:  conn.Histogram{Buckets: [conn.HistogramBuckets]uint64{10: 4, 17: 5, 27: 6}, Sum: 7_500_000_000},

			Connections: [conn.NumPhases]uint64{conn.PhaseIdle: 8, conn.PhaseSending: 1},
			Accepted:    21, Refused: 22, RefusedClient: 45, Evicted: 23, AcceptErrors: 24,
			Timeouts: [conn.NumPhases]uint64{conn.PhaseHead: 25},
			Received: 26, SentCopied: 27, SentMemory: 28, SentFile: 29,
			Calls:   [conn.NumCalls]uint64{conn.CallRecv: 30, conn.CallAccept: 7},
			Again:   [conn.NumCalls]uint64{conn.CallRecv: 31, conn.CallAccept: 7},
			Unknown: conn.SetOf(conn.CallAccept), Operations: 32, Overflows: 33,
			Loops: 2, Waits: 34, Events: 35, JobsSubmitted: 36, JobsRefused: 37,
			Batch:     conn.Histogram{Buckets: [conn.HistogramBuckets]uint64{1}, Sum: 500_000_000},
			Lateness:  conn.Histogram{Buckets: [conn.HistogramBuckets]uint64{27: 2}, Sum: 4_000_000_000},
			CacheHits: 39,
		},
		ConnectionsLimit: 900, CacheBytes: 40, CacheEntries: 41, CacheDescriptors: 42,
		AccessLinesDropped: 43, EventsDropped: 44, EventsSuppressed: 46, Reloads: 47, ReloadsFailed: 48,
		LastReloadFailed: true,
	}
	s.JobsDone = s.JobsSubmitted - s.JobsRefused - 38 // so that as many are in flight
	return s
}

// plane is a control plane over a sample, on TCP and on a Unix socket.
type plane struct {
	*Server
	addr, path string
	ready      atomic.Bool
	silent     atomic.Int64
	resting    atomic.Int64
}

func start(t *testing.T, options ...func(*Options)) *plane {
	t.Helper()
	p := &plane{path: filepath.Join(t.TempDir(), "admin.sock")}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	local, err := net.Listen("unix", p.path)
	must(t, err)
	p.addr = tcp.Addr().String()
	p.ready.Store(true)
	o := Options{
		Version: "v1.2.3", Ready: p.ready.Load, Log: zap.NewNop(),
		Warn: func(what string, err error) { t.Errorf("%s: %v", what, err) },
		Snapshot: func() *Snapshot {
			s := sample()
			s.Silent, s.Resting = int64(p.silent.Load()), int64(p.resting.Load())
			return s
		},
		Status: func() any { return map[string]any{"uptime_seconds": 5, "counters": sample()} },
	}
	for _, option := range options {
		option(&o)
	}
	p.Server = Start([]net.Listener{tcp, local}, o)
	t.Cleanup(func() { must(t, p.Close(patience)) })
	return p
}

// ask sends a request over TCP or the Unix socket and returns the answer.
func (p *plane) ask(t *testing.T, network, method, path string) (status int, header http.Header, body string) {
	t.Helper()
	address := p.addr
	if network == "unix" {
		address = p.path
	}
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		}}}
	req, err := http.NewRequest(method, "http://localhost"+path, nil)
	must(t, err)
	answer, err := client.Do(req)
	must(t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	must(t, err)
	return answer.StatusCode, answer.Header, string(text)
}

func TestAddresses(t *testing.T) {
	p := start(t)
	for _, network := range []string{"tcp", "unix"} {
		for _, c := range []struct {
			path, mediaType, says string
			status                int
		}{
			{"/", "text/plain", "/metrics\n", 200},
			{"/metrics", "text/plain", "evhttpd_requests_total{class=\"2xx\"} 12\n", 200},
			{"/healthz", "text/plain", "ok\n", 200},
			{"/readyz", "text/plain", "ready\n", 200},
			{"/status", "application/json", "\"uptime_seconds\": 5", 200},
			{"/debug/pprof/", "text/plain", "not found", 404},
			{"/etc/passwd", "text/plain", "not found", 404},
		} {
			status, header, body := p.ask(t, network, "GET", c.path)
			if status != c.status || !strings.HasPrefix(header.Get("Content-Type"), c.mediaType) ||
				!strings.Contains(body, c.says) {
				t.Errorf("%s %s: %d, %q: %.300s", network, c.path, status, header.Get("Content-Type"), body)
			}
			if header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s %s may be cached", network, c.path)
			}
			status, _, body = p.ask(t, network, "HEAD", c.path)
			if status != c.status || body != "" {
				t.Errorf("HEAD %s %s: %d, %q", network, c.path, status, body)
			}
		}
	}
}

// Nothing can be changed: what is neither GET nor HEAD is refused everywhere.
func TestOnlyGetAndHead(t *testing.T) {
	p := start(t, func(o *Options) { o.Pprof = true })
	for _, path := range []string{"/", "/metrics", "/healthz", "/readyz", "/status", "/debug/pprof/",
		"/debug/pprof/symbol", "/none"} {
		for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PURGE"} {
			if status, header, _ := p.ask(t, "tcp", method, path); status != 405 || header.Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: %d, Allow: %q", method, path, status, header.Get("Allow"))
			}
		}
	}
	c, err := net.Dial("tcp", p.addr)
	must(t, err)
	defer c.Close()
	must(t, c.SetDeadline(time.Now().Add(patience)))
	_, err = io.WriteString(c, "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n")
	must(t, err)
	if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || !strings.Contains(line, " 405 ") {
		t.Errorf("OPTIONS *: %q, %v", line, err)
	}
}

func TestPprof(t *testing.T) {
	p := start(t, func(o *Options) { o.Pprof = true })
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/goroutine?debug=1", "/debug/pprof/cmdline",
		"/debug/pprof/profile?seconds=1"} {
		if status, _, body := p.ask(t, "tcp", "GET", path); status != 200 || body == "" {
			t.Errorf("%s: %d, %d bytes", path, status, len(body))
		}
	}
}

func TestHealthAndReadiness(t *testing.T) {
	p := start(t)
	p.resting.Store(1)
	if status, _, body := p.ask(t, "tcp", "GET", "/readyz"); status != 503 || !strings.Contains(body, "1 listeners") {
		t.Errorf("/readyz while accepting rests: %d, %s", status, body)
	}
	if _, _, body := p.ask(t, "tcp", "GET", "/metrics"); !strings.Contains(body, "evhttpd_ready 0\n") {
		t.Error("the metrics say that it is ready while accepting rests")
	}
	p.resting.Store(0)
	p.ready.Store(false)
	if status, _, _ := p.ask(t, "tcp", "GET", "/readyz"); status != 503 {
		t.Errorf("/readyz while draining: %d", status)
	}
	if status, _, _ := p.ask(t, "tcp", "GET", "/healthz"); status != 200 {
		t.Errorf("/healthz while draining: %d", status)
	}
	if _, _, body := p.ask(t, "tcp", "GET", "/metrics"); !strings.Contains(body, "evhttpd_ready 0\n") {
		t.Error("the metrics say that it is ready")
	}
	p.silent.Store(1)
	if status, _, body := p.ask(t, "tcp", "GET", "/healthz"); status != 503 || !strings.Contains(body, "1 of 2 loops") {
		t.Errorf("/healthz with a stuck loop: %d %q", status, body)
	}
}

func TestStatusIsJSON(t *testing.T) {
	p := start(t)
	_, _, body := p.ask(t, "unix", "GET", "/status")
	var got struct {
		Counters struct {
			Requests map[string]int
			Calls    map[string]*int `json:"system_calls"`
		}
	}
	must(t, json.Unmarshal([]byte(body), &got))
	if got.Counters.Requests["2xx"] != 12 || got.Counters.Calls["accept"] != nil || *got.Counters.Calls["recv"] != 30 {
		t.Errorf("%+v", got)
	}
	if !strings.Contains(body, `"accept": null`) {
		t.Error("a number that is not known is left out")
	}
}

// Every value of the snapshot is in the metrics, and what is not known is not.
func TestMetricsHaveEveryValue(t *testing.T) {
	p := start(t)
	_, _, body := p.ask(t, "tcp", "GET", "/metrics")
	for _, want := range []string{
		`evhttpd_info{model="epoll",trigger="edge",version="v1.2.3"} 1`, `evhttpd_ready 1`,
		`evhttpd_request_duration_seconds_bucket{le="0.001048576"} 4`,
		`evhttpd_request_duration_seconds_bucket{le="0.134217728"} 9`,
		`evhttpd_request_duration_seconds_bucket{le="+Inf"} 15`, `evhttpd_request_duration_seconds_sum 7.5`,
		`evhttpd_connections{state="idle"} 8`, `evhttpd_system_calls_total{call="recv"} 30`,
		`evhttpd_system_calls_again_total{call="recv"} 31`, `evhttpd_timer_lateness_seconds_count 2`,
		`evhttpd_reloads_total{result="failure"} 48`, `evhttpd_last_reload_successful 0`,
		`go_goroutines `, `process_start_time_seconds `,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s", want)
		}
	}
	for n := 21; n <= 48; n++ {
		if !regexp.MustCompile(fmt.Sprintf(`(?m)^evhttpd_\S+ %d$`, n)).MatchString(body) {
			t.Errorf("no metric has the value %d", n)
		}
	}
	if strings.Contains(body, `call="accept"`) {
		t.Error("a number that is not known is told")
	}
}

// TestEveryCountIsInAMetric: a count that grows changes a metric.
func TestEveryCountIsInAMetric(t *testing.T) {
	before, fields := metrics(sample()), 0
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Snapshot]()) {
		s := sample()
		if f.Anonymous || !grow(reflect.ValueOf(s).Elem().FieldByIndex(f.Index)) {
			continue
		}
		fields++
		if reflect.DeepEqual(metrics(s), before) {
			t.Errorf("%s is in no row of metrics", f.Name)
		}
	}
	if fields < 40 {
		t.Errorf("%d fields were tried", fields)
	}
}

// grow adds to a count, to the last of several, or to the sum of a histogram. Names and sets are no counts.
func grow(v reflect.Value) bool {
	switch {
	case v.Type() == reflect.TypeFor[conn.CallSet]():
		return false
	case v.Kind() == reflect.Bool:
		v.SetBool(!v.Bool())
	case v.CanInt():
		v.SetInt(v.Int() + 1)
	case v.CanUint():
		v.SetUint(v.Uint() + 1)
	case v.Kind() == reflect.Array:
		return grow(v.Index(v.Len() - 1))
	case v.Kind() == reflect.Struct:
		return grow(v.FieldByName("Sum"))
	default:
		return false
	}
	return true
}

// TestOperationsNamesEveryMetric: docs/operations.md has a row for each.
func TestOperationsNamesEveryMetric(t *testing.T) {
	page, err := os.ReadFile("../../docs/operations.md")
	must(t, err)
	for _, m := range metrics(sample()) {
		name := "`" + m.name
		if m.label != "" {
			name += "{" + m.label + "}"
		}
		if !strings.Contains(string(page), name+"`") {
			t.Errorf("%s` has no row", name)
		}
	}
}

// The names and texts keep the conventions of Prometheus.
func TestMetricsLint(t *testing.T) {
	problems, err := testutil.CollectAndLint(collector{&Options{Snapshot: sample,
		Ready: func() bool { return true }}})
	must(t, err)
	for _, problem := range problems {
		t.Errorf("%s: %s", problem.Metric, problem.Text)
	}
}

// promtool is the last word, where it is installed.
func TestPromtoolCheckMetrics(t *testing.T) {
	promtool := testkit.Program(t, "promtool")
	p := start(t)
	_, _, body := p.ask(t, "tcp", "GET", "/metrics")
	cmd := testkit.Command(promtool, "check", "metrics")
	cmd.Stdin = strings.NewReader(body)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	for kind, file := range map[string]string{"rules": "alerts.yml", "config": "prometheus.yml"} {
		cmd := testkit.Command(promtool, "check", kind, file)
		cmd.Dir = "../../configs/prometheus"
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", file, err, out)
		}
	}
}

// What happens to a server has the alert that is meant for it, and no other, by Prometheus' own rules.
func TestPromtoolAlertsFire(t *testing.T) {
	promtool := testkit.Program(t, "promtool")
	if text, err := os.ReadFile("../../configs/prometheus/prometheus.yml"); err != nil ||
		!strings.Contains(string(text), "job_name: evhttpd\n") {
		t.Errorf("no job by the name that the alert has: %v", err)
	}
	if out, err := testkit.Command(promtool, "test", "rules", "testdata/alerts.yml").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// exported lists the names of all series that a scrape has.
func exported(t *testing.T) map[string]bool {
	t.Helper()
	families, err := newRegistry(&Options{Snapshot: sample, Ready: func() bool { return true }}).Gather()
	must(t, err)
	names := make(map[string]bool)
	for _, f := range families {
		names[f.GetName()] = true
		if f.Metric[0].Histogram != nil {
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				names[f.GetName()+suffix] = true
			}
		}
	}
	return names
}

var (
	metricName = regexp.MustCompile(`\b(?:evhttpd|process|go)_[a-z0-9_]+`)
	alertExpr  = regexp.MustCompile(`(?m)^ +expr: ((?:.|\n {10})+)$`)
)

// A dashboard, or an alert, that asks for what is not there is silent for ever.
func TestDashboardAndAlertsAskForWhatIsThere(t *testing.T) {
	names := exported(t)
	check := func(where, expr string) {
		t.Helper()
		found := metricName.FindAllString(expr, -1)
		if strings.HasPrefix(expr, `up{job="evhttpd"}`) { // Prometheus' own, of the job in prometheus.yml
			return
		}
		if len(found) == 0 {
			t.Errorf("%s: no metric of ours in %q", where, expr)
		}
		for _, name := range found {
			if !names[name] {
				t.Errorf("%s: there is no %s", where, name)
			}
		}
	}
	var dashboard struct {
		Title  string
		UID    string
		Panels []struct {
			Title, Type string
			Targets     []struct{ Expr, RefID string }
		}
	}
	text, err := os.ReadFile("../../configs/grafana.json")
	must(t, err)
	d := json.NewDecoder(bytes.NewReader(text))
	must(t, d.Decode(&dashboard))
	queries := 0
	for _, panel := range dashboard.Panels {
		if panel.Title == "" || panel.Type == "" {
			t.Errorf("a panel without a title or a type: %+v", panel)
		}
		for _, target := range panel.Targets {
			check(panel.Title, target.Expr)
			queries++
		}
	}
	if dashboard.Title == "" || dashboard.UID == "" || queries < 10 {
		t.Errorf("%q %q has %d queries", dashboard.Title, dashboard.UID, queries)
	}
	text, err = os.ReadFile("../../configs/prometheus/alerts.yml")
	must(t, err)
	exprs := alertExpr.FindAllStringSubmatch(string(text), -1)
	if len(exprs) != strings.Count(string(text), "alert:") || len(exprs) == 0 {
		t.Errorf("%d expressions for %d alerts", len(exprs), strings.Count(string(text), "alert:"))
	}
	for _, e := range exprs {
		check("alerts.yml", e[1])
	}
}

// Clients who keep connections open and say nothing, or too little, or do not read, keep nobody out: each who asks is
// answered at once, and the end does not wait for them.
func TestSilentClientsKeepNobodyOut(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		for name, says := range map[string]string{"nothing": "",
			"half a head": "GET /healthz HTTP/1.1\r\nHost: localh",
			"one request": "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"} {
			t.Run(network+", "+name, func(t *testing.T) {
				p := start(t)
				for range 3 * connectionsMax {
					c := p.dial(t, network)
					_, err := io.WriteString(c, says)
					must(t, err)
				}
				began := time.Now()
				for range 3 {
					if status, _, _ := p.ask(t, network, "GET", "/healthz"); status != 200 {
						t.Errorf("/healthz: %d", status)
					}
				}
				if took := time.Since(began); took > headTimeout { // else they have only run out of time
					t.Errorf("three answers took %v", took)
				}
				if n := p.evicted.Load(); n < 2*connectionsMax {
					t.Errorf("%d connections were closed for others", n)
				}
				must(t, p.Close(time.Millisecond))
			})
		}
	}
}

// A client that is being answered keeps its place, until that takes too long and others wait.
func TestAnswersKeepTheirPlace(t *testing.T) {
	begun, end := make(chan bool, connectionsMax), make(chan struct{})
	p := start(t, func(o *Options) {
		status := o.Status
		o.Status = func() any { begun <- true; <-end; return status() }
	})
	release := sync.OnceFunc(func() { close(end) })
	defer release()
	var busy []net.Conn
	for range connectionsMax - 1 {
		c := p.dial(t, "tcp")
		_, err := io.WriteString(c, "GET /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
		must(t, err)
		<-begun
		busy = append(busy, c)
	}
	p.dial(t, "tcp") // silent, and gives way
	if status, _, _ := p.ask(t, "tcp", "GET", "/healthz"); status != 200 || p.evicted.Load() != 1 {
		t.Errorf("/healthz: %d, and %d were closed for it", status, p.evicted.Load())
	}
	c := p.dial(t, "tcp")
	_, err := io.WriteString(c, "GET /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
	must(t, err)
	<-begun
	if status, _, _ := p.ask(t, "tcp", "GET", "/healthz"); status != 200 || p.evicted.Load() != 2 {
		t.Errorf("/healthz after %v: %d, and %d were closed for it", activeMax, status, p.evicted.Load())
	}
	release()
	answered := 0
	for _, c := range append(busy, c) {
		if text, err := io.ReadAll(c); err == nil && strings.Contains(string(text), " 200 OK") {
			answered++
		}
	}
	if answered != connectionsMax-1 {
		t.Errorf("%d of %d were answered", answered, connectionsMax)
	}
}

// dial connects, until the test ends.
func (p *plane) dial(t *testing.T, network string) net.Conn {
	t.Helper()
	c, err := net.Dial(network, map[string]string{"tcp": p.addr, "unix": p.path}[network])
	must(t, err)
	t.Cleanup(func() { c.Close() })
	must(t, c.SetDeadline(time.Now().Add(patience)))
	return c
}

// A name that leads here by somebody else's doing is not answered to (DNS rebinding), but over a Unix socket.
func TestHosts(t *testing.T) {
	p := start(t, func(o *Options) { o.Hosts = []string{"Admin.example.org", "*.internal"} })
	for host, want := range map[string]int{
		"localhost": 200, "LOCALHOST:9180": 200, "a.localhost": 200, "localhost.": 200, "127.0.0.1": 200,
		"192.0.2.7:80": 200,
		"[::1]":        200, "[2001:db8::1]:9180": 200, "admin.example.org:9180": 200, "web.internal": 200, "": 200,
		"evil.example": 421, "evil.example:9180": 421, "localhost.evil.example": 421, "xlocalhost": 421,
		"127.0.0.1.evil.example": 421,
		"internal":               421, "admin.example.org.evil.example": 421, "127.1": 421,
	} {
		for network, want := range map[string]int{"tcp": want, "unix": 200} {
			for _, path := range []string{"/status", "/healthz", "/none"} {
				c := p.dial(t, network)
				_, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path, host)
				must(t, err)
				line, err := bufio.NewReader(c).ReadString('\n')
				must(t, err)
				if path == "/none" && want == 200 {
					want = 404
				}
				if !strings.Contains(line, fmt.Sprintf(" %d ", want)) {
					t.Errorf("%s, Host: %s, %s: %q, want %d", network, host, path, line, want)
				}
			}
		}
	}
}

// failing is a listener whose first calls of Accept fail.
type failing struct {
	net.Listener
	times atomic.Int64
}

func (l *failing) Accept() (net.Conn, error) {
	if l.times.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EPERM)}
	}
	return l.Listener.Accept()
}

// TestAcceptingIsTriedAgain: an error of accept that net/http takes for the end is said once, and not the end.
func TestAcceptingIsTriedAgain(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	l := &failing{Listener: tcp}
	l.times.Store(3)
	said := make(chan string, 10)
	s := Start([]net.Listener{l}, Options{Ready: func() bool { return true }, Log: zap.NewNop(),
		Warn:     func(what string, err error) { said <- fmt.Sprint(what, ": ", err) },
		Snapshot: sample, Status: func() any { return nil }})
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Get("http://" + tcp.Addr().String() + "/readyz")
	must(t, err)
	r.Body.Close()
	if r.StatusCode != 200 {
		t.Error(r.StatusCode)
	}
	must(t, s.Close(time.Second))
	if first := <-said; len(said) != 2 || !strings.Contains(first, tcp.Addr().String()+": ") ||
		!strings.Contains(first, "operation not permitted") {
		t.Errorf("%q, and %d more", first, len(said))
	}
}
