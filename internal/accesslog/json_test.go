package accesslog

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/evhttpd/evhttpd/conn"
)

// line is a JSON line as a program reads it.
type jsonLine struct {
	Time, Method, Target, Proto, Remote, User, Referer, Host, Reason *string
	UserAgent                                                        *string `json:"user_agent"`
	Status                                                           int
	Bytes                                                            int64
	Duration                                                         float64
}

// jsonOf formats both ways and returns what is the same in both.
func jsonOf(t testing.TB, a *conn.Access, bytes, took int64) (string, jsonLine) {
	t.Helper()
	j := newFormat(Options{Format: JSON, Location: time.UTC})
	whole := string(j.tail(j.rest(j.head(nil, a), bytes, took), a))
	if !strings.HasSuffix(whole, "}\n") || strings.Count(whole, "\n") != 1 {
		t.Fatalf("not one line: %q", whole)
	}
	var got jsonLine
	d := json.NewDecoder(strings.NewReader(whole))
	d.DisallowUnknownFields()
	if err := d.Decode(&got); err != nil {
		t.Fatalf("%v: %q", err, whole)
	}
	return whole, got
}

func TestJSONLines(t *testing.T) {
	const get = "GET /x?q=1 HTTP/1.1\r\nHost: a:80\r\n"
	for _, c := range []struct {
		name, peer, head, reason string
		status                   int
		bytes, took              int64
		want                     string
	}{
		{"plain", "192.0.2.7:5", get + "\r\n", "", 200, 1024, 1_234_567_899,
			`{"time":"2026-11-22T22:00:00.900Z","remote":"192.0.2.7","user":null` +
				`,"method":"GET","target":"/x?q=1","proto":"HTTP/1.1"` +
				`,"status":200,"bytes":1024,"duration":1.234567` +
				`,"referer":null,"user_agent":null,"host":"a:80","reason":null}`},
		{"fields", "[2001:db8::1]:5", get + "Referer: http://b/\r\nUser-Agent: curl/8 \xc3\xa9\r\n\r\n", "", 304, 0,
			999,
			`{"time":"2026-11-22T22:00:00.900Z","remote":"2001:db8::1","user":null` +
				`,"method":"GET","target":"/x?q=1","proto":"HTTP/1.1"` +
				`,"status":304,"bytes":0,"duration":0.000000` +
				`,"referer":"http://b/","user_agent":"curl/8 é","host":"a:80","reason":null}`},
		{"a reason, HTTP/1.0, a Unix socket", "", "GET /none HTTP/1.0\r\n\r\n", "no such file", 404, 9, 1000,
			`{"time":"2026-11-22T22:00:00.900Z","remote":null,"user":null` +
				`,"method":"GET","target":"/none","proto":"HTTP/1.0"` +
				`,"status":404,"bytes":9,"duration":0.000001` +
				`,"referer":null,"user_agent":null,"host":"","reason":"no such file"}`},
		{"no request", "192.0.2.7:5", "\x16\x03\x01\x1b[2J\x7f\"\\\r\nsecond", "not HTTP", 400, 9, -5,
			`{"time":"2026-11-22T22:00:00.900Z","remote":"192.0.2.7","user":null` +
				`,"method":null,"target":"\u0016\u0003\u0001\u001B[2J\u007F\"\\","proto":null` +
				`,"status":400,"bytes":9,"duration":0.000000` +
				`,"referer":null,"user_agent":null,"host":null,"reason":"not HTTP"}`},
		{"bytes that are no UTF-8, and what a terminal obeys", "192.0.2.7:5",
			get + "User-Agent: \xe9\xff \xc2\x9b31m \xe2\x80\xae \xf3\xa0\x80\x81\r\n\r\n", "", 200, 1, 0,
			`{"time":"2026-11-22T22:00:00.900Z","remote":"192.0.2.7","user":null` +
				`,"method":"GET","target":"/x?q=1","proto":"HTTP/1.1"` +
				`,"status":200,"bytes":1,"duration":0.000000` +
				`,"referer":null,"user_agent":"\\xE9\\xFF \u009B31m \u202E \uDB40\uDC01","host":"a:80","reason":null}`},
	} {
		a := access(t, c.peer, c.head, c.status)
		a.Reason = c.reason
		if got, _ := jsonOf(t, a, c.bytes, c.took); got != c.want+"\n" {
			t.Errorf("%s: got\n%swant\n%s", c.name, got, c.want)
		}
	}
}

// Whatever bytes a request has, its line is JSON, holds nothing that a terminal
// obeys, and fits.
func TestJSONOfAnyBytes(t *testing.T) {
	unit := func(b int) string { return string([]byte{'x', byte(b)}) }
	for b := range 256 {
		for _, n := range []int{1, 300, 5000} {
			head := strings.Repeat(unit(b), n)
			whole, _ := jsonOf(
				t,
				&conn.Access{Wall: at, Status: 400, Buf: []byte(head), Reason: head, User: []byte(head)},
				-1<<62,
				1<<62,
			)
			if len(whole) > lineMax {
				t.Errorf("%d bytes", len(whole))
			}
			if !utf8.ValidString(whole) {
				t.Fatalf("not UTF-8: %q", whole)
			}
			for _, r := range strings.TrimSuffix(whole, "\n") {
				if !unicode.IsPrint(r) {
					t.Fatalf("%U is in %q", r, whole)
				}
			}
		}
	}
}

func TestTheLongestJSONLineFits(t *testing.T) {
	long := strings.Repeat("\xff", 7000)
	a := access(
		t,
		"[2001:db8:1111:2222:3333:4444:5555:6666]:1",
		"GET /"+long+" HTTP/1.1\r\nHost: "+strings.Repeat(
			"a",
			7000,
		)+"\r\nReferer: "+long+"\r\nUser-Agent: "+long+"\r\n\r\n",
		200,
	)
	if a.Req == nil {
		t.Fatal("not parsed")
	}
	a.Reason, a.User = strings.Repeat("\x00", 7000), []byte(long)
	j := newFormat(Options{Format: JSON, Location: time.FixedZone("", -(3*3600 + 30*60))})
	rest := j.rest(nil, -1<<63, 1<<63-1)
	line := j.tail(append(j.head(nil, a), rest...), a)
	if len(line) > lineMax || len(rest) > restMax {
		t.Errorf("%d bytes of at most %d, the rest %d of %d", len(line), lineMax, len(rest), restMax)
	}
	if n := strings.Count(string(line), cut); n != 6 {
		t.Errorf("%d parts are marked as cut, want 6", n)
	}
	if !json.Valid(line) {
		t.Errorf("not JSON: %s", line)
	}
}

func TestJSONTimeIsOfEachAnswerInTheLogsZone(t *testing.T) {
	j := newFormat(Options{Format: JSON, Location: time.FixedZone("", -(3*3600 + 30*60))})
	a := access(t, "", "GET / HTTP/1.0\r\n\r\n", 200)
	for _, want := range []string{
		"2026-11-22T18:30:00.900-03:30", "2026-11-22T18:30:02.005-03:30", "2026-11-22T18:30:03.110-03:30",
	} {
		if got := string(j.head(nil, a)); !strings.HasPrefix(got, `{"time":"`+want+`"`) {
			t.Errorf("%s is not %s", got, want)
		}
		a.Wall += int64(time.Second + 105*time.Millisecond)
		a.Wall -= a.Wall % int64(5*time.Millisecond)
	}
}

func TestLoopWritesJSONAndAllocatesNothing(t *testing.T) {
	l, err := Open(
		filepath.Join(t.TempDir(), "log"),
		Options{Format: JSON, Location: time.UTC, OnError: func(err error) { t.Error(err) }},
	)
	if err != nil {
		t.Fatal(err)
	}
	loop := l.Loop()
	a := access(t, "192.0.2.7:5", "GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: \xc3\xa9\x80\r\n\r\n", 404)
	a.Reason = "no such file"
	awaitRoom(t, loop, 1)
	if n := testing.AllocsPerRun(20, func() { loop.Log(a, 1, 2) }); n != 0 {
		t.Errorf("%v allocations a line", n)
	}
	line, mark := loop.Begin(nil, a)
	loop.End(line, mark, 1, 2)
	loop.Close()
	all := contents(t, l)
	lines := strings.Split(strings.TrimSuffix(all, "\n"), "\n")
	if len(lines) != 22 || lines[0] != lines[21] {
		t.Errorf("%d lines, %q and %q", len(lines), lines[0], lines[len(lines)-1])
	}
}
