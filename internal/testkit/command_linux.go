package testkit

import (
	"os/exec"
	"syscall"
)

// Command is exec.Command, of a process that is killed when the test ends, however that ends
// (PR_SET_PDEATHSIG of prctl(2)).
func Command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}
