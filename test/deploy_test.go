package test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// load asks for a path again and again from several clients until it is
// stopped, and keeps the first answer that check does not like.
type load struct {
	stop  chan struct{}
	group sync.WaitGroup
	mu    sync.Mutex
	fault error
	asked int
}

func (s *server) load(path string, check func(a answer) error) *load {
	l := &load{stop: make(chan struct{})}
	for range 4 {
		l.group.Go(func() {
			for {
				select {
				case <-l.stop:
					return
				default:
				}
				got, err := s.tryGet(path)
				if err == nil {
					err = check(got)
				}
				l.mu.Lock()
				if l.asked++; l.fault == nil {
					l.fault = err
				}
				l.mu.Unlock()
			}
		})
	}
	return l
}

// requests waits until so many more answers have come.
func (l *load) requests(t *testing.T, more int) {
	t.Helper()
	count := func() int { l.mu.Lock(); defer l.mu.Unlock(); return l.asked }
	goal := count() + more
	eventually(t, func() error {
		if n := count(); n < goal {
			return fmt.Errorf("%d answers, waiting for %d", n, goal)
		}
		return nil
	})
}

// end stops the load and reports its first fault.
func (l *load) end(t *testing.T) {
	t.Helper()
	close(l.stop)
	l.group.Wait()
	if l.fault != nil {
		t.Error(l.fault)
	}
}

// release makes the folder of a release: one small and one large file which say what release they are of.
func release(t *testing.T, folder string, number int) {
	t.Helper()
	write(t, folder, "version", fmt.Appendf(nil, "release %d", number))
	write(t, folder, "large", bytes.Repeat([]byte{byte('0' + number%10)}, 300_000))
}

// whole checks that an answer is of one release, from its first byte to its last.
func whole(a answer) error {
	if a.status != 200 || len(a.body) == 0 {
		return fmt.Errorf("status %d: %.80q", a.status, a.body)
	}
	if int64(len(a.body)) != a.length {
		return fmt.Errorf("%d of %d bytes", len(a.body), a.length)
	}
	if len(a.body) == 300_000 && bytes.Count(a.body, a.body[:1]) != len(a.body) {
		return fmt.Errorf("a body mixed of two releases")
	}
	return nil
}

// relink makes link point to target in one step, as deployments do.
func relink(t *testing.T, target, link string) {
	t.Helper()
	if err := os.Symlink(target, link+".new"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(link+".new", link); err != nil {
		t.Fatal(err)
	}
}

// becomes waits until the path has that body, though nothing is reloaded: what was cached is forgotten.
func (s *server) becomes(t *testing.T, path, body string) {
	t.Helper()
	eventually(t, func() error {
		if got, err := s.tryGet(path); err != nil || got.status != 200 || string(got.body) != body {
			return fmt.Errorf("%s is %d %.40q, %v; want %.40q", path, got.status, got.body, err, body)
		}
		return nil
	})
}

// TestDeployBySwappingALink: the root is a link that is pointed to the next
// release under load; nobody sees a 404 or a mixed body, and the new one is served soon.
func TestDeployBySwappingALink(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		parent := t.TempDir()
		current := filepath.Join(parent, "current")
		release(t, filepath.Join(parent, "1"), 1)
		relink(t, "1", current)
		s := start(t, v, current)
		small, large := s.load("/version", whole), s.load("/large", whole)
		for number := 2; number <= 4; number++ {
			folder := fmt.Sprint(number)
			release(t, filepath.Join(parent, folder), number)
			relink(t, folder, current)
			s.becomes(t, "/version", fmt.Sprintf("release %d", number))
			large.requests(t, 8)
		}
		small.end(t)
		large.end(t)
	})
}

// TestDeployByALinkInTheRoot: the same with the link beneath the root.
func TestDeployByALinkInTheRoot(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		root := t.TempDir()
		release(t, filepath.Join(root, "1"), 1)
		relink(t, "1", filepath.Join(root, "current"))
		s := start(t, v, root)
		small, large := s.load("/current/version", whole), s.load("/current/large", whole)
		for number := 2; number <= 4; number++ {
			folder := fmt.Sprint(number)
			release(t, filepath.Join(root, folder), number)
			relink(t, folder, filepath.Join(root, "current"))
			s.becomes(t, "/current/version", fmt.Sprintf("release %d", number))
			large.requests(t, 8)
		}
		small.end(t)
		large.end(t)
	})
}

// TestRootRebuilt: the root is removed and built again, as make clean all does;
// meanwhile there may be 404s but nothing else, and then the new files are served.
func TestRootRebuilt(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		root := filepath.Join(t.TempDir(), "public")
		release(t, root, 1)
		s := start(t, v, root)
		s.becomes(t, "/version", "release 1")
		requests := s.load("/version", func(a answer) error {
			if a.status == 404 {
				return nil
			}
			if a.status == 200 && len(a.body) == 0 {
				return nil // os.WriteFile makes the file before it fills it
			}
			return whole(a)
		})
		for number := 2; number <= 4; number++ {
			if err := os.RemoveAll(root); err != nil {
				t.Fatal(err)
			}
			requests.requests(t, 20)
			release(t, root, number)
			s.becomes(t, "/version", fmt.Sprintf("release %d", number))
		}
		requests.end(t)
	})
}

// TestFileReplaced: a file is replaced by rename under load, a large and a small one.
func TestFileReplaced(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		root := t.TempDir()
		release(t, root, 0)
		s := start(t, v, root)
		requests := s.load("/large", whole)
		for number := 1; number <= 9; number++ {
			release(t, filepath.Join(root, "next"), number)
			for _, name := range []string{"large", "version"} {
				if err := os.Rename(filepath.Join(root, "next", name), filepath.Join(root, name)); err != nil {
					t.Fatal(err)
				}
			}
			requests.requests(t, 8)
		}
		s.becomes(t, "/version", "release 9")
		s.becomes(t, "/large", string(bytes.Repeat([]byte("9"), 300_000)))
		requests.end(t)
	})
}

// TestSavedFileIsServedAtOnce: on a quiet server a file that was just saved is what a reload shows.
func TestSavedFileIsServedAtOnce(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		root := t.TempDir()
		s := start(t, v, root, "--loops", "1")
		for i := range 50 {
			text := fmt.Sprintf("edit %d", i)
			write(t, root, "page", []byte(text))
			if got := s.get(t, "/page", "Cache-Control: no-cache"); got.status != 200 || string(got.body) != text {
				t.Fatalf("got %d %q, want %q", got.status, got.body, text)
			}
		}
	})
}

// TestTruncatedWhileSent: a file that shrinks under a download ends the connection short of
// its Content-Length, so that the client notices, and the server goes on.
func TestTruncatedWhileSent(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		root := t.TempDir()
		s := start(t, v, root)
		write(t, root, "large", pattern(slowBytes, 10))
		write(t, root, "a", []byte(hello))
		s.get(t, "/a")
		c, _ := s.beginDownload(t, "/large")
		if err := os.Truncate(filepath.Join(root, "large"), 100); err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, c)
		if errors.Is(err, os.ErrDeadlineExceeded) || n >= slowBytes {
			t.Errorf("%d bytes after the head of a file that shrank, %v", n, err)
		}
		s.becomes(t, "/a", hello)
		eventually(t, func() error {
			if got, err := s.tryGet("/large"); err != nil || got.length != 100 || len(got.body) != 100 {
				return fmt.Errorf("the truncated file has %d of %d bytes, %v", len(got.body), got.length, err)
			}
			return nil
		})
	})
}

// TestGrowingFile: a file that grows while it is sent is never sent past its Content-Length.
func TestGrowingFile(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		root := t.TempDir()
		write(t, root, "log", pattern(200_000, 11))
		s := start(t, v, root)
		stop := make(chan struct{})
		var writer sync.WaitGroup
		writer.Go(func() {
			file, err := os.OpenFile(filepath.Join(root, "log"), os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Error(err)
				return
			}
			defer file.Close()
			for tick := time.NewTicker(time.Millisecond); ; {
				select {
				case <-stop:
					return
				case <-tick.C:
					if _, err := file.WriteString("another line\n"); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
		requests := s.load("/log", func(a answer) error {
			if a.status != 200 || int64(len(a.body)) != a.length || len(a.body) < 200_000 {
				return fmt.Errorf("status %d, %d of %d bytes", a.status, len(a.body), a.length)
			}
			return nil
		})
		requests.requests(t, 100)
		close(stop)
		writer.Wait()
		requests.end(t)
	})
}
