package upgrade

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// script makes a program of the shell.
func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestUpgradeNeverReady: a new process that does not come to serve in time is
// ended, and what one says on its way out is the reason.
func TestUpgradeNeverReady(t *testing.T) {
	for _, c := range []struct {
		name, text string
		timeout    time.Duration
		says       string
	}{
		{"it hangs", "exec sleep 1000", 50 * time.Millisecond, "was not ready within 50ms"},
		{"it says why", "echo 'the port is taken' >&3; exec sleep 1000 3>&-", time.Minute, "the port is taken"},
		{"it ends", "exit 9", time.Minute, "exit status 9"},
		{"it closes the pipe", "exec sleep 1000 3>&-", time.Minute, "ended before it served"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := Start(script(t, c.text), os.Environ(), nil, c.timeout)
			if err != nil {
				t.Fatal(err)
			}
			if err := <-p.Result(); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %q", err, c.says)
			}
			<-p.Exited()
		})
	}
}

// TestUpgradeReady: the line that says so, and the process goes on.
func TestUpgradeReady(t *testing.T) {
	p, err := Start(script(t, "echo ready >&3; exec 3>&-; exec sleep 1000"), os.Environ(), nil, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-p.Result(); err != nil {
		t.Error(err)
	}
	select {
	case <-p.Exited():
		t.Error("it has ended")
	default:
	}
	p.End()
	<-p.Exited()
}
