package test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// terminal opens a pseudo-terminal and returns both ends: the window's, and the programs'.
func terminal(t *testing.T) (window, inside *os.File) {
	t.Helper()
	window, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	must(t, err)
	raw, err := window.SyscallConn()
	must(t, err)
	var number int
	must(t, raw.Control(func(fd uintptr) {
		if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err == nil {
			number, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	}))
	must(t, err)
	inside, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	must(t, err)
	return window, inside
}

// TestHangup: a server in a terminal's foreground stops in order when the
// terminal is closed; one with a configuration file, or without a terminal, reloads.
func TestHangup(t *testing.T) {
	root := t.TempDir()
	content := pattern(slowBytes, 10)
	write(t, root, "large", content)
	flags := []string{"serve", root, "--listen", "127.0.0.1:0", "--access-log", "off"}
	t.Run("terminal", func(t *testing.T) {
		window, inside := terminal(t)
		cmd := testkit.Command(binary, flags...)
		cmd.Stdin = inside
		cmd.SysProcAttr.Setsid, cmd.SysProcAttr.Setctty = true, true
		s := launch(t, cmd)
		must(t, inside.Close())
		c, first := s.beginDownload(t, "/large")
		must(t, window.Close())
		s.waitRefusal(t)
		_, begun, _ := bytes.Cut(first, []byte("\r\n\r\n"))
		got := make([]byte, len(content))
		if n, err := io.ReadFull(c, got[copy(got, begun):]); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%d bytes more, not the file, %v", n, err)
		}
		c.Close() // else the server waits for one more request until the deadline
		if code := s.wait(t); code != 0 {
			t.Errorf("exit code %d\n%s", code, s.stderr.String())
		}
	})
	t.Run("terminal and file", func(t *testing.T) {
		window, inside := terminal(t)
		config := root + ".yaml"
		must(t, os.WriteFile(config, []byte(yamlOf(root)), 0o600))
		cmd := testkit.Command(binary, "serve", "--config", config)
		cmd.Stdin = inside
		cmd.SysProcAttr.Setsid, cmd.SysProcAttr.Setctty = true, true
		s := launch(t, cmd)
		t.Cleanup(func() { s.stop(t) })
		must(t, inside.Close())
		must(t, window.Close())
		s.says(t, `"reloaded"`)
	})
	t.Run("no terminal", func(t *testing.T) {
		s := start(t, variant{Model: "auto", Trigger: "auto"}, root)
		s.signal(t, syscall.SIGHUP)
		s.says(t, `"reloaded"`)
	})
}

// says waits for the server's words.
func (s *server) says(t *testing.T, words string) {
	t.Helper()
	eventually(t, func() error {
		if text := s.stderr.String(); !strings.Contains(text, words) {
			return fmt.Errorf("it does not say %q:\n%s", words, text)
		}
		return nil
	})
}

// TestUpgradeRefusedAsFirst: process 1 of a container refuses to be replaced, in one line, since the container ends
// with it.
func TestUpgradeRefusedAsFirst(t *testing.T) {
	root, _ := site(t)
	cmd := testkit.Command(tool(t, "unshare"), "--user", "--map-root-user", "--pid", "--fork", "--kill-child", "true")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Logf("%v %s", err, out)
		testkit.Skip(t, "user namespaces")
	}
	s := launch(t, testkit.Command(cmd.Path, "--user", "--map-root-user", "--pid", "--fork", "--kill-child", binary,
		"serve", root, "--listen", "127.0.0.1:0", "--access-log", "off"))
	t.Cleanup(func() {
		s.cmd.Process.Kill()
		<-s.exited
	})
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", s.cmd.Process.Pid))
	must(t, err)
	var first int
	_, err = fmt.Sscan(string(text), &first)
	must(t, err)
	must(t, syscall.Kill(first, syscall.SIGUSR2))
	s.says(t, "not upgraded: as process 1")
	if a := s.get(t, "/small"); a.status != 200 {
		t.Errorf("status %d", a.status)
	}
}
