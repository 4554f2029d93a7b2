package listener

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// String returns the address as it may be written in the configuration.
func (l *Listener) String() string {
	if l.unix != "" {
		return "unix:" + l.unix
	}
	return l.addr.String()
}

// Where returns the address in the words of the start-up lines.
func (l *Listener) Where() string {
	if l.unix != "" {
		return "unix:" + l.unix
	}
	return l.url()
}

// Origin says in an event what was inherited: the address as the other process has it, and where that is.
func (l *Listener) Origin() string {
	if l.addr != (netip.AddrPort{}) {
		return l.key + " (" + l.addr.String() + ")"
	}
	return l.key
}

// url returns the URL by which a browser finds it; for a Unix socket, the empty string.
func (l *Listener) url() string {
	if l.unix != "" {
		return ""
	}
	host := "localhost"
	if ip := l.addr.Addr(); !ip.IsUnspecified() {
		host = strings.Replace(ip.String(), "%", "%25", 1) // a zone's sign in a URL (RFC 6874)
	}
	authority := net.JoinHostPort(host, strconv.Itoa(int(l.addr.Port())))
	return "http://" + strings.TrimSuffix(authority, ":80") + "/"
}

// RemoteURLs returns the URLs by which other machines find a listener that is not bound to one address. They have, of
// each family, the address from which packets to the rest of the address would be sent.
func (l *Listener) RemoteURLs() []string {
	if l.unix != "" || !l.addr.Addr().IsUnspecified() {
		return nil
	}
	outside := []string{"192.0.2.1:9", "[2001:db8::1]:9"} // documentation's addresses (RFC 5737, RFC 3849)
	if l.addr.Addr().Is4() {
		outside = outside[:1]
	}
	var urls []string
	for _, address := range outside {
		c, err := net.Dial("udp", address) // asks the routing table; sends nothing
		if err != nil {
			continue // no route
		}
		ip := c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
		c.Close()
		if ip.IsGlobalUnicast() {
			remote := Listener{addr: netip.AddrPortFrom(ip, l.addr.Port())}
			urls = append(urls, remote.url())
		}
	}
	return urls
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

// overlap reports whether a packet may be for both of the addresses. The unspecified address of IPv6 stands for those
// of IPv4 too (see bindTCP).
func overlap(a, b netip.AddrPort) bool {
	covers := func(wide, ip netip.Addr) bool { return wide.IsUnspecified() && (wide.Is6() || ip.Is4()) }
	return a.Port() == b.Port() && (a.Addr().WithZone("") == b.Addr().WithZone("") ||
		covers(a.Addr(), b.Addr()) || covers(b.Addr(), a.Addr()))
}
