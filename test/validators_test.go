package test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// configured runs the server with one site, told by a configuration file, whose
// keys of the site are given as lines of YAML.
func configured(t *testing.T, v variant, root string, keys ...string) *server {
	t.Helper()
	text := "sites:\n  - root: " + root + "\n"
	for _, key := range keys {
		text += "    " + key + "\n"
	}
	file := filepath.Join(t.TempDir(), "evhttpd.yaml")
	must(t, os.WriteFile(file, []byte(text), 0o644))
	s := launch(t, testkit.Command(binary, "serve", "--config", file, "--listen", "127.0.0.1:0",
		"--io-model", v.Model, "--trigger", v.Trigger, "--access-log", "off"))
	s.root = root
	t.Cleanup(func() { s.stop(t) })
	return s
}

// TestETagOfContent: with etag: content two servers agree on a file whose times
// differ, and one without a usable time has a validator (RFC 9110 section 8.8).
func TestETagOfContent(t *testing.T) {
	files := map[string][]byte{"/small": pattern(100, 1), "/large": pattern(1<<20, 2)}
	roots := [2]string{t.TempDir(), t.TempDir()}
	for i, root := range roots {
		for name, body := range files {
			write(t, root, name[1:], body)
			at := time.Unix(int64(i)*1e9, 0) // 0 is no time
			must(t, os.Chtimes(filepath.Join(root, name), at, at))
		}
	}
	eachVariant(t, func(t *testing.T, v variant) {
		for _, root := range roots {
			s := configured(t, v, root, "etag: content")
			for name, body := range files {
				sum := sha256.Sum256(body)
				tag := fmt.Sprintf("\"%x\"", sum[:16])
				eventually(t, func() error { // a new file may still change: its ctime tells, and cannot be set
					got, err := s.tryGet(name)
					if err == nil && got.header.Get("ETag") != tag {
						err = fmt.Errorf("%s: %v, want ETag %s", name, got.header, tag)
					}
					return err
				})
				if got := s.get(t, name); got.status != 200 || got.header.Get("ETag") != tag ||
					string(got.body) != string(body) {
					t.Errorf("%s: %d %v, want ETag %s", name, got.status, got.header, tag)
				}
				if got := s.get(t, name, "If-None-Match: \"x\", W/"+tag); got.status != 304 ||
					got.header.Get("ETag") != tag {
					t.Errorf("%s: %d %v, want 304", name, got.status, got.header)
				}
			}
		}
		off := configured(t, v, roots[1], "etag: off")
		got := off.get(t, "/small")
		if got.status != 200 || got.header.Get("ETag") != "" ||
			got.header.Get("Last-Modified") != "Sun, 09 Sep 2001 01:46:40 GMT" {
			t.Errorf("etag: off: %d %v", got.status, got.header)
		}
	})
}
