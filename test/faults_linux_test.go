package test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// failingFile is a file on a disk that fails behind its first half.
type failingFile struct{ fs.Inode }

const failingSize = 1 << 20

func (f *failingFile) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode, out.Size = syscall.S_IFREG|0o644, failingSize
	out.SetTimes(&mirrorTime, &mirrorTime, &mirrorTime)
	return 0
}

func (f *failingFile) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, 0, 0
}

func (f *failingFile) Read(_ context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult,
	syscall.Errno) {
	if off+int64(len(dest)) > failingSize/2 {
		return nil, syscall.EIO
	}
	return fuse.ReadResultData(make([]byte, len(dest))), 0
}

// TestFailingDiskIsTold: when a file cannot be read on in the middle of an answer, an event says so. The access log
// has the status with which the answer began.
func TestFailingDiskIsTold(t *testing.T) {
	testkit.Device(t, "/dev/fuse")
	root := t.TempDir()
	disk := filepath.Join(root, "disk")
	must(t, os.Mkdir(disk, 0o755))
	dir := &fs.Inode{}
	mount, err := fs.Mount(disk, dir, &fs.Options{
		OnAdd: func(ctx context.Context) {
			dir.AddChild("film.mp4", dir.NewPersistentInode(ctx, &failingFile{}, fs.StableAttr{Mode: syscall.S_IFREG}),
				false)
		},
		MountOptions: fuse.MountOptions{DirectMount: true, FsName: "failing", Name: "failing"},
	})
	must(t, err)
	t.Cleanup(func() { eventually(t, mount.Unmount) })
	// A loop has a worker read what is not in memory; a thread sends it and waits.
	for _, v := range []variant{defaultVariant(), {Model: "blocking", Trigger: "auto"}} {
		t.Run(v.String(), func(t *testing.T) {
			s := start(t, v, root)
			cutShort(t, s, "/disk/film.mp4", func() {})
			eventually(t, says(s.stderr.String, "/disk/film.mp4"))
			for _, want := range []string{"cannot be read to its end", "input/output error"} {
				if said := s.stderr.String(); !strings.Contains(said, want) {
					t.Errorf("the operator was told: %s", said)
				}
			}
		})
	}
}

// TestFileCutShortIsTold: an event also says when a file becomes shorter while it is sent.
func TestFileCutShortIsTold(t *testing.T) {
	for _, v := range []variant{defaultVariant(), {Model: "blocking", Trigger: "auto"}} {
		t.Run(v.String(), func(t *testing.T) {
			root := t.TempDir()
			name := filepath.Join(root, "large.bin")
			write(t, root, "large.bin", nil)
			must(t, os.Truncate(name, 64<<20)) // more than sockets hold
			s := start(t, v, root)
			cutShort(t, s, "/large.bin", func() { must(t, os.Truncate(name, 1<<10)) })
			eventually(t, says(s.stderr.String, "large.bin"))
			if said := s.stderr.String(); !strings.Contains(said, "became shorter while it was sent") {
				t.Errorf("the operator was told: %s", said)
			}
		})
	}
}

// cutShort asks for a file, has something happen to it behind the head, and reads an answer that ends too early.
func cutShort(t *testing.T, s *server, path string, happen func()) {
	t.Helper()
	w, err := s.open(request(path, "Connection: close"))
	must(t, err)
	defer w.conn.Close()
	line, err := w.in.ReadString('\n')
	must(t, err)
	if !strings.HasPrefix(line, "HTTP/1.1 200 ") {
		t.Fatalf("%s: %q", path, line)
	}
	happen()
	n, err := io.Copy(io.Discard, w.in)
	if n < 1<<10 || n >= 64<<20 {
		t.Errorf("%d bytes, %v", n, err)
	}
}
