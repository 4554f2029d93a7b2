package static

import (
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// TestOnlyRegularFiles has everything else in the root, none of which may be
// waited for, changed or read.
func TestOnlyRegularFiles(t *testing.T) {
	resolvers(t, func(t *testing.T, walks bool) {
		dir := t.TempDir()
		if err := unix.Mkfifo(dir+"/fifo", 0o666); err != nil {
			t.Fatal(err)
		}
		socket, err := net.Listen("unix", dir+"/socket")
		if err != nil {
			t.Fatal(err)
		}
		defer socket.Close()
		paths := []string{"/fifo", "/socket", "/fifo/", "/link"}
		symlink(t, "fifo", dir+"/link")
		if err := unix.Mknod(dir+"/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))); err == nil {
			paths = append(paths, "/null")
		}
		opts := testOptions(dir)
		opts.Listing = true
		l := serve(t, opts, walks)
		for _, path := range paths {
			if r := l.get(path); r.StatusCode != 404 {
				t.Errorf("%s: %d %q, want 404", path, r.StatusCode, r.body)
			}
		}
		if r := l.get("/"); strings.Contains(r.body, "./") {
			t.Errorf("they are listed: %s", r.body)
		}
	})
}

// TestWriterOfFIFOIsLeftAlone: who waits to write into a FIFO in the root waits for a
// reader. A request is none: to open the FIFO would let the writer go, to a broken pipe.
func TestWriterOfFIFOIsLeftAlone(t *testing.T) {
	shell := testkit.Program(t, "sh")
	for _, links := range []Links{LinksBeneath, LinksFollow, LinksDeny} {
		resolvers(t, func(t *testing.T, walks bool) {
			dir := t.TempDir()
			if err := unix.Mkfifo(dir+"/fifo", 0o666); err != nil {
				t.Fatal(err)
			}
			symlink(t, "fifo", dir+"/link")
			writer := testkit.Command(shell, "-c", "echo data >"+dir+"/fifo")
			if err := writer.Start(); err != nil {
				t.Fatal(err)
			}
			defer writer.Process.Kill()
			sleeping := fmt.Sprintf("%d (sh) S ", writer.Process.Pid)
			testkit.Eventually(t, func() error {
				stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", writer.Process.Pid))
				if err == nil && !strings.HasPrefix(string(stat), sleeping) {
					err = fmt.Errorf("the writer does not wait: %q", stat)
				}
				return err
			})
			opts := testOptions(dir)
			opts.Links, opts.Listing = links, true
			l := serve(t, opts, walks)
			for _, path := range []string{"/fifo", "/link", "/fifo/", "/", "/fifo"} {
				l.get(path)
				l.advance(time.Second)
			}
			reader, err := os.OpenFile(dir+"/fifo", os.O_RDONLY|unix.O_NONBLOCK, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer reader.Close()
			if err := writer.Wait(); err != nil {
				t.Errorf("links %d: the writer was let go: %v", links, err)
			}
			if got, err := io.ReadAll(reader); err != nil || string(got) != "data\n" {
				t.Errorf("links %d: read %q, %v", links, got, err)
			}
		})
	}
}

// TestPermissionDenied runs as a user who may not read everything.
func TestPermissionDenied(t *testing.T) {
	resolvers(t, func(t *testing.T, walks bool) {
		dir := t.TempDir()
		write(t, dir+"/secret", "secret")
		write(t, dir+"/closed/file", "secret")
		write(t, dir+"/unlisted/file", "file")
		for name, mode := range map[string]os.FileMode{"/..": 0o755, "": 0o755, "/secret": 0, "/closed": 0,
			"/unlisted": 0o711} {
			if err := os.Chmod(dir+name, mode); err != nil {
				t.Fatal(err)
			}
		}
		// The capabilities go with the thread's file system user, and so does the thread afterwards.
		done := make(chan struct{})
		go func() {
			defer close(done)
			if os.Geteuid() == 0 {
				runtime.LockOSThread()
				if err := unix.Setfsuid(65534); err != nil {
					t.Error(err)
					return
				}
			}
			if s, err := newSite(testOptions(dir+"/closed"), NewCache(testLimits()),
				walks || !haveOpenat2()); err == nil {
				s.Close()
				t.Error("a root that may not be searched is served")
			}
			opts := testOptions(dir)
			warned := 0
			opts.Tell.Warn = func(string, string) { warned++ }
			l := serve(t, opts, walks)
			l.get("/secret").wantStatus(t, 403)
			l.get("/closed/file").wantStatus(t, 403)
			l.get("/unlisted/file").want(t, 200, "file")
			if warned == 0 {
				t.Error("no warning")
			}
			if !walks {
				l.get("/unlisted").wantStatus(t, 301)
			}
		}()
		<-done
	})
}

// TestLinkRace replaces a directory by a link that leaves the root, and back,
// while the file in it is asked for: what is outside must never be served.
func TestLinkRace(t *testing.T) {
	resolvers(t, func(t *testing.T, walks bool) {
		dir := t.TempDir()
		write(t, dir+"/root/dir/sub/file", "inside")
		write(t, dir+"/outside/sub/file", "outside")
		write(t, dir+"/outside/file", "outside")
		symlink(t, dir+"/outside", dir+"/root/link")
		symlink(t, "dir/sub/../sub/file", dir+"/root/through")
		opts := testOptions(dir + "/root")
		opts.Valid = 0
		stop := make(chan struct{})
		var swapper sync.WaitGroup
		swapper.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := unix.Renameat2(unix.AT_FDCWD, dir+"/root/dir", unix.AT_FDCWD, dir+"/root/link",
					unix.RENAME_EXCHANGE); err != nil {
					t.Errorf("rename: %v", err)
					return
				}
				// Moved out and back: a ".." of one who is inside leads elsewhere.
				if os.Rename(dir+"/root/link", dir+"/moved") == nil {
					os.Rename(dir+"/moved", dir+"/root/link")
				}
			}
		})
		l := serve(t, opts, walks)
		var found, missing int
		for found+missing < 4000 || found == 0 || missing == 0 {
			for _, path := range []string{"/dir/sub/file", "/through", "/link/sub/file"} {
				switch r := l.get(path); {
				case r.StatusCode == 200 && r.body == "inside":
					found++
				case r.StatusCode == 404:
					missing++
				case r.StatusCode != 503:
					t.Fatalf("%s: %d %q", path, r.StatusCode, r.body)
				}
			}
			if found+missing > 1_000_000 {
				t.Fatal("the race does not happen")
			}
		}
		close(stop)
		swapper.Wait()
	})
}
