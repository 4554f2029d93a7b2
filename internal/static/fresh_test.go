package static

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// replace puts a file in the place of another at once, as deployments do.
func replace(t testing.TB, name, contents string) {
	t.Helper()
	write(t, name+".new", contents)
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

// TestStaleness: under load an answer is at most Valid old; alone, or asked to
// revalidate, not at all.
func TestStaleness(t *testing.T) {
	fileSystems(t, func(t *testing.T, dir string) {
		resolvers(t, func(t *testing.T, walks bool) {
			for _, size := range []int{10, 100_000} {
				first, second := strings.Repeat("1", size), strings.Repeat("2", size)
				write(t, dir+"/file", first)
				l := serve(t, testOptions(dir), walks)
				l.get("/file").want(t, 200, first)
				replace(t, dir+"/file", second)
				l.advance(time.Second - 1)
				l.get("/file").want(t, 200, first)
				l.advance(1)
				l.get("/file").want(t, 200, second)

				for _, fields := range []string{
					"Cache-Control: no-cache\r\n", "cache-control: foo, NO-CACHE\r\n", "Cache-Control: max-age=0\r\n",
					"Cache-Control: foo\r\nCache-Control: max-age=0\r\n", "Pragma: no-cache\r\n",
					"Pragma: foo, no-cache\r\n", "Pragma: foo\r\nPragma: no-cache\r\n",
				} {
					replace(t, dir+"/file", first)
					l.get("/file").want(t, 200, second)
					l.request("GET", "/file", "Cache-Control: max-age=60\r\nPragma: no-cache\r\n").want(t, 200, second)
					l.request("GET", "/file", fields).want(t, 200, first)
					l.get("/file").want(t, 200, first)
					replace(t, dir+"/file", second)
					l.request("GET", "/file", fields).want(t, 200, second)
				}
				replace(t, dir+"/file", first)
				l.alone = true
				l.get("/file").want(t, 200, first)
				if err := os.Remove(dir + "/file"); err != nil {
					t.Fatal(err)
				}
				l.get("/file").wantStatus(t, 404)
				write(t, dir+"/file", second)
				l.get("/file").want(t, 200, second)
			}
		})
	})
}

// TestLookComparesAll changes one thing at a time.
func TestLookComparesAll(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/file", "first")
	opts := testOptions(dir)
	opts.Valid = 0
	l := serve(t, opts, false)
	l.get("/file").want(t, 200, "first")
	// The same size and mtime, in place: only the ctime tells.
	write(t, dir+"/file", "other")
	l.get("/file").want(t, 200, "other")
	// Another file of the same size and mtime.
	replace(t, dir+"/file", "third")
	l.get("/file").want(t, 200, "third")
	write(t, dir+"/file", "longer than before")
	l.get("/file").want(t, 200, "longer than before")
	later := longAgo.Add(time.Hour)
	if err := os.Chtimes(dir+"/file", later, later); err != nil {
		t.Fatal(err)
	}
	if got := l.get("/file").Header.Get("Last-Modified"); got != later.Format("Mon, 02 Jan 2006 15:04:05 GMT") {
		t.Errorf("Last-Modified %q", got)
	}
}

// TestUnchangedIsRenewed: a look at a file that has not changed reads nothing.
func TestUnchangedIsRenewed(t *testing.T) {
	resolvers(t, func(t *testing.T, walks bool) {
		dir := t.TempDir()
		write(t, dir+"/file", "file")
		l := serve(t, testOptions(dir), walks)
		l.get("/file")
		r := l.site.root.Load()
		first := l.site.cache.get(scope{root: r.number}, []byte("/file"))
		for range 5 {
			l.advance(1500 * time.Millisecond)
			l.get("/file").want(t, 200, "file")
			again := l.site.cache.get(scope{root: r.number}, []byte("/file"))
			if again != first || !again.fresh(l.local.Clock.Mono) {
				t.Error("the entry was made anew, or not renewed")
			}
			again.Release()
		}
		first.Release()
	})
}

// TestRecentChange: a file that changed within 2 s of the look has a weak ETag
// and is looked at each time.
func TestRecentChange(t *testing.T) {
	resolvers(t, func(t *testing.T, walks bool) {
		for _, size := range []int{5, 100_000} {
			dir := t.TempDir()
			opts := testOptions(dir)
			ahead := time.Duration(0)
			opts.Now = func() time.Time { return time.Now().Add(ahead) }
			l := serve(t, opts, walks)
			l.advance(-settled)
			write(t, dir+"/file", strings.Repeat("1", size))
			r := l.get("/file")
			etag := r.Header.Get("ETag")
			if !strings.HasPrefix(etag, `W/"`) {
				t.Errorf("ETag %q is not weak", etag)
			}
			write(t, dir+"/file", strings.Repeat("2", size))
			l.get("/file").want(t, 200, strings.Repeat("2", size))
			l.request("GET", "/file", "If-None-Match: "+etag+"\r\n").wantStatus(t, 304)
			l.request("GET", "/file", "If-Match: "+etag+"\r\n").wantStatus(t, 412)
			l.request("GET", "/file", "Range: bytes=0-1\r\nIf-Range: "+etag+"\r\n").wantStatus(t, 200)
			l.request("GET", "/file",
				"Range: bytes=0-1\r\nIf-Range: "+r.Header.Get("Last-Modified")+"\r\n").wantStatus(t, 200)
			ahead = 3 * time.Second
			l.advance(ahead)
			if got := l.get("/file").Header.Get("ETag"); "W/"+got != etag {
				t.Errorf("ETag %q after 3 s, before %q", got, etag)
			}
		}
	})
}

// TestErrorsAreShort: a remembered error lives 100 ms.
func TestErrorsAreShort(t *testing.T) {
	resolvers(t, func(t *testing.T, walks bool) {
		dir := t.TempDir()
		l := serve(t, testOptions(dir), walks)
		l.get("/file").wantStatus(t, 404)
		write(t, dir+"/file", "file")
		l.advance(100*time.Millisecond - 1)
		l.get("/file").wantStatus(t, 404)
		l.advance(1)
		l.get("/file").want(t, 200, "file")
	})
}

// TestIndexIsBounded asks for more paths than a loop's index holds.
func TestIndexIsBounded(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/file", "file")
	cache := NewCache(testLimits())
	s, err := New(testOptions(dir), cache)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	h := s.handler(50)
	l := newLoop(t, s, h)
	l.advance(settled)
	for i := range 1000 {
		l.get(fmt.Sprintf("/%d", i)).wantStatus(t, 404)
		l.get(strings.Repeat("/", i%100+1)+"file").want(t, 200, "file")
		if len(h.entries) > 50 {
			t.Fatalf("%d paths in the index", len(h.entries))
		}
	}
	thread := newLoop(t, s, s.Handler(0))
	thread.advance(settled)
	thread.get("/file").want(t, 200, "file")
	thread.get("/file").want(t, 200, "file")
}

// TestFileThatShrinks and one that grows, between the look and the sending.
func TestFileThatShrinks(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/file", strings.Repeat("1", 100_000))
	l := serve(t, testOptions(dir), false)
	l.get("/file").wantStatus(t, 200)
	if err := os.Truncate(dir+"/file", 70_000); err != nil {
		t.Fatal(err)
	}
	raw := l.send("GET /file HTTP/1.1\r\nHost: a\r\n\r\nGET /file HTTP/1.1\r\nHost: a\r\n\r\n")
	if n := strings.Count(raw, "HTTP/1.1 200"); n != 1 {
		t.Errorf("%d answers behind a file that ended early", n)
	}
	l.get("/file").want(t, 200, strings.Repeat("1", 70_000)) // what was sent has shown that there is another version
	f, err := os.OpenFile(dir+"/file", os.O_WRONLY|os.O_APPEND, 0)
	if err == nil {
		_, err = f.WriteString(strings.Repeat("2", 30_000))
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	if r := l.get("/file"); len(r.body) != 70_000 {
		t.Errorf("%d bytes of a file that has grown", len(r.body))
	}
	l.advance(time.Second)
	if r := l.get("/file"); len(r.body) != 100_000 {
		t.Errorf("%d bytes after a second", len(r.body))
	}
}

// TestDeletedFileStaysReadable: what was open is sent whole.
func TestDeletedFileStaysReadable(t *testing.T) {
	dir := t.TempDir()
	want := strings.Repeat("1", 100_000)
	write(t, dir+"/file", want)
	l := serve(t, testOptions(dir), false)
	l.get("/file").want(t, 200, want)
	if err := unix.Unlink(dir + "/file"); err != nil {
		t.Fatal(err)
	}
	l.get("/file").want(t, 200, want)
	l.advance(time.Second)
	l.get("/file").wantStatus(t, 404)
}
