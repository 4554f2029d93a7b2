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
		if r.StatusCode != 204 || r.Header.Get("Allow") != "GET, HEAD, OPTIONS" ||
			r.Header.Get("Content-Length") != "" {
			t.Errorf("OPTIONS %s: %d %v", target, r.StatusCode, r.Header)
		}
	}
	// What a client sends ahead into its tunnel is no request.
	raw := l.send("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\nGET /file HTTP/1.1\r\nHost: a\r\n\r\n")
	if !strings.HasPrefix(raw, "HTTP/1.1 405 ") || !strings.Contains(raw, "\r\nConnection: close\r\n") ||
		strings.Count(raw, "HTTP/1.1 ") != 1 {
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
			"/sub": {"/sub/", "./sub/"}, "/sub/dir": {"/sub/dir/", "./dir/"}, "/sub/dir?a=b&c": {"/sub/dir/?a=b&c",
				"./dir/?a=b&c"},
			"/sub?": {"/sub/?", "./sub/?"}, "/sub?//evil.example": {"/sub/?//evil.example", "./sub/?//evil.example"},
			"//evil.example": {"/evil.example/", "./evil.example/"}, "///evil.example": {"/evil.example/",
				"./evil.example/"},
			"/%2fevil.example":          {"/evil.example/", "./evil.example/"},
			"/%2F%2Fevil.example":       {"/evil.example/", "./evil.example/"},
			"/.//evil.example":          {"/evil.example/", "./evil.example/"},
			"/x/..//evil.example":       {"/evil.example/", "./evil.example/"},
			"/sub/..%2f%2Fevil.example": {"/evil.example/", "404"},
			`/\evil`:                    {"/%5Cevil/", "./%5Cevil/"}, "/%5cevil": {"/%5Cevil/",
				"./%5Cevil/"}, "/%09evil": {"/%09evil/", "./%09evil/"},
			"/a:%20b%3F": {"/a:%20b%3F/", "./a:%20b%3F/"}, "/ü": {"/%C3%BC/", "./%C3%BC/"},
			"/sub%2Fdir": {"/sub/dir/", "./sub/dir/"}, "/sub/../sub": {"/sub/", "./sub/"}, "/x/%2e%2e/sub": {"/sub/",
				"./sub/"},
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
			for _, target := range []string{"/.git/config", "/%2egit/config", "/.git/", "/.git", "/sub/.env",
				"/sub/%2Eenv", "/sub%2F.env",
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
	if strings.Join(statuses, " ") != "HTTP/1.1 200 HTTP/1.1 200 HTTP/1.1 404 HTTP/1.1 200" ||
		!strings.HasSuffix(got, "\r\n\r\nsmall") {
		t.Errorf("%q", statuses)
	}
}
