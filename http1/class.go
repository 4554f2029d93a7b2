package http1

import "encoding/binary"

// Classes of bytes, as bits in the class table: one look-up answers what a
// byte may be part of.
const (
	isToken   = 1 << iota // tchar, RFC 9110 section 5.6.2
	isTarget              // passes in a request target: not CTL, SP, DEL or '#'
	isQuery               // isTarget without '?': both end the path
	isValue               // field-vchar, SP and HTAB, RFC 9110 section 5.5
	isRegName             // unreserved and sub-delims, RFC 3986 section 3.2.2
	isHex                 // HEXDIG in either case
	isETag                // etagc, RFC 9110 section 8.8.3
	isPlain               // needs no escape in a path that stands in a URL or an HTML attribute
)

const (
	alphas = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits = "0123456789"
)

var class = classes()

func classes() (t [256]uint8) {
	mark := func(set string, bit uint8) {
		for i := 0; i < len(set); i++ {
			t[set[i]] |= bit
		}
	}
	mark(alphas+digits+"!#$%&'*+-.^_`|~", isToken)
	mark(alphas+digits+"-._~"+"!$&'()*+,;=", isRegName)
	mark(alphas+digits+"-._~"+"!$()*+,;=:@/", isPlain)
	mark(digits+"abcdefABCDEF", isHex)
	mark("\t ", isValue)
	for c := 0x21; c <= 0xFF; c++ {
		if c == 0x7F {
			continue
		}
		t[c] |= isValue
		if c != '#' {
			t[c] |= isTarget
		}
		if c != '#' && c != '?' {
			t[c] |= isQuery
		}
		if c != '"' {
			t[c] |= isETag
		}
	}
	return t
}

// badValueByte returns the index of the first byte of p that may not stand in
// a field value, -1 if there is none. It looks at eight bytes at a time: most
// of a head's bytes are in its values.
func badValueByte(p []byte) int {
	rest := p
	for len(rest) >= 8 {
		if hasControl(binary.LittleEndian.Uint64(rest)) {
			if bad := badValueByteSlow(rest[:8]); bad >= 0 {
				return len(p) - len(rest) + bad
			}
		}
		rest = rest[8:]
	}
	if len(p) >= 8 && !hasControl(binary.LittleEndian.Uint64(p[len(p)-8:])) {
		return -1 // the rest, with some bytes seen twice
	}
	if bad := badValueByteSlow(rest); bad >= 0 {
		return len(p) - len(rest) + bad
	}
	return -1
}

func badValueByteSlow(p []byte) int {
	for i, c := range p {
		if class[c]&isValue == 0 {
			return i
		}
	}
	return -1
}

// hasControl reports whether one of the eight bytes is below 0x20 (a tab too)
// or 0x7F. A borrow can mark a byte wrongly only above one that is marked
// rightly, so the answer for the word is exact. The high bits of w and del are the same.
func hasControl(w uint64) bool {
	const (
		ones = 0x0101010101010101
		high = 0x80 * ones
	)
	del := w ^ 0x7F*ones
	return ((w-0x20*ones)|(del-ones))&^w&high != 0
}

// only reports whether all bytes of p are of one of the classes.
func only(p []byte, classes uint8) bool {
	for _, c := range p {
		if class[c]&classes == 0 {
			return false
		}
	}
	return true
}

// equalFold reports whether p is lower, its letters in any case. lower has lower-case letters, digits and
// punctuation below 0x40 only, and p no control character: then setting bit 0x20 makes no two different bytes equal.
func equalFold(p []byte, lower string) bool {
	if len(p) != len(lower) {
		return false
	}
	lower = lower[:len(p)] // for the compiler: no bounds checks below
	for i, c := range p {
		if c|0x20 != lower[i] {
			return false
		}
	}
	return true
}

// trimSpace removes optional white space (SP, HTAB) at both ends.
func trimSpace(p []byte) []byte {
	for len(p) > 0 && (p[0] == ' ' || p[0] == '\t') {
		p = p[1:]
	}
	for len(p) > 0 && (p[len(p)-1] == ' ' || p[len(p)-1] == '\t') {
		p = p[:len(p)-1]
	}
	return p
}

// unhex returns the value of a hexadecimal digit.
func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c&^0x20 - 'A' + 10
}
