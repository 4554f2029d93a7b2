package test

import (
	"fmt"
	"strings"
	"testing"
)

// TestRingsWithinMemlock: the rings of io_uring fit the memory that the user may lock, however many loops there are,
// with room for those of the process that an upgrade starts; and what `evhttpd models` calls available can be
// started.
func TestRingsWithinMemlock(t *testing.T) {
	ioUringHere(t)
	root := t.TempDir()
	write(t, root, "a", []byte(hello))
	serve := func(loops int) []string {
		return []string{binary, "serve", root, "--listen", "127.0.0.1:0", "--io-model", "io_uring", "--access-log",
			"off", "--loops", fmt.Sprint(loops)}
	}
	const debian = "memlock=8388608"
	for _, loops := range []int{24, 64} {
		t.Run(fmt.Sprintf("%d loops", loops), func(t *testing.T) {
			s := launch(t, confined(t, []string{debian}, serve(loops)...))
			o := &operated{server: s, t: t, pid: s.cmd.Process.Pid}
			t.Cleanup(o.end)
			for range 2 {
				o.upgrade()
				if got := o.get(t, "/a"); got.status != 200 {
					t.Errorf("status %d", got.status)
				}
			}
		})
	}
	t.Run("one loop", func(t *testing.T) {
		available, started := 0, 0
		for kib := 4; kib <= 64; kib *= 2 {
			words := []string{fmt.Sprintf("memlock=%d", kib<<10)}
			out, err := confined(t, words, binary, "models").CombinedOutput()
			must(t, err)
			here := strings.Contains(strings.Join(strings.Fields(string(out)), " "), "io_uring yes ")
			said, served := startUp(t, confined(t, words, serve(1)...))
			if here != served {
				t.Errorf("with %d KiB: available %v, started %v:\n%s", kib, here, served, said)
			}
			if here {
				available++
			} else if !strings.Contains(said, "LimitMEMLOCK=") {
				t.Errorf("with %d KiB:\n%s", kib, said)
			}
			if served {
				started++
			}
		}
		if available == 0 || started == 0 {
			t.Error("it never starts")
		}
	})
}
