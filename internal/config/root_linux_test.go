package config

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// asNobody calls f as a user who may not do everything. If the tests are root's, f runs on a
// thread without its rights to files, which ends afterwards (setfsuid(2)).
func asNobody(t *testing.T, f func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		f()
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if err := unix.Setfsuid(65534); err != nil {
			t.Error(err)
			return
		}
		f()
	}()
	<-done
}

// TestRootPermissions: a root that this user may not search cannot be served, and one that it may not read cannot be
// listed.
func TestRootPermissions(t *testing.T) {
	for _, c := range []struct {
		mode    os.FileMode
		listing bool
		want    string // empty: it is right
	}{
		{0, false, fmt.Sprintf(`"www": permission denied: let user %d search it (chmod o+x), or run as one who may`,
			os.Geteuid())},
		{0o444, true,
			fmt.Sprintf(`"www": permission denied: let user %d search it (chmod o+x), or run as one who may`,
				os.Geteuid())},
		{0o111, true,
			fmt.Sprintf(`"www": permission denied to list it: let user %d read it (chmod o+r), or set listing `+
				`to off`, os.Geteuid())},
		{0o111, false, ""},
		{0o555, true, ""},
	} {
		t.Run(fmt.Sprintf("%o listing %v", c.mode, c.listing), func(t *testing.T) {
			file := write(t, fmt.Sprintf("sites: [{root: www, listing: %v}]", c.listing))
			for name, mode := range map[string]os.FileMode{"..": 0o755, ".": 0o755, file: 0o644, "www": c.mode} {
				if err := os.Chmod(name, mode); err != nil {
					t.Fatal(err)
				}
			}
			asNobody(t, func() {
				_, err := sources(file).Load()
				if c.want == "" && err != nil || c.want != "" &&
					(err == nil || !strings.HasSuffix(err.Error(), c.want)) {
					t.Errorf("got  %v\nwant %s", err, c.want)
				}
			})
		})
	}
}
