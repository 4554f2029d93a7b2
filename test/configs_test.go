package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestSystemdUnit: systemd understands every line of the unit.
func TestSystemdUnit(t *testing.T) {
	analyze := tool(t, "systemd-analyze")
	unit, err := os.ReadFile("../configs/evhttpd.service")
	if err != nil {
		t.Fatal(err)
	}
	const installed = "/usr/local/bin/evhttpd"
	if !strings.Contains(string(unit), "ExecStart="+installed+" serve ") {
		t.Fatal("the unit does not start " + installed)
	}
	// verify wants the binary to exist.
	file := filepath.Join(t.TempDir(), "evhttpd.service")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(string(unit), installed, binary)), 0o644); err != nil {
		t.Fatal(err)
	}
	if said, err := exec.Command(analyze, "verify", "--man=no", file).CombinedOutput(); err != nil || len(said) > 0 {
		t.Errorf("%v: %s", err, said)
	}
}
