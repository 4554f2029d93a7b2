package static

import (
	"context"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// faultyDir is a directory of a file system where looking some names up fails.
type faultyDir struct {
	fs.Inode
	names  map[string]syscall.Errno
	signal atomic.Int32 // so many look-ups of "interrupted" are
	broken atomic.Bool  // no file can be read
}

// faultyFile is a file of it.
type faultyFile struct {
	fs.MemRegularFile
	dir *faultyDir
}

func (f *faultyFile) Read(ctx context.Context, h fs.FileHandle, dest []byte, off int64) (fuse.ReadResult,
	syscall.Errno) {
	if f.dir.broken.Load() {
		return nil, syscall.EIO
	}
	return f.MemRegularFile.Read(ctx, h, dest, off)
}

func (d *faultyDir) Readdir(context.Context) (fs.DirStream, syscall.Errno) {
	var entries []fuse.DirEntry
	for name := range d.names {
		entries = append(entries, fuse.DirEntry{Name: name, Mode: syscall.S_IFREG})
	}
	slices.SortFunc(entries, func(a, b fuse.DirEntry) int { return strings.Compare(a.Name, b.Name) })
	return fs.NewListDirStream(entries), 0
}

func (d *faultyDir) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	errno, ok := d.names[name]
	switch {
	case name == "interrupted" && d.signal.Add(-1) >= 0:
		return nil, syscall.EINTR
	case !ok:
		return nil, syscall.ENOENT
	case errno != 0:
		return nil, errno
	case strings.HasPrefix(name, "to-"):
		out.Mode = syscall.S_IFLNK | 0o777
		link := &fs.MemSymlink{Data: []byte(strings.TrimPrefix(name, "to-"))}
		return d.NewInode(ctx, link, fs.StableAttr{Mode: syscall.S_IFLNK}), 0
	}
	file := &faultyFile{dir: d}
	if file.Data = []byte("contents"); name == "long.js" {
		file.Data = []byte(strings.Repeat("contents", 20_000))
	}
	file.Attr.Mtime = uint64(longAgo.Unix())
	out.Mode, out.Size = syscall.S_IFREG|0o644, uint64(len(file.Data))
	out.SetTimes(&longAgo, &longAgo, &longAgo)
	return d.NewInode(ctx, file, fs.StableAttr{Mode: syscall.S_IFREG}), 0
}

// mountFaulty mounts such a directory at dir.
func mountFaulty(t *testing.T, dir string, names map[string]syscall.Errno) *faultyDir {
	t.Helper()
	testkit.Device(t, "/dev/fuse")
	none := time.Duration(0)
	d := &faultyDir{names: names}
	server, err := fs.Mount(dir, d, &fs.Options{
		EntryTimeout: &none, AttrTimeout: &none,
		MountOptions: fuse.MountOptions{DirectMount: true, FsName: "faulty", Name: "faulty", DisableReadDirPlus: true},
	})
	if err != nil {
		t.Fatalf("mount: %v", err)
	}
	t.Cleanup(func() { testkit.Eventually(t, server.Unmount) }) // files are closed a moment later
	return d
}

// TestListingOfFaults: a name that cannot be looked at is listed, without what is not known of it. Only one of which a
// request would be told that nothing is there is left out.
func TestListingOfFaults(t *testing.T) {
	dir := t.TempDir()
	mountFaulty(t, dir, map[string]syscall.Errno{
		"good": 0, "disk": syscall.EIO, "stale": syscall.ESTALE, "late": syscall.ETIMEDOUT, "denied": syscall.EACCES,
		"gone": syscall.ENOENT, "to-good": 0, "to-disk": 0, "to-gone": 0,
	})
	resolvers(t, func(t *testing.T, walks bool) {
		opts := testOptions(dir)
		opts.Listing = true
		var told []string
		opts.Tell.Fail = func(msg, path string) { told = append(told, path+": "+msg) }
		l := serve(t, opts, walks)
		const text = "denied\t-\t-\ndisk\t-\t-\ngood\t8\t2024-02-29T12:30:15Z\n" +
			"late\t-\t-\nstale\t-\t-\nto-disk\t-\t-\n" +
			"to-good\t8\t2024-02-29T12:30:15Z\n"
		l.get("/?format=text").want(t, 200, text)
		if len(told) != 1 || !strings.HasPrefix(told[0], dir+"/") || !strings.Contains(told[0], "cannot be read: ") {
			t.Errorf("the operator was told %q", told)
		}
		list := l.get("/?format=json").body
		for _, want := range []string{`{"name":"disk","type":"unknown","url":"disk"}`,
			`{"name":"good","type":"file","size":8,`} {
			if !strings.Contains(list, want) {
				t.Errorf("no %s in %s", want, list)
			}
		}
		if names := listedNames(t, l.get("/").body, "/"); len(names) != 7 {
			t.Errorf("the page has %q", names)
		}
		if page := l.get("/").body; !strings.Contains(page, `<a href="disk">disk</a></th><td></td><td></td></tr>`) {
			t.Errorf("the page has %s", page)
		}
		l.get("/?format=text&sort=size").wantStatus(t, 200)
		l.get("/gone").wantStatus(t, 404)
		l.get("/to-gone").wantStatus(t, 404)
		l.get("/disk").wantStatus(t, 500)
		l.get("/to-disk").wantStatus(t, 500)
		l.get("/denied").wantStatus(t, 403)
	})
}

// TestLinkThroughAFaultElsewhere: a link that cannot be followed because of a fault outside the root may well come back
// to it; it is not said to be missing.
func TestLinkThroughAFaultElsewhere(t *testing.T) {
	elsewhere, root := t.TempDir(), t.TempDir()
	mountFaulty(t, elsewhere, map[string]syscall.Errno{"disk": syscall.EIO})
	write(t, root+"/file", "file")
	symlink(t, elsewhere+"/disk/back", root+"/link")
	symlink(t, elsewhere+"/gone/back", root+"/broken")
	resolvers(t, func(t *testing.T, walks bool) {
		opts := testOptions(root)
		opts.Listing = true
		l := serve(t, opts, walks)
		l.get("/link").wantStatus(t, 500)
		l.get("/broken").wantStatus(t, 404)
		if body := l.get("/?format=text").body; !strings.Contains(body, "link\t-\t-\n") ||
			strings.Contains(body, "broken") {
			t.Errorf("listed: %q", body)
		}
	})
}

// leave leaves the process room for that many more descriptors, until the test ends or restore is called. What the site
// has given up is closed before.
func leave(t *testing.T, s *Site, room int) (restore func()) {
	t.Helper()
	for !s.closer.Idle() {
		runtime.Gosched()
	}
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	taken := []int{fd}
	now := old
	now.Cur = uint64(fd) + uint64(room) + 16
	restore = func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
			t.Error(err)
		}
		for _, fd := range taken {
			unix.Close(fd)
		}
		taken = nil
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &now); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(restore)
	for {
		fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == unix.EMFILE {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		taken = append(taken, fd)
	}
	for range room {
		last := len(taken) - 1
		unix.Close(taken[last])
		taken = taken[:last]
	}
	return restore
}

// TestListingWithoutDescriptors: a link that cannot be opened for want of descriptors is not left out.
func TestListingWithoutDescriptors(t *testing.T) {
	resolvers(t, func(t *testing.T, walks bool) {
		root := t.TempDir()
		write(t, root+"/sub/file", "file")
		symlink(t, "sub/file", root+"/link")
		opts := testOptions(root)
		opts.Listing = true
		l := serve(t, opts, walks)
		l.alone = true
		l.get("/link").want(t, 200, "file")
		restore := leave(t, l.site, 1) // for the directory
		r := l.get("/?format=text")
		restore()
		if r.StatusCode != 503 || r.Header.Get("Retry-After") == "" {
			t.Errorf("%d %q", r.StatusCode, r.body)
		}
		r = l.get("/?format=text")
		r.wantStatus(t, 200)
		if !strings.HasPrefix(r.body, "sub/\t") || !strings.Contains(r.body, "link\t4\t") {
			t.Errorf("afterwards: %q", r.body)
		}
	})
}

// TestPrecompressedWithoutDescriptors: an answer that would be another with descriptors says that it depends on
// Accept-Encoding, and is not kept.
func TestPrecompressedWithoutDescriptors(t *testing.T) {
	resolvers(t, func(t *testing.T, walks bool) {
		root := t.TempDir()
		write(t, root+"/a.js", "script")
		write(t, root+"/a.js.gz", "coded")
		opts := testOptions(root)
		opts.Precompressed = []string{"gz"}
		l := serve(t, opts, walks)
		const accepts = "Accept-Encoding: gzip\r\n"
		l.get("/") // the root's own look is behind us
		restore := leave(t, l.site, 1)
		r := l.request("GET", "/a.js", accepts)
		restore()
		if r.StatusCode != 503 && (r.StatusCode != 200 || r.body != "script" ||
			r.Header.Get("Vary") != "Accept-Encoding") {
			t.Errorf("%d %q %v", r.StatusCode, r.body, r.Header)
		}
		r = l.request("GET", "/a.js", accepts)
		if r.body != "coded" || r.Header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("afterwards: %q %v", r.body, r.Header)
		}
	})
}

// TestPrecompressedOfAFault: as without descriptors, where the disk fails.
func TestPrecompressedOfAFault(t *testing.T) {
	dir := t.TempDir()
	mountFaulty(t, dir, map[string]syscall.Errno{"a.js": 0, "a.js.gz": syscall.EIO, "b.js": 0,
		"b.js.gz": syscall.EACCES})
	opts := testOptions(dir)
	opts.Precompressed = []string{"gz"}
	l := serve(t, opts, false)
	const accepts = "Accept-Encoding: gzip\r\n"
	if r := l.request("GET", "/a.js", accepts); r.body != "contents" || r.Header.Get("Vary") != "Accept-Encoding" {
		t.Errorf("%q %v", r.body, r.Header)
	}
	if r := l.request("GET", "/b.js", accepts); r.body != "contents" || r.Header.Get("Vary") != "" {
		t.Errorf("denied for good: %q %v", r.body, r.Header)
	}
}

// TestCompressionAfterAFault: a file that could not be read to be compressed is compressed for who comes later.
func TestCompressionAfterAFault(t *testing.T) {
	dir := t.TempDir()
	d := mountFaulty(t, dir, map[string]syscall.Errno{"long.js": 0})
	opts := testOptions(dir)
	opts.Compress = []string{"gzip"}
	l := serve(t, opts, false)
	const head = "Accept-Encoding: gzip\r\n"
	d.broken.Store(true)
	r := l.request("HEAD", "/long.js", head)
	if r.StatusCode != 200 || r.Header.Get("Content-Encoding") != "" || r.Header.Get("Vary") != "Accept-Encoding" {
		t.Errorf("%d %v", r.StatusCode, r.Header)
	}
	d.broken.Store(false)
	if r := l.request("HEAD", "/long.js", head); r.Header.Get("Content-Encoding") != "gzip" {
		t.Errorf("afterwards: %d %v", r.StatusCode, r.Header)
	}
}

// TestInterruptedLookups: a file system that lets a signal end its waits (Go's scheduler sends them) has said nothing
// yet.
func TestInterruptedLookups(t *testing.T) {
	dir := t.TempDir()
	d := mountFaulty(t, dir, map[string]syscall.Errno{"interrupted": 0})
	resolvers(t, func(t *testing.T, walks bool) {
		opts := testOptions(dir)
		opts.Listing = true
		tell := func(msg, path string) { t.Errorf("the operator is told of a signal: %s %s", msg, path) }
		opts.Tell = Tell{Warn: tell, Fail: tell}
		l := serve(t, opts, walks)
		l.alone = true
		for n := range int32(5) {
			d.signal.Store(n)
			if r := l.get("/?format=text"); r.body != "interrupted\t8\t2024-02-29T12:30:15Z\n" {
				t.Errorf("after %d signals: %d %q", n, r.StatusCode, r.body)
			}
			d.signal.Store(n)
			l.get("/interrupted").want(t, 200, "contents")
		}
	})
}
