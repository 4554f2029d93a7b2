package bench

import (
	"os/exec"
	"strings"
	"testing"
)

// TestBusyMachine: work of others beside the comparison is told of before it begins.
func TestBusyMachine(t *testing.T) {
	spin := exec.Command("sh", "-c", "while :; do :; done")
	if err := spin.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = spin.Process.Kill()
		_ = spin.Wait() // it was killed
	}()
	if text := busyNow(t.Context()); !strings.HasPrefix(text, "This machine is busy: ") {
		t.Errorf("%q", text)
	}
}
