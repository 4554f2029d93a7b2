// Package listener opens the sockets that a server listens on, takes over those
// that it was started with, and passes them on: to the next configuration, to the
// loops, and to the process that takes this one's place.
//
// It imports internal/config for the addresses, socket for the calls
// and model for the form in which loops get them.
package listener

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/internal/config"
	"github.com/evhttpd/evhttpd/model"
	"github.com/evhttpd/evhttpd/socket"
)

// Listener is one address that is listened on, by as many sockets as loops accept from it with SO_REUSEPORT, or by
// one that they share. It is not changed once it serves: a reload makes another one of the same sockets.
type Listener struct {
	key     string         // the address as it is configured; if a name stands for several addresses, all have the name
	addr    netip.AddrPort // not valid for a Unix socket
	unix    string         // the path of a Unix socket; empty for TCP
	file    os.FileInfo    // the file of a Unix socket; nil if there is none, or the file is not ours to remove
	foreign bool           // the sockets are systemd's: their number is not ours to change
	sockets []int
}

// RemoveFile removes a Unix socket's file, unless another file is in its place.
func (l *Listener) RemoveFile() error {
	if info, err := os.Lstat(l.unix); l.file != nil && err == nil && os.SameFile(info, l.file) {
		return os.Remove(l.unix)
	}
	return nil
}

// reachable reports whether clients can reach it: for a Unix socket of ours, whether its file is there.
func (l *Listener) reachable() bool {
	if l.unix == "" || l.foreign {
		return true
	}
	info, err := os.Lstat(l.unix)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return l.file != nil // a file system that fails does not say that the file is gone
	}
	return err == nil && l.file != nil && os.SameFile(info, l.file)
}

// Reachable reports whether clients can reach all of the listeners. The file of a Unix socket may have been removed;
// Open makes it again.
func Reachable(all []*Listener) bool {
	return !slices.ContainsFunc(all, func(l *Listener) bool { return !l.reachable() })
}

// Close closes the sockets that are in from and not in to. With unlink it removes the files of Unix sockets of which
// no socket is left; without, they stay for another process that listens on the same sockets.
func Close(from, to []*Listener, unlink bool) error {
	kept := make(map[int]bool)
	for _, l := range to {
		for _, fd := range l.sockets {
			kept[fd] = true
		}
	}
	var errs []error
	for _, l := range from {
		if unlink && len(l.sockets) > 0 && !kept[l.sockets[0]] {
			errs = append(errs, l.RemoveFile()) // first, so that a client which comes now is refused
		}
		for _, fd := range l.sockets {
			if !kept[fd] {
				errs = append(errs, unix.Close(fd))
			}
		}
	}
	return errors.Join(errs...)
}

// Gone lists the listeners of from that have no socket in to.
func Gone(from, to []*Listener) (rest []*Listener) {
	for _, l := range from {
		if !slices.ContainsFunc(to, func(t *Listener) bool { return slices.Contains(t.sockets, l.sockets[0]) }) {
			rest = append(rest, l)
		}
	}
	return rest
}

// SameOptions reports whether two configurations ask for the same options of listeners that both have.
func SameOptions(a, b *config.Config) bool {
	return a.Backlog == b.Backlog && a.DeferAccept == b.DeferAccept && a.UnixMode == b.UnixMode
}

// Retune sets the options of sockets that are kept to what the configuration says.
func Retune(cfg *config.Config, listeners []*Listener) error {
	var errs []error
	for _, l := range listeners {
		for _, fd := range l.sockets {
			if l.unix == "" {
				errs = append(errs, tune(fd, cfg.DeferAccept))
			}
			errs = append(errs, unix.Listen(fd, cfg.Backlog)) // again: only the backlog changes
		}
		if l.file != nil {
			errs = append(errs, os.Chmod(l.unix, cfg.UnixMode))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("changing the listeners' options: %w", err)
	}
	return nil
}

// Share deals the sockets out to the loops. An address that has several gives each loop one of its own, and those
// that are left over go to the first loops again. An address that has a single socket is shared by all loops, and
// with shared every address is.
func Share(listeners []*Listener, loops int, shared bool) [][]model.Listener {
	lists := make([][]model.Listener, loops)
	for _, l := range listeners {
		if len(l.sockets) == 1 || shared {
			for i := range lists {
				for _, fd := range l.sockets {
					lists[i] = append(lists[i], model.Listener{FD: fd, Shared: loops > 1})
				}
			}
			continue
		}
		for i, fd := range l.sockets {
			lists[i%loops] = append(lists[i%loops], model.Listener{FD: fd})
		}
		for i := len(l.sockets); i < loops; i++ { // fewer sockets than loops: an inherited listener's
			lists[i] = append(lists[i], model.Listener{FD: l.sockets[i%len(l.sockets)], Shared: true})
		}
	}
	return lists
}

// Duplicate returns a listener of package net over a duplicate of the socket.
func (l *Listener) Duplicate() (net.Listener, error) {
	ln, err := socket.Duplicate(l.sockets[0], net.FileListener)
	if err != nil {
		err = fmt.Errorf("listen %s: %w", l.Where(), err)
	}
	return ln, err
}
