package static

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// TestNewErrors: one line that says what, where and what would be right.
func TestNewErrors(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/file", "file")
	for name, c := range map[string]struct {
		change func(*Options)
		want   string
	}{
		"no such root": {func(o *Options) { o.Root = dir + "/missing" },
			"root " + dir + "/missing: no such directory"},
		"a file as root": {func(o *Options) { o.Root = dir + "/file" },
			"not a directory: name the directory that the file is in (" + dir + ")"},
		"a bad pattern":    {func(o *Options) { o.Hide = []string{"[a"} }, `hide: "[a": is no pattern`},
		"a pattern's path": {func(o *Options) { o.Hide = []string{"a/b"} }, `hide: "a/b": is no pattern`},
		"an index path":    {func(o *Options) { o.Index = []string{"../x"} }, `index: "../x": want the name of a file`},
		"a bad type": {func(o *Options) { o.Types = map[string]string{".x": "nonsense"} },
			`types: .x: "nonsense": want a media type`},
		"a field in it": {func(o *Options) { o.Types = map[string]string{".x": "a/b\r\nX: y"} },
			"want a media type"},
	} {
		opts := testOptions(dir)
		c.change(&opts)
		if _, err := New(opts, NewCache(testLimits())); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// relink points a link elsewhere, at once.
func relink(t testing.TB, target, name string) {
	t.Helper()
	symlink(t, target, name+".new")
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

// TestRootSwapped: a link as the root that is pointed elsewhere is noticed
// after a second, or at once by a request that comes alone.
func TestRootSwapped(t *testing.T) {
	fileSystems(t, func(t *testing.T, dir string) {
		resolvers(t, func(t *testing.T, walks bool) {
			write(t, dir+"/1/file", "one")
			write(t, dir+"/2/file", "two")
			write(t, dir+"/2/only-here", "two")
			relink(t, "1", dir+"/current")
			l := serve(t, testOptions(dir+"/current"), walks)
			l.get("/file").want(t, 200, "one")
			relink(t, "2", dir+"/current")
			l.get("/file").want(t, 200, "one")
			l.advance(time.Second)
			testkit.Until(t, "the old root is still served", func() bool { return l.get("/file").body == "two" })
			relink(t, "1", dir+"/current")
			l.alone = true
			l.advance(time.Second)
			l.get("/file").want(t, 200, "one")
			l.alone = false
			// A file missing from the old root is looked for in the new one, however soon.
			relink(t, "2", dir+"/current")
			l.get("/only-here").want(t, 200, "two")
			l.get("/file").want(t, 200, "two")
		})
	})
}

// TestRootRemovedAndRebuilt: 404 while it is gone, served again when it is there.
func TestRootRemovedAndRebuilt(t *testing.T) {
	resolvers(t, func(t *testing.T, walks bool) {
		dir := t.TempDir()
		write(t, dir+"/root/file", "one")
		opts := testOptions(dir + "/root")
		var warned []string
		opts.Tell.Fail = func(msg, _ string) { warned = append(warned, msg) }
		l := serve(t, opts, walks)
		for i := range 3 {
			want := fmt.Sprint("build ", i)
			replace(t, dir+"/root/file", want)
			l.advance(time.Second)
			l.get("/file").want(t, 200, want)
			if err := os.RemoveAll(dir + "/root"); err != nil {
				t.Fatal(err)
			}
			l.advance(time.Second)
			l.get("/file").wantStatus(t, 404)
			l.get("/other").wantStatus(t, 404)
			write(t, dir+"/root/file", "rebuilt")
			l.advance(100 * time.Millisecond)
			l.get("/file").want(t, 200, "rebuilt")
		}
		if len(warned) == 0 || !strings.Contains(warned[0], "no such directory") {
			t.Errorf("warnings: %q", warned)
		}
		// The path is gone for a moment, as with ln -sfn, and the directory lives on elsewhere.
		if err := os.Rename(dir+"/root", dir+"/moved"); err != nil {
			t.Fatal(err)
		}
		l.advance(time.Second)
		l.get("/file").want(t, 200, "rebuilt")
		if err := os.Rename(dir+"/moved", dir+"/root"); err != nil {
			t.Fatal(err)
		}
	})
}

// TestDeploymentUnderLoad swaps the link and removes what it led to, over and
// over, while several loops ask: no 404, no body of two versions, and none
// older than the version before the last second of the loop's clock.
func TestDeploymentUnderLoad(t *testing.T) {
	resolvers(t, func(t *testing.T, walks bool) {
		dir := t.TempDir()
		deploy := func(version int) {
			to := fmt.Sprintf("%s/%d", dir, version)
			for i := range 20 {
				size := 10
				if i%2 == 1 {
					size = 9_000
				}
				write(t, fmt.Sprintf("%s/%d", to, i), strings.Repeat(fmt.Sprintf("%08d", version), size))
			}
			relink(t, fmt.Sprint(version), dir+"/current")
			if version > 0 {
				if err := os.RemoveAll(fmt.Sprintf("%s/%d", dir, version-1)); err != nil {
					t.Error(err)
				}
			}
		}
		deploy(0)
		before := descriptors(t)
		s, err := newSite(testOptions(dir+"/current"), NewCache(testLimits()), walks)
		if err != nil {
			t.Fatal(err)
		}
		stop := make(chan struct{})
		var loops sync.WaitGroup
		for range 3 {
			loops.Go(func() {
				l := newLoop(t, s, s.Handler(IndexMax))
				l.advance(settled)
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
					}
					l.advance(20 * time.Millisecond)
					r := l.get(fmt.Sprintf("/%d", i%20))
					if r.StatusCode != 200 || len(r.body) < 80 || strings.Count(r.body, r.body[:8])*8 != len(r.body) {
						t.Errorf("%d %.80q", r.StatusCode, r.body)
						return
					}
				}
			})
		}
		for version := 1; version <= 25; version++ {
			deploy(version)
		}
		close(stop)
		loops.Wait()
		l := newLoop(t, s, s.Handler(IndexMax))
		l.advance(24 * time.Hour)
		for i := range 20 {
			if r := l.get(fmt.Sprintf("/%d", i)); !strings.HasPrefix(r.body, "00000025") {
				t.Errorf("/%d is stale: %.16q", i, r.body)
			}
		}
		s.Close()
		l.advance(time.Second)
		l.get("/1").wantStatus(t, 404)
		testkit.Until(t, "descriptors are left open", func() bool { return descriptors(t) <= before })
	})
}

// TestReplacedWhileServed: a file replaced by rename is served whole, one version or the other.
func TestReplacedWhileServed(t *testing.T) {
	dir := t.TempDir()
	replace(t, dir+"/file", strings.Repeat("0", 50_000))
	opts := testOptions(dir)
	opts.Valid = 0
	l := serve(t, opts, false)
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				replace(t, dir+"/file", strings.Repeat(fmt.Sprint(i%10), 40_000+i%3*40_000))
			}
		}
	})
	for range 500 {
		r := l.get("/file")
		if r.StatusCode != 200 || strings.Count(r.body, r.body[:1]) != len(r.body) {
			t.Fatalf("%d, %d bytes, of several versions", r.StatusCode, len(r.body))
		}
	}
	close(stop)
	writer.Wait()
}
