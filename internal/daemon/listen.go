package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/internal/config"
	"github.com/evhttpd/evhttpd/internal/socket"
	"github.com/evhttpd/evhttpd/reactor"
)

// listener is one address that is listened on, by as many sockets as loops
// accept from it with SO_REUSEPORT, or by one that they share.
type listener struct {
	addr    netip.AddrPort // not valid for a Unix socket
	unix    string
	file    os.FileInfo // of the Unix socket
	sockets []int
}

// url returns where a browser finds it, the empty string for a Unix socket.
func (l *listener) url() string {
	if l.unix != "" {
		return ""
	}
	host := "localhost"
	if ip := l.addr.Addr(); !ip.IsUnspecified() {
		host = ip.String()
		if ip.Is6() {
			host = "[" + host + "]"
		}
	}
	if l.addr.Port() == 80 {
		return "http://" + host + "/"
	}
	return "http://" + host + ":" + strconv.Itoa(int(l.addr.Port())) + "/"
}

// closeAll closes the sockets, and removes a Unix socket's file.
func (l *listener) closeAll() error {
	var errs []error
	for _, fd := range l.sockets {
		errs = append(errs, unix.Close(fd))
	}
	if l.unix != "" {
		// Unless another process has put its own there.
		if info, err := os.Lstat(l.unix); err == nil && os.SameFile(info, l.file) {
			errs = append(errs, os.Remove(l.unix))
		}
	}
	return errors.Join(errs...)
}

// listenAll opens every configured address, sockets times where it can be.
func listenAll(cfg *config.Config, sockets int) ([]*listener, error) {
	var all []*listener
	for _, a := range cfg.Listen {
		ls, err := listenOn(cfg, a, sockets)
		all = append(all, ls...)
		if err != nil {
			for _, l := range all {
				l.closeAll()
			}
			return nil, err
		}
	}
	return all, nil
}

// listenOn opens one configured address; a name may stand for several.
func listenOn(cfg *config.Config, a config.Address, sockets int) ([]*listener, error) {
	if a.Unix != "" {
		l, err := listenUnix(cfg, a.Unix)
		if err != nil {
			return nil, err
		}
		return []*listener{l}, nil
	}
	if a.Systemd != "" {
		return nil, fmt.Errorf("listen %s: sockets of systemd are not taken over yet", a)
	}
	if a.Host == "" {
		l, err := listenTCP(cfg, netip.AddrPortFrom(netip.IPv6Unspecified(), a.Port), sockets)
		if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EADDRNOTAVAIL) {
			l, err = listenTCP(cfg, netip.AddrPortFrom(netip.IPv4Unspecified(), a.Port), sockets)
		}
		if err != nil {
			return nil, err
		}
		return []*listener{l}, nil
	}
	ips, err := net.DefaultResolver.LookupNetIP(context.Background(), "ip", a.Host)
	if err != nil {
		return nil, fmt.Errorf("listen %s: no address for the host %q: %w", a, a.Host, err)
	}
	var all []*listener
	var failed error
	for _, ip := range ips {
		l, err := listenTCP(cfg, netip.AddrPortFrom(ip.Unmap(), a.Port), sockets)
		switch {
		case errors.Is(err, unix.EAFNOSUPPORT), errors.Is(err, unix.EADDRNOTAVAIL) && len(ips) > 1:
			failed = err // localhost may name ::1 on a machine without IPv6
		case err != nil:
			return all, err
		default:
			all = append(all, l)
			a.Port = l.addr.Port() // one port for all addresses of a name
		}
	}
	if len(all) == 0 {
		return nil, failed
	}
	return all, nil
}

// listenTCP opens sockets of one address.
func listenTCP(cfg *config.Config, addr netip.AddrPort, sockets int) (*listener, error) {
	l := &listener{addr: addr}
	reuse := sockets > 1 && reusePort != 0
	if !reuse {
		sockets = 1
	} else if err := probe(addr); err != nil {
		return nil, listenError(addr, err)
	}
	for range sockets {
		fd, err := socketTCP(cfg, l.addr, reuse)
		if err != nil {
			l.closeAll()
			return nil, listenError(addr, err)
		}
		l.sockets = append(l.sockets, fd)
		if l.addr, err = boundTo(fd); err != nil {
			l.closeAll()
			return nil, listenError(addr, err)
		}
	}
	return l, nil
}

// probe finds out whether somebody else listens on addr, which binding with
// SO_REUSEPORT does not tell: another server of the same user would silently
// be given half of the connections.
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

// socketTCP returns a listening socket.
func socketTCP(cfg *config.Config, addr netip.AddrPort, reuse bool) (int, error) {
	fd, err := bindTCP(addr, reuse)
	if err != nil {
		return -1, err
	}
	if err := tune(fd, cfg.DeferAccept); err != nil {
		unix.Close(fd)
		return -1, err
	}
	if err := unix.Listen(fd, cfg.Backlog); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("listen: %w", err)
	}
	return fd, nil
}

// bindTCP returns a bound socket.
func bindTCP(addr netip.AddrPort, reuse bool) (int, error) {
	family, sa := sockaddr(addr)
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

// listenUnix opens a Unix socket. A file that a dead process left is replaced.
func listenUnix(cfg *config.Config, path string) (*listener, error) {
	fail := func(err error) (*listener, error) { return nil, fmt.Errorf("listen unix:%s: %w", path, err) }
	if err := removeStale(path); err != nil {
		return fail(err)
	}
	fd, err := socket.New(unix.AF_UNIX)
	if err != nil {
		return fail(err)
	}
	l := &listener{unix: path, sockets: []int{fd}}
	if err = unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err == nil {
		if err = os.Chmod(path, cfg.UnixMode); err == nil {
			if l.file, err = os.Lstat(path); err == nil {
				err = unix.Listen(fd, cfg.Backlog)
			}
		}
	}
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, unix.ENOENT):
		err = fmt.Errorf("%w: make its directory first", err)
	}
	unix.Close(fd)
	return fail(err)
}

// removeStale makes room for a socket at path. Only a refused connect proves
// that nobody listens there: a server whose queue is full, or one that we may not
// connect to, is alive (connect(2)).
func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode()&os.ModeSocket == 0:
		return errors.New("the file exists and is no socket: remove it, or choose another path")
	}
	c, err := net.Dial("unix", path)
	switch {
	case err == nil:
		c.Close()
		return errors.New("another process listens there: stop it, or choose another path")
	case errors.Is(err, os.ErrNotExist):
		return nil // its owner has just ended
	case !errors.Is(err, unix.ECONNREFUSED):
		return fmt.Errorf("it may be another process's: %w", err)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("a stale socket cannot be removed: %w", err)
	}
	return nil
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

// boundTo returns the address that a socket is bound to.
func boundTo(fd int) (netip.AddrPort, error) {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("getsockname: %w", err)
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port)), nil
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port)), nil
	default:
		return netip.AddrPort{}, fmt.Errorf("getsockname: unexpected %T", sa)
	}
}

func sockaddr(addr netip.AddrPort) (family int, sa unix.Sockaddr) {
	if addr.Addr().Is4() {
		return unix.AF_INET, &unix.SockaddrInet4{Addr: addr.Addr().As4(), Port: int(addr.Port())}
	}
	in6 := &unix.SockaddrInet6{Addr: addr.Addr().As16(), Port: int(addr.Port())}
	if zone := addr.Addr().Zone(); zone != "" {
		if ifi, err := net.InterfaceByName(zone); err == nil {
			in6.ZoneId = uint32(ifi.Index)
		}
	}
	return unix.AF_INET6, in6
}

// share deals the sockets out to the loops: an address that has several gives
// each loop one of its own, spare ones going round; one that has a single socket is shared.
func share(listeners []*listener, loops int) [][]reactor.Listener {
	lists := make([][]reactor.Listener, loops)
	for _, l := range listeners {
		if len(l.sockets) == 1 {
			for i := range lists {
				lists[i] = append(lists[i], reactor.Listener{FD: l.sockets[0], Shared: loops > 1})
			}
			continue
		}
		for i, fd := range l.sockets {
			lists[i%loops] = append(lists[i%loops], reactor.Listener{FD: fd})
		}
	}
	return lists
}
