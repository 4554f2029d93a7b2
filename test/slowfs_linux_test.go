package test

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	generator "github.com/evhttpd/evhttpd/bench/load"
	"github.com/evhttpd/evhttpd/internal/testkit"
)

// stallingDir is a file system of one file, whose every look-up and read waits while it is stopped.
type stallingDir struct {
	fs.Inode
	gate    sync.RWMutex  // held for writing: stopped
	waiting chan struct{} // gets one for each operation that begins
}

const stalledBody = "late but whole\n"

var cachedBody = pattern(1024, 1)

func (d *stallingDir) pass() {
	select {
	case d.waiting <- struct{}{}:
	default:
	}
	d.gate.RLock()
	defer d.gate.RUnlock()
}

func (d *stallingDir) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	d.pass()
	if name != "file" {
		return nil, syscall.ENOENT
	}
	out.Mode, out.Size = syscall.S_IFREG|0o644, uint64(len(stalledBody))
	return d.NewInode(ctx, &stallingFile{dir: d}, fs.StableAttr{Mode: syscall.S_IFREG}), 0
}

type stallingFile struct {
	fs.Inode
	dir *stallingDir
}

func (f *stallingFile) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	f.dir.pass()
	out.Mode, out.Size = syscall.S_IFREG|0o644, uint64(len(stalledBody))
	return 0
}

func (f *stallingFile) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	f.dir.pass()
	return nil, 0, 0
}

func (f *stallingFile) Read(_ context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult,
	syscall.Errno) {
	f.dir.pass()
	from := min(int(off), len(stalledBody))
	return fuse.ReadResultData([]byte(stalledBody[from:])), 0
}

// mountStalling mounts a file system at slow beneath root until the test ends.
func mountStalling(t *testing.T, root string) *stallingDir {
	t.Helper()
	slow := filepath.Join(root, "slow")
	must(t, os.Mkdir(slow, 0o755))
	dir := &stallingDir{waiting: make(chan struct{}, 1)}
	mountAt(t, slow, dir)
	return dir
}

// mountAt mounts a file system of which the kernel remembers nothing until the test ends.
func mountAt(t *testing.T, folder string, root fs.InodeEmbedder) {
	t.Helper()
	testkit.Device(t, "/dev/fuse")
	zero := time.Duration(0)
	mount, err := fs.Mount(folder, root, &fs.Options{
		EntryTimeout: &zero, AttrTimeout: &zero,
		MountOptions: fuse.MountOptions{DirectMount: true, FsName: "stalling", Name: "stalling"},
	})
	must(t, err)
	t.Cleanup(func() { eventually(t, mount.Unmount) }) // the kernel lets go of a process's files late
}

// stall stops the file system, until the caller unlocks the gate, and has a
// request wait for it.
func (d *stallingDir) stall(t *testing.T, s *server) net.Conn {
	t.Helper()
	d.gate.Lock()
	c := s.dial(t)
	_, err := io.WriteString(c, request("/slow/file", "Connection: close"))
	must(t, err)
	<-d.waiting // the request has reached the file system
	return c
}

// TestStopBesideStalledFileSystem: a worker that waits for a file system keeps
// the server neither from ending at a second signal nor, after one, from ending
// with the time to drain. The file system goes on before the end is waited for:
// the kernel keeps a process whose request FUSE has taken until it is answered.
func TestStopBesideStalledFileSystem(t *testing.T) {
	stop := func(t *testing.T, v variant, insist bool, code int, last string) {
		root := t.TempDir()
		dir := mountStalling(t, root)
		s := start(t, v, root)
		dir.stall(t, s)
		release := sync.OnceFunc(dir.gate.Unlock)
		defer release()
		s.signal(t, syscall.SIGTERM)
		s.waitRefusal(t)
		if insist {
			s.insist(t)
		}
		eventually(t, says(s.stderr.String, last))
		release()
		if got := s.wait(t); got != code {
			t.Errorf("exit code %d, want %d\n%s", got, code, s.stderr.String())
		}
	}
	eachVariant(t, func(t *testing.T, v variant) {
		stop(t, v, true, 1, "stopped at once by a second signal")
	})
	t.Run("one signal", func(t *testing.T) {
		stop(t, variants()[0], false, 0, "a file system that does not answer is given up")
	})
}

// TestSlowFileSystemStallsNobody has a file system beneath the root stop while
// a request waits for it: cached files go on being served by the same loop for
// all that time, and the one who waits gets its answer in the end. It logs the
// latencies of the cached requests without and with the stall (go test -v).
func TestSlowFileSystemStallsNobody(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		if !v.Loops() {
			return // no loop, so no two connections that share one
		}
		root := t.TempDir()
		write(t, root, "cached", cachedBody)
		dir := mountStalling(t, root)
		s := start(t, v, root, "--loops", "1")
		s.settle(t, "/cached")

		quiet := cachedLoad(t, s)
		conn := dir.stall(t, s)
		stalled := cachedLoad(t, s)
		dir.gate.Unlock()
		answer := string(readAll(t, conn))
		if !strings.HasPrefix(answer, "HTTP/1.1 200 ") || !strings.HasSuffix(answer, stalledBody) {
			t.Errorf("the stalled request got %q", answer)
		}
		t.Logf("cached requests, quiet:   %d, p50 %v, p99 %v", quiet.Count, quiet.P50, quiet.P99)
		t.Logf("cached requests, stalled: %d, p50 %v, p99 %v", stalled.Count, stalled.P50, stalled.P99)
	})
}

// readAll reads a connection to its end.
func readAll(t *testing.T, c net.Conn) []byte {
	t.Helper()
	must(t, c.SetReadDeadline(deadline()))
	p, err := io.ReadAll(c)
	must(t, err)
	return p
}

// cachedLoad asks for the cached file for a second, at a rate that leaves the
// server room, and has every answer checked.
func cachedLoad(t *testing.T, s *server) generator.Latency {
	t.Helper()
	target := generator.Target{Path: "/cached", Status: 200, Length: int64(len(cachedBody)), Body: cachedBody}
	result, err := generator.Run(context.Background(), generator.Options{
		Roles: []generator.Role{{Name: "cached", Addr: generator.TCP(netip.MustParseAddrPort(s.addr)), Connections: 16,
			Rate:    5000,
			Targets: []generator.Target{target}}},
		Duration: time.Second, Drain: patience, Timeout: patience, CheckEvery: 1,
	})
	must(t, err)
	role := result.Roles[0]
	if n := role.Counts; n.Answered == 0 || n.Answered != n.Requests {
		t.Errorf("%d of %d requests were answered: %v", n.Answered, n.Requests, role.First)
	}
	return role.Latency
}
