package test

import (
	"bytes"
	"compress/gzip"
	"os"
	"strings"
	"testing"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// scriptSite is what the scripts in the folder clients ask for.
func scriptSite(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	page := []byte(strings.Repeat("<p>compressed</p>", 100))
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, err := w.Write(page)
	must(t, err)
	must(t, w.Close())
	for name, content := range map[string][]byte{
		"a.txt": []byte(hello), "big": pattern(3<<20, 9), "folder/index.html": []byte("index"),
		"page.html": page, "page.html.gz": packed.Bytes(), "ü ñ/%41?.txt": []byte("odd"),
	} {
		write(t, root, name, content)
	}
	return root
}

// script runs one of them, which says that all is fine, or what is not.
func (s *server) script(t *testing.T, program, name string, args ...string) {
	t.Helper()
	switch got := strings.TrimSpace(string(run(t, program, append([]string{"clients/" + name}, args...)...))); {
	case strings.HasSuffix(got, " is not installed"):
		testkit.Skip(t, strings.TrimSuffix(got, " is not installed"))
	case got != "fine":
		t.Errorf("%s says %q", name, got)
	}
}

func TestPythonLibrary(t *testing.T) {
	once(t)
	twoVariants(t, func(t *testing.T, v variant) {
		s := start(t, v, scriptSite(t), "--listing", "on")
		s.script(t, "python3", "http_client.py", s.addr, s.root)
	})
}

func TestPythonRequests(t *testing.T) {
	once(t)
	twoVariants(t, func(t *testing.T, v variant) {
		s := start(t, v, scriptSite(t), "--listing", "on")
		s.script(t, "python3", "session.py", s.url, s.root)
	})
}

func TestNode(t *testing.T) {
	once(t)
	twoVariants(t, func(t *testing.T, v variant) {
		s := start(t, v, scriptSite(t), "--listing", "on")
		s.script(t, "node", "node.js", s.url, s.root)
	})
}

// TestJustRun: evhttpd alone, in a folder, does what python3 -m http.server does there: the
// scripts written for that find their files.
func TestJustRun(t *testing.T) {
	once(t)
	cmd := testkit.Command(binary)
	cmd.Dir = scriptSite(t)
	cmd.Env = append(os.Environ(), "EVHTTPD_LISTEN=127.0.0.1:0") // 8080 may be taken
	s := launch(t, cmd)
	t.Cleanup(func() { s.stop(t) })
	page := s.get(t, "/")
	targets := links(t, string(page.body))
	for _, path := range []string{"/a.txt", "/big", "/folder/", "/ü ñ/"} {
		if page.status != 200 || targets[path] == "" {
			t.Errorf("%d: no link leads to %s: %q", page.status, path, targets)
		}
	}
	if got := s.get(t, "/folder/"); string(got.body) != "index" {
		t.Errorf("a folder with an index: %d %q", got.status, got.body)
	}
	s.script(t, "python3", "http_client.py", s.addr, cmd.Dir)
}
