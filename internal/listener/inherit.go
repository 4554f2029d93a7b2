package listener

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// firstFD is the first descriptor that is passed on (sd_listen_fds(3)).
	firstFD = 3
	// inheritVariable tells a new process which listeners the process that it replaces passes on. systemd's
	// variables cannot: LISTEN_PID would have to name the new process, whose number is not known before it is there.
	inheritVariable = "EVHTTPD_INHERIT"
)

// inheritance is the value of inheritVariable.
type inheritance struct {
	Ready     int               `json:"ready"` // descriptor at which the new process says that it serves
	Listeners []inheritedSocket `json:"listeners"`
}

// inheritedSocket is one listener that is passed on.
type inheritedSocket struct {
	Address string `json:"address"` // as it is configured
	Foreign bool   `json:"foreign,omitempty"`
	Lost    bool   `json:"lost,omitempty"` // no client reaches it: another file is at the path of the Unix socket
	FDs     []int  `json:"fds"`
}

// PassOn returns the variable that tells a new process of the listeners, and the sockets that it is to have, in their
// order, by the numbers from 3 on. After them it is to have the descriptor to which it says that it serves.
func PassOn(listeners []*Listener) (variable string, fds []int, err error) {
	var passed inheritance
	for _, l := range listeners {
		one := inheritedSocket{Address: l.key, Foreign: l.foreign, Lost: !l.reachable()}
		for _, fd := range l.sockets {
			one.FDs = append(one.FDs, firstFD+len(fds))
			fds = append(fds, fd)
		}
		passed.Listeners = append(passed.Listeners, one)
	}
	passed.Ready = firstFD + len(fds)
	text, err := json.Marshal(passed)
	if err != nil {
		return "", nil, err
	}
	return inheritVariable + "=" + string(text), fds, nil
}

// Inherit returns the listeners that the process was started with, of systemd (LISTEN_FDS) or of a process that this
// one is to replace, and the descriptor to which to say that this one serves, -1 if no process waits for that. The
// variables are taken out of the environment, so that processes which this one starts do not find them.
func Inherit() (listeners []*Listener, ready int, err error) {
	ready = -1
	text := os.Getenv(inheritVariable)
	listeners, err = ofSystemd(os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS"), os.Getenv("LISTEN_FDNAMES"))
	for _, name := range []string{inheritVariable, "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID"} {
		err = errors.Join(err, os.Unsetenv(name))
	}
	if text == "" || err != nil {
		return listeners, ready, err
	}
	var from inheritance
	if err := json.Unmarshal([]byte(text), &from); err != nil {
		return nil, ready, fmt.Errorf("%s: %w: it is set for an upgrade alone; unset it", inheritVariable, err)
	}
	for _, one := range from.Listeners {
		l := &Listener{key: one.Address, foreign: one.Foreign, sockets: one.FDs}
		if err := l.learn(one.Lost); err != nil {
			return nil, ready, fmt.Errorf("%s: %w", inheritVariable, err)
		}
		listeners = append(listeners, l)
	}
	if _, err := unix.FcntlInt(uintptr(from.Ready), unix.F_SETFD, unix.FD_CLOEXEC); err != nil {
		return nil, ready, fmt.Errorf("%s: descriptor %d: %w", inheritVariable, from.Ready, err)
	}
	return listeners, from.Ready, nil
}

// ofSystemd returns the listeners that systemd has passed, by sd_listen_fds(3). They are descriptors, since an
// os.File would change the flags that other processes share.
func ofSystemd(pid, count, names string) ([]*Listener, error) {
	if pid != strconv.Itoa(os.Getpid()) {
		return nil, nil // another process's, or none
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 {
		return nil, fmt.Errorf("LISTEN_FDS is %q, no number of sockets", count)
	}
	named := strings.Split(names, ":")
	var all []*Listener
	for i := range n {
		name := "unknown" // as sd_listen_fds_with_names(3) has it
		if names != "" && i < len(named) {
			name = named[i]
		}
		l := &Listener{key: "systemd:" + name, foreign: true, sockets: []int{firstFD + i}}
		if err := l.learn(false); err != nil {
			return nil, fmt.Errorf("the socket %q of systemd: %w: want ListenStream= and Accept=no in its unit",
				name, err)
		}
		all = append(all, l)
	}
	return all, nil
}

// learn finds out where inherited sockets listen, and gives them the flags that ours have. With lost, the file at the
// path of a Unix socket is another one's.
func (l *Listener) learn(lost bool) error {
	if len(l.sockets) == 0 {
		return errors.New("a listener without sockets")
	}
	for _, fd := range l.sockets {
		if listening, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err != nil || listening == 0 {
			return errors.Join(fmt.Errorf("descriptor %d is no listening socket", fd), err)
		}
		_, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC)
		if err = errors.Join(err, unix.SetNonblock(fd, true)); err != nil {
			return fmt.Errorf("descriptor %d: %w", fd, err)
		}
	}
	sa, err := unix.Getsockname(l.sockets[0])
	if err != nil {
		return fmt.Errorf("getsockname: %w", err)
	}
	path, ok := sa.(*unix.SockaddrUnix)
	if !ok {
		l.addr, err = boundTo(l.sockets[0])
		return err
	}
	l.unix = path.Name
	if l.foreign || lost {
		return nil
	}
	l.file, err = os.Lstat(l.unix)
	if errors.Is(err, os.ErrNotExist) {
		l.file, err = nil, nil // somebody has removed it: it is made anew
	}
	return err // else it would be taken for another process's
}
