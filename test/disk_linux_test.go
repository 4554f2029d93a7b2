package test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// mountMemory mounts a file system in memory, of that size, until the test ends.
func mountMemory(t *testing.T, size string) (folder string) {
	t.Helper()
	testkit.Root(t)
	folder = t.TempDir()
	must(t, unix.Mount("evhttpd-test", folder, "tmpfs", 0, "size="+size))
	t.Cleanup(func() { must(t, unix.Unmount(folder, unix.MNT_DETACH)) }) // at once, whoever looks at it still
	return folder
}

// TestDiskFull: while the disk of both logs is full, every request is answered, and lines that are lost are counted and
// told of on standard error. When there is room again, lines are written again, whole.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	root, _ := site(t)
	disk := mountMemory(t, "256k")
	access, events := filepath.Join(disk, "access.log"), filepath.Join(disk, "events.log")
	s := startControlled(t, variants()[0], root, fmt.Sprintf("log: {output: %s, format: json}\n", events), "--loops",
		"1", "--access-log", access, "--log-format", "json")
	read := func(file string) func() string {
		return func() string {
			text, err := os.ReadFile(file)
			must(t, err)
			return string(text)
		}
	}
	s.askLong(t, 10)
	s.accounted(t, 10, read(access))
	filler, err := os.Create(filepath.Join(disk, "filler"))
	must(t, err)
	defer filler.Close()
	for err == nil {
		_, err = filler.Write(make([]byte, 4096))
	}
	s.askLong(t, 100) // more than the rest of a page that the log has begun
	s.accounted(t, 110, read(access))
	// The event that tells of the lines is lost itself.
	eventually(t, says(s.stderr.String, "events are lost: the log "+events+": no space left on device"))
	s.ready(t)
	must(t, os.Remove(filler.Name()))
	must(t, filler.Close())
	lost := s.lostLines(t)
	if lost == 0 {
		t.Error("no line is lost")
	}
	s.askLong(t, 10)
	s.accounted(t, 120, read(access))
	if more := s.lostLines(t) - lost; more != 0 {
		t.Errorf("%d lines are lost with room", more)
	}
}

// TestRootBecomesReadOnly: the root's file system may be mounted read-only, and writable again, under load: what is
// served changes in nothing.
func TestRootBecomesReadOnly(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		root := mountMemory(t, "4m")
		files := map[string][]byte{"/small": pattern(1000, 51), "/file": pattern(400_000, 52)}
		for path, content := range files {
			write(t, root, path[1:], content)
		}
		s := start(t, v, root)
		load := crowdOf(s.addr, files, 2)
		for _, flags := range []uintptr{unix.MS_REMOUNT | unix.MS_RDONLY, unix.MS_REMOUNT} {
			load.more(t, 20)
			must(t, unix.Mount("", root, "", flags, ""))
			load.more(t, 20)
		}
		load.end(t)
	})
}
