// Package proxyproto reads the header of the PROXY protocol, by which a proxy that only moves
// bytes says whose they are: https://www.haproxy.org/download/2.8/doc/proxy-protocol.txt.
// Section numbers below are of that text.
//
// It imports only pure packages of the standard library.
package proxyproto

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"net/netip"
	"strconv"
	"strings"
	"sync"
)

const (
	// textMax is the longest header of version 1, with its CRLF (section 2.1).
	textMax = 107
	// binaryMax bounds one of version 2. 536 bytes are what the protocol has in mind;
	// a TLS client's names make it longer, and a proxy's own additions.
	binaryMax = 4 << 10

	textStart = "PROXY "
	signature = "\r\n\r\n\x00\r\nQUIT\n"
)

// Error is what is wrong with a header.
type Error struct {
	Rule    string
	Section string // of the protocol's text
	At      int    // the offset of the byte
}

// at is a copy of the error for one place.
func (e Error) at(offset int) *Error {
	e.At = offset
	return &e
}

// ErrMissing is for bytes which are no header.
var ErrMissing = &Error{Rule: "no PROXY protocol header", Section: "2"}

var (
	errText     = Error{Rule: "bad PROXY protocol header, version 1", Section: "2.1"}
	errBinary   = Error{Rule: "bad PROXY protocol header, version 2", Section: "2.2"}
	errLong     = Error{Rule: "PROXY protocol header over 4096 bytes", Section: "2.2"}
	errChecksum = Error{Rule: "bad checksum of the PROXY protocol header", Section: "2.2.3"}
)

var castagnoli = sync.OnceValue(func() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) })

// Begins reports whether the bytes, which are no request, are a header of the protocol.
func Begins(in []byte) bool {
	return bytes.HasPrefix(in, []byte(textStart+"TCP")) || bytes.HasPrefix(in, []byte(textStart+"UNKNOWN")) ||
		bytes.HasPrefix(in, []byte(signature[:5]))
}

// Parse reads the header at the start of in. size is its length, 0 if not all of it is there. An
// invalid source: the header does not say whose the connection is, or the connection is the proxy's own.
func Parse(in []byte) (source netip.AddrPort, size int, bad *Error) {
	switch {
	case len(in) == 0:
		return netip.AddrPort{}, 0, nil
	case in[0] == textStart[0]:
		return parseText(in)
	default:
		return parseBinary(in)
	}
}

// parseText reads a header of version 1:
//
//	PROXY TCP4 192.0.2.1 198.51.100.1 51234 80
func parseText(in []byte) (source netip.AddrPort, size int, bad *Error) {
	if n := min(len(in), len(textStart)); string(in[:n]) != textStart[:n] {
		return netip.AddrPort{}, 0, ErrMissing
	}
	line := in[:min(len(in), textMax)]
	end := bytes.IndexByte(line, '\n')
	switch {
	case end < 0 && len(line) < textMax:
		return netip.AddrPort{}, 0, nil
	case end < 0 || line[end-1] != '\r':
		return netip.AddrPort{}, 0, errText.at(max(end, 0))
	}
	words := strings.Split(string(line[len(textStart):end-1]), " ")
	if words[0] == "UNKNOWN" { // whatever follows
		return netip.AddrPort{}, end + 1, nil
	}
	if len(words) == 5 {
		from, ok := endpoint(words[0], words[1], words[3])
		_, ok2 := endpoint(words[0], words[2], words[4])
		if ok && ok2 {
			return from, end + 1, nil
		}
	}
	return netip.AddrPort{}, 0, errText.at(len(textStart))
}

// endpoint reads an address of that family and a port, which has no leading zeros.
func endpoint(family, address, port string) (netip.AddrPort, bool) {
	ip, err := netip.ParseAddr(address)
	if err != nil || ip.Zone() != "" || !(family == "TCP4" && ip.Is4() || family == "TCP6" && ip.Is6()) {
		return netip.AddrPort{}, false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || port[0] == '0' && port != "0" {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(ip.Unmap(), uint16(n)), true
}

// parseBinary reads a header of version 2: a signature, version and
// command, family and transport, the length of the rest; then the addresses, then TLVs.
func parseBinary(in []byte) (source netip.AddrPort, size int, bad *Error) {
	const fixed = len(signature) + 4
	if n := min(len(in), len(signature)); string(in[:n]) != signature[:n] {
		return netip.AddrPort{}, 0, ErrMissing
	}
	if len(in) > len(signature) && in[12] != 0x20 && in[12] != 0x21 {
		return netip.AddrPort{}, 0, errBinary.at(12)
	}
	if len(in) < fixed {
		return netip.AddrPort{}, 0, nil
	}
	size = fixed + int(binary.BigEndian.Uint16(in[14:]))
	switch {
	case size > binaryMax:
		return netip.AddrPort{}, 0, errLong.at(14)
	case len(in) < size:
		return netip.AddrPort{}, 0, nil
	case in[12] == 0x20: // LOCAL: the rest is to be ignored (section 2.2)
		return netip.AddrPort{}, size, nil
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
		return netip.AddrPort{}, 0, errBinary.at(13)
	}
	if len(block) < addresses {
		return netip.AddrPort{}, 0, errBinary.at(14)
	}
	switch addresses {
	case 12:
		source = netip.AddrPortFrom(netip.AddrFrom4([4]byte(block)), binary.BigEndian.Uint16(block[8:]))
	case 36:
		source = netip.AddrPortFrom(netip.AddrFrom16([16]byte(block)).Unmap(), binary.BigEndian.Uint16(block[32:]))
	}
	if bad := checkTLVs(in[:size], fixed+addresses); bad != nil {
		return netip.AddrPort{}, 0, bad
	}
	return source, size, nil
}

// checkTLVs walks what follows the addresses, from that byte: types and
// values. Only the checksum (section 2.2.3) is looked at: no other says who the client is.
func checkTLVs(header []byte, at int) *Error {
	const typeChecksum = 0x03
	for at < len(header) {
		if len(header)-at < 3 {
			return errBinary.at(at)
		}
		value := at + 3
		next := value + int(binary.BigEndian.Uint16(header[at+1:]))
		if next > len(header) {
			return errBinary.at(at)
		}
		if header[at] == typeChecksum {
			if next-value != 4 {
				return errBinary.at(at)
			}
			// Of the header with zeros in the checksum's place.
			sum := crc32.Update(0, castagnoli(), header[:value])
			sum = crc32.Update(sum, castagnoli(), make([]byte, 4))
			sum = crc32.Update(sum, castagnoli(), header[next:])
			if sum != binary.BigEndian.Uint32(header[value:]) {
				return errChecksum.at(value)
			}
		}
		at = next
	}
	return nil
}
