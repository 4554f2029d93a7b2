package sendfile

import (
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// expected opens a file of that content as one that is compared with what it is now.
func expected(t *testing.T, data []byte) (f *File, name string) {
	t.Helper()
	name = filepath.Join(t.TempDir(), "file")
	testkit.Must(t, os.WriteFile(name, data, 0o644))
	past := time.Now().Add(-time.Hour) // a clock that counts in ticks shows the next change
	testkit.Must(t, os.Chtimes(name, past, past))
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	testkit.Must(t, err)
	f = New(fd, FlagsFor(fd), nil)
	t.Cleanup(f.Release)
	var v Version
	v.Size, v.Seconds, v.Nanoseconds, err = fstat(fd)
	testkit.Must(t, err)
	offset, length := EndOf(v.Size)
	v.SetEnd(data[offset:][:length])
	f.Expect(v)
	return f, name
}

// TestCheck: what changes the bytes is found, and what does not, is not.
func TestCheck(t *testing.T) {
	data := content(10_000)
	for _, c := range []struct {
		name   string
		change func(name string) error
		want   error
	}{
		{"nothing", func(string) error { return nil }, nil},
		{"mode", func(name string) error { return os.Chmod(name, 0o600) }, nil},
		{"renamed", func(name string) error { return os.Rename(name, name+"2") }, nil},
		{"linked", func(name string) error { return os.Link(name, name+"2") }, nil},
		{"unlinked", os.Remove, nil},
		{"renamed over", func(name string) error {
			if err := os.WriteFile(name+"2", data[:5], 0o644); err != nil {
				return err
			}
			return os.Rename(name+"2", name)
		}, nil},
		{"appended to", func(name string) error { return testkit.Overwrite(name, 10_000, data) }, nil},
		{"appended a byte to", func(name string) error { return testkit.Overwrite(name, 10_000, data[:1]) }, nil},
		{"overwritten", func(name string) error { return testkit.Overwrite(name, 5000, data[:100]) }, ErrChanged},
		{"overwritten by something longer", func(name string) error {
			return testkit.Overwrite(name, 1, append(data, data...))
		}, ErrChanged},
		{"shorter", func(name string) error { return os.Truncate(name, 9999) }, io.ErrUnexpectedEOF},
		{"cut and extended", func(name string) error { return cutAndExtend(name, 10_000) }, ErrChanged},
		{"cut and extended beyond", func(name string) error { return cutAndExtend(name, 20_000) }, ErrChanged},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, name := expected(t, data)
			var told error
			f.OnFault(func(err error) { told = err })
			testkit.Must(t, f.Check())
			testkit.Must(t, c.change(name))
			asked := c.want
			if c.want == ErrChanged { // it may be the beginning of something appended
				asked = ErrUnsettled
			}
			if err := f.Check(); err != asked {
				t.Errorf("Check: %v, want %v", err, asked)
			}
			if err := f.Tail(make([]byte, 10), 9000); err != asked {
				t.Errorf("Tail: %v, want %v", err, asked)
			}
			if err := f.Warm(0, 10_000); err != c.want || told != c.want || f.Overtaken() != (c.want != nil) {
				t.Errorf("Warm: %v, told %v, overtaken %v; want %v", err, told, f.Overtaken(), c.want)
			}
		})
	}
}

func cutAndExtend(name string, size int64) error {
	if err := os.Truncate(name, 0); err != nil {
		return err
	}
	return os.Truncate(name, size)
}

// TestCheckAllocatesNothing: it is on the way of every transfer.
func TestCheckAllocatesNothing(t *testing.T) {
	f, _ := expected(t, content(10_000))
	p := make([]byte, 100)
	if n := testing.AllocsPerRun(100, func() {
		testkit.Must(t, f.Check())
		testkit.Must(t, f.Tail(p, 50))
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
