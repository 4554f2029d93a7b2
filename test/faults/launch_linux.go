package faults

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// launchEnv is set in the environment of this program when it is run to become another one, whose calls are filtered:
// its value is the numbers of the calls that are not asked for.
const launchEnv = "EVHTTPD_FAULTS_LAUNCH"

const (
	// handFD is the launcher's end of a socket, by which it hands the kernel's descriptor over.
	handFD = 3
	// launchMax bounds what a launcher takes to hand it over.
	launchMax = 20 * time.Second
)

// init becomes the other program.
func init() {
	value, ok := os.LookupEnv(launchEnv)
	if !ok {
		return
	}
	os.Unsetenv(launchEnv)
	err := launch(value)
	text := fmt.Sprintf("faults: %s: %v\n", strings.Join(os.Args[1:], " "), err)
	_, _ = unix.Write(2, []byte(text)) // there is no other place to say it
	os.Exit(1)
}

// launch executes the program of the arguments behind a filter.
func launch(value string) error {
	allowed, err := numbers(value)
	if err != nil {
		return err
	}
	unix.CloseOnExec(handFD)
	return become(allowed, func(listener int) error {
		rights := unix.UnixRights(listener)
		if err := unix.Sendmsg(handFD, []byte{0}, rights, nil, 0); err != nil {
			return fmt.Errorf("handing the listener over: %w", err)
		}
		answer := make([]byte, 1)
		if n, err := unix.Read(handFD, answer); n != 1 {
			return fmt.Errorf("nobody answers for the kernel: %w", errors.Join(err, os.ErrClosed))
		}
		return nil
	}, os.Args[1], os.Args[1:])
}

// become executes a program in this process, behind a filter. Only the calling thread is filtered, and the others end
// with execve(2): hand runs on one that is not, since nobody answers for its calls yet.
func become(allowed []int, hand func(listener int) error, name string, args []string) error {
	runtime.LockOSThread()
	listeners, handed := make(chan int), make(chan error)
	var ready sync.WaitGroup
	ready.Add(1)
	go func() {
		runtime.LockOSThread()
		ready.Done()
		handed <- hand(<-listeners)
	}()
	ready.Wait()
	listener, err := install(allowed)
	if err != nil {
		return err
	}
	listeners <- listener
	if err := <-handed; err != nil {
		return err
	}
	return syscall.Exec(name, args, os.Environ())
}

func numbers(text string) (all []int, err error) {
	for _, word := range strings.Fields(text) {
		n, err := strconv.Atoi(word)
		if err != nil {
			return nil, fmt.Errorf("a call's number: %w", err)
		}
		all = append(all, n)
	}
	return all, nil
}

// Start starts a command behind a filter that asks for all calls but the allowed, and answers them. fault is in force
// from the first; it may be nil. The program of the test has to import this package.
func Start(cmd *exec.Cmd, allowed []int, fault *Fault) (*Supervisor, error) {
	return begin(cmd, allowed, func(s *Supervisor) { s.Set(fault) })
}

// Watch starts a command behind a filter that asks for all calls but the allowed, of it and of all that it starts, and
// lets all of them happen. watch is called for each by one goroutine, and who makes the call waits for it.
func Watch(cmd *exec.Cmd, allowed []int, watch func(c *Call)) (*Supervisor, error) {
	return begin(cmd, allowed, func(s *Supervisor) { s.watch = watch })
}

// begin starts a command with a supervisor that is set up before the first call.
func begin(cmd *exec.Cmd, allowed []int, setUp func(*Supervisor)) (*Supervisor, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("faults: socketpair: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "launcher"), os.NewFile(uintptr(pair[1]), "supervisor")
	defer ours.Close()
	cmd.Args = append([]string{self, cmd.Path}, cmd.Args[1:]...)
	cmd.Path = self
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env, launchEnv+"="+strings.Trim(fmt.Sprint(allowed), "[]"))
	cmd.ExtraFiles = []*os.File{theirs}
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		return nil, err
	}
	s, err := take(ours, cmd.Process.Pid, setUp)
	if err != nil {
		return nil, errors.Join(err, cmd.Process.Kill())
	}
	return s, nil
}

// take receives the kernel's descriptor from a launcher and begins to answer.
func take(ours *os.File, pid int, setUp func(*Supervisor)) (*Supervisor, error) {
	c, err := net.FileConn(ours)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	socket := c.(*net.UnixConn)
	if err := socket.SetDeadline(time.Now().Add(launchMax)); err != nil {
		return nil, err
	}
	rights := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := socket.ReadMsgUnix(make([]byte, 1), rights)
	if err != nil {
		return nil, fmt.Errorf("faults: the launcher hands nothing over, see its standard error: %w", err)
	}
	messages, err := unix.ParseSocketControlMessage(rights[:n])
	if err != nil || len(messages) != 1 {
		return nil, fmt.Errorf("faults: the launcher's message: %w", errors.Join(err, os.ErrInvalid))
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return nil, fmt.Errorf("faults: the launcher's descriptor: %w", err)
	}
	s := newSupervisor(fds[0], pid)
	setUp(s)
	go s.run()
	_, err = c.Write([]byte{0})
	return s, err
}

// Available says why calls of a program cannot be asked for here; nil: they can.
func Available() error {
	if _, err := auditArch(); err != nil {
		return err
	}
	// With no filter the kernel says whether it knows the flags: EFAULT (seccomp(2)).
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_NEW_LISTENER|unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, 0)
	if errno != unix.EFAULT {
		return fmt.Errorf("faults: seccomp(2) with a listener, Linux 5.19: %w", errno)
	}
	return nil
}
