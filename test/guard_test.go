package test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// TestStoppedRunLeavesNothing: of a run that is killed, no server runs on and no file remains.
func TestStoppedRunLeavesNothing(t *testing.T) {
	if len(testkit.ProcessesOf(os.Getenv(testkit.RunEnv))) == 0 {
		testkit.Skip(t, "/proc")
	}
	self, err := os.Executable()
	must(t, err)
	temporary := t.TempDir()
	cmd := testkit.Command(self, "-test.run=^TestServesUntilKilled$")
	cmd.Env = append(os.Environ(), "TMPDIR="+temporary, stoppedEnv+"="+binary)
	cmd.SysProcAttr.Setpgid = true
	var said transcript
	cmd.Stdout, cmd.Stderr = &said, &said
	must(t, cmd.Start())
	var folder string
	eventually(t, func() error {
		folders, err := filepath.Glob(filepath.Join(temporary, "*"))
		// the test itself, its guard and a server with a child
		if len(folders) != 1 || len(testkit.ProcessesOf(folders[0])) < 3 {
			return fmt.Errorf("the run has begun no server: %q, %v\n%s", folders, err, said.String())
		}
		folder = folders[0]
		return nil
	})
	must(t, cmd.Process.Kill())
	_ = cmd.Wait()
	eventually(t, func() error {
		if left := testkit.ProcessesOf(folder); len(left) > 0 {
			return fmt.Errorf("processes %d run on", left)
		}
		if _, err := os.Stat(folder); err == nil {
			return fmt.Errorf("%s remains", folder)
		}
		return nil
	})
}

// stoppedEnv has TestServesUntilKilled serve; its value is the server's binary.
const stoppedEnv = "EVHTTPD_TEST_STOPPED"

// TestServesUntilKilled is run by TestStoppedRunLeavesNothing alone.
func TestServesUntilKilled(t *testing.T) {
	if os.Getenv(stoppedEnv) == "" {
		return
	}
	// The server is not the test's own child, so that only the guard can end it.
	launch(t, testkit.Command("sh", "-c", `"$@" & wait`, "sh", binary, "serve", t.TempDir(),
		"--listen", "127.0.0.1:0", "--access-log", "off"))
	select {}
}
