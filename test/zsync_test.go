package test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestZsync: zsync brings an old copy of a file up to date. It asks for 20 ranges at a time, and would do so for
// ever if a multipart body did not begin with a line break.
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
		run(t, "env", "-u", "http_proxy",
			"zsync", "-q", "-i", filepath.Join(folder, "old.bin"), "-o", target, s.url+"new.bin.zsync")
		if got, err := os.ReadFile(target); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%d bytes, %v, not the file", len(got), err)
		}
		// Programs that resume, seek or fetch in slices take 416 of an empty file for a failure.
		for _, value := range []string{"bytes=0-", "bytes=0-65535", "bytes=-10", "bytes=0-9,20-29", "bytes=-0"} {
			got := s.get(t, "/empty", "Range: "+value)
			if got.status != 200 || len(got.body) != 0 || got.header.Get("Content-Range") != "" {
				t.Errorf("%s of an empty file: %d %v", value, got.status, got.header)
			}
		}
	})
}

// TestZchunk: zchunk brings an old copy up to date of a file in which 300 chunks have changed. It asks for 255
// ranges at a time, and for fewer and fewer where that is answered by the whole file.
func TestZchunk(t *testing.T) {
	once(t)
	root, folder := t.TempDir(), t.TempDir()
	const split = "<CUT>"
	var content, old bytes.Buffer
	for i := range 600 {
		chunk := fmt.Appendf(nil, "%s%d %x", split, i, pattern(500, byte(i)))
		content.Write(chunk)
		if i%2 == 0 {
			chunk[len(chunk)-1] = '-'
		}
		old.Write(chunk)
	}
	write(t, folder, "new", content.Bytes())
	write(t, folder, "old", old.Bytes())
	made := filepath.Join(root, "new.zck")
	run(t, "zck", "-m", "-s", split, "-o", made, filepath.Join(folder, "new"))
	run(t, "zck", "-m", "-s", split, "-o", filepath.Join(folder, "old.zck"), filepath.Join(folder, "old"))
	tool(t, "zckdl")
	log := filepath.Join(folder, "access.log")
	s := start(t, defaultVariant(), root, "--access-log", log)
	run(t, "env", "-u", "http_proxy", "-C", folder, "zckdl", "-s", "old.zck", s.url+"new.zck")
	want, err := os.ReadFile(made)
	must(t, err)
	if got, err := os.ReadFile(filepath.Join(folder, "new.zck")); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v, not the file", len(got), err)
	}
	s.stop(t) // so that the log is whole
	said, err := os.ReadFile(log)
	must(t, err)
	if asked := bytes.Count(said, []byte("\n")); asked > 5 || bytes.Contains(said, []byte(`" 200 `)) {
		t.Errorf("%d requests:\n%s", asked, tail(string(said)))
	}
}
