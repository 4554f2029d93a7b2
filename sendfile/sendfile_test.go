package sendfile

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// ways are the two ways to send, by the flag that chooses them.
var ways = []struct {
	name  string
	flags Flags
}{{"sendfile", 0}, {"copy", NoSendfile}}

// patience bounds every wait; no test passes because of it.
const patience = testkit.Patience

// content returns n bytes that compare unequal to themselves at any other offset.
func content(n int) []byte {
	p := make([]byte, n)
	rng := rand.NewChaCha8([32]byte{1})
	_, _ = rng.Read(p) // never fails
	return p
}

// create writes a file and opens it as a File that is released with the test.
func create(t testing.TB, data []byte, flags Flags) (*File, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := New(fd, flags, nil)
	t.Cleanup(f.Release)
	return f, path
}

// connect returns the two ends of a TCP connection over loopback, both
// non-blocking, the sender with a send buffer of about that many bytes (0: the default).
func connect(t testing.TB, sendBuffer int) (sender, receiver int) {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	listener, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	check(err)
	defer unix.Close(listener)
	check(unix.Bind(listener, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	if sendBuffer != 0 { // before the connection: its window follows from the buffers
		check(unix.SetsockoptInt(listener, unix.SOL_SOCKET, unix.SO_RCVBUF, sendBuffer))
	}
	check(unix.Listen(listener, 1))
	addr, err := unix.Getsockname(listener)
	check(err)
	sender, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	check(err)
	if sendBuffer != 0 {
		check(unix.SetsockoptInt(sender, unix.SOL_SOCKET, unix.SO_SNDBUF, sendBuffer))
	}
	check(unix.Connect(sender, addr))
	receiver, _, err = unix.Accept(listener)
	check(err)
	for _, fd := range []int{sender, receiver} {
		check(unix.SetNonblock(fd, true))
		t.Cleanup(func() { _ = unix.Close(fd) }) // some tests close it themselves
	}
	return sender, receiver
}

// wait waits until one of fds is ready for what its events say. It may run on
// any goroutine.
func wait(t testing.TB, fds ...unix.PollFd) bool {
	t.Helper()
	for {
		n, err := unix.Poll(fds, int(patience.Milliseconds()))
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			t.Errorf("poll: %d ready, %v", n, err)
			return false
		}
		return true
	}
}

// read reads what is there, at most len(p) bytes, waiting for the first.
func read(t testing.TB, fd int, p []byte) int {
	t.Helper()
	for {
		n, err := unix.Read(fd, p)
		switch err {
		case nil:
			return n
		case unix.EAGAIN:
			if !wait(t, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}) {
				t.FailNow()
			}
		case unix.EINTR:
		default:
			t.Fatalf("read: %v", err)
		}
	}
}

// send sends the whole range, waiting for room, and returns how often a count
// was short.
func send(t testing.TB, sock int, f *File, offset, count int64) (short int) {
	t.Helper()
	for count > 0 {
		n, err := Send(sock, f, offset, count)
		switch {
		case err == unix.EAGAIN && n == 0:
			if !wait(t, unix.PollFd{Fd: int32(sock), Events: unix.POLLOUT}) {
				return short
			}
			continue
		case err != nil || n <= 0 || n > count:
			t.Errorf("Send(offset %d, count %d) = %d, %v", offset, count, n, err)
			return short
		case n < count:
			short++
		}
		offset, count = offset+n, count-n
	}
	return short
}

func TestSendToASlowReaderInShortCounts(t *testing.T) {
	data := content(1<<20 + 13)
	ranges := []struct {
		name          string
		offset, count int64
	}{
		{"whole", 0, int64(len(data))},
		{"from the middle of a page", 4097, 700_001},
		{"the last byte", int64(len(data)) - 1, 1},
	}
	for _, way := range ways {
		for _, r := range ranges {
			t.Run(way.name+"/"+r.name, func(t *testing.T) {
				f, _ := create(t, data, way.flags)
				sender, receiver := connect(t, 4096)
				var got []byte
				var full, short int
				at, end := r.offset, r.offset+r.count
				buf := make([]byte, 1777)
				for int64(len(got)) < r.count {
					if at < end {
						n, err := Send(sender, f, at, end-at)
						switch {
						case err == nil && n > 0 && n <= end-at:
							if at += n; at < end {
								short++
							}
							continue
						case err != unix.EAGAIN || n != 0:
							t.Fatalf("Send = %d, %v", n, err)
						}
						full++
					}
					got = append(got, buf[:read(t, receiver, buf)]...)
				}
				if sha256.Sum256(got) != sha256.Sum256(data[r.offset:end]) {
					t.Error("the bytes differ from the file's")
				}
				if r.count > 1 && (full == 0 || short == 0) {
					t.Errorf("%d times full, %d short counts: the buffer was not small enough to test anything", full,
						short)
				}
			})
		}
	}
}

func TestSendOfAFileTruncatedMeanwhileIsUnexpectedEOF(t *testing.T) {
	data := content(2 << 20)
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			f, path := create(t, data, way.flags)
			var told error
			f.OnFault(func(err error) { told = err })
			sender, receiver := connect(t, 8192)
			at := int64(0)
			var got []byte
			buf := make([]byte, 64<<10)
			for {
				n, err := Send(sender, f, at, int64(len(data))-at)
				if err == io.ErrUnexpectedEOF && n == 0 {
					break
				}
				if err == unix.EAGAIN {
					if at < 1<<20 { // once: the rest is more than the buffers hold
						if err := os.Truncate(path, 1<<20); err != nil {
							t.Fatal(err)
						}
					}
					got = append(got, buf[:read(t, receiver, buf)]...)
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				at += n
			}
			if told != io.ErrUnexpectedEOF {
				t.Errorf("the owner was told %v", told)
			}
			if at != 1<<20 {
				t.Errorf("%d bytes sent of a file cut to %d", at, 1<<20)
			}
			for int64(len(got)) < at {
				got = append(got, buf[:read(t, receiver, buf)]...)
			}
			if !bytes.Equal(got, data[:at]) {
				t.Error("the bytes before the end differ from the file's")
			}
		})
	}
}

func TestSendOfAFileThatGrowsStopsAtCount(t *testing.T) {
	data := content(300_000)
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			f, path := create(t, data, way.flags)
			w, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			sender, receiver := connect(t, 8192)
			at, end := int64(0), int64(len(data))
			var got []byte
			buf := make([]byte, 64<<10)
			for at < end {
				if _, err := w.Write(data[:1000]); err != nil {
					t.Fatal(err)
				}
				n, err := Send(sender, f, at, end-at)
				switch {
				case err == unix.EAGAIN:
					got = append(got, buf[:read(t, receiver, buf)]...)
				case err != nil || n > end-at:
					t.Fatalf("Send(count %d) = %d, %v", end-at, n, err)
				default:
					at += n
				}
			}
			if err := unix.Shutdown(sender, unix.SHUT_WR); err != nil {
				t.Fatal(err)
			}
			for {
				n := read(t, receiver, buf)
				if n == 0 {
					break
				}
				got = append(got, buf[:n]...)
			}
			if !bytes.Equal(got, data) {
				t.Errorf("%d bytes arrived that are not the %d promised", len(got), len(data))
			}
		})
	}
}

func TestSendToAFullSocketIsEAGAIN(t *testing.T) {
	data := content(4 << 20)
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			f, _ := create(t, data, way.flags)
			sender, _ := connect(t, 4096)
			var err error
			for at := int64(0); err == nil; {
				var n int64
				n, err = Send(sender, f, at, int64(len(data))-at)
				at += n
			}
			if err != unix.EAGAIN {
				t.Fatalf("a socket nobody reads: %v", err)
			}
			if f.is(NoSendfile) != (way.flags == NoSendfile) {
				t.Error("a full socket was taken for a refusal")
			}
		})
	}
}

func TestSendToAPeerThatResetIsAnErrorAndNoSignal(t *testing.T) {
	data := content(1 << 20)
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			f, _ := create(t, data, way.flags)
			f.OnFault(func(err error) { t.Errorf("the peer's error is told of the file: %v", err) })
			sender, receiver := connect(t, 4096)
			if err := unix.SetsockoptLinger(receiver, unix.SOL_SOCKET, unix.SO_LINGER,
				&unix.Linger{Onoff: 1}); err != nil {
				t.Fatal(err)
			}
			if err := unix.Close(receiver); err != nil {
				t.Fatal(err)
			}
			wait(t, unix.PollFd{Fd: int32(sender), Events: unix.POLLIN}) // the reset
			for _, want := range []error{unix.ECONNRESET, unix.EPIPE} {  // the second would raise SIGPIPE
				n, err := Send(sender, f, 0, int64(len(data)))
				if n != 0 || err != want && err != unix.EPIPE {
					t.Errorf("Send = %d, %v, want %v", n, err, want)
				}
			}
		})
	}
}

func TestSendOfNothingOrBeforeTheStartIsEINVAL(t *testing.T) {
	f, _ := create(t, content(10), 0)
	sender, _ := connect(t, 0)
	for _, c := range []struct{ offset, count int64 }{{0, 0}, {0, -1}, {-1, 1}, {math.MaxInt64, 1}} {
		if n, err := Send(sender, f, c.offset, c.count); n != 0 || err != unix.EINVAL {
			t.Errorf("Send(offset %d, count %d) = %d, %v", c.offset, c.count, n, err)
		}
	}
	if refused := f.is(NoSendfile); refused {
		t.Error("the caller's mistake was taken for a refusal by the file system")
	}
	if n, err := Send(sender, f, 10, 1); n != 0 || err != io.ErrUnexpectedEOF {
		t.Errorf("Send at the end = %d, %v", n, err)
	}
}

func TestSendReportsADescriptorThatCannotBeRead(t *testing.T) {
	dir, err := unix.Open(t.TempDir(), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := New(dir, 0, nil)
	defer f.Release()
	told := 0
	f.OnFault(func(err error) {
		if told++; err != unix.EISDIR {
			t.Errorf("the owner was told %v", err)
		}
	})
	sender, _ := connect(t, 0)
	if n, err := Send(sender, f, 0, 1); n != 0 || !errors.Is(err, unix.EISDIR) {
		t.Errorf("Send of a directory = %d, %v", n, err)
	}
	if err := f.Warm(0, 1); !errors.Is(err, unix.EISDIR) {
		t.Errorf("Warm of a directory: %v", err)
	}
	if told != 2 {
		t.Errorf("the owner was told %d times", told)
	}
}

func TestSendOfOneFileByManyAtOnceMixesNothing(t *testing.T) {
	const senders = 16
	data := content(1 << 20)
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			f, _ := create(t, data, way.flags)
			var group sync.WaitGroup
			for i := range senders {
				offset, count := int64(i*31_337), int64(400_000+i)
				sender, receiver := connect(t, 16<<10)
				group.Go(func() {
					send(t, sender, f.Retain(), offset, count)
					f.Release()
					if err := unix.Shutdown(sender, unix.SHUT_WR); err != nil {
						t.Error(err)
					}
				})
				group.Go(func() {
					if got := readAll(t, receiver); !bytes.Equal(got, data[offset:offset+count]) {
						t.Errorf("sender %d: %d bytes that are not its range", i, len(got))
					}
				})
			}
			group.Wait()
			if at, err := unix.Seek(f.FD(), 0, io.SeekCurrent); at != 0 || err != nil {
				t.Errorf("the file's position is %d, %v", at, err)
			}
		})
	}
}

// readAll reads to the end of the stream. It may run on any goroutine.
func readAll(t testing.TB, fd int) (got []byte) {
	buf := make([]byte, 32<<10)
	for {
		n, err := unix.Read(fd, buf)
		switch {
		case err == unix.EAGAIN:
			if !wait(t, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}) {
				return got
			}
		case err == unix.EINTR:
		case err != nil:
			t.Errorf("read: %v", err)
			return got
		case n == 0:
			return got
		default:
			got = append(got, buf[:n]...)
		}
	}
}

func TestSendAndResidentAllocateNothing(t *testing.T) {
	if testkit.Race {
		t.Skip("sync.Pool allocates at random under the race detector")
	}
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			f, _ := create(t, content(100_000), way.flags)
			sender, receiver := connect(t, 0)
			buf := make([]byte, 64<<10)
			var failed error
			if n := testing.AllocsPerRun(500, func() {
				f.Resident(0, 10_000)
				for left := int64(10_000); left > 0; {
					n, err := Send(sender, f, 10_000-left, left)
					if err != nil {
						failed = err
						return
					}
					left -= n
				}
				for left := 10_000; left > 0; {
					n, err := unix.Read(receiver, buf)
					if err == nil {
						left -= n
					} else if err != unix.EAGAIN {
						failed = err
						return
					}
				}
			}); n != 0 || failed != nil {
				t.Errorf("%v allocations, error %v", n, failed)
			}
		})
	}
}

func BenchmarkSend(b *testing.B) {
	for _, way := range ways {
		b.Run(way.name, func(b *testing.B) {
			f, _ := create(b, content(64<<10), way.flags)
			sender, receiver := connect(b, 0)
			buf := make([]byte, 64<<10)
			b.SetBytes(16 << 10)
			b.ReportAllocs()
			for b.Loop() {
				n, err := Send(sender, f, 0, 16<<10)
				if err != nil {
					b.Fatal(err)
				}
				for ; n > 0; n -= int64(read(b, receiver, buf)) {
				}
			}
		})
	}
}
