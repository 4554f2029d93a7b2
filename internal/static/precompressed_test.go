package static

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// precompressedOptions are testOptions with all precompressed files.
func precompressedOptions(root string) Options {
	opts := testOptions(root)
	opts.Precompressed = []string{"br", "zst", "gz"}
	return opts
}

// coding says which of the stored bodies came back, by their first letters.
func (r response) coding(t *testing.T) string {
	t.Helper()
	coding := r.Header.Get("Content-Encoding")
	if want := map[string]string{"": "plain", "br": "br", "zstd": "zst",
		"gzip": "gz"}[coding]; !strings.HasPrefix(r.body, want+" ") {
		t.Errorf("Content-Encoding %q with %.20q", coding, r.body)
	}
	return coding
}

// TestNegotiation is RFC 9110 section 12.5.3, from memory and from descriptors.
func TestNegotiation(t *testing.T) {
	resolvers(t, func(t *testing.T, walks bool) {
		dir := t.TempDir()
		for _, name := range []string{"/small.js", "/large.js", "/sub/index.html"} {
			size := 100
			if name == "/large.js" {
				size = 20_000
			}
			write(t, dir+name, strings.Repeat("plain ", size))
			write(t, dir+name+".br", strings.Repeat("br ", size))
			write(t, dir+name+".zst", strings.Repeat("zst ", size))
			write(t, dir+name+".gz", strings.Repeat("gz ", size))
		}
		l := serve(t, precompressedOptions(dir), walks)
		types := map[string]string{"/small.js": "text/javascript; charset=utf-8",
			"/large.js": "text/javascript; charset=utf-8", "/sub/": "text/html; charset=utf-8"}
		for name, mediaType := range types {
			tags := make(map[string]string)
			for fields, want := range map[string]string{
				"":                                                       "",
				"Accept-Encoding:\r\n":                                   "",
				"Accept-Encoding: gzip\r\n":                              "gzip",
				"Accept-Encoding: gzip, br, zstd\r\n":                    "br", // the order of the configuration
				"Accept-Encoding: gzip, zstd\r\n":                        "zstd",
				"Accept-Encoding: gzip, br;q=0.9\r\n":                    "gzip",
				"Accept-Encoding: br;q=0, *\r\n":                         "zstd",
				"Accept-Encoding: *;q=0.1\r\n":                           "br",
				"Accept-Encoding: *;q=0\r\n":                             "", // nothing is acceptable
				"Accept-Encoding: identity\r\n":                          "",
				"Accept-Encoding: identity, gzip\r\n":                    "gzip",
				"Accept-Encoding: identity, br;q=.5\r\n":                 "",
				"Accept-Encoding: identity;q=0.5, gzip;q=0.4\r\n":        "",
				"Accept-Encoding: identity;q=0, gzip;q=0.001\r\n":        "gzip",
				"Accept-Encoding: gzip;q=0.001\r\n":                      "gzip",
				"Accept-Encoding: deflate\r\n":                           "",
				"Accept-Encoding: gzip;q=2, br;;, \x80, zstd;q=a\r\n":    "",
				"Accept-Encoding: gzip;q=0.5\r\nAccept-Encoding: br\r\n": "br",
			} {
				r := l.request("GET", name, fields)
				if got := r.coding(t); r.StatusCode != 200 || got != want || r.ContentLength != int64(len(r.body)) {
					t.Errorf("%s %q: %d with %q, %d bytes; want %q", name, fields, r.StatusCode, got, r.ContentLength,
						want)
				}
				if r.Header.Get("Vary") != "Accept-Encoding" || r.Header.Get("Content-Type") != mediaType ||
					r.Header.Get("Last-Modified") == "" {
					t.Errorf("%s %q: %v", name, fields, r.Header)
				}
				if tag := r.Header.Get("ETag"); tags[want] != "" && tags[want] != tag || tag == "" {
					t.Errorf("%s %q: ETag %s, then %s", name, want, tags[want], tag)
				}
				tags[want] = r.Header.Get("ETag")
				checkCoded(t, l, name, fields, r)
			}
			seen := make(map[string]bool)
			for _, tag := range tags {
				seen[tag] = true
			}
			if len(seen) != 4 {
				t.Errorf("%s: two representations with one tag: %q", name, tags)
			}
		}
	})
}

// checkCoded asks for the same representation in all other ways.
func checkCoded(t *testing.T, l *loop, name, fields string, whole response) {
	t.Helper()
	tag, coding := whole.Header.Get("ETag"), whole.Header.Get("Content-Encoding")
	check := func(r response, status int, body string) {
		t.Helper()
		r.want(t, status, body)
		if r.Header.Get("Vary") != "Accept-Encoding" || status < 400 && r.Header.Get("ETag") != tag {
			t.Errorf("%s %q: %d with %v", name, fields, r.StatusCode, r.Header)
		}
		if got := r.Header.Get("Content-Encoding"); (status == 200 || status == 206) && got != coding || status > 206 &&
			got != "" {
			t.Errorf("%s %q: %d with Content-Encoding %q", name, fields, r.StatusCode, got)
		}
	}
	check(l.request("HEAD", name, fields), 200, "")
	check(l.request("GET", name, fields+"If-None-Match: "+tag+"\r\n"), 304, "")
	check(l.request("GET", name, fields+"If-None-Match: \"a\"\r\n"), 200, whole.body)
	check(l.request("GET", name, fields+"Range: bytes=3-9\r\nIf-Range: "+tag+"\r\n"), 206, whole.body[3:10])
	check(l.request("GET", name, fields+"Range: bytes=3-9\r\nIf-Range: \"a\"\r\n"), 200, whole.body)
	for field, status := range map[string]int{"If-Match: \"a\"\r\n": 412, "Range: bytes=9999999-\r\n": 416} {
		r := l.request("GET", name, fields+field)
		check(r, status, r.body)
	}
}

// TestCodedMultipart has the coding in the head and the original type in the parts.
func TestCodedMultipart(t *testing.T) {
	dir := t.TempDir()
	whole := strings.Repeat("gz ", 3000)
	write(t, dir+"/a.html", "plain ")
	write(t, dir+"/a.html.gz", whole)
	l := serve(t, precompressedOptions(dir), false)
	r := l.request("GET", "/a.html", "Accept-Encoding: gzip\r\nRange: bytes=5-6,0-1\r\n")
	if got := parts(t, r, whole, "text/html; charset=utf-8"); strings.Join(got, " ") != "5-6 0-1" ||
		r.Header.Get("Content-Encoding") != "gzip" {
		t.Errorf("%q, %v", got, r.Header)
	}
}

// TestPrecompressedItself: asked for by its own name it is a file like any other.
func TestPrecompressedItself(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/a.js", "plain a")
	write(t, dir+"/a.js.gz", "gz a")
	write(t, dir+"/a.js.gz.gz", "twice")
	write(t, dir+"/b.js.gz", "gz b")
	l := serve(t, precompressedOptions(dir), false)
	r := l.request("GET", "/a.js.gz", "Accept-Encoding: gzip\r\n")
	r.want(t, 200, "gz a")
	if h := r.Header; h.Get("Content-Encoding") != "" || h.Get("Vary") != "" ||
		h.Get("Content-Type") != "application/gzip" {
		t.Errorf("%v", h)
	}
	l.request("GET", "/b.js", "Accept-Encoding: gzip\r\n").wantStatus(t, 404) // a precompressed file of nothing
	if r := serve(t, testOptions(dir), false).request("GET", "/a.js",
		"Accept-Encoding: gzip\r\n"); r.body != "plain a" || r.Header.Get("Vary") != "" {
		t.Errorf("with none configured: %q %v", r.body, r.Header)
	}
	for _, name := range []string{"", ".gz", "gzip", "../x"} {
		opts := testOptions(dir)
		opts.Precompressed = []string{name}
		if _, err := New(opts, NewCache(testLimits())); err == nil {
			t.Errorf("precompressed %q is taken", name)
		}
	}
}

// TestHostilePrecompressed: what is no regular file beneath the root, or may not be read, is none.
func TestHostilePrecompressed(t *testing.T) {
	resolvers(t, func(t *testing.T, walks bool) {
		dir := t.TempDir()
		root := dir + "/root"
		write(t, dir+"/secret.gz", "secret")
		for _, name := range []string{"out", "absolute", "fifo", "folder", "loop", "broken", "device", "inside",
			"unreadable"} {
			write(t, root+"/"+name, "plain ")
		}
		symlink(t, "../secret.gz", root+"/out.gz")
		symlink(t, dir+"/secret.gz", root+"/absolute.gz")
		symlink(t, "loop.gz", root+"/loop.gz")
		symlink(t, "nowhere", root+"/broken.gz")
		symlink(t, "/dev/zero", root+"/device.gz")
		write(t, root+"/sub/coded", "gz inside")
		symlink(t, "sub/coded", root+"/inside.gz")
		write(t, root+"/folder.gz/x", "")
		if err := unix.Mkfifo(root+"/fifo.gz", 0o644); err != nil {
			t.Fatal(err)
		}
		write(t, root+"/unreadable.gz", "gz")
		if err := os.Chmod(root+"/unreadable.gz", 0); err != nil {
			t.Fatal(err)
		}
		opts := precompressedOptions(root)
		var told []string
		opts.Tell.Warn = func(msg, path string) { told = append(told, path) }
		l := serve(t, opts, walks)
		for range 2 {
			for _, name := range []string{"out", "absolute", "fifo", "folder", "loop", "broken", "device"} {
				r := l.request("GET", "/"+name, "Accept-Encoding: gzip\r\n")
				if r.want(t, 200, "plain "); r.Header.Get("Content-Encoding") != "" || r.Header.Get("Vary") != "" {
					t.Errorf("%s: %v", name, r.Header)
				}
			}
			l.request("GET", "/inside", "Accept-Encoding: gzip\r\n").want(t, 200, "gz inside")
			if os.Geteuid() != 0 {
				l.request("GET", "/unreadable", "Accept-Encoding: gzip\r\n").want(t, 200, "plain ")
			}
			l.advance(2 * time.Second)
		}
		if !strings.Contains(strings.Join(told, " "), root+"/out.gz") {
			t.Errorf("nobody was told of a link that leaves the root: %q", told)
		}
	})
}

// TestPrecompressedsThatChange: what comes, changes and goes shows within Options.Valid.
func TestPrecompressedThatChange(t *testing.T) {
	resolvers(t, func(t *testing.T, walks bool) {
		dir := t.TempDir()
		write(t, dir+"/a.js", "plain ")
		l := serve(t, precompressedOptions(dir), walks)
		const accept = "Accept-Encoding: gzip, br\r\n"
		get := func(fields, want string, vary bool) {
			t.Helper()
			r := l.request("GET", "/a.js", fields)
			if r.want(t, 200, want); (r.Header.Get("Vary") != "") != vary {
				t.Errorf("%q: Vary %q", want, r.Header.Get("Vary"))
			}
		}
		get(accept, "plain ", false)
		write(t, dir+"/a.js.gz", "gz 1")
		get(accept, "plain ", false)
		l.advance(999 * time.Millisecond)
		get(accept, "plain ", false)
		l.advance(time.Millisecond)
		get(accept, "gz 1", true)
		get("", "plain ", true)
		write(t, dir+"/a.js.br", "br 1")
		l.advance(time.Second)
		get("", "plain ", true) // has no use for precompressed files, but does not keep others from them
		get(accept, "br 1", true)
		write(t, dir+"/a.js.br", "br longer")
		if err := os.Remove(dir + "/a.js.gz"); err != nil {
			t.Fatal(err)
		}
		l.advance(time.Second)
		get(accept, "br longer", true)
		get("Accept-Encoding: gzip\r\n", "plain ", true)
		if err := os.Remove(dir + "/a.js.br"); err != nil {
			t.Fatal(err)
		}
		l.advance(time.Second)
		get(accept, "plain ", false)
		write(t, dir+"/a.js", "plain and new")
		l.advance(time.Second)
		get(accept, "plain and new", false)
	})
}

// TestPrecompressedsAlone: a request that comes alone has the file looked at, the precompressed files once in
// Options.Valid.
func TestPrecompressedAlone(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/a.js", "plain ")
	l := serve(t, precompressedOptions(dir), false)
	l.alone = true
	const accept = "Accept-Encoding: gzip\r\n"
	l.request("GET", "/a.js", accept).want(t, 200, "plain ")
	write(t, dir+"/a.js.gz", "gz 1")
	l.request("GET", "/a.js", accept).want(t, 200, "plain ")
	l.advance(time.Second)
	l.request("GET", "/a.js", accept).want(t, 200, "gz 1")
}

// TestPrecompressedsOfContent: each representation's tag is of its own bytes.
func TestPrecompressedOfContent(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/a.js", "the same")
	write(t, dir+"/a.js.gz", "the same")
	opts := precompressedOptions(dir)
	opts.ETag = ETagContent
	l := serve(t, opts, false)
	plain, coded := l.get("/a.js").Header.Get("ETag"), l.request("GET", "/a.js",
		"Accept-Encoding: gzip\r\n").Header.Get("ETag")
	if want := strings.TrimSuffix(plain, `"`) + `-gzip"`; coded != want || len(plain) != 34 {
		t.Errorf("%s and %s", plain, coded)
	}
}

// TestPrecompressedsInCache: the descriptors of precompressed files count, and leave with their file.
func TestPrecompressedInCache(t *testing.T) {
	dir := t.TempDir()
	for i := range 20 {
		name := fmt.Sprintf("%s/%d.js", dir, i)
		for _, suffix := range []string{"", ".br", ".zst", ".gz"} {
			write(t, name+suffix, strings.Repeat("x", 100_000))
		}
	}
	limits := testLimits()
	limits.Descriptors = 20
	cache := NewCache(limits)
	s, err := New(precompressedOptions(dir), cache)
	if err != nil {
		t.Fatal(err)
	}
	l := newLoop(t, s, s.Handler(IndexMax))
	l.advance(settled)
	for round := range 3 {
		for i := range 20 {
			l.request("GET", fmt.Sprintf("/%d.js", i), "Accept-Encoding: gzip\r\n").wantStatus(t, 200)
			if _, n, _ := cache.Usage(); n > limits.Descriptors || n == 0 || n%4 != 0 {
				t.Fatalf("round %d: %d descriptors of at most %d", round, n, limits.Descriptors)
			}
		}
	}
	s.Close()
	if bytes, n, entries := cache.Usage(); bytes != 0 || n != 0 || entries != 0 {
		t.Errorf("%d bytes, %d descriptors, %d entries are left", bytes, n, entries)
	}
}
