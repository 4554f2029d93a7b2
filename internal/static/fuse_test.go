//go:build linux

package static

import (
	"context"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/internal/testkit"
)

// slowNode is a directory whose every operation on names and files can be
// stopped, and is counted by the thread that caused it.
type slowNode struct {
	fs.Inode
	m *slowMount
}

type slowMount struct {
	gate  sync.RWMutex // held for writing: every operation waits
	ops   atomic.Int64
	byMe  atomic.Int64 // operations of the watched thread
	me    atomic.Int32 // its id
	files map[string]string
}

// pass counts an operation and waits while the gate is shut.
func (m *slowMount) pass(ctx context.Context) {
	m.ops.Add(1)
	if caller, ok := fuse.FromContext(ctx); ok && int32(caller.Pid) == m.me.Load() {
		m.byMe.Add(1)
	}
	m.gate.RLock()
	defer m.gate.RUnlock()
}

func (n *slowNode) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	n.m.pass(ctx)
	contents, ok := n.m.files[name]
	if !ok {
		return nil, syscall.ENOENT
	}
	file := &slowFile{m: n.m, contents: contents}
	file.attr(&out.Attr)
	return n.NewInode(ctx, file, fs.StableAttr{Mode: syscall.S_IFREG, Ino: uint64(len(name)) + 100}), 0
}

type slowFile struct {
	fs.Inode
	m        *slowMount
	contents string
}

func (f *slowFile) attr(out *fuse.Attr) {
	out.Mode, out.Size = syscall.S_IFREG|0o644, uint64(len(f.contents))
	out.SetTimes(&longAgo, &longAgo, &longAgo)
}

func (f *slowFile) Getattr(ctx context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	f.m.pass(ctx)
	f.attr(&out.Attr)
	return 0
}

func (f *slowFile) Open(ctx context.Context, _ uint32) (fs.FileHandle, uint32, syscall.Errno) {
	f.m.pass(ctx)
	return nil, 0, 0
}

func (f *slowFile) Read(ctx context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	f.m.pass(ctx)
	from := min(off, int64(len(f.contents)))
	return fuse.ReadResultData([]byte(f.contents[from:min(from+int64(len(dest)), int64(len(f.contents)))])), 0
}

// mountSlow mounts such a file system at dir.
func mountSlow(t *testing.T, dir string) *slowMount {
	t.Helper()
	testkit.Device(t, "/dev/fuse")
	m := &slowMount{files: map[string]string{
		"small": "small", "large": strings.Repeat("L", 200_000), "index.html": "index",
	}}
	zero := time.Duration(0)
	server, err := fs.Mount(dir, &slowNode{m: m}, &fs.Options{
		EntryTimeout: &zero, AttrTimeout: &zero,
		MountOptions: fuse.MountOptions{DirectMount: true, FsName: "slow", Name: "slow"},
	})
	if err != nil {
		t.Fatalf("mount: %v", err)
	}
	t.Cleanup(func() { testkit.Eventually(t, server.Unmount) }) // files are closed a moment later
	return m
}

// step sends one request and steps once: what a loop does before it goes on to others.
func (l *loop) step(peer *script, c *conn.Conn, target string) conn.Want {
	peer.in = []byte("GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n")
	l.local.Alone = l.alone
	c.Start(l.local, l.addr, false)
	return c.Step(peer, l.local)
}

// TestSlowFileSystem: whatever a file system waits for, a loop does not. The
// thread that serves causes not one operation, neither on a slow root nor on a slow
// mount beneath a local root, and goes on answering while all of them are stopped.
func TestSlowFileSystem(t *testing.T) {
	for _, c := range []struct{ name, root, prefix string }{
		{"as the root", "/mount", "/"},
		{"beneath the root", "", "/mount/"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.Mkdir(dir+"/mount", 0o755); err != nil {
				t.Fatal(err)
			}
			write(t, dir+"/local", "local")
			m := mountSlow(t, dir+"/mount")
			l := serve(t, testOptions(dir+c.root), false)

			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			m.me.Store(int32(unix.Gettid()))
			ask := func(target, want string) {
				t.Helper()
				var peer script
				var c conn.Conn
				for w := l.step(&peer, &c, target); w == conn.WantDeferred; w = c.Step(&peer, l.local) {
					job, ticket, _ := c.TakeJob()
					l.jobs++
					c.Resume(ticket, runElsewhere(job), nil)
				}
				c.Release(l.local)
				if want == "" {
					parseResponse(t, "GET", peer.out.String()).wantStatus(t, 404)
				} else {
					// The body of a large file is read by the test's transport: by this thread.
					head, body, _ := strings.Cut(peer.out.String(), "\r\n\r\n")
					if !strings.HasPrefix(head, "HTTP/1.1 200") || body != want {
						t.Errorf("%s: %.200q", target, peer.out.String())
					}
				}
			}
			for range 3 {
				before := l.jobs
				ask(c.prefix+"small", "small")
				ask(c.prefix, "index")
				ask(c.prefix+"missing", "")
				if l.jobs < before+3 {
					t.Errorf("%d jobs for three looks", l.jobs-before)
				}
				jobs := l.jobs
				ask(c.prefix+"small", "small") // cached
				if l.jobs != jobs {
					t.Error("a cached answer was put off")
				}
				l.alone = true
				ask(c.prefix+"small", "small")
				l.alone = false
				if l.jobs == jobs {
					t.Error("a look at a slow file system was not put off")
				}
				l.advance(1500 * time.Millisecond)
			}
			ask(c.prefix+"small", "small")
			if c.root == "" {
				ask("/local", "local") // where RWF_NOWAIT is not to be had, the pool has to read it
			}
			if n := m.byMe.Load(); n != 0 {
				t.Errorf("%d file system operations by the serving thread", n)
			}
			checkStopped(t, l, m, c.prefix, c.root == "")
		})
	}
}

// runElsewhere has the job done by another thread, as a pool does.
func runElsewhere(job conn.Job) conn.Result {
	done := make(chan conn.Result)
	go func() { done <- job.Run(wanted{}) }()
	return <-done
}

// checkStopped has the file system stand still.
func checkStopped(t *testing.T, l *loop, m *slowMount, prefix string, local bool) {
	m.gate.Lock()
	var peer, cached script
	var waits, c conn.Conn
	if want := l.step(&peer, &waits, prefix+"other"); want != conn.WantDeferred {
		t.Errorf("Step wants %d, not to be put off", want)
	}
	job, ticket, _ := waits.TakeJob()
	result := make(chan conn.Result)
	ops := m.ops.Load()
	go func() { result <- job.Run(wanted{}) }()
	testkit.Until(t, "the job does not reach the file system", func() bool { return m.ops.Load() > ops })
	targets := []string{prefix + "small"}
	if local {
		targets = append(targets, "/local")
	}
	for _, target := range targets {
		for range 100 {
			cached.out.Reset()
			if want := l.step(&cached, &c, target); want != conn.WantRead {
				t.Fatalf("%s: Step wants %d while the file system stands still", target, want)
			}
			c.Release(l.local)
			parseResponse(t, "GET", cached.out.String()).wantStatus(t, 200)
		}
	}
	m.gate.Unlock()
	waits.Resume(ticket, <-result, nil)
	for waits.Step(&peer, l.local) == conn.WantDeferred {
		job, ticket, _ := waits.TakeJob()
		waits.Resume(ticket, job.Run(wanted{}), nil)
	}
	waits.Release(l.local)
	parseResponse(t, "GET", peer.out.String()).wantStatus(t, 404)
	if n := m.byMe.Load(); n != 0 && local {
		t.Errorf("%d file system operations by the serving thread", n)
	}
}
