package static

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestTraversal sends every way we know of to leave the root (RFC 3986 section 6.2.2).
func TestTraversal(t *testing.T) {
	resolvers(t, func(t *testing.T, walks bool) {
		dir := t.TempDir()
		write(t, dir+"/secret", "secret")
		write(t, dir+"/root/a/b/file", "file")
		write(t, dir+"/root-other/secret", "secret")
		l := serve(t, testOptions(dir+"/root"), walks)
		for target, status := range map[string]int{
			"/../secret": 400, "/..%2fsecret": 400, "/%2e%2e/secret": 400, "/%2E%2E%2Fsecret": 400, "/.%2e/secret": 400,
			"/a/../../secret": 400, "/a/b/../../../secret": 400, "/a/%2e%2e/%2e%2e/secret": 400,
			"/a/./../../root-other/secret": 400, "//../secret": 400, "/a//..//..//secret": 400,
			"/%252e%252e/secret": 404, "/..%5csecret": 404, "/%c0%ae%c0%ae/secret": 404, "/...//secret": 404,
			"/%00": 400, "/a/b/file%00.html": 400, "/%": 400, "/%zz": 400, "/%2": 400, "/a%2fb%2": 400,
			"/" + dir + "/secret": 404, "/root-other/secret": 404,
			"/a/b/../b/file": 200, "/a%2Fb%2Ffile": 200, "/%61/%62/./file": 200, "//a///b//file": 200,
			"/a/b/file/.": 404, "/a/b/file/..": 404, "/a/b/file/../file": 200,
		} {
			if r := l.get(target); r.StatusCode != status || strings.Contains(r.body, "secret") {
				t.Errorf("%s: %d %q, want %d", target, r.StatusCode, r.body, status)
			}
		}
	})
}

// TestSymbolicLinks has links of every shape, in each mode.
func TestSymbolicLinks(t *testing.T) {
	fileSystems(t, func(t *testing.T, dir string) {
		dir, err := filepath.EvalSymlinks(dir)
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir+"/outside/file", "outside")
		root := dir + "/releases/42"
		write(t, root+"/sub/file", "inside")
		write(t, root+"/sub/index.html", "index")
		symlink(t, "releases/42", dir+"/current")
		symlink(t, dir+"/releases", dir+"/alias")
		for name, target := range map[string]string{
			"relative": "sub/file", "chain": "relative", "directory": "sub", "up": "sub/../sub/file",
			"absolute": root + "/sub/file", "absolute-dir": root + "/sub", "by-current": dir + "/current/sub/file",
			"by-alias": dir + "/alias/42/sub/file", "out-and-in": "../42/sub/file", "self": root,
			"sub/back": "../relative", "far-up": strings.Repeat("../", 40) + root[1:] + "/sub/file",
			"leaves": "../../outside/file", "leaves-absolute": dir + "/outside/file", "leaves-dir": dir + "/outside",
			"parent": "..", "slash": "/", "sibling": "../42-other", "loop": "loop", "broken": "nowhere",
			"broken-absolute": root + "/nowhere", "proc": "/proc/self/cwd",
		} {
			symlink(t, target, root+"/"+name)
		}
		write(t, dir+"/releases/42-other/file", "outside")
		inside := map[string]string{
			"/relative": "inside", "/chain": "inside", "/directory/file": "inside", "/directory/": "index",
			"/up":       "inside",
			"/absolute": "inside", "/absolute-dir/file": "inside", "/by-current": "inside", "/by-alias": "inside",
			"/out-and-in": "inside", "/self/sub/file": "inside", "/self/absolute": "inside", "/sub/back": "inside",
			"/far-up":        "inside",
			"/absolute-dir/": "index",
		}
		outside := []string{"/leaves", "/leaves-absolute", "/leaves-dir/file", "/parent/42-other/file", "/sibling/file"}
		nowhere := []string{"/loop", "/broken", "/broken-absolute", "/loop/x", "/proc/x"}
		resolvers(t, func(t *testing.T, walks bool) {
			t.Run("beneath", func(t *testing.T) {
				opts := testOptions(dir + "/current")
				warned := map[string]string{}
				opts.Tell.Warn = func(msg, path string) { warned[path] = msg }
				l := serve(t, opts, walks)
				for range 2 {
					for path, body := range inside {
						l.get(path).want(t, 200, body)
					}
					for _, path := range append(outside, nowhere...) {
						if r := l.get(path); r.StatusCode != 404 {
							t.Errorf("%s: %d %q", path, r.StatusCode, r.body)
						}
					}
					l.advance(2 * time.Second)
				}
				if msg := warned[dir+"/current/leaves"]; !strings.Contains(msg, "symlinks: follow") {
					t.Errorf("a link that leaves the root is not explained: %q", warned)
				}
			})
			t.Run("follow", func(t *testing.T) {
				opts := testOptions(dir + "/current")
				opts.Links = LinksFollow
				l := serve(t, opts, walks)
				for path, body := range inside {
					l.get(path).want(t, 200, body)
				}
				for _, path := range outside {
					l.get(path).want(t, 200, "outside")
				}
				for _, path := range nowhere[:4] {
					l.get(path).wantStatus(t, 404)
				}
			})
			t.Run("deny", func(t *testing.T) {
				opts := testOptions(dir + "/current")
				opts.Links = LinksDeny
				l := serve(t, opts, walks)
				for path := range inside {
					l.get(path).wantStatus(t, 404)
				}
				for _, path := range append(outside, nowhere...) {
					l.get(path).wantStatus(t, 404)
				}
				l.get("/sub/file").want(t, 200, "inside")
			})
		})
	})
}

// TestLongNames covers ENAMETOOLONG and the limits of the index.
func TestLongNames(t *testing.T) {
	resolvers(t, func(t *testing.T, walks bool) {
		dir := t.TempDir()
		name := strings.Repeat("n", 250)
		write(t, dir+"/"+name+"/"+name, "long")
		l := serve(t, testOptions(dir), walks)
		for range 3 {
			l.get("/"+name+"/"+name).want(t, 200, "long")
			l.get("/"+strings.Repeat("n", 300)).wantStatus(t, 404)
			l.get("/"+strings.Repeat("n/", 3000)).wantStatus(t, 404)
		}
	})
}
