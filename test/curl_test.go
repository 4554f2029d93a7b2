package test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// curlFails runs curl and returns its exit status and all that it said.
func curlFails(t *testing.T, args ...string) (code int, said string) {
	t.Helper()
	out, err := testkit.Command(tool(t, "curl"), append([]string{"-sS", "--max-time", "30", "--noproxy", "*"},
		args...)...).CombinedOutput()
	if err == nil {
		return 0, string(out)
	}
	exit, ok := err.(*exec.ExitError)
	if !ok {
		t.Fatal(err)
	}
	return exit.ExitCode(), string(out)
}

// TestCurlHabits: what curl's users do with it beside fetching a file (see TestCurl).
func TestCurlHabits(t *testing.T) {
	once(t)
	twoVariants(t, func(t *testing.T, v variant) {
		s := start(t, v, scriptSite(t), "--listing", "on")
		folder := t.TempDir()
		big, err := os.ReadFile(filepath.Join(s.root, "big"))
		must(t, err)
		curl := func(args ...string) string {
			t.Helper()
			return string(run(t, "curl", append([]string{"-sS", "-f", "--max-time", "30", "--noproxy", "*"},
				args...)...))
		}
		same := func(name string) {
			t.Helper()
			if got, err := os.ReadFile(filepath.Join(folder, name)); err != nil || !bytes.Equal(got, big) {
				t.Errorf("%s: %d bytes, %v", name, len(got), err)
			}
		}
		for _, have := range []int{0, 1, 100_000, len(big) - 1} { // -C -: from where the file ends
			must(t, os.WriteFile(filepath.Join(folder, "resumed"), big[:have], 0o644))
			curl("-C", "-", "-o", filepath.Join(folder, "resumed"), s.url+"big")
			same("resumed")
		}
		curl("-Z", "--output-dir", folder, "-O", s.url+"big", "-o", "parallel", s.url+"big")
		same("big")
		same("parallel")
		curl("-R", "-o", filepath.Join(folder, "dated"), s.url+"big")
		s.settle(t, "/big")
		if got := curl("-z", filepath.Join(folder, "dated"), "-w", "%{http_code}", "-o", filepath.Join(folder, "none"),
			s.url+"big"); got != "304" {
			t.Errorf("-z FILE: %s", got)
		}
		if got := curl("--compressed", "-D", "-", s.url+"page.html"); !strings.Contains(got,
			"Content-Encoding: gzip\r\n") ||
			!strings.HasSuffix(got, "\r\n\r\n"+strings.Repeat("<p>compressed</p>", 100)) {
			t.Errorf("--compressed: %.300q", got)
		}
		if got := curl("--etag-save", filepath.Join(folder, "tag"), "-o", os.DevNull, s.url+"a.txt") +
			curl("--etag-compare", filepath.Join(folder, "tag"), "-w", "%{http_code}", s.url+"a.txt"); got != "304" {
			t.Errorf("--etag-compare: %q", got)
		}
		if got := curl("-L", "-w", " %{num_redirects} %{url_effective}", s.url+"folder?a=b"); got != "index 1 "+s.url+
			"folder/?a=b" {
			t.Errorf("-L: %q", got)
		}
		if got := curl("--http2", "-w", " %{http_version}", s.url+"a.txt"); got != hello+" 1.1" { // Upgrade: h2c
			t.Errorf("--http2: %q", got)
		}
		if got := curl("-x", s.url, "--noproxy", "", "http://example.org/a.txt"); got != hello { // the absolute form
			t.Errorf("as a proxy: %q", got)
		}
		if got := curl("-X", "OPTIONS", "--request-target", "*", "-i", s.url); !strings.HasPrefix(got,
			"HTTP/1.1 204 ") || !strings.Contains(got, "\r\nAllow: GET, HEAD, OPTIONS\r\n") {
			t.Errorf("OPTIONS *: %q", got)
		}
		if got := curl("-T", filepath.Join(folder, "big"), "--no-fail", "-w", " %{http_code}", s.url+
			"upload"); !strings.HasSuffix(got, " 413") && !strings.HasSuffix(got, " 405") {
			t.Errorf("-T: %q", got)
		}
		s.curlRefused(t)
	})
}

// curlRefused: a refused request ends with an error that curl's users know, or with an explanation.
func (s *server) curlRefused(t *testing.T) {
	t.Helper()
	for _, c := range []struct {
		name string
		code int // curl's exit status
		said string
		args []string
	}{
		{"TLS on a plain port", 35, "", []string{strings.Replace(s.url, "http:", "https:", 1)}},
		{"a tunnel through no proxy", 56, "405", []string{"-p", "-x", s.url, "--noproxy", "",
			"http://example.org/a.txt"}},
		{"a climb", 0, "400: path above the root", []string{"--path-as-is", s.url + "../../etc/passwd"}},
		{"a climb, with -f", 22, "400", []string{"-f", "--path-as-is", s.url + "%2e%2e/etc/passwd"}},
		{"POST", 0, "405: files are read with GET and HEAD", []string{"-d", "a=b", s.url + "a.txt"}},
		{"a form", 0, "405: files are read with GET and HEAD", []string{"-F", "a=b", s.url + "a.txt"}},
		{"a long target", 0, "414: request line over the limit", []string{s.url + "?" + strings.Repeat("a", 9000)}},
		{"a long cookie", 0, "431: head over the limit", []string{"-H", "Cookie: a=" + strings.Repeat("a", 20_000),
			"-H", "A: " + strings.Repeat("b", 20_000), s.url}},
		{"bad framing", 0, "400: Content-Length with Transfer-Encoding", []string{"-X", "POST", "-H",
			"Transfer-Encoding: chunked", "-H", "Content-Length: 3", "--data-binary", "abc", s.url}},
		{"a space in a path", 0, "400: not exactly one space", []string{"--request-target", "/a b", s.url}},
	} {
		code, said := curlFails(t, c.args...)
		if code != c.code || !strings.Contains(said, c.said) {
			t.Errorf("%s: exit %d, %.300q, want exit %d, %q", c.name, code, said, c.code, c.said)
		}
	}
	if code, said := curlFails(t, "--http2-prior-knowledge", s.url); code == 0 { // an exit of its own in each version
		t.Errorf("HTTP/2 with prior knowledge: %.300q", said)
	}
}

// TestWgetHabits: a mirror that is made twice transfers nothing the second time but its listings;
// a file is taken again only when it is newer.
func TestWgetHabits(t *testing.T) {
	once(t)
	twoVariants(t, func(t *testing.T, v variant) {
		root, target, log := t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "log")
		old := time.Now().Add(-48 * time.Hour).Truncate(time.Second)
		for _, name := range []string{"a.txt", "tree/b.bin", "tree/deep/c d.txt", "tree/deep/ü.txt", "beside/x"} {
			write(t, root, name, pattern(1000+len(name), 3))
			must(t, os.Chtimes(filepath.Join(root, name), old, old))
		}
		s := start(t, v, root, "--listing", "on")
		s.settle(t, "/a.txt")
		mirror := func() string {
			t.Helper()
			run(t, "wget", "-m", "-np", "-nH", "--no-proxy", "--tries=1", "--timeout=30", "--reject-regex", `\?sort=`,
				"-o", log, "-P", target, s.url+"tree/")
			said, err := os.ReadFile(log)
			must(t, err)
			return string(said)
		}
		mirror()
		for _, name := range []string{"tree/b.bin", "tree/deep/c d.txt", "tree/deep/ü.txt"} {
			want, err := os.ReadFile(filepath.Join(root, name))
			must(t, err)
			got, err := os.ReadFile(filepath.Join(target, name))
			info, _ := os.Stat(filepath.Join(target, name))
			if err != nil || !bytes.Equal(got, want) || !info.ModTime().Equal(old) {
				t.Errorf("%s: %d bytes, %v", name, len(got), err)
			}
		}
		if _, err := os.Stat(filepath.Join(target, "beside")); err == nil {
			t.Error("-np was left upwards")
		}
		if said := mirror(); strings.Count(said, " 304 Not Modified") != 3 {
			t.Errorf("the second mirror: %s", said)
		}
		must(t, os.WriteFile(filepath.Join(root, "tree/b.bin"), []byte("newer"), 0o644))
		if said := mirror(); strings.Count(said, " 304 Not Modified") != 2 {
			t.Errorf("one file is newer: %s", said)
		}
		run(t, "wget", "-q", "--spider", "--no-proxy", "--tries=1", "--timeout=30", s.url+"a.txt")
		if got := run(t, "wget", "-q", "-O", "-", "--no-proxy", "--tries=1", "--timeout=30", "--start-pos=1000", s.url+
			"a.txt"); !bytes.Equal(got, pattern(1005, 3)[1000:]) {
			t.Errorf("--start-pos: %q", got)
		}
	})
}
