package slowfs

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

func TestNames(t *testing.T) {
	for name, want := range map[string]int64{"f0": 0, "f7": 7, "f123456": 123456, "": -1, "f": -1, "f00": -1, "f01": -1,
		"g1": -1, "f1x": -1, "f12345678901234567": -1} {
		n, ok := number(name)
		if ok != (want >= 0) || ok && int64(n) != want {
			t.Errorf("%q: %d, %v", name, n, ok)
		}
	}
}

func TestOptionsRefused(t *testing.T) {
	for _, o := range []Options{{Size: -1}, {Size: SizeMax + 1}, {Delay: -1}, {Delay: DelayMax + 1}} {
		if err := o.check(); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
}

// TestSlow: files have their size and read no faster than they are told, the second time from memory.
func TestSlow(t *testing.T) {
	testkit.Device(t, "/dev/fuse")
	const delay = 50 * time.Millisecond
	dir := t.TempDir()
	f, err := Mount(dir, Options{Size: 200_001, Delay: delay})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	p, err := os.ReadFile(filepath.Join(dir, "f12"))
	if took := time.Since(began); err != nil || len(p) != 200_001 || took < delay/2 {
		t.Errorf("%d bytes after %v (%v)", len(p), took, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "g")); !os.IsNotExist(err) {
		t.Errorf("a file of another name: %v", err)
	}
	if err := f.Unmount(); err != nil {
		t.Error(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("after the end: %v, %v", entries, err)
	}
}
