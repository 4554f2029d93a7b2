package slowfs

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

const (
	// readMax is what the kernel asks for at a time, in bytes: its default readahead, which is FUSE's bound too
	// unless more is negotiated.
	readMax = 128 << 10
	// backgroundMax is how many reads ahead the kernel has under way at a time; its own default, 12, would be
	// shared by all files.
	backgroundMax = 256
	firstInode    = 16
	// remembered is how long the kernel need not ask for a name or attributes again.
	remembered = time.Hour
)

// FS is a mounted file system.
type FS struct{ server *fuse.Server }

// Mount mounts one at dir, which must be a folder. It returns when it can be used.
func Mount(dir string, o Options) (*FS, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if _, err := os.Stat("/dev/fuse"); err != nil {
		return nil, fmt.Errorf("slowfs: %w: FUSE is not to be had here (in a container: --device /dev/fuse)", err)
	}
	long := remembered
	server, err := fs.Mount(dir, &folder{o: o}, &fs.Options{
		EntryTimeout: &long, AttrTimeout: &long, NegativeTimeout: &long,
		MountOptions: fuse.MountOptions{
			DirectMount: true, FsName: "evhttpd-slow", Name: "slow", MaxBackground: backgroundMax,
			MaxWrite: readMax, MaxReadAhead: readMax,
			Options: []string{"ro", "default_permissions"},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("slowfs: mounting at %s takes root, or fusermount3 of the package fuse3: %w", dir, err)
	}
	return &FS{server}, nil
}

// Unmount ends it; while files of it are open that is an error.
func (f *FS) Unmount() error {
	if err := f.server.Unmount(); err != nil {
		return fmt.Errorf("slowfs: unmount: %w", err)
	}
	return nil
}

// folder is the root. It lists nothing: there is no end of files.
type folder struct {
	fs.Inode
	o Options
}

var _ fs.NodeLookuper = (*folder)(nil)

// Lookup makes the file of that name.
func (d *folder) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	n, ok := number(name)
	if !ok {
		return nil, syscall.ENOENT
	}
	f := &file{o: &d.o}
	f.attributes(&out.Attr)
	return d.NewInode(ctx, f, fs.StableAttr{Mode: syscall.S_IFREG, Ino: firstInode + n}), 0
}

type file struct {
	fs.Inode
	o *Options
}

var _ interface {
	fs.NodeGetattrer
	fs.NodeOpener
	fs.NodeReader
} = (*file)(nil)

func (f *file) attributes(out *fuse.Attr) {
	long := time.Unix(1_000_000_000, 0)
	out.Mode, out.Size = syscall.S_IFREG|0o444, uint64(f.o.Size)
	out.SetTimes(&long, &long, &long)
}

// Getattr tells the size.
func (f *file) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	f.attributes(&out.Attr)
	return 0
}

// Open lets the kernel keep what was read.
func (f *file) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_KEEP_CACHE, 0
}

// zeros are the content of all files.
var zeros [readMax]byte

// Read takes its time.
func (f *file) Read(_ context.Context, _ fs.FileHandle, dest []byte, offset int64) (fuse.ReadResult, syscall.Errno) {
	time.Sleep(f.o.Delay/2 + rand.N(f.o.Delay+1))
	n := max(min(int64(len(dest)), f.o.Size-offset, readMax), 0)
	return fuse.ReadResultData(zeros[:n]), 0
}
