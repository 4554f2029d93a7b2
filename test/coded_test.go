package test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// codedSite has a small and a large file with all siblings, and siblings that must not be served.
func codedSite(t *testing.T) (root string, files map[string][]byte) {
	t.Helper()
	parent := t.TempDir()
	root = filepath.Join(parent, "site")
	files = make(map[string][]byte)
	for i, suffix := range []string{"", ".br", ".zst", ".gz"} {
		files["/small.js"+suffix] = pattern(2000+i, byte(i))
		files["/large.js"+suffix] = pattern(1<<20+i, byte(i+8))
	}
	for _, name := range []string{"/plain.js", "/out.js", "/fifo.js", "/folder.js"} {
		files[name] = pattern(3000, 99)
	}
	for name, body := range files {
		write(t, root, name[1:], body)
	}
	write(t, parent, "secret", []byte("secret"))
	must(t, os.Symlink("../secret", filepath.Join(root, "out.js.gz")))
	must(t, syscall.Mkfifo(filepath.Join(root, "fifo.js.gz"), 0o644))
	write(t, root, "folder.js.gz/x", []byte("x"))
	return root, files
}

// TestPrecompressed: siblings are served by Accept-Encoding (RFC 9110 section 12.5.3), whole and in
// ranges, with their own length and validators.
func TestPrecompressed(t *testing.T) {
	root, files := codedSite(t)
	suffixes := map[string]string{"": "", "br": ".br", "zstd": ".zst", "gzip": ".gz"}
	eachVariant(t, func(t *testing.T, v variant) {
		s := configured(t, v, root, "precompressed: [zst, br, gz]")
		for name := range files {
			s.settle(t, name)
		}
		idle := s.warm(t, "/small.js", "/large.js", "/plain.js", "/out.js", "/fifo.js", "/folder.js")
		for _, name := range []string{"/small.js", "/large.js"} {
			for accept, coding := range map[string]string{
				"gzip, deflate, br, zstd":             "zstd", // the order of the configuration
				"br, gzip":                            "br",
				"gzip;q=0.9, br;q=0.8":                "gzip",
				"gzip;q=0, *;q=0.5, zstd;q=0":         "br",
				"identity;q=0, gzip;q=0.1":            "gzip",
				"identity, gzip;q=0.5":                "",
				"*;q=0":                               "",
				"":                                    "",
				"gzip;q=1.5, br;q=1;q=0, zstd;;":      "",
				strings.Repeat("x;q=0,", 4000) + "br": "br",
			} {
				whole := files[name+suffixes[coding]]
				got := s.get(t, name, "Accept-Encoding: "+accept)
				if err := checkCoding(got, 200, coding, whole); err != nil {
					t.Errorf("%s %.60q: %v", name, accept, err)
				}
				part := s.get(t, name, "Accept-Encoding: "+accept, "Range: bytes=100-199", "If-Range: "+
					got.header.Get("ETag"))
				if err := checkCoding(part, 206, coding, whole[100:200]); err != nil {
					t.Errorf("%s %.60q: %v", name, accept, err)
				}
				same := s.get(t, name, "Accept-Encoding: "+accept, "If-None-Match: "+got.header.Get("ETag"))
				if same.status != 304 || same.header.Get("Vary") != "Accept-Encoding" ||
					same.header.Get("Content-Encoding") != "" {
					t.Errorf("%s %.60q: %d %v, want 304", name, accept, same.status, same.header)
				}
			}
			direct := s.get(t, name+".gz", "Accept-Encoding: gzip, br")
			if direct.status != 200 || direct.header.Get("Content-Encoding") != "" ||
				direct.header.Get("Content-Type") != "application/gzip" ||
				!bytes.Equal(direct.body, files[name+".gz"]) {
				t.Errorf("%s.gz by its own name: %d %v", name, direct.status, direct.header)
			}
		}
		for _, name := range []string{"/plain.js", "/out.js", "/fifo.js", "/folder.js"} {
			got := s.get(t, name, "Accept-Encoding: gzip, br, zstd")
			if got.status != 200 || got.header.Get("Content-Encoding") != "" || got.header.Get("Vary") != "" ||
				!bytes.Equal(got.body, files[name]) {
				t.Errorf("%s has no sibling to be served: %d %v", name, got.status, got.header)
			}
		}
		s.waitDescriptors(t, idle+2) // the large files that were asked for by their own names
	})
}

// checkCoding looks at an answer of a negotiated file.
func checkCoding(a answer, status int, coding string, body []byte) error {
	h := a.header
	if a.status != status || h.Get("Content-Encoding") != coding || h.Get("Vary") != "Accept-Encoding" ||
		h.Get("Content-Type") != "text/javascript; charset=utf-8" || a.length != int64(len(body)) ||
		!bytes.Equal(a.body, body) {
		return fmt.Errorf("%d with %d bytes, %v; want %d with %d bytes of coding %q", a.status, len(a.body), h, status,
			len(body), coding)
	}
	return nil
}

// TestCompress: gzip on the fly is what it says, to a decoder and to curl, and no range is of it.
func TestCompress(t *testing.T) {
	root := t.TempDir()
	body := []byte(strings.Repeat("a line of text that is like the others\n", 10_000))
	write(t, root, "a.txt", body)
	eachVariant(t, func(t *testing.T, v variant) {
		s := configured(t, v, root, "compress: [gzip, zstd]")
		s.settle(t, "/a.txt") // what has just changed is sent as it is
		idle := s.warm(t, "/a.txt")
		for range 3 {
			got := s.get(t, "/a.txt", "Accept-Encoding: gzip, zstd")
			if got.status != 200 || got.header.Get("Content-Encoding") != "gzip" ||
				got.header.Get("Vary") != "Accept-Encoding" || len(got.body) > len(body)/10 {
				t.Fatalf("%d with %d bytes, %v", got.status, len(got.body), got.header)
			}
			in, err := gzip.NewReader(bytes.NewReader(got.body))
			must(t, err)
			decoded, err := io.ReadAll(in)
			must(t, err)
			if !bytes.Equal(decoded, body) {
				t.Errorf("%d other bytes", len(decoded))
			}
			if same := s.get(t, "/a.txt", "Accept-Encoding: gzip", "If-None-Match: "+
				got.header.Get("ETag")); same.status != 304 {
				t.Errorf("%d, want 304", same.status)
			}
			part := s.get(t, "/a.txt", "Accept-Encoding: gzip", "Range: bytes=0-99")
			if part.status != 206 || part.header.Get("Content-Encoding") != "" || !bytes.Equal(part.body, body[:100]) {
				t.Errorf("a range: %d %v", part.status, part.header)
			}
		}
		s.waitDescriptors(t, idle)
		if v.Model != variants()[0].Model {
			return
		}
		curl := testkit.Command(tool(t, "curl"), "-fsS", "--max-time", "30", "-H", "Accept-Encoding: gzip",
			"--compressed", s.url+"a.txt")
		if out, err := curl.Output(); err != nil || !bytes.Equal(out, body) {
			t.Errorf("curl: %v, %d bytes", err, len(out))
		}
	})
}

// TestSiblingReplaced: a sibling that is replaced and removed while it is asked for comes
// whole and as itself, each time: the old one, the new one, or the file.
func TestSiblingReplaced(t *testing.T) {
	const replacements = 60
	eachVariant(t, func(t *testing.T, v variant) {
		root := t.TempDir()
		bodies := map[string][][]byte{"": {pattern(200_000, 1)}, "gzip": {pattern(150_000, 2), pattern(150_000, 3)}}
		write(t, root, "a.js", bodies[""][0])
		s := start(t, v, root, "--cache-valid", "1ms")
		changed := make(chan error, 1)
		go func() { changed <- replace(filepath.Join(root, "a.js.gz"), bodies["gzip"], replacements) }()
		c := s.dial(t)
		w := newWire(c)
		for done := false; !done; {
			select {
			case err := <-changed:
				must(t, err)
				done = true // one more, of what is left
			default:
			}
			if _, err := io.WriteString(c, request("/a.js", "Accept-Encoding: gzip")); err != nil {
				t.Fatal(err)
			}
			got, err := w.next("GET")
			must(t, err)
			whole := false
			for _, body := range bodies[got.header.Get("Content-Encoding")] {
				whole = whole || bytes.Equal(got.body, body)
			}
			if got.status != 200 || !whole {
				t.Fatalf("%d with %d bytes of no version: %v", got.status, len(got.body), got.header)
			}
		}
		eventually(t, func() error {
			got, err := s.tryGet("/a.js", "Accept-Encoding: gzip")
			if err == nil && got.header.Get("Content-Encoding") != "" {
				err = fmt.Errorf("the removed sibling is still served: %v", got.header)
			}
			return err
		})
	})
}

// replace puts one body after the other in a file's place, and removes it between them and at the end.
func replace(file string, bodies [][]byte, times int) error {
	for i := range times {
		if err := os.WriteFile(file+".new", bodies[i%len(bodies)], 0o644); err != nil {
			return err
		}
		if err := os.Rename(file+".new", file); err != nil {
			return err
		}
		if i%5 == 4 {
			if err := os.Remove(file); err != nil {
				return err
			}
		}
	}
	return nil
}
