package listener

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/internal/config"
	"github.com/evhttpd/evhttpd/socket"
)

// SharesPorts reports whether several sockets can share one port here, and the kernel deals connections out to them.
var SharesPorts = sync.OnceValue(func() bool { return reusePort != 0 && !LacksReusePort() })

// LacksReusePort reports whether the kernel, or a filter before it, refuses an option that this system has.
var LacksReusePort = sync.OnceValue(func() bool {
	if reusePort == 0 {
		return false
	}
	fd, err := socket.New(unix.AF_INET)
	if err != nil {
		return false // opening a listener says why
	}
	defer unix.Close(fd)
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, reusePort, 1) != nil
})

// listenTCP opens the sockets of one address. The first takes the port for itself alone, unless a socket of ours has
// it already. Then others may join it, now or at a later reload.
func (o *opening) listenTCP(addr netip.AddrPort) (*Listener, error) {
	for _, l := range o.all {
		if l.unix == "" && l.addr == addr && addr.Port() != 0 {
			return nil, fmt.Errorf("listen %s: %s has it already: leave one out", addr, l.key)
		}
	}
	l := &Listener{addr: addr}
	sockets, joins := o.sockets, o.ours(addr)
	if joins && occupied(addr, slices.Concat(o.old, o.all)) {
		return nil, listenError(addr, unix.EADDRINUSE)
	}
	if !SharesPorts() {
		sockets = 1
	}
	for range sockets {
		fd, err := socketTCP(o.cfg, l.addr, joins)
		joins = true
		if err == nil {
			l.sockets = append(l.sockets, fd)
			l.addr, err = boundTo(fd)
		}
		if err != nil {
			return nil, errors.Join(listenError(addr, err), Close([]*Listener{l}, nil, true))
		}
	}
	return l, nil
}

// probe reports whether another process listens on addr, by an error.
func probe(addr netip.AddrPort) error {
	if addr.Port() == 0 {
		return nil
	}
	fd, err := bindTCP(addr, false)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// socketTCP returns a listening socket. It joins others of ours that have the port, or else it is the only one.
//
// A socket that is to be the only one is bound without SO_REUSEPORT: with that option the kernel would not say that
// another server of the same user listens there, and would give each of them half of the connections. It gets the
// option when it listens, so that others of ours can join it. Of two servers that start in the same moment at most
// one so gets the port. Where the option comes too late then (FreeBSD), the port is probed before.
func socketTCP(cfg *config.Config, addr netip.AddrPort, joins bool) (int, error) {
	if !joins && SharesPorts() && !sharesLater {
		if err := probe(addr); err != nil {
			return -1, err
		}
	}
	fd, err := bindTCP(addr, SharesPorts() && (joins || !sharesLater))
	if err != nil {
		return -1, err
	}
	if err = tune(fd, cfg.DeferAccept); err == nil {
		err = os.NewSyscallError("listen", unix.Listen(fd, cfg.Backlog))
	}
	if err == nil && sharesLater && SharesPorts() {
		err = os.NewSyscallError("SO_REUSEPORT", unix.SetsockoptInt(fd, unix.SOL_SOCKET, reusePort, 1))
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// bindTCP returns a bound socket.
func bindTCP(addr netip.AddrPort, reuse bool) (int, error) {
	family, sa, err := sockaddr(addr)
	if err != nil {
		return -1, err
	}
	fd, err := socket.New(family)
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	set := func(level, option, value int) {
		if err == nil {
			err = unix.SetsockoptInt(fd, level, option, value)
		}
	}
	set(unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	if family == unix.AF_INET6 {
		only := 1
		if addr.Addr().IsUnspecified() {
			only = 0 // IPv4 too, whatever net.ipv6.bindv6only says
		}
		set(unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only)
	}
	if reuse {
		set(unix.SOL_SOCKET, reusePort, 1)
	}
	if err == nil {
		err = unix.Bind(fd, sa)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// listenError says what to do about the usual failures.
func listenError(addr netip.AddrPort, err error) error {
	hint := ""
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		hint = "; another process has this port: stop it, or choose another port with --listen"
	case errors.Is(err, unix.EACCES):
		hint = "; ports below 1024 need CAP_NET_BIND_SERVICE: choose one above with --listen"
	case errors.Is(err, unix.EADDRNOTAVAIL):
		hint = "; no interface of this machine has this address"
	}
	return fmt.Errorf("listen %s: %w%s", addr, err, hint)
}
