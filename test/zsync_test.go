package test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestZsync brings an old copy of a file up to date: zsync asks for 20 ranges at a time, and for ever where a
// multipart body does not begin with a line break.
func TestZsync(t *testing.T) {
	once(t)
	root, folder := t.TempDir(), t.TempDir()
	content := pattern(4<<20, 1)
	write(t, root, "new.bin", content)
	write(t, root, "empty", nil)
	old := bytes.Clone(content)
	for at := 10_000; at < len(old); at += 70_000 {
		copy(old[at:], pattern(2000, 2))
	}
	write(t, folder, "old.bin", old)
	run(t, "zsyncmake", "-u", "new.bin", "-o", filepath.Join(root, "new.bin.zsync"), filepath.Join(root, "new.bin"))
	tool(t, "zsync")
	twoVariants(t, func(t *testing.T, v variant) {
		s := start(t, v, root)
		target := filepath.Join(t.TempDir(), "new.bin")
		run(t, "env", "-u", "http_proxy", "zsync", "-q", "-i", filepath.Join(folder, "old.bin"), "-o", target, s.url+"new.bin.zsync")
		if got, err := os.ReadFile(target); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%d bytes, %v, not the file", len(got), err)
		}
		// Programs that resume, seek or fetch in slices take 416 of an empty file for a failure.
		for _, value := range []string{"bytes=0-", "bytes=0-65535", "bytes=-10", "bytes=0-9,20-29"} {
			if got := s.get(t, "/empty", "Range: "+value); got.status != 200 || len(got.body) != 0 || got.header.Get("Content-Range") != "" {
				t.Errorf("%s of an empty file: %d %v", value, got.status, got.header)
			}
		}
	})
}
