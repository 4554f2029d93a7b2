package test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// ask has one request answered that names a host.
func (s *server) ask(t *testing.T, method, target, host string, fields ...string) answer {
	t.Helper()
	got, err := s.tryAsk(method, target, host, fields...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", method, target, err, s.stderr.String())
	}
	return got
}

// tryAsk is one request of any method, target and host on a connection of its own.
func (s *server) tryAsk(method, target, host string, fields ...string) (answer, error) {
	w, err := s.open(head(method+" "+target+" HTTP/1.1", append(fields, "Host: "+host, "Connection: close")...))
	if err != nil {
		return answer{}, err
	}
	defer w.conn.Close()
	return w.next(method)
}

// manySites is three sites in the folder, of which one has everything that a site can have.
func manySites(t *testing.T, folder string) (yaml string) {
	t.Helper()
	for name, body := range map[string]string{
		"app/index.html": "the application", "app/assets/app.js": "a script", "app/assets/app.css": "a sheet",
		"app/404.html": "no such thing", "app/about.html": "about",
		"app/open/x": "x", "app/open/.dot": "dot", "app/outside": "", "docs/index.html": "docs",
		"rest/index.html": "rest", "elsewhere": "elsewhere",
	} {
		write(t, folder, name, []byte(body))
	}
	must(t, os.Remove(filepath.Join(folder, "app/outside")))
	must(t, os.Symlink("../elsewhere", filepath.Join(folder, "app/outside")))
	must(t, os.Symlink("../../elsewhere", filepath.Join(folder, "app/open/outside")))
	return `
listen: ["127.0.0.1:0"]
access_log: {output: "off"}
sites:
  - hosts: [app.test, "*.app.test"]
    root: ` + folder + `/app
    types: {.js: text/x-script}
    try_files: [$path, $path.html]
    fallback: /index.html
    error_pages: {404: /404.html}
    redirects: [{from: /old/**, to: /new/$1, status: 308}]
    paths:
      - {match: /**, headers: {X-Frame-Options: DENY}}
      - match: /assets/**
        headers: {Cache-Control: "public, max-age=31536000, immutable", X-Content-Type-Options: ""}
        etag: "off"
      - {match: /index.html, headers: {Cache-Control: no-cache}}
      - {match: /open/**, listing: true, hide: [], symlinks: follow}
  - hosts: [docs.test]
    root: ` + folder + `/docs
`
}

// TestSites asks for everything that a site does beside serving its files.
func TestSites(t *testing.T) {
	folder := t.TempDir()
	yaml := manySites(t, folder)
	const navigates, loads = "Accept: text/html,application/xhtml+xml,*/*;q=0.8", "Accept: text/css,*/*;q=0.1"
	cases := []struct {
		method, target, host, fields string
		status                       int
		body                         string            // "": any
		header                       map[string]string // "": there is none
	}{
		{"GET", "/", "docs.test:80", "", 200, "docs", map[string]string{"X-Frame-Options": ""}},
		{"GET", "/", "APP.test.", "", 200, "the application", map[string]string{"X-Frame-Options": "DENY",
			"Cache-Control": "no-cache"}},
		{"GET", "/", "a.b.app.test", "", 200, "the application", nil},
		{"GET", "/", "other.test", "", 421, "", nil},
		{"GET", "/", "", "", 421, "", nil},
		{"GET", "http://docs.test/", "app.test", "", 200, "docs", nil},
		{"GET", "/about", "app.test", "", 200, "about", map[string]string{"Content-Type": "text/html; charset=utf-8"}},
		{"HEAD", "/about", "app.test", "", 200, "", map[string]string{"Content-Length": "5"}},
		{"GET", "/about", "app.test", "Range: bytes=1-2", 206, "bo", nil},
		{"GET", "/about", "app.test", "If-None-Match: *", 304, "", nil},
		{"GET", "/route/of/it", "app.test", navigates, 200, "the application", map[string]string{"Vary": "Accept",
			"Cache-Control": "no-cache"}},
		{"GET", "/route/of/it", "app.test", loads, 404, "no such thing", map[string]string{"Vary": "Accept",
			"Content-Type": "text/html; charset=utf-8", "X-Frame-Options": "DENY"}},
		{"GET", "/assets/missing.css", "app.test", navigates, 404, "no such thing",
			map[string]string{"Cache-Control": "", "Etag": "", "Last-Modified": "", "Accept-Ranges": ""}},
		{"GET", "/assets/missing.css", "app.test", "Range: bytes=0-1", 404, "no such thing", nil},
		{"HEAD", "/assets/missing.css", "app.test", "", 404, "", map[string]string{"Content-Length": "13"}},
		{"GET", "/assets/app.js", "app.test", navigates, 200, "a script",
			map[string]string{"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "",
				"Etag": "", "Content-Type": "text/x-script", "Vary": ""}},
		{"GET", "/open", "app.test", navigates, 301, "", map[string]string{"Location": "/open/"}},
		{"GET", "/open/?format=text", "app.test", "", 200, "",
			map[string]string{"Content-Type": "text/plain; charset=utf-8", "X-Frame-Options": "DENY"}},
		{"GET", "/open/.dot", "app.test", "", 200, "dot", nil},
		{"GET", "/open/outside", "app.test", "", 200, "elsewhere", nil},
		{"GET", "/outside", "app.test", "", 404, "no such thing", nil},
		{"GET", "/.dot", "app.test", navigates, 404, "no such thing", nil},
		{"GET", "/old/a%20b/%2Fc?d=e", "app.test", "", 308, "", map[string]string{"Location": "/new/a%20b/c?d=e"}},
		{"POST", "/old/x", "app.test", "Content-Length: 0", 308, "", nil},
		{"POST", "/about", "app.test", "Content-Length: 0", 405, "", map[string]string{"Allow": "GET, HEAD, OPTIONS"}},
		{"OPTIONS", "*", "app.test", "", 204, "", nil},
		{"GET", "/%zz", "app.test", "", 400, "", nil},
	}
	twoVariants(t, func(t *testing.T, v variant) {
		file := filepath.Join(t.TempDir(), "evhttpd.yaml")
		must(t, os.WriteFile(file, []byte(yaml), 0o644))
		s := launch(t, testkit.Command(binary, "serve", "--config", file, "--io-model", v.Model, "--trigger",
			v.Trigger))
		t.Cleanup(func() { s.stop(t) })
		for _, line := range []string{
			"evhttpd: serving 2 sites at http://", "\nevhttpd: app.test, *.app.test -> " + folder + "/app\n",
			"\nevhttpd: docs.test -> " + folder + "/docs\n",
		} {
			if said := s.stderr.String(); !strings.Contains(said, strings.TrimSuffix(line, "\n")) {
				eventually(t, func() error {
					if said := s.stderr.String(); !strings.Contains(said, line) {
						return fmt.Errorf("no line %q in\n%s", line, said)
					}
					return nil
				})
			}
		}
		for range 2 {
			for _, c := range cases {
				var fields []string
				if c.fields != "" {
					fields = []string{c.fields}
				}
				got := s.ask(t, c.method, c.target, c.host, fields...)
				what := fmt.Sprintf("%s %s of %q with %q: %d %q %v", c.method, c.target, c.host, c.fields, got.status,
					got.body, got.header)
				if got.status != c.status || c.body != "" && string(got.body) != c.body {
					t.Errorf("%s, want %d %q", what, c.status, c.body)
				}
				for name, want := range c.header {
					if got.header.Get(name) != want {
						t.Errorf("%s, want %s %q", what, name, want)
					}
				}
			}
		}
	})
}

// TestFallbackFlag: an application in a folder, as it is tried before it is deployed.
func TestFallbackFlag(t *testing.T) {
	root := t.TempDir()
	write(t, root, "index.html", []byte("the application"))
	s := start(t, variants()[0], root, "--fallback", "/index.html")
	if got := s.get(t, "/route", "Accept: text/html"); got.status != 200 || string(got.body) != "the application" {
		t.Errorf("%d %q", got.status, got.body)
	}
	if got := s.get(t, "/route.css"); got.status != 404 {
		t.Errorf("%d %q", got.status, got.body)
	}
}

// TestReloadSites: sites come and go beneath connections that stay, and a file that is served
// in a new way is not served as it was remembered.
func TestReloadSites(t *testing.T) {
	twoVariants(t, func(t *testing.T, v variant) {
		folder := t.TempDir()
		yaml := manySites(t, folder) + "\nio_model: " + v.Model + "\ntrigger: " + v.Trigger + "\n"
		o := operate(t, yaml)
		kept := o.dial(t)
		w := newWire(kept)
		ask := func(target, host string, status int, body string) {
			t.Helper()
			_, err := io.WriteString(kept, "GET "+target+" HTTP/1.1\r\nHost: "+host+"\r\nAccept: text/html\r\n\r\n")
			must(t, err)
			if a, err := w.next("GET"); err != nil || a.status != status || body != "" && string(a.body) != body ||
				a.close {
				t.Fatalf("%s of %s: %+v, %v, want %d %q", target, host, a, err, status, body)
			}
		}
		ask("/route", "app.test", 200, "the application")
		ask("/", "rest.test", 421, "")
		idle := len(o.descriptors())
		for range 2 {
			o.reload(strings.Replace(yaml, "    fallback: /index.html\n", "", 1))
			ask("/route", "app.test", 404, "no such thing")
			o.reload(strings.Replace(yaml, "hosts: [docs.test]\n    root: "+folder+"/docs", "root: "+folder+"/rest", 1))
			ask("/", "rest.test", 200, "rest")
			ask("/", "docs.test", 200, "rest")
			if line := o.refuse(strings.Replace(yaml, "try_files: [$path,", "try_files: [x,",
				1)); !strings.Contains(line, "try_files") {
				t.Error(line)
			}
			ask("/route", "app.test", 200, "the application")
			o.reload(yaml)
			ask("/", "rest.test", 421, "")
			ask("/old/x", "app.test", 308, "")
		}
		eventually(t, func() error { // the roots that were replaced are closed
			if open := o.descriptors(); len(open) > idle {
				return fmt.Errorf("%d descriptors are open, there were %d: %q", len(open), idle, open)
			}
			return nil
		})
	})
}
