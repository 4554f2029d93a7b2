package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// mountMax is how long mounting and its end may take.
	mountMax = 20 * time.Second
	// slowNice has the file system give way to the client, which measures on the same CPU.
	slowNice = 10
)

// slowProgram mounts the slow file system. It is no part of the server, which links no FUSE library.
const slowProgram = "evhttpd-slowfs"

// findSlow returns the program that mounts: the one beside binary, or in PATH; in a clone of the
// repository it is built, in the folder scratch.
func findSlow(ctx context.Context, binary, scratch string) (string, error) {
	beside := filepath.Join(filepath.Dir(binary), slowProgram)
	if _, err := os.Stat(beside); err == nil {
		return beside, nil
	}
	if path, err := exec.LookPath(slowProgram); err == nil {
		return path, nil
	}
	const source = "github.com/evhttpd/evhttpd/cmd/" + slowProgram
	built := filepath.Join(scratch, slowProgram)
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", built, source).CombinedOutput(); err != nil {
		return "", fmt.Errorf("the slow file system takes %[1]s, which is neither beside %[2]s nor in PATH, and "+
			"cannot be built here (in a clone: go build ./cmd/%[1]s): %[3]w: "+
			"%[4]s", slowProgram, binary, err, strings.TrimSpace(string(out)))
	}
	return built, nil
}

// slowMount is slowProgram at work: in a process of its own, so that its garbage is collected beside
// the client and not within it. It ends, and unmounts, with its standard input too, whatever becomes of this process.
type slowMount struct {
	cmd    *exec.Cmd
	input  io.Closer
	stderr strings.Builder
}

// mountSlow has the program mount one at dir.
func mountSlow(ctx context.Context, program, dir string, size int64, delay time.Duration) (*slowMount, error) {
	m := &slowMount{cmd: exec.Command(program, "--size", strconv.FormatInt(size, 10), "--delay", delay.String(), dir)}
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C is for the parent, which ends it in order
	m.cmd.Stderr = &m.stderr
	input, err := m.cmd.StdinPipe()
	output, err2 := m.cmd.StdoutPipe()
	if err = errors.Join(err, err2); err == nil {
		err = m.cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("the slow file system: %w", err)
	}
	m.input = input
	mounted := make(chan error, 1)
	go func() {
		_, err := bufio.NewReader(output).ReadString('\n')
		mounted <- err
	}()
	ctx, cancel := context.WithTimeout(ctx, mountMax)
	defer cancel()
	select {
	case err = <-mounted:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err == nil {
		// A user who may not change priorities goes on without that.
		_ = syscall.Setpriority(syscall.PRIO_PROCESS, m.cmd.Process.Pid, slowNice)
		return m, nil
	}
	return nil, fmt.Errorf("the slow file system: %w", errors.Join(err, m.end()))
}

// end unmounts it.
func (m *slowMount) end() error {
	late := time.AfterFunc(mountMax, func() { _ = m.cmd.Process.Kill() }) // then Wait says so
	defer late.Stop()
	err := errors.Join(m.input.Close(), m.cmd.Wait())
	if err != nil {
		return fmt.Errorf("the slow file system: %w: %s", err, strings.TrimSpace(m.stderr.String()))
	}
	return nil
}
