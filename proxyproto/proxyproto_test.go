package proxyproto

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"net/netip"
	"strings"
	"testing"
)

// binaryHeader is a PROXY header of version 2 by the book.
func binaryHeader(command, family byte, rest ...byte) string {
	h := append([]byte(signature), 0x20|command, family)
	return string(append(binary.BigEndian.AppendUint16(h, uint16(len(rest))), rest...))
}

var (
	four = []byte{192, 0, 2, 1, 198, 51, 100, 1, 0xC8, 0x22, 0, 80} // 192.0.2.1:51234 to 198.51.100.1:80
	six  = func() []byte {
		a, b := netip.MustParseAddr("2001:db8::7").As16(), netip.MustParseAddr("2001:db8::8").As16()
		return append(append(append([]byte{}, a[:]...), b[:]...), 0xC8, 0x22, 0, 80)
	}()
)

// summed is a header of IPv4 addresses with those TLVs and a right checksum behind them.
func summed(tlvs ...byte) []byte {
	rest := append(append(append([]byte{}, four...), tlvs...), 3, 0, 4, 0, 0, 0, 0)
	h := []byte(binaryHeader(1, 0x11, rest...))
	binary.BigEndian.PutUint32(h[len(h)-4:], crc32.Checksum(h, crc32.MakeTable(crc32.Castagnoli)))
	return h
}

// testCase is a header and what it says: an address, "" if none, or what is wrong.
type testCase struct {
	name, in, from, bad string
	at                  int // the byte that is wrong
}

var cases = []testCase{
	{name: "TCP4", in: "PROXY TCP4 192.0.2.1 198.51.100.1 51234 80\r\n", from: "192.0.2.1:51234"},
	{name: "TCP6", in: "PROXY TCP6 2001:db8::7 2001:db8::8 51234 80\r\n", from: "[2001:db8::7]:51234"},
	{name: "TCP6, mapped", in: "PROXY TCP6 ::ffff:192.0.2.1 ::ffff:192.0.2.2 51234 80\r\n", from: "192.0.2.1:51234"},
	{name: "UNKNOWN", in: "PROXY UNKNOWN\r\n"},
	{
		name: "the longest",
		in: "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 " +
			"65535\r\n",
	},
	{name: "UNKNOWN, anything behind", in: "PROXY UNKNOWN nobody knows\r\n"},
	{name: "port 0", in: "PROXY TCP4 192.0.2.1 198.51.100.1 0 0\r\n", from: "192.0.2.1:0"},

	{name: "a request", in: "GET / HTTP/1.1\r\n\r\n", bad: "no PROXY protocol header"},
	{name: "a TLS handshake", in: "\x16\x03\x01", bad: "no PROXY protocol header"},
	{name: "another method with P", in: "PUT / HTTP/1.1\r\n\r\n", bad: "no PROXY protocol header"},
	{name: "an empty line", in: "\r\nGET / HTTP/1.1\r\n\r\n", bad: "no PROXY protocol header"},
	{name: "lower case", in: "proxy TCP4 192.0.2.1 198.51.100.1 1 80\r\n", bad: "no PROXY protocol header"},
	{name: "over 107 bytes", in: "PROXY UNKNOWN " + strings.Repeat("a", 92) + "\r\n", bad: "version 1"},
	{name: "LF alone", in: "PROXY TCP4 192.0.2.1 198.51.100.1 1 80\n", bad: "version 1", at: 38},
	{name: "CR within", in: "PROXY TCP4 192.0.2.1 198.51.100.1 1 80\r \r\n", bad: "version 1", at: 6},
	{name: "no family", in: "PROXY \r\n", bad: "version 1", at: 6},
	{name: "another family", in: "PROXY UDP4 192.0.2.1 198.51.100.1 1 80\r\n", bad: "version 1", at: 6},
	{name: "two spaces", in: "PROXY TCP4  192.0.2.1 198.51.100.1 1 80\r\n", bad: "version 1", at: 6},
	{name: "a space at the end", in: "PROXY TCP4 192.0.2.1 198.51.100.1 1 80 \r\n", bad: "version 1", at: 6},
	{name: "a word too few", in: "PROXY TCP4 192.0.2.1 198.51.100.1 1\r\n", bad: "version 1", at: 6},
	{name: "a name for an address", in: "PROXY TCP4 localhost 198.51.100.1 1 80\r\n", bad: "version 1", at: 6},
	{name: "four numbers are not enough", in: "PROXY TCP4 192.0.2 198.51.100.1 1 80\r\n", bad: "version 1", at: 6},
	{name: "a number with a leading zero", in: "PROXY TCP4 192.0.2.01 198.51.100.1 1 80\r\n", bad: "version 1", at: 6},
	{name: "IPv6 in TCP4", in: "PROXY TCP4 2001:db8::7 198.51.100.1 1 80\r\n", bad: "version 1", at: 6},
	{name: "IPv4 in TCP6", in: "PROXY TCP6 192.0.2.1 2001:db8::8 1 80\r\n", bad: "version 1", at: 6},
	{name: "a zone", in: "PROXY TCP6 fe80::1%eth0 2001:db8::8 1 80\r\n", bad: "version 1", at: 6},
	{name: "a bad destination", in: "PROXY TCP4 192.0.2.1 x 1 80\r\n", bad: "version 1", at: 6},
	{name: "a port too large", in: "PROXY TCP4 192.0.2.1 198.51.100.1 65536 80\r\n", bad: "version 1", at: 6},
	{name: "a port with a leading zero", in: "PROXY TCP4 192.0.2.1 198.51.100.1 080 80\r\n", bad: "version 1", at: 6},
	{name: "a port with a sign", in: "PROXY TCP4 192.0.2.1 198.51.100.1 +80 80\r\n", bad: "version 1", at: 6},
	{name: "an empty port", in: "PROXY TCP4 192.0.2.1 198.51.100.1  80\r\n", bad: "version 1", at: 6},

	{name: "v2 over IPv4", in: binaryHeader(1, 0x11, four...), from: "192.0.2.1:51234"},
	{name: "v2 over IPv6", in: binaryHeader(1, 0x21, six...), from: "[2001:db8::7]:51234"},
	{name: "v2 UDP", in: binaryHeader(1, 0x12, four...), from: "192.0.2.1:51234"},
	{name: "v2 from a Unix socket", in: binaryHeader(1, 0x31, make([]byte, 216)...)},
	{name: "v2 unspecified", in: binaryHeader(1, 0)},
	{name: "v2 unspecified, with TLVs", in: binaryHeader(1, 0, 4, 0, 1, 0)},
	{name: "v2 LOCAL", in: binaryHeader(0, 0)},
	{name: "v2 LOCAL, with addresses that do not count", in: binaryHeader(0, 0x11, four...)},
	{name: "v2 LOCAL, with anything", in: binaryHeader(0, 0xFF, 1, 2, 3)},
	{
		name: "v2 with TLVs",
		in:   binaryHeader(1, 0x11, append(append([]byte{}, four...), 2, 0, 3, 'a', '.', 'b', 0xEA, 0, 0)...),
		from: "192.0.2.1:51234",
	},
	{name: "v2 with a checksum", in: string(summed()), from: "192.0.2.1:51234"},
	{name: "v2 with a checksum behind another TLV", in: string(summed(4, 0, 2, 0, 0)), from: "192.0.2.1:51234"},
	{
		name: "v2 of 4096 bytes",
		in: binaryHeader(
			1,
			0x11,
			append(append([]byte{}, four...), append([]byte{4, 0x0F, 0xE1}, make([]byte, 4096-31)...)...)...),
		from: "192.0.2.1:51234",
	},

	{name: "v2, another signature", in: "\r\n\r\n\x00\r\nQUIX\n!\x11\x00\x00", bad: "no PROXY protocol header"},
	{name: "v2, version 1", in: signature + "\x11", bad: "version 2", at: 12},
	{name: "v2, another command", in: signature + "\x22", bad: "version 2", at: 12},
	{name: "v2, another family", in: binaryHeader(1, 0x41, four...), bad: "version 2", at: 13},
	{name: "v2, another transport", in: binaryHeader(1, 0x13, four...), bad: "version 2", at: 13},
	{name: "v2, a transport without a family", in: binaryHeader(1, 0x01), bad: "version 2", at: 13},
	{name: "v2, no room for the addresses", in: binaryHeader(1, 0x21, four...), bad: "version 2", at: 14},
	{name: "v2 over 4096 bytes", in: signature + "!\x11\x0F\xF1", bad: "4096 bytes", at: 14},
	{
		name: "v2, half a TLV",
		in:   binaryHeader(1, 0x11, append(append([]byte{}, four...), 4, 0)...),
		bad:  "version 2",
		at:   28,
	},
	{
		name: "v2, a TLV beyond the end",
		in:   binaryHeader(1, 0x11, append(append([]byte{}, four...), 4, 0, 2, 0)...),
		bad:  "version 2",
		at:   28,
	},
	{
		name: "v2, a checksum of 3 bytes",
		in:   binaryHeader(1, 0x11, append(append([]byte{}, four...), 3, 0, 3, 0, 0, 0)...),
		bad:  "version 2",
		at:   28,
	},
	{name: "v2, a wrong checksum", in: string(append(summed()[:34], 1)), bad: "checksum", at: 31},
	{
		name: "v2, a checksum of other bytes",
		in:   strings.Replace(string(summed()), "\xC0\x00\x02\x01", "\xC0\x00\x02\x02", 1),
		bad:  "checksum",
		at:   31,
	},
}

// TestParse: each header says what it should, and of none does a part say anything.
func TestParse(t *testing.T) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var want netip.AddrPort
			if c.from != "" {
				want = netip.MustParseAddrPort(c.from)
			}
			from, size, bad := Parse([]byte(c.in + "GET"))
			if c.bad != "" {
				if bad == nil || !strings.Contains(bad.Rule, c.bad) || bad.At != c.at || size != 0 {
					t.Errorf("got %v, %d, %v", from, size, bad)
				}
				return
			}
			if bad != nil || size != len(c.in) || from != want {
				t.Errorf("got %v, %d of %d, %v", from, size, len(c.in), bad)
			}
			for n := range len(c.in) {
				if _, size, bad := Parse([]byte(c.in[:n])); size != 0 || bad != nil {
					t.Fatalf("%d bytes of it are %d, %v", n, size, bad)
				}
			}
		})
	}
}

// FuzzParse: however a header is cut, the whole says the same; no part of
// a right one is wrong, and nothing is read beyond its size.
func FuzzParse(f *testing.F) {
	for _, c := range cases {
		f.Add([]byte(c.in))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		from, size, bad := Parse(in)
		if size < 0 || size > len(in) || size > binaryMax || bad != nil && size != 0 {
			t.Fatalf("%d of %d bytes, %v", size, len(in), bad)
		}
		if size == 0 {
			return
		}
		again, n, bad := Parse(append(bytes.Clone(in[:size]), "\xDB\xDB"...))
		if again != from || n != size || bad != nil {
			t.Fatalf("with other bytes behind it: %v, %d, %v", again, n, bad)
		}
		checkOracle(t, in[:size], from)
		for i := range size {
			if _, n, bad := Parse(in[:i]); n != 0 || bad != nil {
				t.Fatalf("%d bytes of %d are %d, %v", i, size, n, bad)
			}
		}
	})
}
