package server

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/evhttpd/evhttpd/bench/machine"
)

// conduct has the test binary play a server; which is the value.
const conduct = "EVHTTPD_TEST_CONDUCT"

func TestMain(m *testing.M) {
	if how := os.Getenv(conduct); how != "" {
		play(how)
	}
	os.Exit(m.Run())
}

// play is what the pretended server does.
func play(how string) {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	say := func(line string) { fmt.Fprintln(os.Stderr, line) }
	serving := "evhttpd: serving /a folder at http://b/ at http://127.0.0.1:4711/"
	switch how {
	case "ends early":
		say("evhttpd: first this")
		say("evhttpd: then that")
		os.Exit(2)
	case "no address":
		say("evhttpd: serving / at http://localhost:80/")
	case "mute":
	case "crashes":
		say(serving)
		say("panic: at the disco")
		os.Exit(2)
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		say(serving)
		select {}
	case "unhappy":
		say("evhttpd: something first")
		say(serving)
		<-stop
		say("evhttpd: not all is well")
		os.Exit(1)
	case "counts", "counts nonsense":
		go answerCounters(how)
		for { // until somebody listens
			if c, err := net.Dial("unix", filepath.Join(filepath.Dir(os.Args[len(os.Args)-1]), "admin")); err == nil {
				c.Close()
				break
			}
			time.Sleep(time.Millisecond)
		}
		say(serving)
	default:
		say(serving)
	}
	<-stop
	os.Exit(0)
}

// answerCounters is the server's control plane, at the socket that its configuration names.
func answerCounters(how string) {
	config, err := os.ReadFile(os.Args[len(os.Args)-1])
	_, rest, ok := strings.Cut(string(config), `"unix:`)
	socket, _, _ := strings.Cut(rest, `"`)
	listener, err2 := net.Listen("unix", socket)
	if !ok || errors.Join(err, err2) != nil {
		fmt.Fprintln(os.Stderr, "no control plane:", string(config), err, err2)
		os.Exit(1)
	}
	text := `{"process":{"cpu_seconds":%de-9,"voluntary_switches":2},"counters":{"requests":{"2xx":4,"4xx":3},` +
		`"system_calls":{"recv":1,"send":null}}}`
	if how != "counts" {
		text = `%d requests`
	}
	n := 0
	http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n++
		fmt.Fprintf(w, text, n)
	}))
}

// begin starts a pretended server.
func begin(t *testing.T, ctx context.Context, how string) (*Server, error) {
	t.Helper()
	t.Setenv(conduct, how)
	return Start(ctx, Options{Binary: os.Args[0]})
}

// gone fails the test if the process is there, even as a zombie.
func gone(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, 0); err != syscall.ESRCH {
		t.Errorf("process %d is still there (%v)", pid, err)
	}
}

func TestStartAndStop(t *testing.T) {
	s, err := begin(t, t.Context(), "well")
	if err != nil {
		t.Fatal(err)
	}
	if want := netip.MustParseAddrPort("127.0.0.1:4711"); s.Addr() != want {
		t.Errorf("it serves at %v, want %v", s.Addr(), want)
	}
	if group, err := syscall.Getpgid(s.Pid()); err != nil || group != s.Pid() {
		t.Errorf("its process group is %d (%v): a Ctrl-C would reach it", group, err)
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
	gone(t, s.Pid())
}

// TestCounters: what is asked for is answered, each time anew; what is not counted is not there.
func TestCounters(t *testing.T) {
	t.Setenv(conduct, "counts")
	s, err := Start(t.Context(), Options{Binary: os.Args[0], Counters: true})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		c, err := s.Counters()
		if _, calls := c[Calls]; err != nil || math.Round(c[CPU]) != float64(n+1) || c[Voluntary] != 2 ||
			c[answers] != 7 || calls {
			t.Errorf("%+v, %v", c, err)
		}
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
	if _, err := s.Counters(); err == nil {
		t.Error("a server that has ended counts")
	}
}

func TestCountersFail(t *testing.T) {
	t.Setenv(conduct, "counts nonsense")
	s, err := Start(t.Context(), Options{Binary: os.Args[0], Counters: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Counters(); err == nil || !strings.Contains(err.Error(), "not understood") {
		t.Error(err)
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
	other, err := begin(t, t.Context(), "well")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Counters(); err == nil {
		t.Error("a server without a control plane counts")
	}
	if err := other.Stop(); err != nil {
		t.Error(err)
	}
}

// TestPinned: the server may use the CPUs that it is given, and the caller's threads keep theirs.
func TestPinned(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("threads are pinned on Linux only")
	}
	t.Setenv(conduct, "well")
	before := machine.AllowedCPUs()
	cpu := before[len(before)-1]
	s, err := Start(t.Context(), Options{Binary: os.Args[0], CPUs: []int{cpu}})
	if err != nil {
		t.Fatal(err)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.Pid()))
	if want := fmt.Sprintf("Cpus_allowed_list:\t%d\n", cpu); err != nil || !strings.Contains(string(status), want) {
		t.Errorf("%v, want %q in\n%s", err, want, status)
	}
	if after := machine.AllowedCPUs(); !slices.Equal(after, before) {
		t.Errorf("the caller may use %v, before %v", after, before)
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
}

func TestStartFails(t *testing.T) {
	t.Run("no such file", func(t *testing.T) {
		name := filepath.Join(t.TempDir(), "none")
		s, err := Start(t.Context(), Options{Binary: name})
		if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), name) || s != nil {
			t.Error(s, err)
		}
	})
	for _, c := range []struct{ how, says string }{
		{"ends early", "before it served (exit status 2): evhttpd: then that"},
		{"no address", "localhost:80"},
	} {
		t.Run(c.how, func(t *testing.T) {
			if s, err := begin(t, t.Context(), c.how); err == nil || s != nil || !strings.Contains(err.Error(),
				c.says) {
				t.Errorf("%v, want %q", err, c.says)
			}
		})
	}
	t.Run("the caller gives up", func(t *testing.T) {
		reason := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(reason)
		if s, err := begin(t, ctx, "mute"); !errors.Is(err, reason) || s != nil {
			t.Error(err)
		}
	})
	if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); err != syscall.ECHILD {
		t.Errorf("process %d is left (%v)", pid, err)
	}
}

func TestStopTells(t *testing.T) {
	for _, c := range []struct {
		how  string
		wait bool // for its own end
		says []string
	}{
		{"unhappy", false, []string{"when it was stopped", "exit status 1", "not all is well"}},
		{"crashes", true, []string{"by itself", "exit status 2", "at the disco"}},
		{"stubborn", false, []string{"does not stop within", "killed"}},
	} {
		t.Run(c.how, func(t *testing.T) {
			s, err := begin(t, t.Context(), c.how)
			if err != nil {
				t.Fatal(err)
			}
			if c.wait {
				select {
				case <-s.Ended():
				case <-time.After(30 * time.Second):
					t.Error("its end goes unnoticed")
				}
			}
			if c.how == "stubborn" {
				s.grace = 100 * time.Millisecond
			}
			err = s.Stop()
			for _, part := range c.says {
				if err == nil || !strings.Contains(err.Error(), part) {
					t.Errorf("%v, want %q", err, part)
				}
			}
			gone(t, s.Pid())
		})
	}
}

// TestKill: it is gone, however stubborn; that it had ended before is said.
func TestKill(t *testing.T) {
	for _, how := range []string{"stubborn", "crashes"} {
		s, err := begin(t, t.Context(), how)
		if err != nil {
			t.Fatal(err)
		}
		if how == "crashes" {
			<-s.Ended()
		}
		if err := s.Kill(); (err != nil) != (how == "crashes") {
			t.Errorf("%s: %v", how, err)
		}
		gone(t, s.Pid())
	}
}

func TestTranscriptIsBounded(t *testing.T) {
	var said transcript
	if got := said.last(); got != "it said nothing" {
		t.Errorf("%q", got)
	}
	for range 3 {
		said.Write([]byte(strings.Repeat("x", saidMax) + "\n"))
	}
	said.Write([]byte("the end\n\n"))
	if got := said.last(); got != "the end" || len(said.text) > saidMax {
		t.Errorf("%q, %d bytes kept", got, len(said.text))
	}
}
