package loadtest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/evhttpd/evhttpd/bench/experiment"
	"github.com/evhttpd/evhttpd/bench/load"
)

// small are options for a test: few connections.
func small(url string) Options {
	o := Defaults()
	o.URL, o.Connections = url, 4
	return o
}

func mustRun(t *testing.T, o Options) *Report {
	t.Helper()
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// raw is a server that answers the nth request of each connection with what answer says, until that is empty.
// Then it keeps the connection open, or ends it with or without a reset.
func raw(t *testing.T, answer func(n int) string, end func(*net.TCPConn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				in := bufio.NewReader(c)
				for n := 0; ; n++ {
					if _, err := http.ReadRequest(in); err != nil {
						return
					}
					text := answer(n)
					if text == "" {
						end(c.(*net.TCPConn))
						return
					}
					if _, err := io.WriteString(c, text); err != nil {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() {
		if err := listener.Close(); err != nil {
			t.Error(err)
		}
		all.Wait()
	})
	return "http://" + listener.Addr().String() + "/"
}

// hang waits until the client has gone.
func hang(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) }

func reset(c *net.TCPConn) { _ = c.SetLinger(0) }

const okAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

func none(int) string { return "" }

// TestReport: what the server saw is what the report says, as JSON too, and its text fits a terminal.
func TestReport(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Method != "POST" || string(body) != "content" || r.Host != "example" ||
			r.Header.Get("X") != "y" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, "hello")
	}))
	defer s.Close()
	o := small(s.URL + "/" + strings.Repeat("long", 50))
	o.Requests, o.Pipeline, o.Host, o.Fields, o.Content = 100, 2, "example", []string{"X: y"}, []byte("content")
	o.Percentiles = []float64{99.99, 50}
	for _, text := range []string{"p99>1h", "errors>0", "2xx<1000", "rate<0.001"} {
		c, err := ParseCondition(text)
		if err != nil {
			t.Fatal(err)
		}
		o.FailIf = append(o.FailIf, c)
	}
	r := mustRun(t, o)
	if r.Requests != 100 || r.Answered != 100 || r.Completed != 100 || r.Errors != 0 || r.Bytes != 500 || r.Rate <= 0 ||
		r.Window <= 0 ||
		!maps.Equal(r.Statuses, map[string]int64{"201": 100}) || r.Interrupted {
		t.Errorf("%+v", r)
	}
	l := r.Latency
	if l.Count != 100 || len(l.Percentiles) != 2 || l.Percentiles[0].Percentile != 50 ||
		l.Percentiles[0].Value < l.Min ||
		l.Percentiles[1].Value > l.Max {
		t.Errorf("%+v", l)
	}
	if held := r.Held(); len(held) != 1 || held[0] != "2xx<1000 (100)" {
		t.Errorf("held: %q", held)
	}
	var asJSON, asText strings.Builder
	if err := errors.Join(r.WriteJSON(&asJSON), r.WriteText(&asText)); err != nil {
		t.Fatal(err)
	}
	var again Report
	if err := json.Unmarshal([]byte(asJSON.String()), &again); err != nil || again.Answered != 100 ||
		again.Latency.Percentiles[1] != l.Percentiles[1] {
		t.Errorf("%v from %s", err, asJSON.String())
	}
	for _, line := range strings.Split(asText.String(), "\n") {
		if n := utf8.RuneCountInString(line); n > 80 && !strings.HasPrefix(line, "http://") {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	for _, says := range []string{"100: 100 answered, 0 errors", "p99.99", "201: 100", "2xx<1000", "holds"} {
		if !strings.Contains(asText.String(), says) {
			t.Errorf("no %q in\n%s", says, asText.String())
		}
	}
}

// TestErrors: everything that is no right answer is an error, of whatever kind the server is.
func TestErrors(t *testing.T) {
	ok := func(n int) string {
		if n < 2 {
			return okAnswer
		}
		return ""
	}
	always := func(text string) func(int) string { return func(int) string { return text } }
	for _, c := range []struct {
		name     string
		answer   func(int) string
		end      func(*net.TCPConn)
		change   func(*Options)
		answered int64
		errors   int64
		failure  string
	}{
		{"right", always(okAnswer), hang, nil, 12, 0, ""},
		{"reset", none, reset, nil, 0, 12, "reset"},
		{"reset, pipelined", none, reset, func(o *Options) { o.Connections, o.Pipeline = 1, 3 }, 0, 12, "reset"},
		{"closed", none, func(*net.TCPConn) {}, nil, 0, 12, "short"},
		{"hanging", none, hang, nil, 0, 12, "timeout"},
		{"hanging after two", ok, hang, nil, 8, 4, "timeout"},
		{"another protocol", always("220 ready\r\n"), hang, nil, 0, 12, "malformed"},
		{"a status", always("HTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\n"), hang, nil, 0, 12, "wrong status"},
		{"another status than expected", always(okAnswer), hang, func(o *Options) { o.Status = 204 }, 0, 12,
			"wrong status"},
		{"any status", always("HTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\n"), hang,
			func(o *Options) { o.Status = load.AnyStatus }, 12, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := small(raw(t, c.answer, c.end))
			o.Requests, o.Timeout = 12, 50*time.Millisecond
			if c.failure != "timeout" {
				o.Timeout = 10 * time.Second
			}
			if c.change != nil {
				c.change(&o)
			}
			r := mustRun(t, o)
			if r.Requests != 12 || r.Answered != c.answered || r.Errors != c.errors {
				t.Errorf("%+v", r)
			}
			if c.failure == "" != (len(r.Failures) == 0) || c.failure != "" &&
				(r.Failures[0].Kind != c.failure || r.Failures[0].First == "") {
				t.Errorf("failures: %+v", r.Failures)
			}
		})
	}
}

// TestFigures of a server that takes its time: no latency is below that, and no rate above what it leaves room for.
func TestFigures(t *testing.T) {
	const takes, requests = 20 * time.Millisecond, 20
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { time.Sleep(takes) }))
	defer s.Close()
	o := small(s.URL)
	o.Requests = requests
	r := mustRun(t, o)
	if most := float64(o.Connections) / takes.Seconds(); r.Latency.Min < takes || r.Latency.Mean < takes ||
		r.Rate > most {
		t.Errorf("%v requests/s, at most %v, latencies %+v", r.Rate, most, r.Latency)
	}
	// One connection is asked for twice what it can answer: half of the requests are due before they can be sent, and
	// the last of them has waited for the others.
	o.Connections, o.Rate = 1, 2/takes.Seconds()
	r = mustRun(t, o)
	if last := requests * takes / 2; r.Answered != requests || r.Latency.Max < last {
		t.Errorf("%d answered, the longest after %v, and it was due %v before its answer at least", r.Answered,
			r.Latency.Max, last)
	}
}

// TestNothingAnswersInTime: what hangs when the time is over is waited for until its timeout, and is an error.
func TestNothingAnswersInTime(t *testing.T) {
	for _, rate := range []float64{0, 100} {
		o := small(raw(t, none, hang))
		o.Duration, o.Timeout, o.Rate = 100*time.Millisecond, 60*time.Millisecond, rate
		r := mustRun(t, o)
		if r.Answered != 0 || r.Errors < 4 || len(r.Failures) != 1 || r.Failures[0].Kind != "timeout" ||
			!strings.Contains(r.Why(), "nothing came") {
			t.Errorf("rate %v: %+v", rate, r)
		}
		condition, err := ParseCondition("errors>=100%")
		if out := r.outcome(&condition); err != nil || !out.Holds {
			t.Errorf("rate %v: %+v, %v", rate, out, err)
		}
	}
}

// TestInterrupted: the end of the context is no error, and what was in flight is none either.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var mu sync.Mutex
	waiting := 0
	o := small(raw(t, func(n int) string {
		if n < 2 {
			return okAnswer
		}
		mu.Lock()
		defer mu.Unlock()
		if waiting++; waiting == 4 {
			cancel()
		}
		return ""
	}, hang))
	o.Duration = time.Minute
	r, err := Run(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	if !r.Interrupted || r.Answered != 8 || r.Unanswered != 4 || r.Errors != 0 || r.Window <= 0 ||
		r.Window >= time.Minute {
		t.Errorf("%+v", r)
	}
	var text strings.Builder
	if err := r.WriteText(&text); err != nil || !strings.Contains(text.String(), "with 4 requests in flight") {
		t.Errorf("%v\n%s", err, text.String())
	}
}

// TestListOfURLs: paths and URLs of the server are asked for in turn, through a Unix socket too.
func TestListOfURLs(t *testing.T) {
	var mu sync.Mutex
	var asked []string
	handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, r.Host+r.RequestURI)
	})
	path := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := &httptest.Server{Listener: listener, Config: &http.Server{Handler: handler}}
	s.Start()
	defer s.Close()
	o := small("http://example:81/unused")
	o.Socket, o.Connections, o.Requests = path, 1, 5
	o.URLs = []string{"/a?b=c", "http://example:81/d%20e", "/f g"}
	if r := mustRun(t, o); r.Answered != 5 || r.Address != "unix:"+path || r.URLs != 3 {
		t.Errorf("%+v", r)
	}
	mu.Lock()
	defer mu.Unlock()
	want := "example:81/a?b=c example:81/d%20e example:81/f%20g example:81/a?b=c example:81/d%20e"
	if got := strings.Join(asked, " "); got != want {
		t.Errorf("asked for %s, want %s", got, want)
	}
}

// TestOptionsAreChecked before anything is connected to.
func TestOptionsAreChecked(t *testing.T) {
	for says, change := range map[string]func(*Options){
		"want http://":        func(o *Options) { o.URL = "" },
		"one server":          func(o *Options) { o.URLs = []string{"/a", "http://127.0.0.1:2/"} },
		"list of URLs":        func(o *Options) { o.URLs = []string{"a"} },
		"duration":            func(o *Options) { o.Duration = DurationMax + 1 },
		"leave out the warm":  func(o *Options) { o.WarmUp, o.Requests = 1, 1 },
		"percentile of 101":   func(o *Options) { o.Percentiles = []float64{101} },
		"0 connections":       func(o *Options) { o.Connections = 0 },
		"rate":                func(o *Options) { o.Rate = 1e-9 },
		"pipeline":            func(o *Options) { o.Pipeline = -1 },
		"nothing to pipeline": func(o *Options) { o.Pipeline, o.CloseEach = 2, true },
		"Timeout":             func(o *Options) { o.Timeout = time.Hour },
		"itself":              func(o *Options) { o.Fields = []string{"Content-Length: 5"} },
	} {
		o := small("http://127.0.0.1:1/")
		change(&o)
		_, err := Run(t.Context(), o)
		if err == nil || !strings.Contains(err.Error(), says) || !errors.As(err, new(*experiment.OptionError)) &&
			!errors.Is(err, load.ErrOptions) {
			t.Errorf("error %v does not say %q", err, says)
		}
	}
	if _, err := Run(t.Context(), small("http://127.0.0.1:1/")); err == nil ||
		errors.As(err, new(*experiment.OptionError)) ||
		!strings.Contains(err.Error(), "refused") {
		t.Errorf("nobody listens: %v", err)
	}
}

// TestConditions holds every operator and metric against a report that is known.
func TestConditions(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status := http.StatusOK
		if r.URL.Path == "/none" {
			status = http.StatusNotFound
		}
		w.WriteHeader(status)
	}))
	defer s.Close()
	o := small(s.URL)
	o.Requests, o.URLs = 10, []string{"/", "/none"}
	r := mustRun(t, o)
	for text, holds := range map[string]bool{
		"errors>4": true, "errors > 5": false, "errors>=5": true, "errors<5": false, "errors<=5": true,
		"errors==5": true, "errors!=5": false, "errors>49.9%": true, "errors>50%": false,
		"requests<10": false, "answered!=5": false, "4xx==5": true, "404>0": true, "403>0": false, "5xx>0": false,
		"p50>0s": true, "p99.99>1h": false, "mean<1ns": false, "max<1h": true, "min>1h": false,
		"rate>0": true, "rate>1e9": false,
	} {
		c, err := ParseCondition(text)
		if err != nil {
			t.Error(err)
			continue
		}
		if out := r.outcome(&c); out.Holds != holds || out.Value == nil {
			t.Errorf("%s: %+v", text, out)
		}
	}
	unknown, err := ParseCondition("p99<1ms")
	if out := new(Report).outcome(&unknown); err != nil || !out.Holds || out.Value != nil {
		t.Errorf("without an answer: %+v, %v", out, err)
	}
	for text, says := range map[string]string{
		"": "want METRIC", "p99": "want METRIC", "p99>": "want METRIC", "p99=>5ms": "want METRIC",
		"p99>5": "duration", "p99>-1s": "duration", "p0>1s": "percentile", "p101>1s": "percentile",
		"q99>1s": `no "q99"`, "6x>1": `no "6x"`,
		"errors>x": "number", "errors>-1": "number", "errors>NaN": "number", "rate>5%": "number",
	} {
		if _, err := ParseCondition(text); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want an error with %q", text, err, says)
		}
	}
}

// TestFormats of figures.
func TestFormats(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0s", 999: "999ns", 1234567: "1.23ms", 61 * time.Second: "1m1s",
		10100 * time.Millisecond: "10.1s"} {
		if got := short(d).String(); got != want {
			t.Errorf("%d: %s, want %s", d, got, want)
		}
	}
	for v, want := range map[float64]string{0: "0 B", 512: "512 B", 1023: "0.999 KiB", 1 << 20: "1.00 MiB",
		5e12: "4,657 GiB"} {
		if got := bytes(v); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
}
