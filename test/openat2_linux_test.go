package test

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// eachResolver runs the test with the two ways in which the server keeps beneath its
// root: openat2(2), and the walk from component to component that stands in for it.
func eachResolver(t *testing.T, test func(t *testing.T, serve func(t *testing.T, root string,
	flags ...string) *server)) {
	for _, has := range []bool{true, false} {
		name := "openat2"
		if !has {
			name = "walk"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, func(t *testing.T, root string, flags ...string) *server {
				t.Helper()
				args := append([]string{binary, "serve", root, "--listen", "127.0.0.1:0", "--access-log", "off"},
					flags...)
				cmd := testkit.Command(args[0], args[1:]...)
				if !has {
					cmd = confined(t, []string{refusing(unix.SYS_OPENAT2, unix.ENOSYS)}, args...) // as before Linux 5.6
				}
				s := launch(t, cmd)
				t.Cleanup(func() { s.stop(t) })
				return s
			})
		})
	}
}
