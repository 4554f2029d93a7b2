package accesslog

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/http1"
	"github.com/evhttpd/evhttpd/internal/testkit"
)

const patience = testkit.Patience

// at is the time of the lines below: 22 November 2026, 22:00:00.9 UTC.
var at = time.Date(2026, 11, 22, 22, 0, 0, 900_000_000, time.UTC).UnixNano()

// access returns what a loop would log of that head from that peer.
func access(t testing.TB, peer, head string, status int) *conn.Access {
	t.Helper()
	a := &conn.Access{Wall: at, Status: status, Buf: []byte(head)}
	if peer != "" {
		a.Remote = conn.AddrFrom(netip.MustParseAddrPort(peer))
	}
	var req http1.Request
	if http1.Parse(a.Buf, 0, &http1.Limits{}, &req) == http1.Complete {
		a.Req = &req
	}
	return a
}

// open opens a log at path that fails the test on any error it reports.
func open(t testing.TB, path string) *Log {
	t.Helper()
	l, err := Open(path, Options{Location: time.UTC, OnError: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() }) // the test's own Close counts
	return l
}

// contents closes the log and returns its file.
func contents(t testing.TB, l *Log) string {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(l.path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestCombinedLines(t *testing.T) {
	const get = "GET /x?q=1 HTTP/1.1\r\nHost: a\r\n"
	cases := []struct {
		name, peer, head string
		status           int
		bytes            int64
		want             string
	}{
		{"plain", "192.0.2.7:5", get + "\r\n", 200, 1024,
			`192.0.2.7 - - [22/Nov/2026:22:00:00 +0000] "GET /x?q=1 HTTP/1.1" 200 1024 "-" "-"`},
		{"fields", "[::ffff:192.0.2.7]:5", get + "Referer: http://b/\r\nUser-Agent: curl/8\r\n\r\n", 304, 0,
			`192.0.2.7 - - [22/Nov/2026:22:00:00 +0000] "GET /x?q=1 HTTP/1.1" 304 0 "http://b/" "curl/8"`},
		{"IPv6, empty field", "[2001:db8::1]:5", get + "User-Agent:\r\n\r\n", 206, 1 << 40,
			`2001:db8::1 - - [22/Nov/2026:22:00:00 +0000] "GET /x?q=1 HTTP/1.1" 206 1099511627776 "-" ""`},
		{"Unix socket", "", get + "\r\n", 200, 1,
			`- - - [22/Nov/2026:22:00:00 +0000] "GET /x?q=1 HTTP/1.1" 200 1 "-" "-"`},
		{"escapes in values", "192.0.2.7:5", get + "User-Agent: a\"b\\c\td\xe9\r\n\r\n", 200, 1,
			`192.0.2.7 - - [22/Nov/2026:22:00:00 +0000] "GET /x?q=1 HTTP/1.1" 200 1 "-" "a\x22b\x5Cc\x09d\xE9"`},
		{"no request", "192.0.2.7:5", "\x16\x03\x01\x1b[2J\x7f\"\r\nsecond", 400, 9,
			`192.0.2.7 - - [22/Nov/2026:22:00:00 +0000] "\x16\x03\x01\x1B[2J\x7F\x22" 400 9 "-" "-"`},
		{"no request after an empty line", "192.0.2.7:5", "\r\nGET /\nHost: a\n\n", 400, 9,
			`192.0.2.7 - - [22/Nov/2026:22:00:00 +0000] "GET /" 400 9 "-" "-"`},
		{"nothing received", "192.0.2.7:5", "", 408, 9,
			`192.0.2.7 - - [22/Nov/2026:22:00:00 +0000] "-" 408 9 "-" "-"`},
	}
	l := open(t, filepath.Join(t.TempDir(), "log"))
	loop := l.Loop()
	var want strings.Builder
	for _, c := range cases {
		a := access(t, c.peer, c.head, c.status)
		loop.Log(a, c.bytes, 0)
		line, mark := loop.Begin(nil, a)
		loop.End(line, mark, c.bytes, 0)
		want.WriteString(strings.Repeat(c.want+"\n", 2)) // both ways are one line
	}
	loop.Close()
	if got := contents(t, l); got != want.String() {
		t.Errorf("got\n%swant\n%s", got, &want)
	}
}

func TestCombinedTimeIsOfEachAnswerInTheLogsZone(t *testing.T) {
	c := newFormat(Options{Location: time.FixedZone("", -(3*3600 + 30*60))})
	a := access(t, "", "GET / HTTP/1.0\r\n\r\n", 200)
	for _, want := range []string{
		"22/Nov/2026:18:30:00 -0330", "22/Nov/2026:18:30:01 -0330", "22/Nov/2026:18:30:02 -0330",
	} {
		if got := string(c.head(nil, a)); !strings.Contains(got, "["+want+"]") {
			t.Errorf("%s is not %s", got, want)
		}
		a.Wall += int64(time.Second)
	}
}

func TestHostileBytesNeverReachTheLog(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "log"))
	loop := l.Loop()
	lines := 0
	for b := range 256 {
		for _, n := range []int{1, 300, 5000, 50_000} { // short, and longer than its place
			awaitRoom(t, loop, 2)
			head := strings.Repeat(string([]byte{'x', byte(b)}), n)
			a := &conn.Access{Wall: at, Status: 400, Buf: []byte(head)}
			loop.Log(a, 0, 0)
			a.Req = &http1.Request{Line: http1.Span{Len: uint32(len(head))}}
			loop.Log(a, 0, 0)
			lines += 2
		}
	}
	loop.Close()
	text := contents(t, l)
	for i, b := range []byte(text) {
		if b != '\n' && (b < ' ' || b > '~') {
			t.Fatalf("byte %#x at %d: %q", b, i, text[max(0, i-50):i])
		}
	}
	got := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(got) != lines || l.Dropped() != 0 {
		t.Errorf("%d lines of %d, %d dropped", len(got), lines, l.Dropped())
	}
	for _, line := range got {
		if len(line) >= lineMax || strings.Count(line, `"`) != 6 {
			t.Errorf("%d bytes, %d quotation marks: %.80s", len(line), strings.Count(line, `"`), line)
		}
	}
}

func TestTheLongestLineFits(t *testing.T) {
	long := strings.Repeat("\xff", 7000)
	a := access(t, "[2001:db8:1111:2222:3333:4444:5555:6666]:1",
		"GET /"+long+" HTTP/1.1\r\nHost: a\r\nReferer: "+long+"\r\nUser-Agent: "+long+"\r\n\r\n", 200)
	if a.Req == nil {
		t.Fatal("not parsed")
	}
	a.User = []byte(long)
	c := newFormat(Options{Location: time.UTC})
	rest := c.rest(nil, -1<<63, -1<<63)
	line := c.tail(append(c.head(nil, a), rest...), a)
	if len(line) > lineMax || len(rest) > restMax {
		t.Errorf("%d bytes of at most %d, the rest %d of %d", len(line), lineMax, len(rest), restMax)
	}
	if n := bytes.Count(line, []byte(cut)); n != 4 {
		t.Errorf("%d parts are marked as cut, want 4", n)
	}
}

func TestCombinedUser(t *testing.T) {
	c := newFormat(Options{Location: time.UTC})
	a := access(t, "192.0.2.7:5", "GET / HTTP/1.0\r\n\r\n", 200)
	for name, want := range map[string]string{
		"": "-", "alice": "alice", "a b  c": `a\x20b\x20\x20c`, " ": `\x20`, `"x\`: `\x22x\x5C`, "\x1b\n": `\x1B\x0A`,
		strings.Repeat("a", userMax): strings.Repeat("a", userMax),
		strings.Repeat("a", 500):     strings.Repeat("a", userMax) + cut,
		strings.Repeat(" ", 500):     strings.Repeat(`\x20`, userMax/4) + cut,
	} {
		a.User = []byte(name)
		if got := string(c.head(nil, a)); !strings.HasPrefix(
			got,
			"192.0.2.7 - "+want+` [22/Nov/2026:22:00:00 +0000] "GET / HTTP/1.0" 200 `,
		) {
			t.Errorf("%q is logged as %s", name, got)
		}
	}
}

func TestEscapedTextIsCutAtItsLimit(t *testing.T) {
	for _, c := range []struct {
		text  string
		limit int
		want  string
	}{
		{"abc", 3, "abc"}, {"abcd", 3, "abc..."}, {"", 0, ""}, {"a", 0, "..."},
		{"\n", 4, `\x0A`}, {"\n", 3, "..."}, {"a\nb", 5, `a\x0A...`}, {"ab\n", 5, "ab..."},
	} {
		if got := string(appendEscaped(nil, []byte(c.text), c.limit)); got != c.want {
			t.Errorf("%q at most %d: %q, want %q", c.text, c.limit, got, c.want)
		}
	}
}

func TestEveryByteIsEscapedOrNotWhereverItStands(t *testing.T) {
	for b := range 256 {
		want := string([]byte{byte(b)})
		if b < ' ' || b > '~' || b == '"' || b == '\\' {
			want = fmt.Sprintf(`\x%02X`, b)
		}
		for _, around := range []byte{' ', 'a', '~', '!', '#', '[', ']'} {
			for n := range 20 {
				text := bytes.Repeat([]byte{around}, 19)
				if n < len(text) {
					text[n] = byte(b)
				}
				plain := strings.Repeat(string(around), 19)
				expect := plain
				if n < len(plain) {
					expect = plain[:n] + want + plain[n+1:]
				}
				if got := string(appendEscaped(nil, text, 100)); got != expect {
					t.Fatalf("%q: %s", text, got)
				}
			}
		}
	}
}

// awaitRoom waits until the loop has a buffer with room for that many lines. It
// may run on any goroutine.
func awaitRoom(t testing.TB, l *Loop, lines int) bool {
	for deadline := time.Now().Add(patience); l.room(lines*lineMax) == nil; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Error("no buffer comes back from the writer")
			return false
		}
	}
	return true
}

// numbered logs the lines from..to-1, the number being the count of bytes.
func numbered(l *Loop, a *conn.Access, from, to int) {
	for i := from; i < to; i++ {
		l.Log(a, int64(i), 0)
	}
}

// numbers returns the numbers of lines that numbered wrote, in their order, and
// fails on a line that is not whole.
func numbers(t testing.TB, text string) (got []int) {
	t.Helper()
	for line := range strings.Lines(text) {
		var n int
		const form = `192.0.2.7 - - [22/Nov/2026:22:00:00 +0000] "GET / HTTP/1.0" 200 %d "-" "-"` + "\n"
		if _, err := fmt.Sscanf(line, form, &n); err != nil || !strings.HasSuffix(line, "\n") {
			t.Fatalf("not a whole line: %q", line)
		}
		got = append(got, n)
	}
	return got
}

func TestASinkThatStandsStillDropsLinesAndNeverBlocks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	reports := make(chan error, 10)
	l, err := Open(path, Options{Location: time.UTC, OnError: func(err error) { reports <- err }})
	if err != nil {
		t.Fatal(err)
	}
	loop := l.Loop()
	a := access(t, "192.0.2.7:5", "GET / HTTP/1.0\r\n\r\n", 200)
	const sent = 20_000
	numbered(loop, a, 0, sent) // several times all buffers and the FIFO: returns at all
	dropped := l.Dropped()
	if dropped == 0 {
		t.Fatal("nothing was dropped")
	}

	r, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	received := make(chan string)
	go func() {
		var text strings.Builder
		lines := bufio.NewScanner(r)
		for lines.Scan() && !strings.Contains(lines.Text(), fmt.Sprint(" 200 ", 2*sent, " ")) {
			text.WriteString(lines.Text() + "\n")
		}
		received <- text.String()
		for lines.Scan() { // the reading end stays open until the log is closed
		}
	}()
	awaitRoom(t, loop, 1)
	dropped = l.Dropped()
	numbered(loop, a, 2*sent, 2*sent+1) // the first line after the sink moves again
	loop.Close()
	got := numbers(t, <-received)
	if len(got)+int(dropped) != sent {
		t.Errorf("%d lines arrived and %d were dropped of %d", len(got), dropped, sent)
	}
	for i, n := range got {
		if i > 0 && got[i-1] >= n {
			t.Fatalf("line %d came after %d", n, got[i-1])
		}
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := <-reports; !errors.Is(err, ErrStalled) {
		t.Errorf("reported: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func TestCloseGivesUpASinkThatStandsStill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	loop := l.Loop()
	numbered(loop, access(t, "192.0.2.7:5", "GET / HTTP/1.0\r\n\r\n", 200), 0, 10_000)
	loop.Close()
	if err := l.Close(); !errors.Is(err, ErrStalled) {
		t.Errorf("Close = %v", err)
	}
	select {
	case <-l.finished:
	case <-time.After(patience):
		t.Error("the writer waits on")
	}
}

func TestReopenUnderLoadLosesNothingAndSplitsNoLine(t *testing.T) {
	const loops, reopens = 3, 25
	dir := t.TempDir()
	path := filepath.Join(dir, "log")
	l := open(t, path)
	stop := make(chan struct{})
	sent := make([]int, loops)
	var group sync.WaitGroup
	for i := range loops {
		loop := l.Loop()
		a := access(t, "192.0.2.7:5", "GET / HTTP/1.0\r\n\r\n", 200)
		group.Go(func() {
			defer loop.Close()
			for n := 1; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				if !awaitRoom(t, loop, 1) {
					return
				}
				loop.Log(a, int64(n*loops+i), 0)
				sent[i] = n
				if n%100 == 0 {
					loop.Tick(int64(n) * ageMax)
				}
			}
		})
	}
	for i := range reopens {
		// Something is in this one before it is moved away.
		for deadline := time.Now().Add(patience); ; runtime.Gosched() {
			if s, err := os.Stat(path); err == nil && s.Size() > 0 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("nothing is written")
			}
		}
		if err := os.Rename(path, fmt.Sprintf("%s.%02d", path, i)); err != nil {
			t.Fatal(err)
		}
		if err := l.Reopen(); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	group.Wait()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if n := l.Dropped(); n != 0 {
		t.Errorf("%d lines dropped", n)
	}
	files, err := filepath.Glob(path + ".*")
	if err != nil || len(files) != reopens {
		t.Fatalf("%d files, %v", len(files), err)
	}
	wantWholeSequence(t, append(files, path), sent)
}

// wantWholeSequence: the files have, one after another, every line that each loop has sent.
func wantWholeSequence(t *testing.T, files []string, sent []int) {
	t.Helper()
	loops := len(sent)
	last := make([]int, loops)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range numbers(t, string(text)) {
			if i := n % loops; n/loops != last[i]+1 {
				t.Fatalf("%s: loop %d: line %d after %d", file, i, n/loops, last[i])
			}
			last[n%loops]++
		}
	}
	if !slices.Equal(last, sent) {
		t.Errorf("the last lines of the loops are %d of %d", last, sent)
	}
}

func TestReopenThatFailsKeepsTheOldFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dir")
	moved := dir + "-moved"
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	l := open(t, filepath.Join(dir, "log"))
	if err := os.Rename(dir, moved); err != nil {
		t.Fatal(err)
	}
	if err := l.Reopen(); !errors.Is(err, unix.ENOENT) {
		t.Errorf("Reopen = %v", err)
	}
	loop := l.Loop()
	numbered(loop, access(t, "192.0.2.7:5", "GET / HTTP/1.0\r\n\r\n", 200), 0, 1)
	loop.Close()
	l.path = filepath.Join(moved, "log")
	if got := numbers(t, contents(t, l)); len(got) != 1 {
		t.Errorf("%d lines", len(got))
	}
	if err := l.Reopen(); err == nil {
		t.Error("a closed log was opened again")
	}
}

func TestOpenErrorsSayWhatToDo(t *testing.T) {
	dir := t.TempDir()
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(socket)
	if err := unix.Bind(socket, &unix.SockaddrUnix{Name: dir + "/socket"}); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		dir + "/none/log": "create its directory",
		dir:               "name a file in it",
		dir + "/socket":   "",
	} {
		l, err := Open(path, Options{})
		if err == nil {
			t.Errorf("%s was opened", path)
			_ = l.Close()
			continue
		}
		if !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q names neither %q nor %q", err, path, want)
		}
	}
}

func TestOpenAppendsAndKeepsOthersOut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	a := access(t, "192.0.2.7:5", "GET / HTTP/1.0\r\n\r\n", 200)
	for i := range 2 {
		l := open(t, path)
		loop := l.Loop()
		numbered(loop, a, i, i+1)
		loop.Close()
		if got := numbers(t, contents(t, l)); len(got) != i+1 {
			t.Errorf("%d lines after %d runs", len(got), i+1)
		}
	}
	if s, err := os.Stat(path); err != nil || s.Mode().Perm()&0o137 != 0 {
		t.Errorf("mode %v, %v", s.Mode(), err)
	}
}

func TestTickHandsOverWhatIsOldOrHalfFull(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "log"))
	loop := l.Loop()
	a := access(t, "192.0.2.7:5", "GET / HTTP/1.0\r\n\r\n", 200)
	if due := loop.Tick(5); due != 0 {
		t.Errorf("nothing is due at %d", due)
	}
	numbered(loop, a, 0, 1)
	if due := loop.Tick(10); due != 10+ageMax {
		t.Errorf("a fresh line is due at %d", due)
	}
	if due := loop.Tick(10 + ageMax - 1); due != 10+ageMax || loop.filled == nil {
		t.Errorf("a line not old enough is due at %d", due)
	}
	if due := loop.Tick(10 + ageMax); due != 0 || loop.filled != nil {
		t.Errorf("an old line was kept, due at %d", due)
	}
	numbered(loop, a, 1, 2)
	if due := loop.Tick(20 + 2*ageMax); due != 20+3*ageMax {
		t.Errorf("the next line is due at %d: its age is not its own", due)
	}
	for len(loop.filled.lines) <= bufferSize/2 {
		numbered(loop, a, 2, 3)
	}
	if due := loop.Tick(20 + 2*ageMax); due != 0 || loop.filled != nil {
		t.Errorf("a buffer half full was kept, due at %d", due)
	}
}

func TestLogAllocatesNothing(t *testing.T) {
	l := open(t, os.DevNull)
	loop := l.Loop()
	a := access(t, "192.0.2.7:5", "GET /index.html HTTP/1.1\r\nHost: a\r\nUser-Agent: x\"y\r\n\r\n", 200)
	bad := access(t, "[2001:db8::1]:5", "", 408)
	var record []byte
	mono := int64(1)
	if n := testing.AllocsPerRun(5000, func() {
		awaitRoom(t, loop, 3) // AllocsPerRun leaves one CPU for the writer too
		mono += ageMax / 10
		a.Wall += int64(time.Second)
		loop.Log(a, 1024, 1)
		loop.Log(bad, 0, 1)
		line, mark := loop.Begin(record[:0], a)
		loop.End(line, mark, 1<<20, 1)
		record = line
		loop.Tick(mono)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	loop.Close()
}

func BenchmarkLog(b *testing.B) {
	l, err := Open(os.DevNull, Options{})
	if err != nil {
		b.Fatal(err)
	}
	loop := l.Loop()
	a := access(b, "192.0.2.7:5", "GET /assets/index-7f3a.js HTTP/1.1\r\nHost: example.org\r\n"+
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n"+
		"Referer: https://example.org/index.html\r\n\r\n", 200)
	b.ReportAllocs()
	for b.Loop() {
		for loop.room(lineMax) == nil { // a line dropped would cost less than one written
			runtime.Gosched()
		}
		loop.Log(a, 1024, 1)
	}
	loop.Close()
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
}
