package test

import (
	"bytes"
	"debug/elf"
	code "encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// shiftedTime takes the place of clock_gettime in a process's vDSO (vdso(7)): it has the kernel read the clock, and
// adds the seconds behind it if that is CLOCK_REALTIME. The process has a page of its own from its first write on, so
// that nobody else's clock changes.
//
//	mov eax, 228         clock_gettime
//	syscall
//	test edi, edi        CLOCK_REALTIME is 0
//	jne end
//	mov rcx, [rip+6]     the seconds, at shiftAt
//	add [rsi], rcx       tv_sec
//	end: ret
//	nop; nop
var shiftedTime = []byte{0xb8, 0xe4, 0, 0, 0, 0x0f, 0x05, 0x85, 0xff, 0x75, 0x0a, 0x48, 0x8b, 0x0d, 6, 0, 0, 0,
	0x48, 0x01, 0x0e, 0xc3, 0x90, 0x90}

// shiftAt is where the seconds are, behind the beginning of the function.
const shiftAt = 24

const day = 24 * time.Hour

// shiftedClock sets the wall clock that a server sees, as settimeofday(2) would set the machine's.
type shiftedClock struct {
	t      *testing.T
	memory *os.File
	at     int64 // the address of the function
}

// shiftable gives a running server such a clock.
func shiftable(t *testing.T, s *server) *shiftedClock {
	t.Helper()
	if runtime.GOARCH != "amd64" {
		testkit.Skip(t, "amd64, whose code stands in for the vDSO's")
	}
	memory, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", s.cmd.Process.Pid), os.O_RDWR, 0)
	must(t, err)
	t.Cleanup(func() { memory.Close() })
	c := &shiftedClock{t: t, memory: memory}
	c.at, err = s.vdso("__vdso_clock_gettime", memory)
	must(t, err)
	// No thread may be within the function meanwhile.
	eventually(t, func() error {
		s.signal(t, syscall.SIGSTOP)
		defer s.signal(t, syscall.SIGCONT)
		eventually(t, s.stopped)
		if err := s.outside(c.at, c.at+shiftAt); err != nil {
			return err
		}
		_, err := memory.WriteAt(append(bytes.Clone(shiftedTime), make([]byte, 8)...), c.at)
		return err
	})
	return c
}

// vdso is the address of a function of the vDSO in the process.
func (s *server) vdso(name string, memory io.ReaderAt) (int64, error) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(maps)) {
		var from, to int64
		if !strings.HasSuffix(line, "[vdso]\n") {
			continue
		}
		if _, err := fmt.Sscanf(line, "%x-%x", &from, &to); err != nil {
			return 0, err
		}
		image, err := elf.NewFile(io.NewSectionReader(memory, from, to-from))
		if err != nil {
			return 0, err
		}
		symbols, err := image.DynamicSymbols()
		for _, symbol := range symbols {
			if symbol.Name == name && symbol.Size >= shiftAt+8 {
				return from + int64(symbol.Value), nil
			}
		}
		return 0, fmt.Errorf("no %s in the vDSO: %w", name, errors.Join(err, os.ErrNotExist))
	}
	return 0, errors.New("no vDSO")
}

// outside reports an error if a thread of the stopped server is between two addresses.
func (s *server) outside(from, to int64) error {
	names, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/syscall", s.cmd.Process.Pid))
	if err != nil {
		return err
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		words := strings.Fields(string(text)) // the last one is the program counter (proc_pid_syscall(5))
		at, err := strconv.ParseInt(strings.TrimPrefix(words[len(words)-1], "0x"), 16, 64)
		if err != nil {
			return fmt.Errorf("%s: %q: %w", name, text, err)
		}
		if at >= from && at < to {
			return fmt.Errorf("%s: within the function", name)
		}
	}
	return nil
}

// set sets the clock to that far from the right time.
func (c *shiftedClock) set(shift time.Duration) {
	c.t.Helper()
	_, err := c.memory.WriteAt(code.NativeEndian.AppendUint64(nil, uint64(shift/time.Second)), c.at+shiftAt)
	must(c.t, err)
}

// dated reports an error unless an answer's Date is that far from the right time, give or take what a test may take,
// and its Last-Modified not later than that (RFC 9110 section 8.8.2.1).
func dated(got answer, shift time.Duration) error {
	date, err := http.ParseTime(got.header.Get("Date"))
	if err != nil {
		return err
	}
	if off := time.Until(date.Add(-shift)); off.Abs() > 2*patience {
		return fmt.Errorf("Date: %v, %v from a clock that is set by %v", date, off, shift)
	}
	modified, err := http.ParseTime(got.header.Get("Last-Modified"))
	if err == nil && modified.After(date) {
		err = fmt.Errorf("Last-Modified: %v, Date: %v", modified, date)
	}
	return err
}

// TestClockSet: when the wall clock is set a day forward, and then two days back, Date and both logs have the new time;
// files that change are seen; no connection ends by it, and timeouts come as ever.
func TestClockSet(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		if !v.OwnCode() {
			return // a poller is not asked what time it is
		}
		root, folder := t.TempDir(), t.TempDir()
		write(t, root, "a", []byte("version 0"))
		log := filepath.Join(folder, "access.log")
		s := startControlled(t, v, root, "timeouts: {head: 1s, drain: 1s, keep_alive: 10m}\n", "--loops", "1",
			"--access-log", log, "--log-format", "json")
		clock := shiftable(t, s.server)
		idle, err := s.open(request("/a"))
		must(t, err)
		defer idle.conn.Close()
		if got, err := idle.next("GET"); err != nil || got.status != 200 {
			t.Fatalf("%d, %v", got.status, err)
		}
		for n, shift := range []time.Duration{day, -day} {
			clock.set(shift)
			eventually(t, func() error {
				got, err := s.tryGet("/a")
				return errors.Join(err, dated(got, shift))
			})
			half, err := s.open("GET /a HTTP/1.1\r\n")
			must(t, err)
			defer half.conn.Close()
			s.changes(t, root, fmt.Sprintf("version %d", n+1))
			s.settle(t, "/a")
			if got, err := half.next("GET"); err != nil || got.status != 408 {
				t.Errorf("half a head, with the clock set by %v: %d, %v", shift, got.status, err)
			}
			must(t, idle.conn.SetDeadline(deadline()))
			_, err = io.WriteString(idle.conn, request("/a"))
			must(t, err)
			if got, err := idle.next("GET"); err != nil || got.status != 200 {
				t.Errorf("the connection that was idle, with the clock set by %v: %d, %v", shift, got.status, err)
			}
			if status, body, err := s.ask(false, "GET", "/readyz"); err != nil || status != 200 {
				t.Errorf("/readyz, with the clock set by %v: %d %q, %v", shift, status, body, err)
			}
		}
		s.stop(t)
		loggedDays(t, log)
	})
}

// changes has a file replaced, and waits until the new one is served.
func (s *controlled) changes(t *testing.T, root, content string) {
	t.Helper()
	write(t, root, "new", []byte(content))
	must(t, os.Rename(filepath.Join(root, "new"), filepath.Join(root, "a")))
	eventually(t, func() error {
		if got, err := s.tryGet("/a"); err != nil || string(got.body) != content {
			return fmt.Errorf("%q, %v, want %q", got.body, err, content)
		}
		return nil
	})
}

// loggedDays checks the access lines of TestClockSet: each has the time that the server saw, on one of three days, and
// no answer took a day or less than nothing.
func loggedDays(t *testing.T, log string) {
	t.Helper()
	text, err := os.ReadFile(log)
	must(t, err)
	seen := make(map[time.Duration]bool)
	for line := range strings.Lines(string(text)) {
		var said struct {
			Time     time.Time
			Duration float64
		}
		if err := json.Unmarshal([]byte(line), &said); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		seen[time.Until(said.Time).Round(day)] = true
		if said.Duration < 0 || said.Duration > 2*patience.Seconds() {
			t.Errorf("an answer took %v s: %s", said.Duration, line)
		}
	}
	if len(seen) != 3 || !seen[day] || !seen[-day] || !seen[0] {
		t.Errorf("the lines are of these days: %v", seen)
	}
}

// TestClockSetGivesNoRequests: a client's requests are counted by a clock that nobody sets: by another day it gets no
// further ones, and loses none.
func TestClockSetGivesNoRequests(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write(t, root, "a", []byte(hello))
	statuses := func(s *controlled, n int) (all string) {
		for range n {
			all += fmt.Sprint(s.get(t, "/a").status, " ")
		}
		return all
	}
	for name, shift := range map[string]time.Duration{"forward": day, "back": -day} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startControlled(t, variants()[0], root, "limits: {requests_per_client: 2/h burst 3}\n")
			clock := shiftable(t, s.server)
			if got := statuses(s, 4); got != "200 200 200 429 " {
				t.Errorf("before: %s", got)
			}
			clock.set(shift)
			if got := statuses(s, 2); got != "429 429 " {
				t.Errorf("after: %s", got)
			}
			quick := startControlled(t, variants()[0], root, "limits: {requests_per_client: 1/s burst 1}\n")
			statuses(quick, 2)
			shiftable(t, quick.server).set(shift)
			eventually(t, func() error {
				if got := quick.get(t, "/a"); got.status != 200 {
					return fmt.Errorf("nothing comes back: %d", got.status)
				}
				return nil
			})
		})
	}
}
