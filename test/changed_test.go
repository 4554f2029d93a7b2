package test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// TestFileChangedWhileSent: an answer whose file is changed in place while it is sent does not end in order, and the
// operator is told. What does not touch the bytes of the answer does not touch the answer.
func TestFileChangedWhileSent(t *testing.T) {
	const size = 24 << 20         // more than the sockets' buffers take
	content := make([]byte, size) // a hole, but for its end
	end := pattern(4096, 41)
	copy(content[size-len(end):], end)
	changes := []struct {
		name   string
		change func(name string) error
		whole  bool
	}{
		{"extended", func(name string) error {
			if err := os.Truncate(name, 0); err != nil {
				return err
			}
			return os.Truncate(name, size)
		}, false},
		{"longer", func(name string) error {
			if err := os.Truncate(name, 0); err != nil {
				return err
			}
			return os.Truncate(name, 2*size)
		}, false},
		{"overwritten", func(name string) error { return testkit.Overwrite(name, size/2, end) }, false},
		{"appended", func(name string) error { return testkit.Overwrite(name, size, []byte("more")) }, true},
		{"mode", func(name string) error { return os.Chmod(name, 0o600) }, true},
		{"renamed", func(name string) error {
			if err := os.WriteFile(name+".new", []byte("another"), 0o644); err != nil {
				return err
			}
			return os.Rename(name+".new", name)
		}, true},
	}
	eachVariant(t, func(t *testing.T, v variant) {
		root := t.TempDir()
		s := start(t, v, root)
		for _, c := range changes {
			name := filepath.Join(root, c.name)
			write(t, root, c.name, nil)
			must(t, os.Truncate(name, size))
			must(t, testkit.Overwrite(name, size-int64(len(end)), end))
			past := time.Now().Add(-time.Hour) // a clock that counts in ticks shows the next change
			must(t, os.Chtimes(name, past, past))
			w, err := s.open(request("/"+c.name, "Connection: close"))
			must(t, err)
			_, err = w.in.Peek(1)
			must(t, err)
			must(t, c.change(name))
			a, err := w.next("GET")
			w.conn.Close()
			switch {
			case c.whole && (err != nil || !bytes.Equal(a.body, content)):
				t.Errorf("%s: %d bytes, %v", c.name, len(a.body), err)
			case !c.whole && err != io.ErrUnexpectedEOF:
				t.Errorf("%s: %d bytes in order, status %d, %v", c.name, len(a.body), a.status, err)
			}
		}
		for _, c := range changes {
			if !c.whole {
				eventually(t, says(s.stderr.String, filepath.Join(root, c.name)))
			}
		}
		for _, c := range changes {
			if c.whole && strings.Contains(s.stderr.String(), filepath.Join(root, c.name)) {
				t.Errorf("%s: %s", c.name, s.stderr.String())
			}
		}
		if said := s.stderr.String(); !strings.Contains(said, "was changed in place while it was sent") {
			t.Error(said)
		}
	})
}
