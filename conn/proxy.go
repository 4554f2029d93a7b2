package conn

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"net/netip"
	"strconv"
	"strings"
	"sync"

	"github.com/evhttpd/evhttpd/http1"
)

// The PROXY protocol, by which a proxy that only moves bytes says whose they
// are: https://www.haproxy.org/download/2.8/doc/proxy-protocol.txt. Section numbers below are of that text.

const (
	// proxyTextMax is the longest header of version 1, with its CRLF (section 2.1).
	proxyTextMax = 107
	// proxyBinaryMax bounds one of version 2. 536 bytes are what the protocol has in mind;
	// a TLS client's names make it longer, and a proxy's own additions.
	proxyBinaryMax = 4 << 10

	proxyText   = "PROXY "
	proxyBinary = "\r\n\r\n\x00\r\nQUIT\n"
)

// What is wrong with it. The answer goes to the proxy, or to who speaks without one.
var (
	errProxyMissing  = http1.Error{Rule: "no PROXY protocol header, with which connections from this network begin", Source: "PROXY protocol section 2", Hint: "see proxy_protocol"}
	errProxyText     = http1.Error{Rule: "bad PROXY protocol header, version 1", Source: "PROXY protocol section 2.1"}
	errProxyBinary   = http1.Error{Rule: "bad PROXY protocol header, version 2", Source: "PROXY protocol section 2.2"}
	errProxyLong     = http1.Error{Rule: "PROXY protocol header over 4096 bytes", Source: "PROXY protocol section 2.2"}
	errProxyChecksum = http1.Error{Rule: "bad checksum of the PROXY protocol header", Source: "PROXY protocol section 2.2.3"}
	// errProxyUnexpected is for who sends a header and is not configured to.
	errProxyUnexpected = http1.Error{Rule: "a PROXY protocol header from a network that has to begin without one", Source: "PROXY protocol section 2", Hint: "see proxy_protocol"}
)

var castagnoli = sync.OnceValue(func() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) })

// takeHeader takes the PROXY header off the start of in, and has the connection
// be that client's which it names. It reports false if there is no request to go on with: more bytes are
// needed, or the connection is to end.
func (c *Conn) takeHeader(l *Workspace, in []byte) (rest []byte, ok bool) {
	source, size, bad := parseProxy(in)
	if size == 0 && bad == nil {
		return in, false
	}
	c.standing &^= awaitsHeader
	switch {
	case bad != nil:
		return c.reject(l, nil, bad, in), false
	case source == Addr{}:
		// The proxy speaks for itself, as far as we know: it is no client.
		c.standing |= weighed
	default:
		c.remote = source
		c.admit(l)
	}
	return in[size:], !c.closing
}

// unexpected puts another error in the place of bad if the bytes that are no request are a PROXY header.
func (c *Conn) unexpected(bad *http1.Error, in []byte) *http1.Error {
	if c.requests == 0 && bad.Status == 400 && (bytes.HasPrefix(in, []byte(proxyText+"TCP")) ||
		bytes.HasPrefix(in, []byte(proxyText+"UNKNOWN")) || bytes.HasPrefix(in, []byte(proxyBinary[:5]))) {
		return proxyError(&errProxyUnexpected, 0)
	}
	return bad
}

// proxyError is the error for that byte.
func proxyError(e *http1.Error, at int) *http1.Error {
	bad := *e
	bad.Status, bad.At = 400, at
	return &bad
}

// parseProxy reads the header at the start of in. size is its length, 0 if not all
// of it is there. The zero source: the header does not say whose the connection is, or it is the proxy's own.
func parseProxy(in []byte) (source Addr, size int, bad *http1.Error) {
	switch {
	case len(in) == 0:
		return Addr{}, 0, nil
	case in[0] == proxyText[0]:
		return parseProxyText(in)
	default:
		return parseProxyBinary(in)
	}
}

// parseProxyText reads a header of version 1:
//
//	PROXY TCP4 192.0.2.1 198.51.100.1 51234 80
func parseProxyText(in []byte) (source Addr, size int, bad *http1.Error) {
	if n := min(len(in), len(proxyText)); string(in[:n]) != proxyText[:n] {
		return Addr{}, 0, proxyError(&errProxyMissing, 0)
	}
	line := in[:min(len(in), proxyTextMax)]
	end := bytes.IndexByte(line, '\n')
	switch {
	case end < 0 && len(line) < proxyTextMax:
		return Addr{}, 0, nil
	case end < 0 || line[end-1] != '\r':
		return Addr{}, 0, proxyError(&errProxyText, max(end, 0))
	}
	words := strings.Split(string(line[len(proxyText):end-1]), " ")
	if words[0] == "UNKNOWN" { // whatever follows
		return Addr{}, end + 1, nil
	}
	if len(words) == 5 {
		from, ok := proxyEndpoint(words[0], words[1], words[3])
		_, ok2 := proxyEndpoint(words[0], words[2], words[4])
		if ok && ok2 {
			return AddrFrom(from), end + 1, nil
		}
	}
	return Addr{}, 0, proxyError(&errProxyText, len(proxyText))
}

// proxyEndpoint reads an address of that family and a port, which has no leading zeros.
func proxyEndpoint(family, address, port string) (netip.AddrPort, bool) {
	ip, err := netip.ParseAddr(address)
	if err != nil || ip.Zone() != "" || !(family == "TCP4" && ip.Is4() || family == "TCP6" && ip.Is6()) {
		return netip.AddrPort{}, false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || port[0] == '0' && port != "0" {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(ip, uint16(n)), true
}

// parseProxyBinary reads a header of version 2: a signature, version and
// command, family and transport, the length of the rest; then the addresses, then TLVs.
func parseProxyBinary(in []byte) (source Addr, size int, bad *http1.Error) {
	const fixed = len(proxyBinary) + 4
	if n := min(len(in), len(proxyBinary)); string(in[:n]) != proxyBinary[:n] {
		return Addr{}, 0, proxyError(&errProxyMissing, 0)
	}
	if len(in) > len(proxyBinary) && in[12] != 0x20 && in[12] != 0x21 {
		return Addr{}, 0, proxyError(&errProxyBinary, 12)
	}
	if len(in) < fixed {
		return Addr{}, 0, nil
	}
	size = fixed + int(binary.BigEndian.Uint16(in[14:]))
	switch {
	case size > proxyBinaryMax:
		return Addr{}, 0, proxyError(&errProxyLong, 14)
	case len(in) < size:
		return Addr{}, 0, nil
	case in[12] == 0x20: // LOCAL: the rest is to be ignored (section 2.2)
		return Addr{}, size, nil
	}
	block := in[fixed:size]
	addresses := 0
	switch in[13] {
	case 0x00: // unspecified
	case 0x11, 0x12: // TCP or UDP over IPv4
		addresses = 4 + 4 + 2 + 2
	case 0x21, 0x22: // over IPv6
		addresses = 16 + 16 + 2 + 2
	case 0x31, 0x32: // a Unix socket, which has no address of ours
		addresses = 108 + 108
	default:
		return Addr{}, 0, proxyError(&errProxyBinary, 13)
	}
	if len(block) < addresses {
		return Addr{}, 0, proxyError(&errProxyBinary, 14)
	}
	switch addresses {
	case 12:
		source = AddrFrom(netip.AddrPortFrom(netip.AddrFrom4([4]byte(block)), binary.BigEndian.Uint16(block[8:])))
	case 36:
		source = AddrFrom(netip.AddrPortFrom(netip.AddrFrom16([16]byte(block)), binary.BigEndian.Uint16(block[32:])))
	}
	if bad := checkProxyTLVs(in[:size], fixed+addresses); bad != nil {
		return Addr{}, 0, bad
	}
	return source, size, nil
}

// checkProxyTLVs walks what follows the addresses, from that byte: types and
// values, none of which says more than who the client is, but for the checksum (section 2.2.3).
func checkProxyTLVs(header []byte, at int) *http1.Error {
	const typeChecksum = 0x03
	for at < len(header) {
		if len(header)-at < 3 {
			return proxyError(&errProxyBinary, at)
		}
		value := at + 3
		next := value + int(binary.BigEndian.Uint16(header[at+1:]))
		if next > len(header) {
			return proxyError(&errProxyBinary, at)
		}
		if header[at] == typeChecksum {
			if next-value != 4 {
				return proxyError(&errProxyBinary, at)
			}
			// Of the header with zeros in the checksum's place.
			sum := crc32.Update(0, castagnoli(), header[:value])
			sum = crc32.Update(sum, castagnoli(), make([]byte, 4))
			sum = crc32.Update(sum, castagnoli(), header[next:])
			if sum != binary.BigEndian.Uint32(header[value:]) {
				return proxyError(&errProxyChecksum, value)
			}
		}
		at = next
	}
	return nil
}
