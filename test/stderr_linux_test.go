package test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// piped is a server whose standard error and output are one pipe of one page, which the test reads or does not.
type piped struct {
	*server
	t    *testing.T
	r, w *os.File
	pid  int
}

// pipeServer starts the server and reads its start-up lines from the pipe, to the last one. Nothing more is read.
func pipeServer(t *testing.T, root string, flags ...string) *piped {
	t.Helper()
	r, w, err := os.Pipe()
	must(t, err)
	p := &piped{server: &server{root: root, exited: make(chan struct{})}, t: t, r: r, w: w}
	t.Cleanup(func() { r.Close(); w.Close() })
	_, err = unix.FcntlInt(w.Fd(), unix.F_SETPIPE_SZ, os.Getpagesize()) // Fd makes the pipe blocking, as a shell's is
	must(t, err)
	cmd := testkit.Command(binary, append([]string{"serve", root, "--listen", "127.0.0.1:0"}, flags...)...)
	cmd.Stdout, cmd.Stderr = w, w
	p.cmd = cmd
	must(t, cmd.Start())
	p.pid = cmd.Process.Pid
	go func() {
		p.result = cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-p.exited
	})
	p.readStart()
	return p
}

// readStart reads up to the line that ends the start. The process may write it in any number of parts.
func (p *piped) readStart() {
	p.t.Helper()
	lines := bufio.NewReaderSize(p.r, 16) // takes nothing but what a line needs
	timeout := time.AfterFunc(patience, func() { p.cmd.Process.Kill() })
	defer timeout.Stop()
	for p.addr == "" || !strings.Contains(p.stderr.String(), "access log") && !strings.Contains(p.stderr.String(),
		"loop") {
		line, err := lines.ReadString('\n')
		if err != nil {
			p.t.Fatalf("%v after %q", err, p.stderr.String())
		}
		io.WriteString(&p.stderr, line)
		if _, url, addr, ok := parseStartup(line); ok {
			p.url, p.addr = url, addr
		}
	}
}

// wait is server's, without asking for the goroutines, which nobody would read.
func (p *piped) wait(t *testing.T) int {
	t.Helper()
	select {
	case <-p.exited:
	case <-time.After(patience):
		p.cmd.Process.Kill()
		<-p.exited
		t.Error("the server does not stop")
	}
	return p.cmd.ProcessState.ExitCode()
}

// fill writes into the pipe until it is full.
func (p *piped) fill() {
	p.t.Helper()
	// with flags of its own
	own, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", p.w.Fd()), os.O_WRONLY|unix.O_NONBLOCK, 0)
	must(p.t, err)
	defer own.Close()
	raw, err := own.SyscallConn()
	must(p.t, err)
	must(p.t, raw.Write(func(fd uintptr) bool {
		for err = nil; err == nil; {
			_, err = unix.Write(int(fd), []byte("x\n"))
		}
		return true
	}))
	if err != unix.EAGAIN {
		p.t.Fatal(err)
	}
}

// insistUnheard signals until the server has ended, as insist does, where nobody reads what it says.
func insistUnheard(t *testing.T, p *os.Process, ended <-chan struct{}) {
	t.Helper()
	eventually(t, func() error {
		select {
		case <-ended:
			return nil
		case <-time.After(10 * time.Millisecond):
			p.Signal(syscall.SIGTERM) // it may have ended
			return errors.New("the server does not end at a second signal")
		}
	})
}

// linked makes a root with a link that leads out of it. A request for that causes an event.
func linked(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	write(t, root, "a", []byte(hello))
	write(t, root, "large", pattern(slowBytes, 9))
	must(t, os.Symlink("/etc/hostname", filepath.Join(root, "out")))
	return root
}

// TestStandardErrorsReaderGone: the next event, warning or access line meets a pipe that nobody reads (EPIPE), and
// the server goes on, reloads and stops with the right exit code.
func TestStandardErrorsReaderGone(t *testing.T) {
	for _, access := range []string{"off", "-"} {
		t.Run("access log "+access, func(t *testing.T) {
			p := pipeServer(t, linked(t), "--access-log", access)
			must(t, p.r.Close())
			for range 3 {
				if got := p.get(t, "/out"); got.status != 404 {
					t.Errorf("a link out of the root: %d", got.status)
				}
			}
			p.signal(t, syscall.SIGUSR1)
			if got := p.get(t, "/a"); got.status != 200 {
				t.Errorf("after the event: %d", got.status)
			}
			p.signal(t, syscall.SIGTERM)
			if code := p.wait(t); code != 0 {
				t.Errorf("exit code %d, %v", code, p.result)
			}
		})
	}
}

// TestStandardErrorFull: a standard error that nobody reads holds up no answer, no stop and no second signal.
func TestStandardErrorFull(t *testing.T) {
	for _, access := range []string{"off", "-"} {
		t.Run("access log "+access, func(t *testing.T) {
			p := pipeServer(t, linked(t), "--access-log", access)
			p.fill()
			for range 3 {
				if got := p.get(t, "/out"); got.status != 404 {
					t.Errorf("a link out of the root: %d", got.status)
				}
			}
			c, _ := p.beginDownload(t, "/large")
			p.signal(t, syscall.SIGTERM)
			p.waitRefusal(t)
			insistUnheard(t, p.cmd.Process, p.exited)
			if code := p.wait(t); code != 1 {
				t.Errorf("exit code %d, want 1: the download was cut", code)
			}
			c.Close()
			if flags, err := unix.FcntlInt(p.w.Fd(), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK != 0 {
				t.Errorf("the pipe, which others write to as well, was made non-blocking: %#x, %v", flags, err)
			}
		})
	}
}

// TestStandardErrorsReaderComesBack: what waited in the meantime, and how much of it was left out, comes
// when there is room again, and at the end everything.
func TestStandardErrorsReaderComesBack(t *testing.T) {
	root := linked(t)
	p := pipeServer(t, root, "--access-log", "off")
	p.fill()
	if got := p.get(t, "/out"); got.status != 404 {
		t.Errorf("a link out of the root: %d", got.status)
	}
	p.signal(t, syscall.SIGTERM)
	must(t, p.w.Close())
	rest, err := io.ReadAll(p.r) // to the end of the process
	must(t, err)
	if code := p.wait(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{"leads out of the site's root", "evhttpd: stopping: ", `"msg":"stopped"`} {
		if !bytes.Contains(rest, []byte(want)) {
			t.Errorf("%q is missing in %q", want, bytes.TrimLeft(rest, "x\n"))
		}
	}
}

// TestUpgradeWithStandardErrorFull: the new process takes over, though neither can write a line.
func TestUpgradeWithStandardErrorFull(t *testing.T) {
	p := pipeServer(t, linked(t), "--access-log", "-")
	p.fill()
	p.signal(t, syscall.SIGUSR2)
	var successor int
	eventually(t, func() error { // it is the old one's child until that has ended
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", p.pid))
		must(t, err)
		for _, thread := range threads {
			if text, err := os.ReadFile(thread); err == nil && len(text) > 0 {
				_, err = fmt.Sscan(string(text), &successor)
				return err
			}
		}
		return errors.New("no new process")
	})
	defer func() {
		must(t, syscall.Kill(successor, syscall.SIGTERM))
		p.waitRefusal(t)
	}()
	if code := p.wait(t); code != 0 {
		t.Errorf("the old process: exit code %d", code)
	}
	if got := p.get(t, "/a"); got.status != 200 {
		t.Errorf("the new process: %d", got.status)
	}
}

// TestStartWithStandardErrorFull: a server whose start-up lines nobody takes serves, and a mistake ends it.
func TestStartWithStandardErrorFull(t *testing.T) {
	r, w, err := os.Pipe()
	must(t, err)
	defer r.Close()
	defer w.Close()
	p := &piped{t: t, w: w}
	p.fill()
	folder := t.TempDir()
	socket := filepath.Join(folder, "s")
	must(t, os.Mkdir(filepath.Join(folder, "serve"), 0o755)) // which "evhttpd serve" warns of
	for _, c := range []struct {
		name string
		args []string
		code int
	}{
		{"serving", []string{"serve", folder, "--listen", "unix:" + socket, "--access-log", "off"}, 0},
		{"a mistake", []string{"serve", folder, "--listen", "nowhere"}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := testkit.Command(binary, c.args...)
			cmd.Dir, cmd.Stderr = folder, w
			must(t, cmd.Start())
			stop := time.AfterFunc(patience, func() { cmd.Process.Kill() })
			defer stop.Stop()
			if c.code == 0 {
				eventually(t, func() error { _, err := os.Stat(socket); return err })
				must(t, cmd.Process.Signal(syscall.SIGTERM))
			}
			cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != c.code {
				t.Errorf("%v, want exit code %d", cmd.ProcessState, c.code)
			}
		})
	}
}

// TestShortCommandsEndWithTheirReader: a command whose reader has gone ends quietly, as cat(1) does.
func TestShortCommandsEndWithTheirReader(t *testing.T) {
	for _, args := range []string{"models", "config --defaults", "config --schema", "completion bash"} {
		t.Run(args, func(t *testing.T) {
			r, w, err := os.Pipe()
			must(t, err)
			must(t, r.Close())
			defer w.Close()
			cmd := testkit.Command(binary, strings.Fields(args)...)
			var complaint bytes.Buffer
			cmd.Stdout, cmd.Stderr = w, &complaint
			cmd.Run()
			status := cmd.ProcessState.Sys().(syscall.WaitStatus)
			if !status.Signaled() || status.Signal() != syscall.SIGPIPE || complaint.Len() > 0 {
				t.Errorf("%v, %q", cmd.ProcessState, complaint.String())
			}
		})
	}
}

// TestEveryLineIsJSON: with log.format json, those of the start, of the stop and of what ends the server too,
// wherever events go.
func TestEveryLineIsJSON(t *testing.T) {
	for _, output := range []string{"stderr", "events"} {
		t.Run(output, func(t *testing.T) {
			folder, root := t.TempDir(), linked(t)
			socket := filepath.Join(folder, "s")
			write(t, folder, "evhttpd.yaml", fmt.Appendf(nil, "listen: [\"unix:%s\"]\nadmin: {listen: "+
				"[\"unix:%s2\"]}\naccess_log: {output: \"off\"}\n"+
				"log: {output: %s, format: json}\nsites: [{root: %s}]\n", socket, socket, output, root))
			cmd := testkit.Command(binary, "serve", "--config", filepath.Join(folder, "evhttpd.yaml"))
			var said transcript
			cmd.Stderr = &said
			must(t, cmd.Start())
			stop := time.AfterFunc(patience, func() { cmd.Process.Kill() })
			defer stop.Stop()
			eventually(t, says(said.String, "control plane at "))
			c, err := net.Dial("unix", socket)
			must(t, err)
			defer c.Close()
			_, err = io.WriteString(c, request("/large")) // and nobody reads the answer
			must(t, err)
			first := make([]byte, 1)
			_, err = io.ReadFull(c, first)
			must(t, err)
			must(t, cmd.Process.Signal(syscall.SIGTERM))
			eventually(t, says(said.String, "a second signal stops at once"))
			ended := make(chan struct{})
			go func() {
				cmd.Wait()
				close(ended)
			}()
			insistUnheard(t, cmd.Process, ended)
			var texts []string
			for line := range strings.Lines(said.String()) {
				var event struct{ Level, Time, Msg string }
				if err := json.Unmarshal([]byte(line), &event); err != nil || event.Level == "" || event.Time == "" ||
					event.Msg == "" {
					t.Errorf("no event: %q, %v", line, err)
				}
				texts = append(texts, event.Level+": "+event.Msg)
			}
			all := strings.Join(texts, "\n")
			for _, want := range []string{"info: serving ", "info: control plane at ", "info: stopping: ",
				"error: stopped at once by a second signal"} {
				if !strings.Contains(all, want) {
					t.Errorf("%q is missing in\n%s", want, all)
				}
			}
		})
	}
}
