package test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// hangingRoot is a file system of which even the root's own directory waits while it is stopped, as one of NFS does
// whose server is gone.
type hangingRoot struct{ stallingDir }

func (d *hangingRoot) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	d.pass()
	out.Mode = syscall.S_IFDIR | 0o755
	return 0
}

// mountHanging mounts such a file system until the test ends, and stops it. release lets it go on.
func mountHanging(t *testing.T) (folder string, d *hangingRoot, release func()) {
	t.Helper()
	folder = t.TempDir()
	d = &hangingRoot{stallingDir{waiting: make(chan struct{}, 1)}}
	mountAt(t, folder, d)
	d.gate.Lock()
	release = sync.OnceFunc(d.gate.Unlock)
	t.Cleanup(release)
	return folder, d, release
}

// begin starts a command that runs the server, and does not wait for anything. ready gets true when it serves.
func begin(t *testing.T, args ...string) (s *server, ready <-chan bool) {
	t.Helper()
	s = &server{cmd: testkit.Command(binary, args...), exited: make(chan struct{})}
	pipe, err := s.cmd.StderrPipe()
	must(t, err)
	must(t, s.cmd.Start())
	serves := make(chan bool, 1)
	go s.read(pipe, serves)
	return s, serves
}

// TestStartWithRootThatHangs: a start that waits for a root says so and names it. It serves when the file system
// answers, and a signal ends it before. The file system goes on before the end is waited for: the kernel keeps a
// process whose request FUSE has taken until it is answered.
func TestStartWithRootThatHangs(t *testing.T) {
	t.Parallel()
	for _, then := range []string{"answers", "stop"} {
		t.Run(then, func(t *testing.T) {
			t.Parallel()
			folder, _, release := mountHanging(t)
			s, ready := begin(t, "serve", folder, "--listen", "127.0.0.1:0", "--access-log", "off")
			eventually(t, says(s.stderr.String, "the start waits for the root "+folder))
			if then == "answers" {
				release()
				eventually(t, func() error {
					select {
					case <-ready:
						return nil
					default:
						return errors.New("it does not serve:\n" + s.stderr.String())
					}
				})
				if got := s.get(t, "/file"); string(got.body) != stalledBody {
					t.Errorf("status %d, %q", got.status, got.body)
				}
				s.stop(t)
				return
			}
			s.signal(t, syscall.SIGTERM)
			eventually(t, says(s.stderr.String, "before it served: the root "+folder+" does not answer"))
			release()
			if code := s.wait(t); code != 1 {
				t.Errorf("exit code %d\n%s", code, s.stderr.String())
			}
		})
	}
}

// withControl is the control plane of a server whose configuration has one on TCP.
func (o *operated) withControl() *controlled {
	o.t.Helper()
	c := &controlled{server: o.server}
	c.findControl(o.t)
	return c
}

// ready checks that the server says so.
func (c *controlled) ready(t *testing.T) {
	t.Helper()
	if status, body, err := c.ask(false, "GET", "/readyz"); err != nil || status != 200 {
		t.Errorf("/readyz: %d %q, %v", status, body, err)
	}
}

const controlPlane = "admin: {listen: [\"127.0.0.1:0\"]}"

// TestReloadWithRootThatHangs: a reload that waits for a root is given up, and says for which. All that was served goes
// on, the next reload is done, and so is a stop.
func TestReloadWithRootThatHangs(t *testing.T) {
	t.Parallel()
	root, files := site(t)
	folder, _, release := mountHanging(t)
	o := operate(t, yamlOf(root, controlPlane))
	c := o.withControl()
	load := crowdOf(o.addr, files, 2)
	if why := o.refuse(yamlOf(folder, controlPlane)); !strings.Contains(why, folder) {
		t.Errorf("it does not say which root hangs: %s", why)
	}
	c.ready(t)
	o.reload(yamlOf(root, controlPlane, "server_header: next"))
	if got := o.get(t, "/small").header.Get("Server"); got != "next" {
		t.Errorf("the server calls itself %q", got)
	}
	load.more(t, 20)
	load.end(t)
	o.signal(t, syscall.SIGTERM)
	eventually(t, says(o.stderr.String, `"msg":"stopped"`))
	release()
	if code := o.wait(t); code != 0 {
		t.Errorf("exit code %d\n%s", code, tail(o.stderr.String()))
	}
}

// TestRootThatHangsUnderLoad: of two sites the root of one does not answer any more, and more clients ask for it than
// there are workers. Those get 503 when timeouts.deferred is over; the other site is served as ever, its directories
// and files that nobody has asked for before too; the server is ready, and stops when it is told to.
func TestRootThatHangsUnderLoad(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		root, files := site(t)
		folder, d, release := mountHanging(t)
		release()
		o := operate(t, "listen: [\"127.0.0.1:0\"]\naccess_log: {output: \"off\"}\nworkers: 4\n"+
			"timeouts: {deferred: 3s, drain: 1s}\nio_model: "+v.Model+"\ntrigger: "+v.Trigger+"\n"+controlPlane+
			"\nsites:\n  - root: "+folder+
			"\n    hosts: [slow]\n  - root: "+root+"\n    listing: true\n")
		c := o.withControl()
		d.gate.Lock()
		free := sync.OnceFunc(d.gate.Unlock)
		defer free()
		var stuck []*wire
		for range 12 {
			w, err := o.open("GET /file HTTP/1.1\r\nHost: slow\r\n\r\n")
			must(t, err)
			defer w.conn.Close()
			stuck = append(stuck, w)
		}
		<-d.waiting
		load := crowdOf(o.addr, files, 2)
		load.more(t, 50)
		for n := range 8 {
			name := fmt.Sprint("new", n)
			write(t, root, name+"/file", []byte(name))
			if got := o.get(t, "/"+name+"/file"); string(got.body) != name {
				t.Errorf("a new file of the site that answers: %d, %q", got.status, got.body)
			}
			if got := o.get(t, "/"+name+"/"); got.status != 200 {
				t.Errorf("a directory of the site that answers: %d, %.200q", got.status, got.body)
			}
		}
		c.ready(t)
		for i, w := range stuck {
			if v.Model == "blocking" {
				break // it waits in place
			}
			if got, err := w.next("GET"); err != nil || got.status != 503 {
				t.Errorf("request %d for what hangs: %d, %v", i, got.status, err)
			}
		}
		load.more(t, 20)
		load.end(t)
		o.signal(t, syscall.SIGTERM)
		o.waitRefusal(t)
		if v.Model == "blocking" {
			o.insist(t)
		}
		eventually(t, func() error {
			if said := o.stderr.String(); !strings.Contains(said, `"msg":"stopped"`) &&
				!strings.Contains(said, "stopped at once") {
				return fmt.Errorf("it does not stop:\n%s", tail(said))
			}
			return nil
		})
		free()
		if code := o.wait(t); code != 0 && v.Model != "blocking" {
			t.Errorf("exit code %d\n%s", code, tail(o.stderr.String()))
		}
	})
}

// faultyLog is a file system of one file, which keeps what is written to it; its writes wait while it is stopped, and
// fail with an error while there is one.
type faultyLog struct {
	fs.Inode
	gate  sync.RWMutex
	mu    sync.Mutex
	text  strings.Builder
	errno syscall.Errno
}

func (f *faultyLog) fail(errno syscall.Errno) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.errno = errno
}

func (f *faultyLog) written() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.text.String()
}

func (f *faultyLog) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode = syscall.S_IFREG | 0o644
	return 0
}

func (f *faultyLog) Open(_ context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return nil, fuse.FOPEN_DIRECT_IO, f.errno
}

func (f *faultyLog) Write(_ context.Context, _ fs.FileHandle, data []byte, _ int64) (uint32, syscall.Errno) {
	f.gate.RLock()
	defer f.gate.RUnlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.errno != 0 {
		return 0, f.errno
	}
	f.text.Write(data)
	return uint32(len(data)), 0
}

// logDir is the directory of a faultyLog.
type logDir struct {
	fs.Inode
	log *faultyLog
}

func (d *logDir) OnAdd(ctx context.Context) {
	d.AddChild("log", d.NewPersistentInode(ctx, d.log, fs.StableAttr{Mode: syscall.S_IFREG}), true)
}

// mountLog mounts a log that hangs and fails on demand until the test ends.
func mountLog(t *testing.T) (file string, log *faultyLog) {
	t.Helper()
	folder := t.TempDir()
	log = &faultyLog{}
	mountAt(t, folder, &logDir{log: log})
	return filepath.Join(folder, "log"), log
}

// longRequest has an access line of more than 3,000 bytes, so that few of them fill the buffers of a log.
var longRequest = request("/small", "Referer: http://x/"+strings.Repeat("r", 3000))

// askLong makes so many such requests on one connection, and checks the answers.
func (s *server) askLong(t *testing.T, n int) {
	t.Helper()
	w, err := s.open(longRequest)
	must(t, err)
	defer w.conn.Close()
	for i := range n {
		if got, err := w.next("GET"); err != nil || got.status != 200 {
			t.Fatalf("answer %d: %d, %v\n%s", i, got.status, err, tail(s.stderr.String()))
		}
		must(t, w.conn.SetDeadline(deadline()))
		if i < n-1 {
			_, err = io.WriteString(w.conn, longRequest)
			must(t, err)
		}
	}
}

const droppedLines = "evhttpd_access_log_lines_dropped_total"

// lostLines is how many access lines were lost.
func (c *controlled) lostLines(t *testing.T) int {
	t.Helper()
	values, err := c.metrics()
	must(t, err)
	return int(values[droppedLines])
}

// accounted waits until every one of so many access lines is written or counted as lost, and checks that those that
// are written are whole.
func (c *controlled) accounted(t *testing.T, lines int, written func() string) {
	t.Helper()
	eventually(t, func() error {
		whole := 0
		for line := range strings.Lines(written()) {
			if strings.HasPrefix(line, "{") && strings.HasSuffix(line, "}\n") {
				whole++
			}
		}
		if lost := c.lostLines(t); lost+whole != lines {
			return fmt.Errorf("%d lines are written and %d lost, of %d", whole, lost, lines)
		}
		return nil
	})
}

// TestAccessLogThatHangs: while its file system does not answer, every request is answered; lines that find no room
// are counted, and an event tells of them meanwhile. When the file system answers again, lines are written again.
func TestAccessLogThatHangs(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		root, _ := site(t)
		file, log := mountLog(t)
		log.gate.Lock()
		release := sync.OnceFunc(log.gate.Unlock)
		defer release()
		s := startControlled(t, v, root, "threads: 16\n", "--loops", "1", "--access-log", file, "--log-format", "json")
		const first, later = 2500, 10
		s.askLong(t, first)
		eventually(t, says(s.stderr.String, "access lines were lost"))
		if s.lostLines(t) == 0 {
			t.Error("no line is lost")
		}
		s.ready(t)
		release()
		eventually(t, func() error { // there is room again
			if text := log.written(); strings.Count(text, "\n") == 0 {
				return errors.New("nothing is written")
			}
			return nil
		})
		s.askLong(t, later)
		s.accounted(t, first+later, log.written)
	})
}

// TestStopWithLogThatHangs: the end waits a bounded time for the last lines, and says that they are lost.
func TestStopWithLogThatHangs(t *testing.T) {
	t.Parallel()
	root, _ := site(t)
	file, log := mountLog(t)
	log.gate.Lock()
	release := sync.OnceFunc(log.gate.Unlock)
	defer release()
	s := start(t, variants()[0], root, "--access-log", file)
	s.askLong(t, 10)
	s.signal(t, syscall.SIGTERM)
	eventually(t, says(s.stderr.String, "its last lines are lost"))
	release()
	if code := s.wait(t); code != 0 {
		t.Errorf("exit code %d\n%s", code, s.stderr.String())
	}
}

// TestEventLogThatHangs: while the file system of the log of events does not answer, requests are answered, reloads
// done and a stop as well.
func TestEventLogThatHangs(t *testing.T) {
	t.Parallel()
	root, files := site(t)
	must(t, os.Symlink("/etc/hostname", filepath.Join(root, "out")))
	file, log := mountLog(t)
	config := func(name string) string {
		return yamlOf(root, controlPlane, "log: {output: "+file+"}", "server_header: "+name)
	}
	o := operate(t, config("before"))
	c := o.withControl()
	log.gate.Lock()
	release := sync.OnceFunc(log.gate.Unlock)
	defer release()
	load := crowdOf(o.addr, files, 2)
	if got := o.get(t, "/out"); got.status != 404 { // an event
		t.Errorf("status %d", got.status)
	}
	o.write(config("after"))
	o.signal(t, syscall.SIGHUP)
	eventually(t, func() error {
		if got := o.get(t, "/small").header.Get("Server"); got != "after" {
			return fmt.Errorf("it is not reloaded: %q", got)
		}
		return nil
	})
	load.more(t, 20)
	c.ready(t)
	load.end(t)
	o.signal(t, syscall.SIGTERM)
	eventually(t, says(o.stderr.String, "stopping: "))
	o.waitRefusal(t)
	release()
	if code := o.wait(t); code != 0 {
		t.Errorf("exit code %d\n%s", code, tail(o.stderr.String()))
	}
	eventually(t, says(log.written, "leads out of the site's root"))
}

// TestLogsBecomeReadOnly: when the kernel mounts the logs' file system read-only under the server, after an error of
// its disk, every request is answered and lines that are lost are counted and told of. A log that cannot be reopened
// goes on, and lines are written when the file system can be.
func TestLogsBecomeReadOnly(t *testing.T) {
	t.Parallel()
	root, _ := site(t)
	file, log := mountLog(t)
	s := startControlled(t, variants()[0], root, "", "--loops", "1", "--access-log", file, "--log-format", "json")
	s.askLong(t, 10)
	s.accounted(t, 10, log.written)
	log.fail(syscall.EROFS)
	s.askLong(t, 10)
	eventually(t, says(s.stderr.String, "read-only file system"))
	s.signal(t, syscall.SIGUSR1)
	eventually(t, says(s.stderr.String, "the access log cannot be reopened; the old file goes on"))
	s.ready(t)
	s.accounted(t, 20, log.written)
	if lost := s.lostLines(t); lost != 10 {
		t.Errorf("%d lines are lost, want 10", lost)
	}
	log.fail(0)
	s.askLong(t, 10)
	s.accounted(t, 30, log.written)
	if lost := s.lostLines(t); lost != 10 {
		t.Errorf("%d lines are lost, want 10", lost)
	}
}
