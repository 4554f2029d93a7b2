package sendfile

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// commandLine starts a process that waits and opens its /proc/PID/cmdline, a
// file of a few hundred KiB whose file system refuses sendfile(2). data is what
// it holds.
func commandLine(t *testing.T) (f *File, data []byte) {
	t.Helper()
	args := []string{"sh", "-c", "read line"}
	for i := range 5 {
		args = append(args, hex.EncodeToString(content(50_000+i))) // 128 KiB an argument at most
	}
	child := testkit.Command("/bin/sh", args[1:]...)
	child.Args[0] = args[0]
	stdin, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = child.Wait() // read fails at the end of its input, as it should
	})
	fd, err := unix.Open(fmt.Sprintf("/proc/%d/cmdline", child.Process.Pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f = New(fd, FlagsFor(fd), nil)
	t.Cleanup(f.Release)
	return f, []byte(strings.Join(args, "\x00") + "\x00")
}

func TestSendCopiesWhereTheFileSystemRefuses(t *testing.T) {
	f, data := commandLine(t)
	if f.is(NoSendfile) {
		t.Fatal("the refusal is known before it was seen")
	}
	sender, receiver := connect(t, 16<<10)
	if _, err := unix.Sendfile(sender, f.FD(), new(int64), 1); err != unix.EINVAL {
		t.Fatalf("this file does not refuse sendfile: %v", err)
	}
	done := make(chan []byte)
	go func() { done <- readAll(t, receiver) }()
	send(t, sender, f, 0, int64(len(data)))
	if n, err := Send(sender, f, int64(len(data)), 1); n != 0 || err != io.ErrUnexpectedEOF {
		t.Errorf("Send at the end = %d, %v", n, err)
	}
	if err := unix.Shutdown(sender, unix.SHUT_WR); err != nil {
		t.Fatal(err)
	}
	if got := <-done; !bytes.Equal(got, data) {
		t.Errorf("%d bytes that are not the file's %d", len(got), len(data))
	}
	if !f.is(NoSendfile) {
		t.Error("the refusal was not remembered")
	}
}

func TestResidentIsFalseWhereTheFileSystemDoesNotSay(t *testing.T) {
	f, _ := commandLine(t)
	for range 2 {
		if f.Resident(0, 4096) {
			t.Error("resident")
		}
		if !f.is(NoProbe) {
			t.Error("what the file system does not do was not remembered")
		}
		if err := f.Warm(0, 4096); err != nil {
			t.Error(err)
		}
	}
}

func TestSendUnderAStormOfSignals(t *testing.T) {
	data := content(8 << 20)
	for _, way := range ways {
		for _, blocking := range []bool{false, true} {
			name := way.name + map[bool]string{false: "/non-blocking", true: "/blocking"}[blocking]
			t.Run(name, func(t *testing.T) {
				f, _ := create(t, data, way.flags)
				sender, receiver := connect(t, 32<<10)
				if err := unix.SetNonblock(sender, !blocking); err != nil {
					t.Fatal(err)
				}
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
				var stop atomic.Bool
				started, stopped := make(chan struct{}), make(chan struct{})
				go storm(t, unix.Gettid(), &stop, started, stopped)
				<-started
				received := make(chan []byte)
				go func() { received <- readAll(t, receiver) }()
				short, rounds := 0, 0
				// Again until a signal came in the middle of a transfer.
				for ; short == 0 && rounds < 20 && !t.Failed(); rounds++ {
					short = send(t, sender, f, 0, int64(len(data)))
				}
				stop.Store(true)
				<-stopped
				if err := unix.Shutdown(sender, unix.SHUT_WR); err != nil {
					t.Fatal(err)
				}
				if got := <-received; !bytes.Equal(got, bytes.Repeat(data, rounds)) {
					t.Errorf("%d bytes that are not the file's %d, %d times", len(got), len(data), rounds)
				}
				if short == 0 {
					t.Error("no count was short: no signal came in the middle of a transfer")
				}
			})
		}
	}
}

// storm sends thread tid SIGURG, which the Go runtime catches for its own use,
// from before it closes started until stop is set; then it closes stopped.
func storm(t *testing.T, tid int, stop *atomic.Bool, started, stopped chan<- struct{}) {
	defer close(stopped)
	for n := 0; !stop.Load(); n++ {
		if err := unix.Tgkill(unix.Getpid(), tid, unix.SIGURG); err != nil {
			t.Errorf("tgkill: %v", err)
			stop.Store(true)
		}
		if n == 0 {
			close(started)
		}
		runtime.Gosched()
	}
}

// evict puts the file out of the page cache, on the disk.
func evict(t *testing.T, f *File) {
	t.Helper()
	if err := unix.Fsync(f.FD()); err != nil {
		t.Fatal(err)
	}
	if err := unix.Fadvise(f.FD(), 0, 0, unix.FADV_DONTNEED); err != nil {
		t.Fatal(err)
	}
}

// onDisk creates a file on a file system that says what it has in memory; ok is
// false if neither the tests' own directory nor the temporary one is on such.
func onDisk(t *testing.T, data []byte) (f *File, ok bool) {
	for _, dir := range []string{t.TempDir(), "."} {
		file, err := os.CreateTemp(dir, ".cold-*")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = file.Close(); _ = os.Remove(file.Name()) })
		if _, err := file.Write(data); err != nil {
			t.Fatal(err)
		}
		fd, err := unix.Open(file.Name(), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		f = New(fd, FlagsFor(fd), nil)
		t.Cleanup(f.Release)
		f.Resident(0, 1)
		if !f.is(InMemory | NoProbe) {
			return f, true
		}
	}
	return f, false
}

func TestResidentIsFalseUntilWarmHasRead(t *testing.T) {
	const turn = 256 << 10
	f, ok := onDisk(t, content(4*turn+100))
	if !ok {
		// Then the rule is another one, and it can be tested too.
		if f.is(NoProbe) && f.Resident(0, turn) || f.is(InMemory) && !f.Resident(0, turn) {
			t.Error("the flags do not decide")
		}
		return
	}
	if !f.Resident(0, turn) {
		t.Error("a file just written is not resident")
	}
	for _, offset := range []int64{turn, 3*turn + 50} {
		evict(t, f)
		if f.Resident(offset, turn) {
			t.Fatal("a file on the disk is resident")
		}
		// The probe has started the reading of its own page: when that is there,
		// the rest of the turn is not.
		deadline := time.Now().Add(patience)
		for probe(f.FD(), offset+turn-1) != present {
			if time.Now().After(deadline) {
				break // a kernel that reads nothing for a probe: nothing to be misled by
			}
			runtime.Gosched()
		}
		if f.Resident(offset, turn) {
			t.Error("resident because of what its own probe brought in")
		}
		if err := f.Warm(offset, turn); err != nil {
			t.Fatal(err)
		}
		if !f.Resident(offset, turn) {
			t.Error("not resident after Warm")
		}
	}
	if !f.Resident(100*turn, turn) {
		t.Error("a range past the end is for Send to report")
	}
	if err := f.Warm(100*turn, turn); err != nil {
		t.Errorf("Warm past the end: %v", err)
	}
}

func TestFlagsForMemoryFileSystems(t *testing.T) {
	shm, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC) // a file of tmpfs
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(shm)
	if got := FlagsFor(shm); got != InMemory {
		t.Errorf("tmpfs: %b", got)
	}
	if f := New(shm, FlagsFor(shm), func(int) {}); !f.Resident(0, 1) || f.is(NoProbe) {
		t.Error("a file in memory was probed")
	}
	proc, err := unix.Open("/proc/self/status", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(proc)
	if got := FlagsFor(proc); got != 0 {
		t.Errorf("procfs: %b", got)
	}
	if got := FlagsFor(-1); got != 0 {
		t.Errorf("no file: %b", got)
	}
	for magic, want := range map[uint32]Flags{
		unix.TMPFS_MAGIC: InMemory, unix.RAMFS_MAGIC: InMemory,
		unix.HUGETLBFS_MAGIC: InMemory | NoSendfile, unix.EXT4_SUPER_MAGIC: 0,
	} {
		if got := flagsOf(magic); got != want {
			t.Errorf("magic %#x: %b, want %b", magic, got, want)
		}
	}
}
