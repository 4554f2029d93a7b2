package static

import (
	"html"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

var linkPattern = regexp.MustCompile(`<tr><td><a href="([^"<>]*)">([^<>"]*)</a></td><td>([^<>]*)</td><td>([^<>]*)</td></tr>`)

// listedNames follows each link of a listing as a browser does and returns the paths.
func listedNames(t *testing.T, page, at string) (paths []string) {
	t.Helper()
	base, err := url.Parse("http://host" + at)
	if err != nil {
		t.Fatal(err)
	}
	rows := linkPattern.FindAllStringSubmatch(page, -1)
	if len(rows) != strings.Count(page, "<tr><td>") || len(rows) != strings.Count(page, "<a ") {
		t.Errorf("rows that are not what a row is to be: %s", page)
	}
	for _, row := range rows {
		ref, err := base.Parse(html.UnescapeString(row[1]))
		if err != nil || ref.Host != "host" || ref.RawQuery != "" || ref.Fragment != "" {
			t.Errorf("link %q leads to %v, %v", row[1], ref, err)
			continue
		}
		paths = append(paths, ref.EscapedPath())
	}
	return paths
}

// TestListing has names that mean something in HTML, in URLs and in fields.
func TestListing(t *testing.T) {
	fileSystems(t, func(t *testing.T, dir string) {
		resolvers(t, func(t *testing.T, walks bool) {
			root, err := os.MkdirTemp(dir, "root")
			if err != nil {
				t.Fatal(err)
			}
			names := []string{
				"plain.txt", "a b", "100%", "%41", "what?", "#1", "a&b", "&amp;", "<script>alert(1)</script"[:8] + ">", `"quoted"`, "'single'",
				"javascript:alert(1)", "http:", "new\nline", "tab\t", "\xff\xfe", "ünïcödé", "日本語", "\u202Ereversed", ";semi=1", "+plus", "back\\slash", "~tilde", "x:y", "\x01\x7f",
			}
			for _, name := range names {
				write(t, root+"/sub/"+name, "contents of "+name)
			}
			write(t, root+"/sub/dir:with colon/x", "x")
			write(t, root+"/sub/.hidden", "hidden")
			write(t, root+"/sub/.well-known/x", "x")
			write(t, dir+"/outside", "outside")
			symlink(t, dir+"/outside", root+"/sub/leaves")
			symlink(t, "plain.txt", root+"/sub/link")
			symlink(t, "nowhere", root+"/sub/broken")
			opts := testOptions(root)
			opts.Listing = true
			l := serve(t, opts, walks)
			r := l.get("/sub/")
			r.wantStatus(t, 200)
			paths := listedNames(t, r.body, "/sub/")
			if want := len(names) + 2 + 1 + 1; len(paths) != want {
				t.Errorf("%d links, want %d: %q", len(paths), want, paths)
			}
			if !slices.Equal(paths[:3], []string{"/", "/sub/.well-known/", "/sub/dir:with%20colon/"}) {
				t.Errorf("the parent and the directories come first: %q", paths[:3])
			}
			found := 0
			for _, path := range paths[3:] {
				if path == "/sub/link" {
					continue
				}
				name, err := url.PathUnescape(strings.TrimPrefix(path, "/sub/"))
				if err != nil || !slices.Contains(names, name) {
					t.Errorf("%s is no file's name: %v", path, err)
				}
				l.get(path).want(t, 200, "contents of "+name)
				found++
			}
			if found != len(names) {
				t.Errorf("%d of %d names", found, len(names))
			}
			for _, no := range []string{"hidden<", "leaves", "broken", "<script", "\x01", "\xff"} {
				if strings.Contains(r.body, no) {
					t.Errorf("%q is in the page", no)
				}
			}
			if csp := r.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") ||
				r.Header.Get("Content-Type") != "text/html; charset=utf-8" || r.Header.Get("Cache-Control") != "no-cache" {
				t.Errorf("fields: %v", r.Header)
			}
			if r := l.get("/"); strings.Contains(r.body, "../") {
				t.Error("the root has a link to its parent")
			}
			l.request("GET", "/sub/", "Range: bytes=0-1\r\nIf-None-Match: *\r\n").wantStatus(t, 200)
			if r := l.request("HEAD", "/sub/", ""); r.body != "" || r.ContentLength < 1000 {
				t.Errorf("HEAD: %d", r.ContentLength)
			}
			l.get("/sub").wantStatus(t, 301)
			l.get("/missing/").wantStatus(t, 404)
		})
	})
}

// TestListingOff: a directory without an index file is not there.
func TestListingOff(t *testing.T) {
	resolvers(t, func(t *testing.T, walks bool) {
		dir := t.TempDir()
		write(t, dir+"/sub/file", "file")
		write(t, dir+"/indexed/index.html", "index")
		write(t, dir+"/odd/index.html/file", "file")
		opts := testOptions(dir)
		opts.Index = []string{"missing.html", "index.html"}
		l := serve(t, opts, walks)
		l.get("/").wantStatus(t, 404)
		l.get("/sub/").wantStatus(t, 404)
		l.get("/odd/").wantStatus(t, 404)
		l.get("/indexed/").want(t, 200, "index")
		if got := l.get("/indexed/").Header.Get("Content-Type"); got != "text/html; charset=utf-8" {
			t.Errorf("Content-Type %q", got)
		}
		write(t, dir+"/indexed/missing.html", "first")
		l.advance(time.Second)
		l.get("/indexed/").want(t, 200, "first")
	})
}

// TestListingFollowsItsDirectory: a new file is seen a second later, or at once by who comes alone.
func TestListingFollowsItsDirectory(t *testing.T) {
	dir := t.TempDir()
	opts := testOptions(dir)
	opts.Listing = true
	l := serve(t, opts, false)
	if r := l.get("/"); !strings.Contains(r.body, "nothing here") {
		t.Errorf("an empty directory: %s", r.body)
	}
	write(t, dir+"/one", "1")
	if r := l.get("/"); strings.Contains(r.body, "./one") {
		t.Error("it is not cached")
	}
	l.advance(time.Second)
	if r := l.get("/"); !strings.Contains(r.body, "./one") {
		t.Error("it is stale")
	}
	write(t, dir+"/two", "2")
	l.alone = true
	if r := l.get("/"); !strings.Contains(r.body, "./two") {
		t.Error("it is stale for a request that comes alone")
	}
}

// TestListingIsBounded lists so many and counts the rest.
func TestListingIsBounded(t *testing.T) {
	dir, err := os.MkdirTemp("/dev/shm", "static")
	if err != nil {
		t.Skip(err)
	}
	defer os.RemoveAll(dir)
	for i := range listedMax + 7 {
		f, err := os.Create(dir + "/" + time.Duration(i).String())
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	opts := testOptions(dir)
	opts.Listing = true
	r := serve(t, opts, false).get("/")
	if n := strings.Count(r.body, "<tr><td>"); n != listedMax || !strings.Contains(r.body, "and 7 more") {
		t.Errorf("%d rows", n)
	}
}

func TestAppendSize(t *testing.T) {
	for size, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 10 << 10: "10 KiB", 1<<20 - 1: "1.0 MiB",
		123 << 20: "123 MiB", 5 << 30: "5.0 GiB", 1<<63 - 1: "8.0 EiB",
	} {
		if got := string(appendSize(nil, size)); got != want {
			t.Errorf("%d: %s, want %s", size, got, want)
		}
	}
}
