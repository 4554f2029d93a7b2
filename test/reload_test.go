package test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// operated is a server with a configuration file, which is told what to do by
// signals, as an operator does. An upgrade gives it another process.
type operated struct {
	*server
	t      *testing.T
	binary string // a link that leads to the program
	config string
	pid    int
}

// operate runs a server with that configuration until the test ends.
func operate(t *testing.T, yaml string) *operated {
	t.Helper()
	folder := t.TempDir()
	o := &operated{t: t, binary: filepath.Join(folder, "evhttpd"), config: filepath.Join(folder, "evhttpd.yaml")}
	must(t, os.Symlink(binary, o.binary))
	o.write(yaml)
	o.server = launch(t, testkit.Command(o.binary, "serve", "--config", o.config))
	o.pid = o.cmd.Process.Pid
	t.Cleanup(o.end)
	return o
}

// write changes the configuration file in one go.
func (o *operated) write(yaml string) {
	o.t.Helper()
	must(o.t, os.WriteFile(o.config+".new", []byte(yaml), 0o600))
	must(o.t, os.Rename(o.config+".new", o.config))
}

// end stops the process that serves. Standard error ends with the last one.
func (o *operated) end() {
	o.t.Helper()
	select {
	case <-o.exited:
		return
	default:
	}
	if err := syscall.Kill(o.pid, syscall.SIGTERM); err != nil {
		o.t.Errorf("stopping process %d: %v", o.pid, err)
	}
	if code := o.wait(o.t); code != 0 || strings.Contains(o.stderr.String(), "DATA RACE") {
		o.t.Errorf("the server ended with exit code %d:\n%s", code, tail(o.stderr.String()))
	}
}

// tail is the end of a text that may be long.
func tail(text string) string { return text[max(0, len(text)-8<<10):] }

// event takes the frame of JSON from around the words of an event.
var event = strings.NewReplacer(`","msg":"`, " ", `","`, " ", `"}`, " ")

// told sends a signal, waits for one of the events that answer it, and returns that line.
func (o *operated) told(sig syscall.Signal, events ...string) string {
	o.t.Helper()
	from := len(o.stderr.String())
	must(o.t, syscall.Kill(o.pid, sig))
	var line string
	eventually(o.t, func() error {
		for l := range strings.Lines(event.Replace(o.stderr.String()[from:])) {
			for _, words := range events {
				if strings.HasSuffix(l, "\n") && strings.Contains(l, words) {
					line = l
					return nil
				}
			}
		}
		return fmt.Errorf("no event says %q\n%s", events, tail(o.stderr.String()))
	})
	return line
}

// reload changes the configuration.
func (o *operated) reload(yaml string) {
	o.t.Helper()
	o.write(yaml)
	if line := o.told(syscall.SIGHUP, " reloaded ", "not reloaded"); strings.Contains(line, "not reloaded") {
		o.t.Fatal(line)
	}
}

// refuse reloads a configuration that cannot be used, and returns the reason that the event gives.
func (o *operated) refuse(yaml string) string {
	o.t.Helper()
	o.write(yaml)
	line := o.told(syscall.SIGHUP, " reloaded ", "not reloaded")
	if !strings.Contains(line, "not reloaded, nothing has changed") {
		o.t.Fatal(line)
	}
	return line
}

var successor = regexp.MustCompile(`upgraded\s.*process": ?(\d+)`)

// upgrade has the program replaced by the one that the link leads to now.
func (o *operated) upgrade() {
	o.t.Helper()
	line := o.told(syscall.SIGUSR2, " upgraded", "not upgraded")
	m := successor.FindStringSubmatch(line)
	if m == nil {
		o.t.Fatal(line)
	}
	old := o.pid
	o.pid, _ = strconv.Atoi(m[1])
	eventually(o.t, func() error { // the old one ends; who started it has waited for it, or it was nobody's
		if err := syscall.Kill(old, 0); err == nil && !zombie(old) {
			return fmt.Errorf("process %d does not end\n%s", old, tail(o.stderr.String()))
		}
		return nil
	})
}

// zombie reports whether a process has ended and its parent has not waited for it.
func zombie(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, fs.ErrNotExist) {
		return true
	}
	_, rest, _ := bytes.Cut(text, []byte(") "))
	return err == nil && len(rest) > 0 && rest[0] == 'Z'
}

// descriptors lists what the process that serves has open.
func (o *operated) descriptors() []string {
	var found []string
	names, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", o.pid))
	for _, name := range names {
		if target, err := os.Readlink(name); err == nil {
			found = append(found, target)
		}
	}
	return found
}

// site makes a root with files of every kind of answer.
func site(t *testing.T) (root string, files map[string][]byte) {
	t.Helper()
	root = t.TempDir()
	files = map[string][]byte{"/small": pattern(1000, 21), "/memory": pattern(30_000, 22),
		"/file": pattern(400_000, 23)}
	for name, content := range files {
		write(t, root, name[1:], content)
	}
	return root, files
}

// yamlOf is a configuration of one site on a port that the kernel chooses.
func yamlOf(root string, more ...string) string {
	return "listen: [\"127.0.0.1:0\"]\naccess_log: {output: \"off\"}\nsites:\n  - root: " + root + "\n" +
		strings.Join(more, "\n") + "\n"
}

// crowd is a constant load of which every answer is checked.
type crowd struct {
	addr  string
	files map[string][]byte
	stop  atomic.Bool
	all   sync.WaitGroup

	asked, answered, connections atomic.Int64

	mu   sync.Mutex
	lost []string // what got no whole, right answer, or no connection
}

// crowdOf starts that many clients. Every fourth makes a connection a request.
func crowdOf(addr string, files map[string][]byte, clients int) *crowd {
	c := &crowd{addr: addr, files: files}
	paths := slices.Sorted(func(yield func(string) bool) {
		for path := range files {
			if !yield(path) {
				return
			}
		}
	})
	for i := range clients {
		c.all.Go(func() {
			for n := i; !c.stop.Load(); n++ {
				if err := c.session(paths, n, i%4 == 0); err != nil {
					c.mu.Lock()
					c.lost = append(c.lost, err.Error())
					c.mu.Unlock()
				}
			}
		})
	}
	return c
}

// session makes requests on one connection until the server says that it closes.
func (c *crowd) session(paths []string, n int, one bool) error {
	conn, err := net.DialTimeout("tcp", c.addr, patience)
	if err != nil {
		return err
	}
	defer conn.Close()
	c.connections.Add(1)
	w := newWire(conn)
	for made := 0; ; made++ {
		path := paths[(n+made)%len(paths)]
		if err := conn.SetDeadline(deadline()); err != nil {
			return err
		}
		c.asked.Add(1)
		if _, err := io.WriteString(conn, request(path)); err != nil {
			return fmt.Errorf("request %d of a connection: %w", made, err)
		}
		a, err := w.next("GET")
		switch {
		case err != nil:
			return fmt.Errorf("answer %d of a connection: %w", made, err)
		case a.status != 200 || !bytes.Equal(a.body, c.files[path]):
			return fmt.Errorf("%s: status %d and %d bytes, not the file", path, a.status, len(a.body))
		}
		c.answered.Add(1)
		if a.close || one || c.stop.Load() {
			return nil
		}
	}
}

// more waits until so many further requests were answered.
func (c *crowd) more(t *testing.T, requests int64) {
	t.Helper()
	from := c.answered.Load()
	eventually(t, func() error {
		if n := c.answered.Load() - from; n < requests {
			return fmt.Errorf("%d requests were answered", n)
		}
		return nil
	})
}

// end stops the load and reports what was lost.
func (c *crowd) end(t *testing.T) {
	t.Helper()
	c.stop.Store(true)
	c.all.Wait()
	t.Logf("%d requests, %d answered, on %d connections; %d lost", c.asked.Load(), c.answered.Load(),
		c.connections.Load(), len(c.lost))
	for i, what := range c.lost {
		if t.Error(what); i == 20 {
			break
		}
	}
	if c.asked.Load() != c.answered.Load() {
		t.Error("not all that was asked was answered")
	}
}

// rounds is how often something is repeated: the short form's number, or what the variable says.
func rounds(t *testing.T, variable string, short int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return short
	}
	n, err := strconv.Atoi(text)
	must(t, err)
	return n
}

// TestReloadsAndUpgradesUnderLoad: changing the model and the loops in turn, and
// the process, loses nothing: no connect is refused and every request gets its
// whole answer. The long form has EVHTTPD_TEST_RELOADS=1000 and EVHTTPD_TEST_UPGRADES=100.
func TestReloadsAndUpgradesUnderLoad(t *testing.T) {
	reloads, upgrades := rounds(t, "EVHTTPD_TEST_RELOADS", 20), rounds(t, "EVHTTPD_TEST_UPGRADES", 5)
	all := slices.DeleteFunc(variants(), func(v variant) bool {
		why, err := refused()
		must(t, err)
		return v.Model == "io_uring" && why != ""
	})
	root, files := site(t)
	serve := func(i int) string {
		v := all[i%len(all)]
		return yamlOf(root, "io_model: "+v.Model, "trigger: "+v.Trigger, fmt.Sprintf("loops: %d", 1+i%3))
	}
	o := operate(t, serve(0))
	c := crowdOf(o.addr, files, 16)
	upgraded := 0
	for i := range reloads {
		c.more(t, 20)
		o.reload(serve(i + 1))
		if upgraded*reloads < (i+1)*upgrades && upgraded < upgrades {
			c.more(t, 20)
			o.upgrade()
			upgraded++
		}
	}
	for ; upgraded < upgrades; upgraded++ {
		c.more(t, 20)
		o.upgrade()
	}
	c.more(t, 20)
	c.end(t)
	t.Logf("%d reloads, %d upgrades", reloads, upgraded)
}

// TestReloadLeavesNothing: when a reload leads back to the first configuration
// the process has open what it had then.
func TestReloadLeavesNothing(t *testing.T) {
	root, files := site(t)
	o := operate(t, yamlOf(root, "io_model: poll", "loops: 2"))
	other := filepath.Join(t.TempDir(), "log")
	visit := func() {
		c := crowdOf(o.addr, files, 8)
		c.more(t, 50)
		c.end(t)
	}
	around := func() {
		for i, v := range variants() {
			if why, err := refused(); err != nil || v.Model == "io_uring" && why != "" {
				continue
			}
			o.reload(fmt.Sprintf("listen: [\"127.0.0.1:0\", 127.0.0.2:0]\naccess_log: {output: %s}\nio_model: "+
				"%s\ntrigger: %s\nloops: %d\nsites:\n  - root: %s\n",
				other, v.Model, v.Trigger, 1+i%2, root))
			visit()
		}
		o.reload(yamlOf(root, "io_model: poll", "loops: 2"))
	}
	around() // what a process has one of, it has now: netpoll's pollers, the sockets of the most loops
	o.settle(t, "/file")
	before := len(o.descriptors())
	around()
	eventually(t, func() error {
		if now := o.descriptors(); runtimeHasProc() && len(now) > before {
			return fmt.Errorf("%d descriptors, %d before: %s", len(now), before, strings.Join(now, " "))
		}
		return nil
	})
}

// runtimeHasProc reports whether a process's descriptors can be listed.
func runtimeHasProc() bool {
	_, err := os.Stat("/proc/self/fd")
	return err == nil
}

// TestReloadRefused: a mistake is named in one line, and nothing has changed: not the answers, not a connection,
// not a descriptor.
func TestReloadRefused(t *testing.T) {
	root, _ := site(t)
	good := yamlOf(root)
	o := operate(t, good)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer taken.Close()
	kept := o.dial(t)
	w := newWire(kept)
	ask := func() {
		t.Helper()
		_, err := io.WriteString(kept, request("/small"))
		must(t, err)
		if a, err := w.next("GET"); err != nil || a.status != 200 || a.close || a.header.Get("Server") != "evhttpd" {
			t.Fatalf("%+v, %v", a, err)
		}
	}
	ask()
	before := len(o.descriptors())
	missing := filepath.Join(root, "missing")
	for _, c := range []struct{ name, yaml, says string }{
		{"an unknown key", good + "no_such_key: 1\n", "no_such_key"},
		{"not YAML", "listen: [", "evhttpd.yaml:1"},
		{"an emptied file", "", "is empty"},
		{"a file that was cut off before its sites", "listen: [\"127.0.0.1:0\"]\n",
			"says nothing of what is to be served"},
		{"no such root", strings.Replace(good, root, missing, 1), missing},
		{"no such model", good + "io_model: none\n", "none"},
		{"a port in use", strings.Replace(good, `"127.0.0.1:0"`, `"127.0.0.1:0", "`+taken.Addr().String()+`"`, 1) +
			"server_header: other\n", "another process has this port"},
		{"a log without a folder", strings.Replace(good, `"off"`, missing+"/log", 1) + "server_header: other\n",
			"create its directory first"},
		{"a name of no socket", strings.Replace(good, `"127.0.0.1:0"`, `"127.0.0.1:0", systemd:web`, 1),
			"systemd passed no socket of that name"},
	} {
		if line := o.refuse(c.yaml); !strings.Contains(line, c.says) {
			t.Errorf("%s: the event does not say %q: %s", c.name, c.says, line)
		}
		ask()
	}
	must(t, taken.Close())
	eventually(t, func() error {
		if now := o.descriptors(); len(now) > before {
			return fmt.Errorf("%d descriptors, %d before: %s", len(now), before, strings.Join(now, " "))
		}
		return nil
	})
	o.reload(good)
	ask()
}

// TestStopDuringUpgrade: a new program that neither serves nor ends when it is told to does not outlive the
// server that was to be replaced.
func TestStopDuringUpgrade(t *testing.T) {
	root, _ := site(t)
	o := operate(t, yamlOf(root))
	script := filepath.Join(filepath.Dir(o.config), "script")
	must(t, os.WriteFile(script, []byte("#!/bin/sh\ntrap '' TERM\nexec sleep 1000\n"), 0o700))
	must(t, os.Remove(o.binary))
	must(t, os.Symlink(script, o.binary))
	line := o.told(syscall.SIGUSR2, " upgrading ")
	m := regexp.MustCompile(`process":([0-9]+)`).FindStringSubmatch(line)
	if m == nil {
		t.Fatal(line)
	}
	pid, err := strconv.Atoi(m[1])
	must(t, err)
	// It holds the server's stderr open, to whose end wait reads.
	defer time.AfterFunc(patience/2, func() { syscall.Kill(pid, syscall.SIGKILL) }).Stop()
	before := time.Now()
	o.signal(t, syscall.SIGTERM)
	if code := o.wait(t); code != 0 || time.Since(before) >= patience/2 {
		t.Errorf("exit code %d, and the new process has ended after %v\n%s", code, time.Since(before),
			tail(o.stderr.String()))
	}
	eventually(t, func() error {
		if err := syscall.Kill(pid, 0); err == nil && !zombie(pid) {
			return fmt.Errorf("process %d runs on", pid)
		}
		return nil
	})
}

// TestReloadChanges: a reload changes the root, the fields and the log of
// connections that are open, and the listeners; the port that stays is kept.
func TestReloadChanges(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		one, two, folder := t.TempDir(), t.TempDir(), t.TempDir()
		write(t, one, "a", []byte("one"))
		write(t, two, "a", []byte("two"))
		logged := filepath.Join(folder, "access.log")
		model := "io_model: " + v.Model + "\ntrigger: " + v.Trigger
		o := operate(t, yamlOf(one, model))
		kept := o.dial(t)
		w := newWire(kept)
		ask := func(want, server string) {
			t.Helper()
			_, err := io.WriteString(kept, request("/a"))
			must(t, err)
			if a, err := w.next("GET"); err != nil || string(a.body) != want || a.close ||
				a.header.Get("Server") != server {
				t.Fatalf("%+v, %v, want %q of %q", a, err, want, server)
			}
		}
		ask("one", "evhttpd")
		socket := filepath.Join(folder, "socket")
		yaml := yamlOf(two, model, "server_header: other", "loops: 1")
		yaml = strings.Replace(yaml, `"127.0.0.1:0"`, `"127.0.0.1:0", "unix:`+socket+`"`, 1)
		o.reload(strings.Replace(yaml, `"off"`, strconv.Quote(logged), 1))
		ask("two", "other")
		c, err := net.Dial("unix", socket)
		must(t, err)
		defer c.Close()
		_, err = io.WriteString(c, request("/a"))
		must(t, err)
		if a, err := newWire(c).next("GET"); err != nil || string(a.body) != "two" {
			t.Errorf("at the new listener: %+v, %v", a, err)
		}
		eventually(t, func() error {
			text, err := os.ReadFile(logged)
			if err == nil && bytes.Count(text, []byte("GET /a ")) < 2 {
				err = fmt.Errorf("the access log has\n%s", text)
			}
			return err
		})
		o.reload(yamlOf(two, model))
		if _, err := os.Lstat(socket); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the Unix socket that is gone: %v", err)
		}
		ask("two", "evhttpd")
	})
}

// TestUpgradeFails: a new program that ends, or whose configuration is wrong,
// changes nothing; the reason is in the event, and the next upgrade works.
func TestUpgradeFails(t *testing.T) {
	root, files := site(t)
	good := yamlOf(root)
	o := operate(t, good)
	c := crowdOf(o.addr, files, 4)
	replace := func(target string) {
		t.Helper()
		must(t, os.Symlink(target, o.binary+".new"))
		must(t, os.Rename(o.binary+".new", o.binary))
	}
	script := filepath.Join(filepath.Dir(o.config), "script")
	must(t, os.WriteFile(script, []byte("#!/bin/sh\nexit 7\n"), 0o700))
	replace(script)
	if line := o.told(syscall.SIGUSR2, "not upgraded", " upgraded"); !strings.Contains(line, "exit status 7") {
		t.Error(line)
	}
	replace("missing")
	if line := o.told(syscall.SIGUSR2, "not upgraded", " upgraded"); !strings.Contains(line, "no such file") {
		t.Error(line)
	}
	replace(binary)
	o.write("no_such_key: 1\n")
	if line := o.told(syscall.SIGUSR2, "not upgraded", " upgraded"); !strings.Contains(line, "no_such_key") {
		t.Error(line)
	}
	o.write(good)
	c.more(t, 20)
	o.upgrade()
	c.more(t, 20)
	c.end(t)
}

// TestUpgradeKeepsUnixSocket: the socket's file survives the process that made
// it; a listener that the new configuration has not is closed.
func TestUpgradeKeepsUnixSocket(t *testing.T) {
	root, files := site(t)
	socket := filepath.Join(t.TempDir(), "socket")
	with := func(more string) string {
		return strings.Replace(yamlOf(root), `"127.0.0.1:0"`, `"127.0.0.1:0", "unix:`+socket+`"`+more, 1)
	}
	extra := freePort(t)
	o := operate(t, with(`, "`+extra+`"`))
	o.write(with(""))
	o.upgrade()
	for range 2 {
		c, err := net.Dial("unix", socket)
		must(t, err)
		_, err = io.WriteString(c, request("/small"))
		must(t, err)
		if a, err := newWire(c).next("GET"); err != nil || !bytes.Equal(a.body, files["/small"]) {
			t.Errorf("%+v, %v", a, err)
		}
		must(t, c.Close())
		o.upgrade()
	}
	if c, err := net.Dial("tcp", extra); err == nil {
		c.Close()
		t.Error("a listener that is not configured any more is open")
	}
	o.end()
	if _, err := os.Lstat(socket); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after the end: %v", err)
	}
}

// freePort is an address that nobody listens on now.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().String()
}

// TestPassedSockets: sockets that systemd passes by name are served, kept by a
// reload and an upgrade, and their files left alone.
func TestPassedSockets(t *testing.T) {
	root, files := site(t)
	folder := t.TempDir()
	config, path := filepath.Join(folder, "evhttpd.yaml"), filepath.Join(folder, "socket")
	yaml := "listen: [systemd:web, systemd:local]\naccess_log: {output: \"off\"}\nsites:\n  - root: " + root + "\n"
	must(t, os.WriteFile(config, []byte(yaml), 0o600))
	cmd := testkit.Command("/bin/sh", "-c",
		`LISTEN_PID=$$ LISTEN_FDS=3 LISTEN_FDNAMES=web:local:unknown exec "$0" serve --config "$1"`, binary, config)
	web, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	local, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	must(t, err)
	local.SetUnlinkOnClose(false)
	spare, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	for _, l := range []net.Listener{web, local, spare} {
		f, err := l.(interface{ File() (*os.File, error) }).File()
		must(t, err)
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	}
	o := &operated{t: t, config: config, server: launch(t, cmd)}
	o.pid = cmd.Process.Pid
	t.Cleanup(o.end)
	for _, f := range cmd.ExtraFiles {
		must(t, f.Close())
	}
	for _, l := range []net.Listener{web, local, spare} {
		must(t, l.Close())
	}
	if o.addr != web.Addr().String() {
		t.Errorf("it serves at %s, not at %s", o.addr, web.Addr())
	}
	eventually(t, func() error {
		if c, err := net.Dial("tcp", spare.Addr().String()); err == nil {
			c.Close()
			return errors.New("a socket that listen does not name is open")
		}
		return nil
	})
	for _, step := range []func(){func() {}, func() { o.reload(yaml + "loops: 3\n") }, o.upgrade,
		func() { o.reload(yaml + "io_model: poll\n") }} {
		step()
		for network, addr := range map[string]string{"tcp": o.addr, "unix": path} {
			c, err := net.Dial(network, addr)
			must(t, err)
			_, err = io.WriteString(c, request("/file"))
			must(t, err)
			if a, err := newWire(c).next("GET"); err != nil || !bytes.Equal(a.body, files["/file"]) {
				t.Errorf("%s: %+v, %v", network, a, err)
			}
			must(t, c.Close())
		}
	}
	o.end()
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("systemd's Unix socket is gone: %v", err)
	}
}

// TestDrainDelay: after SIGTERM the server still accepts for a while, so that
// a load balancer can learn that it is to go elsewhere; a second signal does not wait for that.
func TestDrainDelay(t *testing.T) {
	root, _ := site(t)
	o := operate(t, yamlOf(root, "timeouts: {drain_delay: 10m}"))
	o.told(syscall.SIGTERM, "stopping: not ready")
	if a, err := o.tryGet("/small"); err != nil || a.status != 200 {
		t.Errorf("while it is not ready: %+v, %v", a, err)
	}
	o.insist(t)
	if code := o.wait(t); code != 1 {
		t.Errorf("exit code %d", code)
	}
	o = operate(t, yamlOf(root, "timeouts: {drain_delay: 100ms}"))
	o.told(syscall.SIGTERM, "stopping: 0 connections")
	if code := o.wait(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
