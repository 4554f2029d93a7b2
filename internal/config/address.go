package config

import (
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

// wantAddress is what an address is, for every way to be wrong.
const wantAddress = "host:port, [v6]:port, a port, unix:PATH or systemd:NAME"

// badAddress is the error of an address, with what is wrong with it.
func badAddress(s, reason string) (Address, error) {
	return Address{}, fmt.Errorf("%q: %s: want %s", s, reason, wantAddress)
}

// ParseAddress reads host:port, [v6]:port, a port, unix:PATH or systemd:NAME.
func ParseAddress(s string) (Address, error) {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		if path == "" {
			return badAddress(s, "no path")
		}
		return Address{Unix: path}, nil
	}
	if name, ok := strings.CutPrefix(s, "systemd:"); ok {
		// FileDescriptorName= of systemd.socket(5): up to 255 printable ASCII characters but colons.
		if name == "" || len(name) > 255 ||
			strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == ':' }) {
			return badAddress(s, "no name of a systemd socket")
		}
		return Address{Systemd: name}, nil
	}
	if s == "" {
		return Address{}, wrong(s, wantAddress)
	}
	host, port := "", s
	if i := strings.LastIndexByte(s, ':'); i >= 0 {
		host, port = s[:i], s[i+1:]
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return badAddress(s, "the port is not a number from 0 to 65535")
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, closed := strings.CutSuffix(inner, "]")
		if ip, err := netip.ParseAddr(inner); err != nil || !closed || !ip.Is6() {
			return badAddress(s, "no IPv6 address between the brackets")
		}
		host = inner
	} else if strings.Contains(host, ":") {
		return badAddress(s, "an IPv6 address goes in brackets")
	} else if strings.ContainsAny(host, "/ \t@") {
		return badAddress(s, fmt.Sprintf("%q is no host", host))
	}
	return Address{Host: host, Port: uint16(n)}, nil
}
