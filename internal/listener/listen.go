// Package listener opens the sockets that a server listens on, takes over those
// that it was started with, and passes them on: to the next configuration, to the
// loops, and to the process that takes this one's place.
//
// It imports internal/config for the addresses, socket for the calls
// and model for the form in which loops get them.
package listener

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/internal/config"
	"github.com/evhttpd/evhttpd/model"
	"github.com/evhttpd/evhttpd/socket"
)

// Listener is one address that is listened on, by as many sockets as loops
// accept from it with SO_REUSEPORT, or by one that they share. It is not changed
// once it serves: a reload makes another one of the same sockets.
type Listener struct {
	key     string         // the address as it is configured; that of several, if a name stands for them
	addr    netip.AddrPort // not valid for a Unix socket
	unix    string
	file    os.FileInfo // of the Unix socket; nil: there is none, or it is not ours to remove
	foreign bool        // systemd's: its number of sockets is not ours to change
	sockets []int
}

// Where is the address in the words of the start-up lines.
func (l *Listener) Where() string {
	if l.unix != "" {
		return "unix:" + l.unix
	}
	return l.url()
}

// url returns where a browser finds it, the empty string for a Unix socket.
func (l *Listener) url() string {
	if l.unix != "" {
		return ""
	}
	host := "localhost"
	if ip := l.addr.Addr(); !ip.IsUnspecified() {
		host = ip.String()
		if ip.Is6() {
			host = "[" + strings.Replace(host, "%", "%25", 1) + "]" // a zone's sign in a URL (RFC 6874)
		}
	}
	if l.addr.Port() == 80 {
		return "http://" + host + "/"
	}
	return "http://" + host + ":" + strconv.Itoa(int(l.addr.Port())) + "/"
}

// RemoveFile removes a Unix socket's file, unless somebody has put another one in its place.
func (l *Listener) RemoveFile() error {
	if l.file != nil && l.reachable() {
		return os.Remove(l.unix)
	}
	return nil
}

// reachable reports whether the file by which clients find a Unix socket of ours is there.
func (l *Listener) reachable() bool {
	if l.unix == "" || l.foreign {
		return true
	}
	info, err := os.Lstat(l.unix)
	return err == nil && l.file != nil && os.SameFile(info, l.file)
}

// Reachable reports whether clients can reach all of the listeners: the file of a Unix socket may
// have been removed, and Open makes it again.
func Reachable(all []*Listener) bool {
	return !slices.ContainsFunc(all, func(l *Listener) bool { return !l.reachable() })
}

// Close closes the sockets that are in from and not in to, and removes the
// files of Unix sockets of which none is left. unlink: else the files stay, for
// another process that listens on the same sockets.
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
			errs = append(errs, l.RemoveFile()) // first: who comes now is told that nobody is there
		}
		for _, fd := range l.sockets {
			if !kept[fd] {
				errs = append(errs, unix.Close(fd))
			}
		}
	}
	return errors.Join(errs...)
}

// Gone lists what is in from and has no socket in to.
func Gone(from, to []*Listener) (rest []*Listener) {
	for _, l := range from {
		if !slices.ContainsFunc(to, func(t *Listener) bool { return slices.Contains(t.sockets, l.sockets[0]) }) {
			rest = append(rest, l)
		}
	}
	return rest
}

// SharesPorts: several sockets can share one port here, and each gets a part of its connections.
const SharesPorts = reusePort != 0

// opening is the way from the listeners that there are to those that are configured.
type opening struct {
	cfg     *config.Config
	sockets int         // an address is to have
	old     []*Listener // there are
	all     []*Listener // kept, in part with more sockets, and opened
}

// Open returns a listener for each of the addresses. The sockets of old
// that are still wanted are kept, whatever they were opened for; others
// are opened. On an error those are closed again and old is as it was.
func Open(cfg *config.Config, addresses []config.Address, sockets int, old []*Listener) ([]*Listener, error) {
	o := &opening{cfg: cfg, sockets: sockets, old: old}
	for i, a := range addresses {
		err := fmt.Errorf("listen %s: it is there twice: leave one out", a)
		if !slices.Contains(addresses[:i], a) {
			err = o.listen(a)
		}
		if err != nil {
			return nil, errors.Join(err, Close(o.all, old, true))
		}
	}
	return o.all, nil
}

// listen listens on one configured address; a name may stand for several.
func (o *opening) listen(a config.Address) error {
	key := a.String()
	n := len(o.all)
	if err := o.keep(key, func(l *Listener) bool { return l.key == key }); err != nil || len(o.all) > n {
		return err
	}
	switch {
	case a.Systemd != "":
		return fmt.Errorf("listen %s: systemd passed no socket of that name: the socket unit has it in FileDescriptorName=, "+
			"and the name of the unit if it has none (LISTEN_FDNAMES)", a)
	case a.Unix != "":
		return o.open(key, func(l *Listener) bool { return l.unix == a.Unix }, func() (*Listener, error) { return listenUnix(o.cfg, a.Unix) })
	case isEvery(a.Host):
		err := o.openTCP(key, netip.AddrPortFrom(netip.IPv6Unspecified(), a.Port))
		if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EADDRNOTAVAIL) {
			err = o.openTCP(key, netip.AddrPortFrom(netip.IPv4Unspecified(), a.Port))
		}
		return err
	}
	return o.openHost(key, a)
}

// isEvery reports whether a host means every address, of IPv4 too.
func isEvery(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "" || err == nil && ip.Is6() && ip.IsUnspecified()
}

// addressesOf are the addresses that a host stands for: itself, or those of a name.
func addressesOf(a config.Address) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(a.Host); err == nil {
		if ip.Zone() != "" {
			n, err := zoneNumber(ip.Zone())
			if err != nil {
				return nil, fmt.Errorf("listen %s: %w", a, err)
			}
			ip = ip.WithZone(zoneName(n)) // as boundTo has it
		}
		return []netip.Addr{ip}, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookupMax)
	defer cancel()
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", a.Host)
	if err != nil {
		return nil, fmt.Errorf("listen %s: no address for the host %q: %w", a, a.Host, err)
	}
	return ips, nil
}

// openHost listens on every address of a host.
func (o *opening) openHost(key string, a config.Address) error {
	ips, err := addressesOf(a)
	if err != nil {
		return err
	}
	found := false
	var failed error
	for _, ip := range ips {
		err := o.openTCP(key, netip.AddrPortFrom(ip.Unmap(), a.Port))
		switch {
		case errors.Is(err, unix.EAFNOSUPPORT), errors.Is(err, unix.EADDRNOTAVAIL) && len(ips) > 1:
			failed = err // localhost may name ::1 on a machine without IPv6
		case err != nil:
			return err
		default:
			found = true
			a.Port = o.all[len(o.all)-1].addr.Port() // one port for all addresses of a name
		}
	}
	if !found {
		return failed
	}
	return nil
}

func (o *opening) openTCP(key string, addr netip.AddrPort) error {
	return o.open(key, func(l *Listener) bool { return l.unix == "" && l.addr == addr },
		func() (*Listener, error) { return o.listenTCP(addr) })
}

// open keeps the one of old that is meant, or opens a new one.
func (o *opening) open(key string, meant func(*Listener) bool, open func() (*Listener, error)) error {
	n := len(o.all)
	if err := o.keep(key, meant); err != nil || len(o.all) > n {
		return err
	}
	l, err := open()
	if err != nil {
		return err
	}
	l.key = key
	o.all = append(o.all, l)
	return nil
}

// keep keeps those of old that are meant and not kept for another address yet.
func (o *opening) keep(key string, meant func(*Listener) bool) error {
	for _, l := range o.old {
		if !meant(l) || !l.reachable() || len(Gone([]*Listener{l}, o.all)) == 0 {
			continue
		}
		kept := *l
		kept.key, kept.sockets = key, slices.Clone(l.sockets)
		o.all = append(o.all, &kept)
		for reusePort != 0 && l.unix == "" && !l.foreign && len(kept.sockets) < o.sockets {
			fd, err := socketTCP(o.cfg, l.addr, true)
			if err != nil {
				return listenError(l.addr, err)
			}
			kept.sockets = append(kept.sockets, fd)
		}
	}
	return nil
}

// ours reports whether a socket of ours has an address that overlaps with addr.
func (o *opening) ours(addr netip.AddrPort) bool {
	return slices.ContainsFunc(slices.Concat(o.old, o.all), func(l *Listener) bool {
		return l.unix == "" && !l.foreign && overlap(l.addr, addr)
	})
}

// overlap reports whether packets to one of the addresses may be packets to the other. The
// unspecified address of IPv6 is that of IPv4 too (see bindTCP).
func overlap(a, b netip.AddrPort) bool {
	covers := func(wide, ip netip.Addr) bool { return wide.IsUnspecified() && (wide.Is6() || ip.Is4()) }
	return a.Port() == b.Port() && (a.Addr().WithZone("") == b.Addr().WithZone("") || covers(a.Addr(), b.Addr()) || covers(b.Addr(), a.Addr()))
}

// lookupMax is how long a host's addresses are looked for.
const lookupMax = 5 * time.Second

// listenTCP opens the sockets of one address. The first takes the port for itself alone,
// unless we have it already; then others may join it, those of a later reload too.
func (o *opening) listenTCP(addr netip.AddrPort) (*Listener, error) {
	for _, l := range o.all {
		if l.unix == "" && l.addr == addr && addr.Port() != 0 {
			return nil, fmt.Errorf("listen %s: %s has it already: leave one out", addr, l.key)
		}
	}
	l := &Listener{addr: addr}
	sockets, joins := o.sockets, o.ours(addr)
	if joins && stranger(addr, slices.Concat(o.old, o.all)) {
		return nil, listenError(addr, unix.EADDRINUSE)
	}
	if !SharesPorts {
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

// probe finds out whether somebody else listens on addr.
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

// socketTCP returns a listening socket. joins: one that shares a port which is ours. Else
// nobody else may listen there, and with SO_REUSEPORT the kernel would not say that somebody does:
// another server of the same user would be given half of the connections. So the socket gets that
// option when it listens, which the kernel has granted it alone by then: of two servers that start
// in the same moment at most one does. Where that is too late (FreeBSD) the port is tried before.
func socketTCP(cfg *config.Config, addr netip.AddrPort, joins bool) (int, error) {
	if !joins && SharesPorts && !sharesLater {
		if err := probe(addr); err != nil {
			return -1, err
		}
	}
	fd, err := bindTCP(addr, SharesPorts && (joins || !sharesLater))
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
	if sharesLater {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, reusePort, 1); err != nil {
			unix.Close(fd)
			return -1, fmt.Errorf("SO_REUSEPORT: %w", err)
		}
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

// listenUnix opens a Unix socket. A file that a dead process left is replaced.
func listenUnix(cfg *config.Config, path string) (*Listener, error) {
	fail := func(err error) (*Listener, error) { return nil, fmt.Errorf("listen unix:%s: %w", path, err) }
	defer lockFolder(filepath.Dir(path))()
	if err := removeStale(path); err != nil {
		return fail(err)
	}
	fd, err := socket.New(unix.AF_UNIX)
	if err != nil {
		return fail(err)
	}
	l := &Listener{unix: path, sockets: []int{fd}}
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

// lockMax is how long a folder's lock is waited for. It is held for a moment only, but any process
// may take it, and one that keeps it is not to keep us from serving.
const lockMax = time.Second

// lockFolder keeps others that call it out of a folder until unlock is called. Of two servers that
// find the same stale socket, the second would else remove the one that the first has just made. Where there is no such lock
// (flock(2) of a folder that may not be read, or of NFS) nobody is kept out.
func lockFolder(folder string) (unlock func()) {
	fd, err := unix.Open(folder, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return func() {}
	}
	for end := time.Now().Add(lockMax); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != unix.EWOULDBLOCK && err != unix.EINTR {
			break
		}
	}
	return func() { _ = unix.Close(fd) } // with the lock
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
		ip := netip.AddrFrom16(sa.Addr)
		if sa.ZoneId != 0 {
			ip = ip.WithZone(zoneName(sa.ZoneId))
		}
		return netip.AddrPortFrom(ip, uint16(sa.Port)), nil
	default:
		return netip.AddrPort{}, fmt.Errorf("getsockname: unexpected %T", sa)
	}
}

func sockaddr(addr netip.AddrPort) (family int, sa unix.Sockaddr, err error) {
	if addr.Addr().Is4() {
		return unix.AF_INET, &unix.SockaddrInet4{Addr: addr.Addr().As4(), Port: int(addr.Port())}, nil
	}
	in6 := &unix.SockaddrInet6{Addr: addr.Addr().As16(), Port: int(addr.Port())}
	if zone := addr.Addr().Zone(); zone != "" {
		in6.ZoneId, err = zoneNumber(zone)
	}
	return unix.AF_INET6, in6, err
}

// zoneNumber is the number of an interface that is named, or numbered (RFC 4007 section 11.2).
func zoneNumber(zone string) (uint32, error) {
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n), nil
	}
	ifi, err := net.InterfaceByName(zone)
	if err != nil {
		return 0, fmt.Errorf("this machine has no interface %q", zone)
	}
	return uint32(ifi.Index), nil
}

// zoneName is the name of an interface, or its number if it has gone.
func zoneName(n uint32) string {
	if ifi, err := net.InterfaceByIndex(int(n)); err == nil {
		return ifi.Name
	}
	return strconv.FormatUint(uint64(n), 10)
}

// SameOptions reports whether two configurations ask for the same options of listeners that both have.
func SameOptions(a, b *config.Config) bool {
	return a.Backlog == b.Backlog && a.DeferAccept == b.DeferAccept && a.UnixMode == b.UnixMode
}

// Retune gives sockets that are kept what the configuration says of them.
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

// Share deals the sockets out to the loops: an address that has several gives
// each loop one of its own, spare ones going round; one that has a single socket
// is shared. shared: all are.
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
