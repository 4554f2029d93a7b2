package conn

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evhttpd/evhttpd/clock"
	"github.com/evhttpd/evhttpd/http1"
)

// get is a request of HTTP/1.1 with further fields.
func get(target string, fields ...string) string { return request("GET", target, "1.1", "", fields...) }

func request(method, target, version, body string, fields ...string) string {
	s := method + " " + target + " HTTP/" + version + "\r\nHost: a\r\n"
	for _, f := range fields {
		s += f + "\r\n"
	}
	return s + "\r\n" + body
}

func post(body string, fields ...string) string { return request("POST", "/p", "1.1", body, fields...) }

// scenario is what a peer sends and what it must get.
type scenario struct {
	name   string
	send   string
	config func(*Config)
	refuse bool
	cold   []int64
	eof    bool
	heads  []int    // answers without a body
	want   []string // each "status" or "status text", the text a part of the body
	close  bool     // the server closes behind the last answer, which says so
	direct bool     // without lingering
	broken bool     // it closes in the middle of the last answer
	log    []string // "target status bytes"; nil: not looked at
}

func fails(n int, pattern string) (s []string) {
	for range n {
		s = append(s, pattern)
	}
	return s
}

var chunked = "Transfer-Encoding: chunked"

var scenarios = []scenario{
	{name: "keep-alive in 1.1", send: get("/a") + get("/b"), want: []string{"200 GET /a", "200 GET /b"},
		log: []string{"/a 200 6", "/b 200 6"}},
	{name: "close in 1.1", send: get("/a", "Connection: close"), want: []string{"200 GET /a"}, close: true,
		direct: true},
	{
		name:  "close with more behind lingers",
		send:  get("/a", "Connection: close") + get("/b"),
		want:  []string{"200 GET /a"},
		close: true,
	},
	{name: "1.0 closes", send: request("GET", "/a", "1.0", ""), want: []string{"200 GET /a"}, close: true,
		direct: true},
	{name: "1.0 with keep-alive", send: strings.Repeat(request("GET", "/a", "1.0", "", "Connection: keep-alive"), 2),
		want: []string{"200 GET /a", "200 GET /a"}},
	{name: "a handler that closes lingers", send: get("/close") + get("/b"), want: []string{"200 bye"}, close: true},
	{name: "pipelining", send: strings.Repeat(get("/a"), 40), want: fails(40, "200 GET /a")},
	{
		name: "an empty line before a request",
		send: get("/a") + "\r\n" + get("/b"),
		want: []string{"200 GET /a", "200 GET /b"},
	},
	{name: "a half-closed client is answered in full", send: get("/a") + get("/file") + get("/b"), eof: true,
		want: []string{"200 GET /a", "200 0,1,2,", "200 GET /b"}},

	{name: "HEAD has no body", send: request("HEAD", "/a", "1.1", "") + request("HEAD", "/shared/9000", "1.1", "") +
		request(
			"HEAD",
			"/file",
			"1.1",
			"",
		) + request("HEAD", "/source", "1.1", "") + request("HEAD", "/fail", "1.1", "") + get("/b"),
		heads: []int{0, 1, 2, 3, 4}, want: []string{"200", "200", "200", "200", "404", "200 GET /b"},
		log: []string{"/a 200 0", "/shared/9000 200 0", "/file 200 0", "/source 200 0", "/fail 404 0", "/b 200 6"}},

	{
		name:  "HEAD refused for its line has no body",
		send:  get("/a") + "HEAD / HTTP/1.1\n\n",
		heads: []int{1},
		want:  []string{"200 GET /a", "400"},
		close: true,
		log:   []string{"/a 200 6", "- 400 0"},
	},
	{
		name:  "HEAD refused for a field has no body",
		send:  "\r\nHEAD / HTTP/1.1\r\nHost: a b\r\n\r\n",
		heads: []int{0},
		want:  []string{"400"},
		close: true,
	},
	{name: "HEAD without a target has no body", send: "HEAD\r\n", heads: []int{0}, want: []string{"400"}, close: true},
	{
		name:  "HEAD over the limit has no body",
		send:  "HEAD /" + strings.Repeat("x", 9<<10),
		heads: []int{0},
		want:  []string{"414"},
		close: true,
	},
	{
		name:  "HEAD in lower case is no method",
		send:  "head / HTTP/1.1\r\nHost: h\r\n\r\n",
		want:  []string{"501 unknown method"},
		close: true,
	},
	{
		name:  "400 behind a good one",
		send:  get("/a") + "GET /b HTTP/1.1\n\n",
		want:  []string{"200 GET /a", "400 LF without CR at byte 15"},
		close: true,
		log: []string{
			"/a 200 6",
			fmt.Sprintf("- 400 %d", len("400: LF without CR at byte 15 (RFC 9112 section 2.2; with nc use -C)\n")),
		},
	},
	{name: "400 without Host", send: "GET / HTTP/1.1\r\n\r\n", want: []string{"400 no Host"}, close: true},
	{
		name:  "414",
		send:  get("/a") + "GET /" + strings.Repeat("x", 9<<10),
		want:  []string{"200 GET /a", "414 request line"},
		close: true,
	},
	{name: "431", send: get("/a") + get("/b", strings.TrimSuffix(strings.Repeat("X: y\r\n", 101), "\r\n")),
		want: []string{"200 GET /a", "431 more fields"}, close: true},
	{
		name:  "501 method",
		send:  get("/a") + request("BREW", "/", "1.1", ""),
		want:  []string{"200 GET /a", "501 unknown method"},
		close: true,
	},
	{name: "501 coding", send: post("", "Transfer-Encoding: zip"), want: []string{"501 transfer coding"}, close: true},
	{name: "505", send: get("/a") + "GET / HTTP/2.0\r\n\r\n", want: []string{"200 GET /a", "505 version"}, close: true},
	{
		name: "an error of the handler keeps the connection",
		send: get("/fail") + get("/a"),
		want: []string{"404 no such thing", "200 GET /a"},
		log:  []string{"/fail 404 19", "/a 200 6"},
	},
	{name: "no answer is 500", send: get("/none") + get("/a"), want: []string{"500", "200 GET /a"}},

	{
		name: "a body by length",
		send: post("hello", "Content-Length: 5") + get("/b"),
		want: []string{"200 POST /p", "200 GET /b"},
	},
	{name: "an empty body", send: post("", "Content-Length: 0") + get("/b"),
		want: []string{"200 POST /p", "200 GET /b"}},
	{
		name: "a chunked body",
		send: post("5;x=y\r\nhello\r\n0\r\nT: v\r\n\r\n", chunked) + get("/b"),
		want: []string{"200 POST /p", "200 GET /b"},
	},
	{
		name:   "a body and close",
		send:   post("hello", "Content-Length: 5", "Connection: close"),
		want:   []string{"200 POST /p"},
		close:  true,
		direct: true,
	},
	{
		name:  "413 by length",
		send:  get("/a") + post("hello", "Content-Length: 70000"),
		want:  []string{"200 GET /a", "413 body over the limit"},
		close: true,
		log: []string{
			"/a 200 6",
			fmt.Sprintf("/p 413 %d", len("413: body over the limit at byte 57 (RFC 9110 section 15.5.14)\n")),
		},
	},
	{
		name:  "413 by chunks",
		send:  post("5\r\nhello\r\n11170\r\n", chunked),
		want:  []string{"413 body over the limit"},
		close: true,
	},
	{
		name:  "HEAD with a body over the limit",
		send:  request("HEAD", "/a", "1.1", "", "Content-Length: 70000"),
		heads: []int{0},
		want:  []string{"413"},
		close: true,
	},
	{name: "400 in chunks", send: post("5\r\nhello\r\n5\r\nworldX\r\n", chunked),
		want: []string{fmt.Sprintf("400 longer than its size at byte %d", len(post("", chunked))+18)}, close: true},

	{
		name:  "100-continue does not wait for the body",
		send:  post("", "Content-Length: 5", "Expect: 100-continue"),
		want:  []string{"200 POST /p"},
		close: true,
	},
	{
		name:  "100-continue does not wait for chunks",
		send:  get("/a") + post("", chunked, "Expect: 100-continue"),
		want:  []string{"200 GET /a", "200 POST /p"},
		close: true,
	},
	{
		name:  "100-continue with a body that comes all the same",
		send:  post("hello", "Content-Length: 5", "Expect: 100-continue") + get("/b"),
		want:  []string{"200 POST /p"},
		close: true,
	},
	{
		name:  "100-continue with an answer that is put off",
		send:  request("POST", "/defer/2", "1.1", "", "Content-Length: 5", "Expect: 100-continue"),
		want:  []string{"200 deferred"},
		close: true,
	},
	{
		name: "100-continue with nothing to come",
		send: post("", "Content-Length: 0", "Expect: 100-continue") + get("/b"),
		want: []string{"200 POST /p", "200 GET /b"},
	},
	{name: "100-continue in 1.0", send: request("POST", "/p", "1.0", "hello", "Content-Length: 5",
		"Expect: 100-continue"),
		want: []string{"200 POST /p"}, close: true, direct: true},
	{
		name:  "100-continue with a body over the limit",
		send:  post("", "Content-Length: 70000", "Expect: 100-continue"),
		want:  []string{"200 POST /p"},
		close: true,
	},
	{name: "417", send: get("/a", "Expect: magic") + get("/b"), want: []string{"417 expectation", "200 GET /b"}},
	{
		name:  "417 does not wait for the body",
		send:  post("", "Content-Length: 5", "Expect: magic"),
		want:  []string{"417 expectation"},
		close: true,
	},
	{
		name:  "417 does not wait for the body and lingers",
		send:  post("", "Content-Length: 5", "Expect: magic", "Connection: close"),
		want:  []string{"417 expectation"},
		close: true,
	},

	{
		name: "bodies around copyMax",
		send: get(
			fmt.Sprintf("/shared/%d", copyMax),
		) + get(
			fmt.Sprintf("/shared/%d", copyMax+1),
		) + get(
			"/shared/1",
		) + get(
			"/shared/0",
		) + get(
			"/a",
		),
		want: []string{"200 " + pattern(copyMax), "200 " + pattern(copyMax+1), "200 " + pattern(1), "200",
			"200 GET /a"},
		log: []string{"/shared/4096 200 4096", "/shared/4097 200 4097", "/shared/1 200 1", "/shared/0 200 0",
			"/a 200 6"},
	},
	{
		name: "shared bodies one behind the other",
		send: strings.Repeat(get("/shared/6000"), 3),
		want: fails(3, "200 "+pattern(6000)),
	},
	{
		name: "a file",
		send: get("/a") + get("/file") + get("/b"),
		want: []string{"200 GET /a", "200 " + fileContent, "200 GET /b"},
		log:  []string{"/a 200 6", fmt.Sprintf("/file 200 %d", fileSize), "/b 200 6"},
	},
	{
		name: "a cold file",
		send: get("/file") + get("/b"),
		cold: []int64{0, fileTurn},
		want: []string{"200 " + fileContent, "200 GET /b"},
	},
	{name: "parts of files", send: get("/parts") + get("/b"),
		want: []string{"200 one:" + fileContent[1000:1100] + "two:" + fileContent[5000:5200], "200 GET /b"}},
	{
		name:   "a file and close",
		send:   get("/file", "Connection: close"),
		want:   []string{"200 " + fileContent},
		close:  true,
		direct: true,
	},
	{name: "a file that shrank", send: get("/a") + get("/long") + get("/b"), want: []string{"200 GET /a"}, broken: true,
		log: []string{"/a 200 6", fmt.Sprintf("/long 200 %d", fileSize)}},
	{
		name: "a source",
		send: get("/a") + get("/source") + get("/b"),
		want: []string{"200 GET /a", "200 abc" + pattern(40<<10) + "end", "200 GET /b"},
		log:  []string{"/a 200 6", fmt.Sprintf("/source 200 %d", 40<<10+6), "/b 200 6"},
	},
	{
		name:   "a source that fails",
		send:   get("/torn") + get("/b"),
		broken: true,
		log:    []string{fmt.Sprintf("/torn 200 %d", 40<<10+3)},
	},

	{
		name: "put off once",
		send: get("/a") + get("/defer/1") + get("/b"),
		want: []string{"200 GET /a", "200 deferred", "200 GET /b"},
	},
	{name: "put off four times", send: get("/defer/4") + get("/b"), want: []string{"200 deferred", "200 GET /b"}},
	{name: "put off too often", send: get("/defer/5") + get("/b"), want: []string{"500 too often", "200 GET /b"}},
	{
		name: "put off with a body",
		send: request("POST", "/defer/2", "1.1", "hello", "Content-Length: 5") + get("/b"),
		want: []string{"200 deferred", "200 GET /b"},
	},
	{
		name:   "put off and close",
		send:   get("/defer/1", "Connection: close"),
		want:   []string{"200 deferred"},
		close:  true,
		direct: true,
	},

	{
		name:   "turns of two requests",
		send:   strings.Repeat(get("/a"), 9),
		config: func(c *Config) { c.TurnRequests = 2 },
		want:   fails(9, "200 GET /a"),
	},
	{
		name:   "turns of few bytes",
		send:   get("/file") + strings.Repeat(get("/shared/9000"), 9),
		config: func(c *Config) { c.TurnBytes = 10000 },
		want:   append([]string{"200 " + fileContent}, fails(9, "200 "+pattern(9000))...),
	},
	{
		name:   "little output at a time",
		send:   strings.Repeat(get("/a"), 30),
		config: func(c *Config) { c.Output = 500 },
		want:   fails(30, "200 GET /a"),
	},
	{name: "no limits", send: strings.Repeat(get("/a"), 30) + get("/file") + post("hello", "Content-Length: 5"),
		config: func(c *Config) { c.Output, c.TurnBytes, c.TurnRequests, c.Lifetime, c.Limits.Body = 0, 0, 0, 0, 0 },
		want:   append(fails(30, "200 GET /a"), "200 "+fileContent, "200 POST /p")},
	{
		name:   "a number of requests",
		send:   strings.Repeat(get("/a"), 4),
		config: func(c *Config) { c.Requests = 3 },
		want:   fails(3, "200 GET /a"),
		close:  true,
	},
	{
		name:   "too many connections",
		send:   get("/a") + get("/b"),
		refuse: true,
		want:   []string{"503 limits.connections"},
		close:  true,
	},
	{
		name:   "too many connections, whatever the body",
		send:   post("", "Content-Length: 5"),
		refuse: true,
		want:   []string{"503 limits.connections"},
		close:  true,
	},
	{
		name:   "a head without a limit",
		send:   get("/a", "X: "+strings.Repeat("y", 200<<10)),
		config: func(c *Config) { c.Limits.Head = 0 },
		want:   []string{"200 GET /a"},
	},
	{
		name:   "a head without a limit is bounded",
		send:   "GET /a HTTP/1.1\r\nX: " + strings.Repeat("y", 2<<20),
		config: func(c *Config) { c.Limits.Head = 0 },
		want:   []string{"431 too large"},
		close:  true,
	},
}

// play runs the scenario with its input split as given and that fault.
func (s *scenario) play(tb testing.TB, input []string, f func(call int) fault) *rig {
	cfg := testConfig()
	if s.config != nil {
		s.config(cfg)
	}
	r := newRig(tb, cfg)
	t := newScript(tb, input...)
	t.eof, t.fault, t.cold = s.eof, f, make(map[int64]bool)
	for _, at := range s.cold {
		t.cold[at] = true
	}
	r.start(t)
	if s.refuse {
		r.c.admission = overConnections
	}
	r.run()
	return r
}

// seen is what came out.
func (r *rig) seen() string { return string(r.t.out) }

func TestScenarios(t *testing.T) {
	for i := range scenarios {
		s := &scenarios[i]
		t.Run(s.name, func(t *testing.T) {
			r := s.play(t, []string{s.send}, nil)
			s.check(t, r)
			r.release()
			if s.log != nil && !slices.Equal(r.log.lines, s.log) {
				t.Errorf("logged %q, want %q", r.log.lines, s.log)
			}
		})
	}
}

func (s *scenario) check(t *testing.T, r *rig) {
	out := r.seen()
	if s.broken {
		if r.c.want != WantClose {
			t.Error("still open")
		}
		return
	}
	got := replies(t, []byte(out), s.heads...)
	if len(got) != len(s.want) {
		t.Fatalf("%d answers, want %d: %.300q", len(got), len(s.want), out)
	}
	for i, want := range s.want {
		status, text, _ := strings.Cut(want, " ")
		last := i == len(got)-1
		if fmt.Sprint(got[i].status) != status || !strings.Contains(got[i].body, text) {
			t.Errorf("answer %d is %d %.100q, want %.100s", i, got[i].status, got[i].body, want)
		}
		if got[i].closes() != (s.close && last) {
			t.Errorf("answer %d says close: %v", i, got[i].closes())
		}
		if http10 := strings.Contains(s.send, "HTTP/1.0"); got[i].keeps() != (http10 && !got[i].closes()) {
			t.Errorf("answer %d says keep-alive: %v", i, got[i].keeps())
		}
	}
	switch closed := r.c.want == WantClose; {
	case s.direct && (!closed || r.t.shut):
		t.Errorf("closed directly: %v, lingers: %v", closed, r.t.shut)
	case s.close && !s.direct && !r.t.shut:
		t.Error("it does not linger")
	case !s.close && !s.eof && closed:
		t.Error("closed")
	}
}

// The bytes that come out do not depend on how those that came in were split.
func TestSplitAtEveryByte(t *testing.T) {
	for i := range scenarios {
		s := &scenarios[i]
		if len(s.send) > 100<<10 {
			continue // splitting tests nothing that the shorter ones do not
		}
		t.Run(s.name, func(t *testing.T) {
			whole := s.play(t, []string{s.send}, nil)
			want, lines := whole.seen(), whole.log.lines
			whole.release()
			step := max(1, len(s.send)/512)
			for at := 1; at < len(s.send); at += step {
				r := s.play(t, []string{s.send[:at], s.send[at:]}, nil)
				if got := r.seen(); got != want {
					t.Fatalf("split at %d: %.500q, want %.500q", at, got, want)
				}
				r.release()
				if !slices.Equal(r.log.lines, lines) {
					t.Fatalf("split at %d: logged %q, want %q", at, r.log.lines, lines)
				}
			}
			if len(s.send) < 4<<10 {
				r := s.play(t, strings.Split(s.send, ""), nil)
				if got := r.seen(); got != want {
					t.Fatalf("byte by byte: %.500q, want %.500q", got, want)
				}
				r.release()
			}
		})
	}
}

// Every call of the transport is made short, made to wait, and made to fail,
// one at a time: what comes out is the same, or a prefix, and everything is given back.
func TestFaultAtEveryCall(t *testing.T) {
	for i := range scenarios {
		s := &scenarios[i]
		t.Run(s.name, func(t *testing.T) {
			whole := s.play(t, []string{s.send}, nil)
			want, lines, calls := whole.seen(), whole.log.lines, whole.t.calls
			whole.release()
			for k := range calls {
				for f := short; f < numFaults; f++ {
					r := s.play(t, []string{s.send}, func(call int) fault {
						if call == k {
							return f
						}
						return noFault
					})
					s.compare(t, r, fmt.Sprintf("call %d %s", k, f), want, lines, f == reset)
				}
			}
		})
	}
}

// The same with every call short, and with every other one made to wait.
func TestFaultAtAllCalls(t *testing.T) {
	for i := range scenarios {
		s := &scenarios[i]
		if len(s.send) > 100<<10 {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			whole := s.play(t, []string{s.send}, nil)
			want, lines := whole.seen(), whole.log.lines
			whole.release()
			for name, f := range map[string]func(int) fault{
				"every call short":       func(int) fault { return short },
				"every other call again": func(call int) fault { return [...]fault{again, noFault}[call%2] },
				"short and again": func(call int) fault {
					return [...]fault{again, short, again, again, short}[call%5]
				},
			} {
				if len(want) > 100<<10 && name != "every other call again" {
					continue // hundreds of thousands of calls for what shorter answers show
				}
				s.compare(t, s.play(t, []string{s.send}, f), name, want, lines, false)
			}
		})
	}
}

// compare checks what a run with faults gave.
func (s *scenario) compare(t *testing.T, r *rig, what, want string, lines []string, cut bool) {
	t.Helper()
	got := r.seen()
	closed := r.c.want == WantClose
	r.release()
	switch {
	case cut:
		if !strings.HasPrefix(want, got) {
			t.Errorf("%s: %.300q is no prefix of %.300q", what, got, want)
		}
		if !closed {
			t.Errorf("%s: not closed", what)
		}
		if len(r.log.lines) > len(lines) {
			t.Errorf("%s: logged %q, want no more than %q", what, r.log.lines, lines)
		}
	case got != want:
		t.Errorf("%s: %.300q, want %.300q", what, got, want)
	case !slices.Equal(r.log.lines, lines):
		t.Errorf("%s: logged %q, want %q", what, r.log.lines, lines)
	case closed != (s.direct || s.eof || s.broken) && !(s.close && closed):
		t.Errorf("%s: closed %v", what, closed)
	}
}

func TestPipelinedRequestsLeaveInOneSend(t *testing.T) {
	cfg := testConfig()
	cfg.TurnRequests = 100
	r := newRig(t, cfg)
	r.start(newScript(t, strings.Repeat(get("/a"), 100)))
	r.run()
	if r.t.sends != 1 || len(replies(t, r.t.out)) != 100 {
		t.Errorf("%d answers in %d sends", len(replies(t, r.t.out)), r.t.sends)
	}
	r.release()
}

// What leaves with something else waits for it (MSG_MORE): a head for its file,
// the last answer for the end of the stream. Behind a source nothing may come for long.
func TestMoreBeforeAFileOrTheEnd(t *testing.T) {
	for target, want := range map[string][]bool{
		"/close": {true}, "/a": {false}, "/shared/9000": {false}, "/file": {true}, "/parts": {true, true},
		"/source": nil,
	} {
		r := newRig(t, testConfig())
		r.start(newScript(t, get(target)))
		r.run()
		if want == nil {
			want = make([]bool, len(r.t.more))
		}
		if !slices.Equal(r.t.more, want) {
			t.Errorf("%s: more is %v, want %v", target, r.t.more, want)
		}
		r.release()
	}
}

// Without anybody to read the answers the connection takes in no more than its bounds.
func TestOutputLimitHoldsThePeerBack(t *testing.T) {
	cfg := testConfig()
	cfg.Output = 64 << 10
	r := newRig(t, cfg)
	s := newScript(t, strings.Repeat(get("/shared/1000"), 10000))
	s.room = 1000
	sent := len(s.input[0])
	r.start(s)
	if want := r.run(); want != WantWrite {
		t.Fatal("it wants", want)
	}
	taken, served := sent-len(s.input[0]), r.served
	if most := cfg.Output + 2000; r.c.out.bytes > int64(most) {
		t.Errorf("%d bytes queued, want at most %d", r.c.out.bytes, most)
	}
	if taken > len(r.l.in) {
		t.Errorf("%d bytes taken in, want at most %d", taken, len(r.l.in))
	}
	for range 10 { // events that say no more
		if want := r.step(); want != WantWrite {
			t.Fatal("it wants", want)
		}
	}
	if r.served != served || sent-len(s.input[0]) != taken {
		t.Error("more was parsed or received before the answers had left")
	}
	s.room = -1
	r.run()
	if n := len(replies(t, s.out)); n != 10000 {
		t.Error(n, "answers")
	}
	r.release()
}

func TestTurnIsBounded(t *testing.T) {
	for _, tt := range []struct {
		name   string
		input  string
		config func(*Config)
		turns  int // that end in WantYield
	}{
		{"requests", strings.Repeat(get("/a"), 10), func(c *Config) { c.TurnRequests = 4 }, 2},
		{"bytes of a file", get("/file"), func(c *Config) { c.TurnBytes = fileSize / 3 }, 3},
		{"calls for small parts", get("/slices/100"), func(c *Config) { c.TurnBytes = 50 * callCost }, 3},
		{
			"bytes of a body", post(strings.Repeat("x", 60000), "Content-Length: 60000"),
			func(c *Config) { c.TurnBytes = 1000 }, 1,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := testConfig()
			tt.config(cfg)
			r := newRig(t, cfg)
			r.start(newScript(t, tt.input))
			r.run()
			n := 0
			for _, want := range r.wants {
				if want == WantYield {
					n++
				}
			}
			if n < tt.turns || n > tt.turns+1 {
				t.Errorf("%d turns, want %d: %v", n, tt.turns, r.wants)
			}
			r.release()
		})
	}
}

// A large file leaves in whole turns: no call is spent on what a head displaced.
func TestFileLeavesInWholeParts(t *testing.T) {
	r := newRig(t, testConfig())
	r.start(newScript(t, get("/file")))
	r.run()
	if r.t.sendfiles != 2 {
		t.Errorf("%d calls of SendFile for %d bytes", r.t.sendfiles, fileSize)
	}
	r.release()
}

func TestLastAnswers(t *testing.T) {
	for _, tt := range []struct {
		name   string
		closes func(r *rig)
	}{
		{"lifetime", func(r *rig) { r.sleep(r.l.Config.Lifetime) }},
		{"the server drains", func(r *rig) { r.l.Closing = true }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, testConfig())
			r.start(newScript(t, get("/a")))
			r.run()
			if replies(t, r.t.out)[0].closes() {
				t.Error("the first answer is the last")
			}
			tt.closes(r)
			r.t.input = [][]byte{[]byte(get("/b") + get("/c"))}
			r.run()
			got := replies(t, r.t.out)
			if len(got) != 2 || !got[1].closes() || !r.t.shut {
				t.Errorf("%d answers, lingers: %v: %q", len(got), r.t.shut, r.t.out)
			}
			r.release()
		})
	}
}

// A connection that asked for the close may have more in the socket when the
// scratch was filled to its last byte, so it lingers.
func TestFilledScratchLingers(t *testing.T) {
	for _, turn := range []int{1 << 20, 7} {
		cfg := testConfig()
		cfg.TurnRequests = turn
		r := newRig(t, cfg)
		last := get("/b", "Connection: close")
		one := get("/a")
		n := (len(r.l.in) - len(last)) / len(one)
		pad := len(r.l.in) - len(last) - n*len(one)
		first := get("/a" + strings.Repeat("a", pad))
		input := first + strings.Repeat(one, n-1) + last
		if len(input) != len(r.l.in) {
			t.Fatal("the input does not fill the scratch")
		}
		r.start(newScript(t, input, "x"))
		r.run()
		if !r.t.shut {
			t.Errorf("turns of %d: closed directly with a byte behind", turn)
		}
		r.release()
	}
}

func TestAloneIsTheFirstRequestOnly(t *testing.T) {
	r := newRig(t, testConfig())
	r.start(newScript(t, get("/a")+get("/b")))
	r.l.Alone = true
	r.run()
	if !slices.Equal(r.alone, []bool{true, false}) {
		t.Error("alone:", r.alone)
	}
	r.release()
}

// A peer that goes away in the middle costs the answers that it did not take
// and nothing else; the log says how much of the file it took.
func TestAbortedFileIsLogged(t *testing.T) {
	for _, room := range []int{0, 10, 1000} { // nothing, a part of the head, and some of the file
		r := newRig(t, testConfig())
		s := newScript(t, get("/file"))
		s.room = room
		r.start(s)
		if want := r.run(); want != WantWrite {
			t.Fatal("it wants", want)
		}
		body := 0
		if head := strings.Index(string(s.out), "\r\n\r\n") + 4; head >= 4 {
			body = room - head
		}
		r.release()
		if want := []string{fmt.Sprintf("/file 200 %d", body)}; !slices.Equal(r.log.lines, want) {
			t.Errorf("room for %d: logged %q, want %q", room, r.log.lines, want)
		}
	}
}

// Spurious steps in any state change nothing.
func TestStepTooManyDoesNoHarm(t *testing.T) {
	for _, target := range []string{"/a", "/defer/2", "/file", "/source"} {
		r := newRig(t, testConfig())
		s := newScript(t, get(target)[:10], get(target)[10:])
		s.cold = map[int64]bool{0: true}
		s.fault = func(call int) fault { return [...]fault{again, noFault}[call%2] }
		r.start(s)
		served := 0
		for range 1000 {
			if r.step() == WantDeferred {
				served = r.served
				if r.step() != WantDeferred || r.served != served {
					t.Error("a step ended the deferral")
				}
				r.work()
			}
		}
		if got := replies(t, r.t.out); len(got) != 1 {
			t.Errorf("%s: %d answers", target, len(got))
		}
		r.release()
	}
}

// stuck is a Source that breaks its contract.
type stuck struct{ tap }

func (*stuck) Next([]byte) (int, error) { return 0, nil }

func TestSourceWithoutProgressCloses(t *testing.T) {
	r := newRig(t, testConfig())
	r.start(newScript(t, get("/source")))
	r.step()
	r.c.out.segs[r.c.out.first].source = &stuck{tap{rig: r}}
	if want := r.step(); want != WantClose {
		t.Error("it wants", want)
	}
	r.release()
}

// A reload may tighten the limits between two parts of a request.
func TestBodyErrorUnderTighterLimits(t *testing.T) {
	r := newRig(t, testConfig())
	r.start(newScript(t, post("5\r\n", chunked)))
	r.run()
	r.l.Config = testConfig()
	r.l.Config.Limits.Head = 10
	r.t.input = [][]byte{[]byte("helloX")}
	r.run()
	if got := replies(t, r.t.out); len(got) != 1 || got[0].status != 400 || !got[0].closes() {
		t.Errorf("said %q", r.t.out)
	}
	if r.l.access.Req != nil {
		t.Error("logged with a request that could not be parsed")
	}
	r.release()
}

// A connection may go on in another loop, whose scratch is smaller than what it has received.
func TestConnectionMovesToAnotherLoop(t *testing.T) {
	cfg := testConfig()
	cfg.Limits.Head = 0
	r := newRig(t, cfg)
	head := get("/a", "X: "+strings.Repeat("y", 200<<10))
	r.start(newScript(t, head[:len(head)-5]))
	r.run()
	share := r.l.Share
	r.l = NewWorkspace(cfg, r, r.log)
	r.l.Share = share
	r.l.Clock = clock.Time{Mono: 2e9, Wall: 784111778e9}
	r.t.input = [][]byte{[]byte(head[len(head)-5:])}
	r.run()
	if got := replies(t, r.t.out); len(got) != 1 || got[0].body != "GET /a" {
		t.Errorf("said %.300q", r.t.out)
	}
	r.release()
}

// A reload may allow longer heads within a turn, which for a thread lasts as long as its connection.
func TestLongerHeadWithinATurn(t *testing.T) {
	r := newRig(t, testConfig())
	r.l.Handler = handlerFunc(func(req *http1.Request, buf []byte, out *Output) {
		cfg := testConfig()
		cfg.Limits.Head = 512 << 10
		r.l.Config = cfg
		r.Serve(req, buf, out)
	})
	r.start(newScript(t, get("/a"), get("/b", "X: "+strings.Repeat("y", 400<<10))))
	r.run()
	if got := replies(t, r.t.out); len(got) != 2 || got[1].body != "GET /b" {
		t.Errorf("said %.300q", r.t.out)
	}
	r.release()
}

// What is measured begins with the request's first byte.
func TestLogHasTheTimeTaken(t *testing.T) {
	r := newRig(t, testConfig())
	tl := &timeLog{}
	r.l.Log = tl
	r.start(newScript(t, "GET /a HT"))
	r.run()
	r.sleep(3 * time.Second)
	r.t.input = [][]byte{[]byte(get("/a")[len("GET /a HT"):])}
	r.run()
	r.sleep(time.Minute)
	r.t.input, r.t.room = [][]byte{[]byte(get("/file"))}, 0
	r.run()
	r.sleep(5 * time.Second)
	r.t.room = -1
	r.run()
	if want := []int64{3e9, 5e9}; !slices.Equal(tl.took, want) {
		t.Errorf("took %v, want %v", tl.took, want)
	}
	r.release()
}

type timeLog struct{ took []int64 }

func (g *timeLog) Log(_ *Access, _, took int64)              { g.took = append(g.took, took) }
func (g *timeLog) Begin(dst []byte, _ *Access) ([]byte, int) { return dst, 0 }
func (g *timeLog) End(_ []byte, _ int, _, took int64)        { g.took = append(g.took, took) }
func (g *timeLog) Tick(int64) int64                          { return 0 }
