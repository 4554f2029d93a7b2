package listener

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/internal/config"
	"github.com/evhttpd/evhttpd/socket"
)

// listenUnix opens a Unix socket. A file that a dead process left is replaced.
func listenUnix(cfg *config.Config, path string) (*Listener, error) {
	fail := func(err error) (*Listener, error) { return nil, fmt.Errorf("listen unix:%s: %w", path, err) }
	defer lockFolder(filepath.Dir(path))()
	if err := removeStale(path); err != nil {
		return fail(err)
	}
	fd, err := socket.New(unix.AF_UNIX)
	if err != nil {
		return fail(err)
	}
	l := &Listener{unix: path, sockets: []int{fd}}
	if err = unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err == nil {
		if err = os.Chmod(path, cfg.UnixMode); err == nil {
			if l.file, err = os.Lstat(path); err == nil {
				err = unix.Listen(fd, cfg.Backlog)
			}
		}
	}
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, unix.ENOENT):
		err = fmt.Errorf("%w: make its directory first", err)
	}
	unix.Close(fd)
	return fail(err)
}

// lockMax is how long a folder's lock is waited for. Servers hold it for a moment only, but any process may take it,
// and one that keeps it is not to keep this server from serving.
const lockMax = time.Second

// lockFolder keeps other servers that call it out of a folder until unlock is called. Without it, of two servers that
// find the same stale socket, the second would remove the one that the first has just made. Where there is no such
// lock (flock(2) of a folder that may not be read, or of NFS) nothing is kept out.
func lockFolder(folder string) (unlock func()) {
	fd, err := unix.Open(folder, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return func() {}
	}
	for end := time.Now().Add(lockMax); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != unix.EWOULDBLOCK && err != unix.EINTR {
			break
		}
	}
	return func() { _ = unix.Close(fd) } // with the lock
}

// removeStale makes room for a socket at path. Only a refused connect proves that no process listens there: a server
// whose queue is full, or one that this user may not connect to, is alive (connect(2)).
func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode()&os.ModeSocket == 0:
		return errors.New("the file exists and is no socket: remove it, or choose another path")
	}
	c, err := net.Dial("unix", path)
	switch {
	case err == nil:
		c.Close()
		return errors.New("another process listens there: stop it, or choose another path")
	case errors.Is(err, os.ErrNotExist):
		return nil // its owner has just ended
	case !errors.Is(err, unix.ECONNREFUSED):
		return fmt.Errorf("it may be another process's: %w", err)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("a stale socket cannot be removed: %w", err)
	}
	return nil
}
