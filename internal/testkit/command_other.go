//go:build !linux

package testkit

import "os/exec"

// Command is exec.Command: this system kills no process because its parent has ended.
func Command(name string, args ...string) *exec.Cmd { return exec.Command(name, args...) }
