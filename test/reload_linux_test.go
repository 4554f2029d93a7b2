package test

import (
	"bytes"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestReloadOutOfDescriptors: a model that cannot be started leaves the one that serves alone.
func TestReloadOutOfDescriptors(t *testing.T) {
	root, files := site(t)
	o := operate(t, yamlOf(root))
	serves := func() {
		t.Helper()
		if got := o.get(t, "/small"); got.status != 200 || !bytes.Equal(got.body, files["/small"]) {
			t.Errorf("status %d", got.status)
		}
	}
	serves()
	var before unix.Rlimit
	few := unix.Rlimit{Cur: uint64(len(o.descriptors()) + 16)} // a loop takes two or more
	must(t, unix.Prlimit(o.pid, unix.RLIMIT_NOFILE, nil, &before))
	few.Max = before.Max
	must(t, unix.Prlimit(o.pid, unix.RLIMIT_NOFILE, &few, nil))
	for _, model := range []string{"epoll", "io_uring", "poll", "sigio"} {
		if line := o.refuse(yamlOf(root, "io_model: "+model, "loops: 64")); !strings.Contains(line,
			"too many open files") {
			t.Errorf("%s: %s", model, line)
		}
		serves()
	}
	must(t, unix.Prlimit(o.pid, unix.RLIMIT_NOFILE, &before, nil))
	o.reload(yamlOf(root, "loops: 4"))
	serves()
}
