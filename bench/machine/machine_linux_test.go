package machine

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestCPUTime: the clock of this process, read as another's, lies between two readings of its own.
func TestCPUTime(t *testing.T) {
	read := func() time.Duration {
		var at unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &at); err != nil {
			t.Fatal(err)
		}
		return time.Duration(at.Nano())
	}
	before := read()
	got, ok := CPUTime(os.Getpid())
	if after := read(); !ok || got < before || got > after {
		t.Errorf("%v (%v), want between %v and %v", got, ok, before, after)
	}
	if _, ok := CPUTime(1 << 28); ok {
		t.Error("a process that cannot be has a CPU time")
	}
}

// TestResident: memory that is touched is counted.
func TestResident(t *testing.T) {
	before, ok := Resident(os.Getpid())
	if !ok {
		t.Fatal("this process has no memory")
	}
	const size = 32 << 20
	memory, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_POPULATE)
	if err != nil {
		t.Fatal(err)
	}
	after, _ := Resident(os.Getpid())
	if err := unix.Munmap(memory); err != nil {
		t.Error(err)
	}
	if after-before < size/2 {
		t.Errorf("%d bytes more, want some %d", after-before, size)
	}
}

// TestSwitches: a thread that waits switches.
func TestSwitches(t *testing.T) {
	before, _, ok := Switches(os.Getpid())
	if !ok {
		t.Fatal("not known")
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for range 20 {
		// What is tested is that waiting is counted.
		if _, err := unix.Poll(nil, 1); err != nil && err != unix.EINTR {
			t.Fatal(err)
		}
	}
	if after, _, _ := Switches(os.Getpid()); after <= before {
		t.Errorf("%d switches before, %d after", before, after)
	}
}

// TestListeners finds this process behind each of its listeners, and nobody once it is closed.
func TestListeners(t *testing.T) {
	for _, at := range []string{"127.0.0.1:0", ":0", "[::1]:0"} {
		l, err := net.Listen("tcp", at)
		if err != nil {
			t.Log(err) // no IPv6 here
			continue
		}
		addr := netip.MustParseAddrPort(l.Addr().String())
		ask := addr
		if addr.Addr().IsUnspecified() {
			ask = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), addr.Port())
		}
		if pids := Listeners(ask); !slices.Equal(pids, []int{os.Getpid()}) {
			t.Errorf("%v: processes %v, want %d", addr, pids, os.Getpid())
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if pids := Listeners(ask); pids != nil {
			t.Errorf("%v: closed, and yet %v", addr, pids)
		}
	}
}

// TestUnixListeners finds this process behind a Unix socket, and not those that are connected to it.
func TestUnixListeners(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if pids := UnixListeners(path); !slices.Equal(pids, []int{os.Getpid()}) {
		t.Errorf("processes %v, want %d", pids, os.Getpid())
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if pids := UnixListeners(path); pids != nil {
		t.Errorf("closed, and yet %v", pids)
	}
}

func TestParseList(t *testing.T) {
	for text, want := range map[string][]int{"0": {0}, "0-2,8": {0, 1, 2, 8}, "0,4": {0, 4}, "": nil, "x-3": nil} {
		if got := parseList(text); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

// TestPinThread: a pinned thread may use that CPU alone. The thread is not given back.
func TestPinThread(t *testing.T) {
	cpu := AllowedCPUs()[0]
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if err := PinThread([]int{cpu}); err != nil {
			t.Error(err)
		}
		if got := AllowedCPUs(); !slices.Equal(got, []int{cpu}) {
			t.Errorf("pinned to %d, allowed are %v", cpu, got)
		}
	}()
	<-done
}

// TestUsage: the machine has worked at least as much as this process.
func TestUsage(t *testing.T) {
	busy, stolen, ok := Usage()
	if own := OwnUsage(); !ok || own <= 0 || busy < own || stolen < 0 {
		t.Errorf("busy %v, stolen %v (%v), this process %v", busy, stolen, ok, own)
	}
}
