package test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// machine is a Debian of its own, booted with systemd-nspawn: processes, network and
// files of its own, systemd as PID 1.
type machine struct {
	t       *testing.T
	root    string // its files
	leader  int    // its PID 1
	console *transcript
	nspawn  *exec.Cmd
	gone    chan struct{} // closed when it has ended
}

// boot starts a machine, with the server, its units and their files installed as
// configs/evhttpd.service says, and waits until it is up.
func boot(t *testing.T) *machine {
	t.Helper()
	onceAsRoot(t)
	nspawn, base := tool(t, "systemd-nspawn"), debian(t)
	m := &machine{t: t, root: filepath.Join(t.TempDir(), "machine"), console: new(transcript),
		gone: make(chan struct{})}
	if said, err := testkit.Command("cp", "-a", "--reflink=auto", base, m.root).CombinedOutput(); err != nil {
		t.Fatalf("copying a Debian: %v\n%s", err, said)
	}
	m.install()
	// Neither a unit nor a registration with the systemd of this machine: there may be none.
	m.nspawn = testkit.Command(nspawn, "--register=no", "--keep-unit", "--quiet", "--link-journal=no",
		"--private-network",
		"--machine=evhttpd-"+strconv.Itoa(os.Getpid()), "--directory="+m.root, "--boot")
	m.nspawn.Stdout, m.nspawn.Stderr = m.console, m.console
	m.nspawn.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(t, m.nspawn.Start())
	go func() {
		_ = m.nspawn.Wait() // how it ended is asked of nobody
		close(m.gone)
	}()
	t.Cleanup(m.halt)
	eventually(t, func() error {
		m.leader = firstChild(m.nspawn.Process.Pid)
		if m.leader == 0 {
			return fmt.Errorf("systemd-nspawn starts no PID 1:\n%s", m.console.String())
		}
		if said, err := m.try("systemctl", "is-system-running"); err != nil {
			return fmt.Errorf("the machine does not come up: %s, %w\n%s", said, err, m.console.String())
		}
		return nil
	})
	m.do("systemd-sysusers")
	m.do("systemd-tmpfiles", "--create")
	m.do("systemctl", "daemon-reload")
	return m
}

// install puts the files where configs/evhttpd.service says.
func (m *machine) install() {
	m.t.Helper()
	buildStatic(m.t, filepath.Join(m.root, installedBinary))
	for from, to := range map[string]string{
		"systemd.yaml":           "etc/evhttpd/evhttpd.yaml",
		"evhttpd.service":        "etc/systemd/system/evhttpd.service",
		"evhttpd-socket.service": "etc/systemd/system/evhttpd-socket.service",
		"evhttpd.socket":         "etc/systemd/system/evhttpd.socket",
		"evhttpd.sysusers.conf":  "etc/sysusers.d/evhttpd.conf",
		"evhttpd.tmpfiles.conf":  "etc/tmpfiles.d/evhttpd.conf",
	} {
		text, err := os.ReadFile(filepath.Join("../configs", from))
		must(m.t, err)
		write(m.t, m.root, to, text)
	}
	write(m.t, m.root, "srv/www/hello", []byte(hello))
	write(m.t, m.root, "srv/www/large", pattern(slowBytes, 21))
	// The suite's machine may be busy: a feeding may be late by seconds, not by more.
	write(m.t, m.root, "etc/systemd/system/evhttpd.service.d/test.conf", []byte("[Service]\nWatchdogSec=9s\n"))
}

// firstChild is a child of the process; 0: it has none.
func firstChild(pid int) int {
	names, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, name := range names {
		text, _ := os.ReadFile(name)
		if ids := strings.Fields(string(text)); len(ids) > 0 {
			child, _ := strconv.Atoi(ids[0])
			return child
		}
	}
	return 0
}

// halt shuts the machine down.
func (m *machine) halt() {
	if m.t.Failed() {
		said, _ := m.try("journalctl", "--no-pager", "--lines=200", "--output=short-precise")
		m.t.Logf("the machine's journal:\n%s", said)
	}
	if m.leader != 0 {
		_ = unix.Kill(m.leader, 34+4) // SIGRTMIN+4: systemd(1) powers off
	}
	select {
	case <-m.gone:
	case <-time.After(patience):
		m.nspawn.Process.Kill() // and the kernel ends what is in its namespace
		<-m.gone
	}
}

// try runs a program in the machine and returns what it says.
func (m *machine) try(args ...string) (string, error) {
	enter := []string{"--target", strconv.Itoa(m.leader), "--mount", "--uts", "--ipc", "--net", "--pid", "--"}
	cmd := testkit.Command("nsenter", append(enter, args...)...)
	stuck := time.AfterFunc(2*patience, func() { cmd.Process.Kill() })
	defer stuck.Stop()
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// do runs a program in the machine, which is to succeed.
func (m *machine) do(args ...string) string {
	m.t.Helper()
	said, err := m.try(args...)
	if err != nil {
		status, _ := m.try("systemctl", "status", "--no-pager", "--lines=50", "evhttpd.service",
			"evhttpd-socket.service", "evhttpd.socket")
		m.t.Fatalf("%v: %v\n%s\n%s", args, err, said, status)
	}
	return said
}

// property is what systemd knows about a unit.
func (m *machine) property(unit, name string) string {
	m.t.Helper()
	return m.do("systemctl", "show", "--value", "--property="+name, unit)
}

// awaitProperty waits until a unit's property is as it is wanted.
func (m *machine) awaitProperty(unit, name string, want func(value string) bool) string {
	m.t.Helper()
	var value string
	eventually(m.t, func() error {
		if value = m.property(unit, name); want(value) {
			return nil
		}
		return fmt.Errorf("%s of %s is %q", name, unit, value)
	})
	return value
}

// serves checks that a file is answered.
func (m *machine) serves() {
	m.t.Helper()
	if got, err := getWithin(m.leader, "127.0.0.1:80", "/hello"); err != nil || got.status != 200 ||
		string(got.body) != hello {
		m.t.Errorf("got %d %q, %v", got.status, got.body, err)
	}
}

// configure replaces the machine's configuration.
func (m *machine) configure(replace, with string) {
	m.t.Helper()
	file := filepath.Join(m.root, "etc/evhttpd/evhttpd.yaml")
	text, err := os.ReadFile(file)
	must(m.t, err)
	if !bytes.Contains(text, []byte(replace)) {
		m.t.Fatalf("no %q in %s", replace, text)
	}
	must(m.t, os.WriteFile(file, bytes.Replace(text, []byte(replace), []byte(with), 1), 0o644))
}

// visitors are clients that ask for a file again and again, each time on a new
// connection, until they are to end.
type visitors struct {
	stop    chan struct{}
	group   sync.WaitGroup
	mu      sync.Mutex
	whole   int     // answers
	refused []error // connects
	cut     []error // connections that were accepted, it may be, and ended without an answer
}

func (m *machine) visit() *visitors {
	v := &visitors{stop: make(chan struct{})}
	for range 4 {
		v.group.Go(func() {
			for {
				select {
				case <-v.stop:
					return
				default:
				}
				got, err := getWithin(m.leader, "127.0.0.1:80", "/hello")
				v.mu.Lock()
				switch {
				case err == nil && got.status == 200 && string(got.body) == hello:
					v.whole++
				case errors.Is(err, syscall.ECONNREFUSED):
					v.refused = append(v.refused, err)
				default:
					v.cut = append(v.cut, fmt.Errorf("status %d, %w", got.status, err))
				}
				v.mu.Unlock()
			}
		})
	}
	return v
}

// more waits until so many more answers have come.
func (v *visitors) more(t *testing.T, n int) {
	t.Helper()
	count := func() int { v.mu.Lock(); defer v.mu.Unlock(); return v.whole }
	goal := count() + n
	eventually(t, func() error {
		if now := count(); now < goal {
			return fmt.Errorf("%d answers, waiting for %d", now, goal)
		}
		return nil
	})
}

func (v *visitors) end() {
	close(v.stop)
	v.group.Wait()
}

// TestSystemdService runs the plain unit: start, reload, upgrade, watchdog, stop.
func TestSystemdService(t *testing.T) {
	m := boot(t)
	const unit = "evhttpd.service"
	m.do("systemctl", "start", unit)
	m.serves()
	for _, part := range []struct {
		name string
		test func(m *machine, unit string)
	}{
		{"shut in", (*machine).testShutIn},
		{"reload", (*machine).testReload},
		{"upgrade", (*machine).testUpgrade},
		{"watchdog", (*machine).testWatchdog},
		{"stop", (*machine).testStop},
	} {
		t.Run(part.name, func(t *testing.T) {
			inner := *m // what fails is this part
			inner.t = t
			part.test(&inner, unit)
		})
	}
}

// testShutIn: the process has the unit's account, one capability, a filter, and openat2 works.
func (m *machine) testShutIn(unit string) {
	m.t.Helper()
	pid := hostPID(m.t, m.leader, m.property(unit, "MainPID"))
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	must(m.t, err)
	uid := regexp.MustCompile(`(?m)^evhttpd:x:(\d+):`).FindSubmatch([]byte(m.do("cat", "/etc/passwd")))
	if uid == nil {
		m.t.Fatal("there is no account evhttpd")
	}
	// CAP_NET_BIND_SERVICE is 10 (linux/capability.h); Seccomp 2 is a filter (proc(5)).
	for field, want := range map[string]string{
		"Uid": string(uid[1]), "CapEff": "0000000000000400", "CapBnd": "0000000000000400", "NoNewPrivs": "1",
		"Seccomp": "2",
	} {
		got := regexp.MustCompile(`(?m)^` + field + `:\s+(\S+)`).FindSubmatch(status)
		if got == nil || string(got[1]) != want {
			m.t.Errorf("%s is %q, want %s", field, got, want)
		}
	}
	m.testOpenat2(pid)
	if log := m.do("stat", "-c", "%U %a", "/var/log/evhttpd",
		"/var/log/evhttpd/access.log"); log != "evhttpd 750\nevhttpd 640" {
		m.t.Errorf("the access log's folder and file are %q", log)
	}
}

// testOpenat2: paths are opened with openat2, which systemd's filter could refuse.
func (m *machine) testOpenat2(pid int) {
	m.t.Helper()
	strace := tool(m.t, "strace")
	var said transcript
	trace := testkit.Command(strace, "-f", "-e", "trace=openat2", "-p", strconv.Itoa(pid))
	trace.Stderr = &said
	must(m.t, trace.Start())
	defer trace.Wait()
	defer trace.Process.Signal(os.Interrupt)
	eventually(m.t, func() error {
		// Each time another path: what is known is not opened again.
		name := fmt.Sprint("none-", time.Now().UnixNano())
		if got, err := getWithin(m.leader, "127.0.0.1:80", "/"+name); err != nil || got.status != 404 {
			return fmt.Errorf("status %d, %w", got.status, err)
		}
		if !regexp.MustCompile(`openat2\(.*"none-.* = -1 ENOENT`).MatchString(said.String()) {
			return fmt.Errorf("no file is looked for with openat2:\n%s", said.String())
		}
		return nil
	})
}

// testReload: systemctl reload changes what is served and not the process; a
// configuration that is wrong fails the reload and changes nothing.
func (m *machine) testReload(unit string) {
	m.t.Helper()
	pid := m.property(unit, "MainPID")
	v := m.visit()
	write(m.t, m.root, "srv/other/hello", []byte(hello))
	write(m.t, m.root, "srv/other/new", []byte("new\n"))
	m.configure("root: /srv/www", "root: /srv/other")
	m.do("systemctl", "reload", unit)
	eventually(m.t, func() error {
		if got, err := getWithin(m.leader, "127.0.0.1:80", "/new"); err != nil || got.status != 200 {
			return fmt.Errorf("a reload does not change the root: %d, %w", got.status, err)
		}
		return nil
	})
	m.awaitProperty(unit, "StatusText", func(s string) bool { return strings.Contains(s, "/srv/other") })
	m.configure("root: /srv/other", "rot: /srv/www")
	if said, err := m.try("systemctl", "reload", unit); err == nil {
		m.t.Errorf("a wrong configuration is reloaded: %s", said)
	}
	journal := m.do("journalctl", "--no-pager", "--output=cat", "--unit="+unit)
	if !strings.Contains(journal, "/etc/evhttpd/evhttpd.yaml:") || !strings.Contains(journal, "rot") {
		m.t.Errorf("the journal does not say what is wrong:\n%s", journal)
	}
	m.configure("rot: /srv/www", "root: /srv/www")
	m.do("systemctl", "reload", unit)
	m.awaitProperty(unit, "StatusText", func(s string) bool { return strings.Contains(s, "/srv/www") })
	v.more(m.t, 20)
	v.end()
	if len(v.refused)+len(v.cut) > 0 {
		m.t.Errorf("reloads lost %v %v", v.refused, v.cut)
	}
	if now := m.property(unit, "MainPID"); now != pid || m.property(unit, "ActiveState") != "active" {
		m.t.Errorf("the main process was %s and is %s, %s", pid, now, m.property(unit, "ActiveState"))
	}
}

// testUpgrade: SIGUSR2 starts the new binary, which systemd then takes for the service.
func (m *machine) testUpgrade(unit string) {
	m.t.Helper()
	before := m.property(unit, "MainPID")
	old := hostPID(m.t, m.leader, before)
	v := m.visit()
	buildStatic(m.t, filepath.Join(m.root, installedBinary+".new"))
	must(m.t, os.Rename(filepath.Join(m.root, installedBinary+".new"), filepath.Join(m.root, installedBinary)))
	m.do("systemctl", "kill", "--kill-whom=main", "--signal=USR2", unit)
	after := m.awaitProperty(unit, "MainPID", func(pid string) bool { return pid != before && pid != "0" })
	eventually(m.t, func() error {
		if err := unix.Kill(old, 0); !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("the old process has not ended: %w", err)
		}
		return nil
	})
	v.more(m.t, 20)
	v.end()
	if len(v.refused)+len(v.cut) > 0 {
		m.t.Errorf("an upgrade lost %v %v", v.refused, v.cut)
	}
	// Fed by the new process from now on.
	fed := m.property(unit, "WatchdogTimestampMonotonic")
	m.awaitProperty(unit, "WatchdogTimestampMonotonic", func(s string) bool { return s != fed })
	if now := m.property(unit, "MainPID"); now != after || m.property(unit, "ActiveState") != "active" ||
		m.property(unit, "NRestarts") != "0" {
		m.t.Errorf("the main process was %s and is %s, %s, restarted %s times", after, now,
			m.property(unit, "ActiveState"), m.property(unit, "NRestarts"))
	}
}

// testWatchdog: one loop of the process is stuck, and systemd restarts the service.
func (m *machine) testWatchdog(unit string) {
	m.t.Helper()
	release := stickLoop(m.t, hostPID(m.t, m.leader, m.property(unit, "MainPID")), false)
	defer release()
	m.awaitProperty(unit, "NRestarts", func(n string) bool { return n == "1" })
	journal := m.do("journalctl", "--no-pager", "--output=cat", "--unit="+unit)
	for _, want := range []string{"systemd's watchdog is not fed", "has not answered", "Watchdog timeout"} {
		if !strings.Contains(journal, want) {
			m.t.Errorf("the journal does not have %q:\n%s", want, journal)
		}
	}
	m.awaitProperty(unit, "ActiveState", func(s string) bool { return s == "active" })
	m.serves()
}

// testStop: systemctl stop lets a download finish and ends in order.
func (m *machine) testStop(unit string) {
	m.t.Helper()
	c, err := dialWithin(m.leader, "127.0.0.1:80")
	must(m.t, err)
	defer c.Close()
	must(m.t, c.SetDeadline(deadline()))
	_, err = io.WriteString(c, "GET /large HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
	must(m.t, err)
	w := newWire(c)
	if _, err := w.in.Peek(1); err != nil {
		m.t.Fatal(err)
	}
	stopped := make(chan error, 1)
	go func() {
		_, err := m.try("systemctl", "stop", unit)
		stopped <- err
	}()
	m.awaitProperty(unit, "ActiveState", func(s string) bool { return s == "deactivating" })
	got, err := w.next("GET")
	if err != nil || !bytes.Equal(got.body, pattern(slowBytes, 21)) {
		m.t.Errorf("the download has %d bytes, %v", len(got.body), err)
	}
	must(m.t, <-stopped)
	if result := m.property(unit, "Result"); result != "success" || m.property(unit, "ActiveState") != "inactive" {
		m.t.Errorf("the stop's result is %s, %s", result, m.property(unit, "ActiveState"))
	}
}

// TestSystemdSocket runs the socket-activated unit: what waits in the socket's queue is
// served although the process is killed, and no connect is ever refused.
func TestSystemdSocket(t *testing.T) {
	const queued = 50
	m := boot(t)
	const unit = "evhttpd-socket.service"
	m.do("systemctl", "start", "evhttpd.socket")
	m.serves() // the first connection starts it
	v := m.visit()
	v.more(t, 20)
	for range 3 {
		before := m.property(unit, "MainPID")
		pid := hostPID(t, m.leader, before)
		// Stopped, it accepts nothing: what comes now waits in the queue for certain.
		must(t, unix.Kill(pid, unix.SIGSTOP))
		waitStopped(t, pid)
		wires := make([]*wire, queued)
		for i := range wires {
			c, err := dialWithin(m.leader, "127.0.0.1:80")
			must(t, err)
			defer c.Close()
			must(t, c.SetDeadline(deadline()))
			_, err = io.WriteString(c, "GET /hello HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
			must(t, err)
			wires[i] = newWire(c)
		}
		must(t, unix.Kill(pid, unix.SIGKILL))
		for i, w := range wires {
			if got, err := w.next("GET"); err != nil || got.status != 200 || string(got.body) != hello {
				t.Errorf("connection %d of %d that waited: %d %q, %v", i, queued, got.status, got.body, err)
			}
		}
		m.awaitProperty(unit, "MainPID", func(pid string) bool { return pid != before && pid != "0" })
		v.more(t, 20)
	}
	v.end()
	t.Logf("%d whole answers, %d refused, %d cut by three kills", v.whole, len(v.refused), len(v.cut))
	// A visitor has one connection at a time, so that a kill cuts one each at most.
	if len(v.refused) > 0 || len(v.cut) > 3*4 {
		t.Errorf("refused %v, cut %v", v.refused, v.cut)
	}
	if n := m.property(unit, "NRestarts"); n != "3" {
		t.Errorf("restarted %s times", n)
	}
	testNoRights(t, hostPID(t, m.leader, m.property(unit, "MainPID")))
	m.do("systemctl", "stop", "evhttpd.socket", unit)
	if result := m.property(unit, "Result"); result != "success" {
		t.Errorf("the stop's result is %s", result)
	}
}

// waitStopped waits until every thread of a process is stopped.
func waitStopped(t *testing.T, pid int) {
	t.Helper()
	eventually(t, func() error {
		names, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			// Behind the name, which may have spaces and is in parentheses (proc(5)).
			rest := text[bytes.LastIndexByte(text, ')')+1:]
			if state := string(bytes.Fields(rest)[0]); state != "T" {
				return fmt.Errorf("%s: state %s", name, state)
			}
		}
		if len(names) == 0 {
			return fmt.Errorf("there is no process %d", pid)
		}
		return nil
	})
}

// testNoRights: the socket-activated process has no capability, and no network but what it was passed.
func testNoRights(t *testing.T, pid int) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	must(t, err)
	for _, field := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
		if !slices.ContainsFunc(strings.Split(string(status), "\n"), func(line string) bool {
			return strings.HasPrefix(line, field+":") && strings.HasSuffix(line, "0000000000000000")
		}) {
			t.Errorf("%s is not empty:\n%s", field, status)
		}
	}
	devices, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/dev", pid))
	must(t, err)
	if lines := strings.Split(strings.TrimSpace(string(devices)), "\n"); len(lines) != 3 ||
		!strings.Contains(lines[2], "lo:") {
		t.Errorf("its network has more than a loopback interface:\n%s", devices)
	}
}
