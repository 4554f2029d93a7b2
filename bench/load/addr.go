package load

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Addr is where a server listens: an IP address and a port, or the path of a
// Unix socket. The zero Addr is neither and is refused.
type Addr struct {
	tcp  netip.AddrPort
	path string
}

// TCP is the address of a TCP server.
func TCP(a netip.AddrPort) Addr {
	return Addr{tcp: netip.AddrPortFrom(a.Addr().Unmap(), a.Port())}
}

// Unix is the address of a server behind a Unix socket. A path that begins with @ is in
// Linux's abstract namespace (unix(7)).
func Unix(path string) Addr { return Addr{path: path} }

// TCP returns the IP address and port; false for a Unix socket.
func (a Addr) TCP() (netip.AddrPort, bool) { return a.tcp, a.path == "" && a.valid() }

// Unix returns the path; false for TCP.
func (a Addr) Unix() (string, bool) { return a.path, a.path != "" }

// String is the address as it stands in messages.
func (a Addr) String() string {
	network, address := a.dialed()
	return strings.TrimPrefix(network+":", "tcp:") + address
}

func (a Addr) valid() bool { return a.path != "" || a.tcp.IsValid() && a.tcp.Port() != 0 }

// dialed are the network and the address as package net dials them.
func (a Addr) dialed() (network, address string) {
	if a.path != "" {
		return "unix", a.path
	}
	return "tcp", a.tcp.String()
}

// host is the Host field of requests to a server of which nothing but the address is known.
func (a Addr) host() string {
	if a.path != "" {
		return "localhost"
	}
	return a.tcp.String()
}

// family is the address family as socket(2) takes it.
func (a Addr) family() int {
	switch {
	case a.path != "":
		return unix.AF_UNIX
	case a.tcp.Addr().Is4():
		return unix.AF_INET
	default:
		return unix.AF_INET6
	}
}

// sockaddr is the address as connect(2) takes it. Each loop has its own, since connecting writes to it.
func (a Addr) sockaddr() unix.Sockaddr {
	port, ip := int(a.tcp.Port()), a.tcp.Addr()
	switch {
	case a.path != "":
		return &unix.SockaddrUnix{Name: a.path}
	case ip.Is4():
		return &unix.SockaddrInet4{Port: port, Addr: ip.As4()}
	default:
		return &unix.SockaddrInet6{Port: port, Addr: ip.As16(), ZoneId: zone(ip.Zone())}
	}
}

// zone is the number of an IPv6 zone, which is an interface's name or its index.
func zone(name string) uint32 {
	if name == "" {
		return 0
	}
	if i, err := net.InterfaceByName(name); err == nil {
		return uint32(i.Index)
	}
	var index uint32
	if _, err := fmt.Sscan(name, &index); err != nil {
		return 0
	}
	return index
}

// URL is where a request goes and what it asks for.
type URL struct {
	Host string // the Host field
	Path string // the request target: an absolute path, escaped, with its query

	socket string // path of a Unix socket; empty: Host and port are looked up
	port   string
	name   string // of the host, without brackets
}

// ParseURL reads http://HOST[:PORT][/PATH][?QUERY]. A Unix socket is
// written as in nginx's proxy_pass: http://unix:/PATH/OF/SOCKET[:/PATH].
func ParseURL(text string) (URL, error) {
	if rest, ok := strings.CutPrefix(text, "http://unix:"); ok {
		return parseUnixURL(rest)
	}
	u, err := url.Parse(text)
	switch {
	case err == nil && u.Scheme == "https":
		return URL{}, errors.New("TLS is not measured: give the server's http:// address")
	case err == nil && u.User != nil:
		return URL{}, errors.New("a URL with a name and password is not taken: give the Authorization field")
	case err != nil || u.Scheme != "http" || u.Hostname() == "" || u.Opaque != "":
		return URL{}, errors.New("want http://HOST[:PORT][/PATH] or http://unix:/SOCKET[:/PATH]")
	}
	port := cmp.Or(u.Port(), "80")
	if _, err := netip.ParseAddrPort("127.0.0.1:" + port); err != nil || port == "0" {
		return URL{}, fmt.Errorf("%s is not a port: want 1 to 65535", port)
	}
	return URL{Host: u.Host, Path: requestTarget(u), port: port, name: u.Hostname()}, nil
}

// parseUnixURL reads what follows "http://unix:".
func parseUnixURL(rest string) (URL, error) {
	socket, path := rest, "/"
	if at := strings.Index(rest, ":/"); at >= 0 {
		socket, path = rest[:at], rest[at+1:]
	}
	u, err := url.Parse("http://localhost" + path)
	if err != nil || !strings.HasPrefix(socket, "/") && !strings.HasPrefix(socket, "@") {
		return URL{}, errors.New("want http://unix:/SOCKET[:/PATH]")
	}
	return URL{Host: "localhost", Path: requestTarget(u), socket: socket}, nil
}

// requestTarget is the path and query in origin form (RFC 9112 section 3.2.1).
func requestTarget(u *url.URL) string {
	target := cmp.Or(u.EscapedPath(), "/")
	if u.RawQuery != "" || u.ForceQuery {
		target += "?" + u.RawQuery
	}
	return target
}

// SameServer reports whether both URLs name the same server.
func (u URL) SameServer(o URL) bool {
	return u.Host == o.Host && u.port == o.port && u.socket == o.socket
}

// WithSocket is u, asked for over the Unix socket at that path.
func (u URL) WithSocket(path string) URL {
	u.socket = path
	return u
}

// findMax bounds the time in which an address of a server is found.
const findMax = 10 * time.Second

// Find looks the server's addresses up and returns the one that takes a
// connection, which is closed without a request. A name may have addresses
// of both families of which the server listens at one, so the others are tried as RFC 8305
// describes it (net.Dialer).
func (u URL) Find(ctx context.Context) (Addr, error) {
	if u.socket != "" {
		a := Unix(u.socket)
		return a, a.Try(ctx)
	}
	return u.find(ctx, &net.Dialer{})
}

func (u URL) find(ctx context.Context, dialer *net.Dialer) (Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, findMax)
	defer cancel()
	c, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(u.name, u.port))
	if err != nil {
		return Addr{}, fmt.Errorf("no address of %s takes a connection: %w", u.Host, err)
	}
	peer := c.RemoteAddr().(*net.TCPAddr).AddrPort()
	return TCP(peer), c.Close()
}

// Try connects to the address once and closes the connection: nil says that somebody listens there.
func (a Addr) Try(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, findMax)
	defer cancel()
	network, address := a.dialed()
	c, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return err
	}
	return c.Close()
}
