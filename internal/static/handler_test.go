package static

import (
	"regexp"
	"strings"
	"testing"
)

// TestMethods is RFC 9110 section 9, as far as a file server goes.
func TestMethods(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/file", "file")
	l := serve(t, testOptions(dir), false)
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND"} {
		r := l.request(method, "/file", "")
		if r.StatusCode != 405 || r.Header.Get("Allow") != "GET, HEAD, OPTIONS" {
			t.Errorf("%s: %d Allow %q", method, r.StatusCode, r.Header.Get("Allow"))
		}
	}
	for _, target := range []string{"/file", "*"} {
		r := l.request("OPTIONS", target, "")
		if r.StatusCode != 204 || r.Header.Get("Allow") != "GET, HEAD, OPTIONS" || r.Header.Get("Content-Length") != "" {
			t.Errorf("OPTIONS %s: %d %v", target, r.StatusCode, r.Header)
		}
	}
	// What a client sends ahead into its tunnel is no request.
	raw := l.send("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\nGET /file HTTP/1.1\r\nHost: a\r\n\r\n")
	if !strings.HasPrefix(raw, "HTTP/1.1 405 ") || !strings.Contains(raw, "\r\nConnection: close\r\n") || strings.Count(raw, "HTTP/1.1 ") != 1 {
		t.Errorf("CONNECT: %q", raw)
	}
	write(t, dir+"/index.html", "index")
	for _, target := range []string{"http://a", "http://a/", "http://a?q", "/?q", "/", "//"} {
		l.get(target).want(t, 200, "index")
	}
	l.get("http://a/file").want(t, 200, "file")
}

// TestRedirect: a directory without its slash, to a reference that names no host.
func TestRedirect(t *testing.T) {
	resolvers(t, func(t *testing.T, walks bool) {
		dir := t.TempDir()
		for _, name := range []string{"sub/dir", "a: b?", "evil.example", `\evil`, "\tevil", "ü"} {
			write(t, dir+"/"+name+"/index.html", "index")
		}
		opts := testOptions(dir)
		rooted := serve(t, opts, walks)
		opts.RelativeRedirects = true
		relative := serve(t, opts, walks)
		for target, want := range map[string][2]string{
			"/sub": {"/sub/", "./sub/"}, "/sub/dir": {"/sub/dir/", "./dir/"}, "/sub/dir?a=b&c": {"/sub/dir/?a=b&c", "./dir/?a=b&c"},
			"/sub?": {"/sub/?", "./sub/?"}, "/sub?//evil.example": {"/sub/?//evil.example", "./sub/?//evil.example"},
			"//evil.example": {"/evil.example/", "./evil.example/"}, "///evil.example": {"/evil.example/", "./evil.example/"},
			"/%2fevil.example":          {"/evil.example/", "./evil.example/"},
			"/%2F%2Fevil.example":       {"/evil.example/", "./evil.example/"},
			"/.//evil.example":          {"/evil.example/", "./evil.example/"},
			"/x/..//evil.example":       {"/evil.example/", "./evil.example/"},
			"/sub/..%2f%2Fevil.example": {"/evil.example/", "404"},
			`/\evil`:                    {"/%5Cevil/", "./%5Cevil/"}, "/%5cevil": {"/%5Cevil/", "./%5Cevil/"}, "/%09evil": {"/%09evil/", "./%09evil/"},
			"/a:%20b%3F": {"/a:%20b%3F/", "./a:%20b%3F/"}, "/ü": {"/%C3%BC/", "./%C3%BC/"},
			"/sub%2Fdir": {"/sub/dir/", "./sub/dir/"}, "/sub/../sub": {"/sub/", "./sub/"}, "/x/%2e%2e/sub": {"/sub/", "./sub/"},
			"///sub//dir": {"/sub/dir/", "./dir/"}, "http://a/sub": {"/sub/", "./sub/"},
		} {
			for i, l := range []*loop{rooted, relative} {
				r := l.get(target)
				got := r.Header.Get("Location")
				if r.StatusCode == 404 {
					got = "404"
				}
				if got != want[i] || r.StatusCode == 301 && r.body != "" {
					t.Errorf("%s: %d %q, want %q", target, r.StatusCode, got, want[i])
				}
				if strings.HasPrefix(got, "//") {
					t.Errorf("%s: %q names a host", target, got)
				}
			}
		}
	})
}

// TestHide: names are hidden in the request's path, after decoding, and not
// in what a link leads to (Kubernetes volumes).
func TestHide(t *testing.T) {
	resolvers(t, func(t *testing.T, walks bool) {
		dir := t.TempDir()
		write(t, dir+"/.git/config", "secret")
		write(t, dir+"/sub/.env", "secret")
		write(t, dir+"/.well-known/security.txt", "public")
		write(t, dir+"/.well-known/.secret", "secret")
		write(t, dir+"/..2024/config.json", "config")
		symlink(t, "..2024", dir+"/..data")
		symlink(t, "..data/config.json", dir+"/config.json")
		write(t, dir+"/notes.bak", "secret")
		opts := testOptions(dir)
		opts.Hide = append(opts.Hide, "*.bak")
		l := serve(t, opts, walks)
		for range 2 {
			for _, target := range []string{"/.git/config", "/%2egit/config", "/.git/", "/.git", "/sub/.env", "/sub/%2Eenv", "/sub%2F.env",
				"/..2024/config.json", "/..data/config.json", "/.well-known/.secret", "/notes.bak", "/.missing"} {
				l.get(target).want(t, 404, "404: no such file\n")
			}
			l.get("/.well-known/security.txt").want(t, 200, "public")
			l.get("/config.json").want(t, 200, "config")
			l.get("/.git/../config.json").want(t, 200, "config")
		}
		opts.Hide = nil
		serve(t, opts, walks).get("/.git/config").want(t, 200, "secret")
	})
}

// TestPipelined: answers of every kind in one stream, in order.
func TestPipelined(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/small", "small")
	write(t, dir+"/large", strings.Repeat("L", 100_000))
	l := serve(t, testOptions(dir), false)
	var raw strings.Builder
	for _, target := range []string{"/small", "/large", "/missing", "/small"} {
		raw.WriteString("GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n")
	}
	got := l.send(raw.String())
	statuses := regexp.MustCompile(`HTTP/1\.1 (\d+)`).FindAllString(got, -1)
	if strings.Join(statuses, " ") != "HTTP/1.1 200 HTTP/1.1 200 HTTP/1.1 404 HTTP/1.1 200" || !strings.HasSuffix(got, "\r\n\r\nsmall") {
		t.Errorf("%q", statuses)
	}
}

// TestTypes holds the table to its form, and names to their types.
func TestTypes(t *testing.T) {
	form := regexp.MustCompile(`^[a-z-]+/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*$`)
	extension := regexp.MustCompile(`^[a-z0-9][a-z0-9._+-]*$`)
	seen := map[string]string{}
	last := ""
	for line := range strings.Lines(typesText) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		words := strings.Fields(line)
		if len(words) < 2 || !form.MatchString(words[0]) || words[0] <= last {
			t.Errorf("line %q", line)
			continue
		}
		last = words[0]
		for _, ext := range words[1:] {
			if before, twice := seen[ext]; twice || !extension.MatchString(ext) {
				t.Errorf("%q of %s is bad or belongs to %s too", ext, words[0], before)
			}
			seen[ext] = words[0]
		}
	}
	if len(seen) < 1000 {
		t.Errorf("only %d extensions", len(seen))
	}
	types, err := newMediaTypes(map[string]string{".wasm": "application/x-own", ".Foo.Bar": "text/x-foo", ".lat": "text/plain; charset=latin1", ".gz": "application/x-mine", ".d.x": "application/x-long"})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"index.html": "text/html; charset=utf-8", "INDEX.HTM": "text/html; charset=utf-8", "a.css": "text/css; charset=utf-8",
		"jquery.min.js": "text/javascript; charset=utf-8", "m.mjs": "text/javascript; charset=utf-8", "a.json": "application/json",
		"a.svg": "image/svg+xml", "a.xml": "application/xml", "a.png": "image/png", "a.JPG": "image/jpeg", "a.woff2": "font/woff2",
		"a.tar.gz": "application/x-mine", "a.tar.bz2": "application/x-bzip2", "a.d.x": "application/x-long", "a.mp4": "video/mp4", "a.webp": "image/webp", "a.avif": "image/avif", "a.pdf": "application/pdf",
		"a.txt": "text/plain; charset=utf-8", "a.md": "text/markdown; charset=utf-8", "README": "application/octet-stream",
		".bashrc": "application/octet-stream", ".html": "application/octet-stream", "a.": "application/octet-stream", "dir.html/file": "application/octet-stream",
		"a.wasm": "application/x-own", "a.foo.bar": "text/x-foo", "a.lat": "text/plain; charset=latin1", "a.go": "text/plain; charset=utf-8",
	} {
		if got := types.of(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}
