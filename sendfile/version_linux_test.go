package sendfile

import (
	"io"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// TestCheckOfWhatCannotBeRead: a fault of the file is returned and told, and a file that nobody described passes.
func TestCheckOfWhatCannotBeRead(t *testing.T) {
	f, name := expected(t, content(10_000))
	var told error
	f.OnFault(func(err error) { told = err })
	if err := f.Tail(make([]byte, 10), 9995); err != io.ErrUnexpectedEOF || told != err || !f.Overtaken() {
		t.Errorf("beyond the end: %v, told %v, overtaken %v", err, told, f.Overtaken())
	}
	fd, err := unix.Open(name, unix.O_PATH|unix.O_CLOEXEC, 0) // can be looked at, and not read
	testkit.Must(t, err)
	unread := New(fd, 0, nil)
	defer unread.Release()
	unread.OnFault(func(err error) { told = err })
	if unread.Versioned() {
		t.Error("a version that was not set")
	}
	testkit.Must(t, unread.Check())
	testkit.Must(t, unread.settled())
	if err := unread.Tail(make([]byte, 10), 0); err != unix.EBADF || told != err || !unread.Overtaken() {
		t.Errorf("unreadable: %v, told %v, overtaken %v", err, told, unread.Overtaken())
	}
	gone := New(-1, 0, nil)
	gone.Expect(Version{Size: 1})
	if err := gone.Check(); err != unix.EBADF || !gone.Overtaken() {
		t.Errorf("closed: %v, overtaken %v", err, gone.Overtaken())
	}
}
