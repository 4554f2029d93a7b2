package config

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Address is where to listen.
type Address struct {
	Host    string // name or address; empty: every IPv4 and IPv6 address
	Port    uint16 // 0: one that the kernel chooses
	Unix    string // path of a Unix socket, instead of the others
	Systemd string // name of sockets that systemd passes (LISTEN_FDNAMES), instead of the others
}

// String returns the address as it is written in the configuration.
func (a Address) String() string {
	switch {
	case a.Unix != "":
		return "unix:" + a.Unix
	case a.Systemd != "":
		return "systemd:" + a.Systemd
	case strings.Contains(a.Host, ":"):
		return "[" + a.Host + "]:" + strconv.Itoa(int(a.Port))
	default:
		return a.Host + ":" + strconv.Itoa(int(a.Port))
	}
}

// errAddress is what is right, for every way to be wrong.
var errAddress = errors.New("want host:port, [v6]:port, a port, unix:PATH or systemd:NAME")

// ParseAddress reads host:port, [v6]:port, a port, unix:PATH or systemd:NAME.
func ParseAddress(s string) (Address, error) {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		if path == "" {
			return Address{}, fmt.Errorf("%q: no path: %w", s, errAddress)
		}
		return Address{Unix: path}, nil
	}
	if name, ok := strings.CutPrefix(s, "systemd:"); ok {
		// FileDescriptorName= of systemd.socket(5): up to 255 printable ASCII characters but colons.
		if name == "" || len(name) > 255 || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == ':' }) {
			return Address{}, fmt.Errorf("%q: no name of a systemd socket: %w", s, errAddress)
		}
		return Address{Systemd: name}, nil
	}
	if s == "" {
		return Address{}, fmt.Errorf("%q: %w", s, errAddress)
	}
	host, port := "", s
	if i := strings.LastIndexByte(s, ':'); i >= 0 {
		host, port = s[:i], s[i+1:]
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return Address{}, fmt.Errorf("%q: the port is not a number from 0 to 65535: %w", s, errAddress)
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, closed := strings.CutSuffix(inner, "]")
		if ip, err := netip.ParseAddr(inner); err != nil || !closed || !ip.Is6() {
			return Address{}, fmt.Errorf("%q: no IPv6 address between the brackets: %w", s, errAddress)
		}
		host = inner
	} else if strings.Contains(host, ":") {
		return Address{}, fmt.Errorf("%q: an IPv6 address goes in brackets: %w", s, errAddress)
	} else if strings.ContainsAny(host, "/ \t@") {
		return Address{}, fmt.Errorf("%q: %q is no host: %w", s, host, errAddress)
	}
	return Address{Host: host, Port: uint16(n)}, nil
}
