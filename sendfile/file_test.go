package sendfile

import (
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

func TestFileClosesOnceWithTheLastRelease(t *testing.T) {
	const users = 8
	closed := make(chan int, 2)
	f := New(1234, 0, func(fd int) { closed <- fd })
	var group sync.WaitGroup
	for range users {
		f.Retain()
		group.Go(func() {
			for range 1000 {
				f.Retain().Release()
			}
			f.Release()
		})
	}
	group.Wait()
	if len(closed) != 0 {
		t.Fatal("closed while a reference was held")
	}
	f.Release()
	if fd := <-closed; fd != 1234 || len(closed) != 0 {
		t.Errorf("closed descriptor %d, and %d more", fd, len(closed))
	}
}

func TestTryRetainNeverRevivesAClosedFile(t *testing.T) {
	const readers = 4
	for range 200 {
		var closed atomic.Int32
		f := New(0, 0, func(int) { closed.Add(1) })
		var group sync.WaitGroup
		for range readers {
			group.Go(func() {
				for f.TryRetain() {
					if closed.Load() != 0 {
						t.Error("a reference to a closed file was given out")
					}
					f.Release()
				}
			})
		}
		f.Release()
		group.Wait()
		if n := closed.Load(); n != 1 {
			t.Fatalf("closed %d times", n)
		}
	}
}

func TestFilePanicsOnOneReleaseTooMany(t *testing.T) {
	for name, misuse := range map[string]func(*File){
		"Release": (*File).Release,
		"Retain":  func(f *File) { f.Retain() },
	} {
		t.Run(name, func(t *testing.T) {
			f := New(0, 0, func(int) {})
			f.Release()
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			misuse(f)
		})
	}
}

func TestFileWithoutCloseFunctionClosesItsDescriptor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	writer, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	New(reader, 0, nil).Release()
	// A FIFO without a reader is EPIPE to its writer: the descriptor is closed.
	if _, err := unix.Write(writer, []byte("x")); err != unix.EPIPE {
		t.Errorf("write after the release: %v", err)
	}
	if err := unix.Close(writer); err != nil {
		t.Error(err)
	}
}
