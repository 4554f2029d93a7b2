package http1

import "bytes"

// badAuthority returns the index of the first byte that keeps p from being
// uri-host [ ":" port ] (RFC 9110 section 7.2, RFC 3986 section 3.2.2), -1 if it is. The port may
// be empty, and so may all of it.
//
// Of what the RFCs have for a host, that is refused which can be no name and no address: an empty label
// (".", "a..b"; one dot may stand at the end), a port alone (RFC 9110 section 4.2.1), and percent-encoding, which
// some servers decode before they look for the site and others do not.
func badAuthority(p []byte) int {
	i := 0
	if len(p) > 0 && p[0] == '[' {
		end := bytes.IndexByte(p, ']')
		if end < 0 || !validIPv6(p[1:end]) && !validIPvFuture(p[1:end]) {
			return 0
		}
		i = end + 1
	} else {
		label := 0 // where it begins
		for i < len(p) && p[i] != ':' {
			switch {
			case class[p[i]]&isRegName == 0, p[i] == '.' && i == label:
				return i
			case p[i] == '.':
				label = i + 1
			}
			i++
		}
		if i == 0 && len(p) > 0 {
			return 0
		}
	}
	if i == len(p) {
		return -1
	}
	if p[i] != ':' {
		return i
	}
	return badPort(p, i+1)
}

// badPort is badAuthority for the port, p[i:].
func badPort(p []byte, i int) int {
	port := 0
	for ; i < len(p); i++ {
		if !isDigit(p[i]) {
			return i
		}
		if port = port*10 + int(p[i]-'0'); port > 65535 {
			return i
		}
	}
	return -1
}

// validEscape reports whether p begins with a percent sign and two hexadecimal digits.
func validEscape(p []byte) bool {
	return len(p) >= 3 && p[0] == '%' && class[p[1]]&class[p[2]]&isHex != 0
}

// validIPvFuture reports whether p is "v" 1*HEXDIG "." 1*( unreserved / sub-delims / ":" ).
func validIPvFuture(p []byte) bool {
	if len(p) == 0 || p[0]|0x20 != 'v' {
		return false
	}
	dot := 1
	for dot < len(p) && class[p[dot]]&isHex != 0 {
		dot++
	}
	if dot == 1 || dot+1 >= len(p) || p[dot] != '.' {
		return false
	}
	for _, c := range p[dot+1:] {
		if class[c]&isRegName == 0 && c != ':' {
			return false
		}
	}
	return true
}

// validIPv6 reports whether p is an IPv6address: eight groups of one to four
// digits, the last two perhaps as an IPv4 address, one run of groups perhaps as "::". No zone.
func validIPv6(p []byte) bool {
	before, after, elided := bytes.Cut(p, []byte("::"))
	if !elided {
		return groupsIn(p) == 8
	}
	return bytes.IndexByte(before, '.') < 0 && groupsIn(before)+groupsIn(after) < 8
}

// groupsIn counts the groups of an IPv6 address between colons. An IPv4 address at the end stands for two of them. For
// what has other groups it is a number beyond that of any address.
func groupsIn(p []byte) (n int) {
	const none = 9
	for more := len(p) > 0; more; n++ {
		var group []byte
		if group, p, more = bytes.Cut(p, []byte{':'}); !more && validIPv4(group) {
			return n + 2
		}
		if len(group) == 0 || len(group) > 4 || n == none || !only(group, isHex) {
			return none
		}
	}
	return n
}

// validIPv4 reports whether p is four decimal octets without leading zeros.
func validIPv4(p []byte) bool {
	for octets := 1; ; octets++ {
		octet, rest := cutNumber(p)
		if octet < 0 || octet > 255 || p[0] == '0' && len(p)-len(rest) > 1 {
			return false
		}
		if octets == 4 || len(rest) == 0 || rest[0] != '.' {
			return octets == 4 && len(rest) == 0
		}
		p = rest[1:]
	}
}
