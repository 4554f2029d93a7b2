package conn

import (
	"bufio"
	"bytes"
	"net"
	"net/netip"
	"testing"

	"github.com/pires/go-proxyproto"
	"pgregory.net/rapid"
)

// TestProxyHeadersOfOthers: what another implementation writes is understood, and
// it understands the same of it.
func TestProxyHeadersOfOthers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		endpoint := func(name string, six bool) *net.TCPAddr {
			size := 4
			if six {
				size = 16
			}
			ip, _ := netip.AddrFromSlice(rapid.SliceOfN(rapid.Byte(), size, size).Draw(t, name))
			if ip.Is4In6() {
				ip = netip.IPv6Loopback() // the other one writes it as IPv4, in TCP6
			}
			return net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip, rapid.Uint16().Draw(t, name+" port")))
		}
		six := rapid.Bool().Draw(t, "six")
		version := rapid.SampledFrom([]byte{1, 2}).Draw(t, "version")
		from := endpoint("from", six)
		header := proxyproto.HeaderProxyFromAddrs(version, from, endpoint("to", six))
		if version == 2 {
			if rapid.Bool().Draw(t, "local") {
				header.Command = proxyproto.LOCAL
			}
			var tlvs []proxyproto.TLV
			for range rapid.IntRange(0, 4).Draw(t, "TLVs") {
				tlvs = append(tlvs, proxyproto.TLV{
					Type:  proxyproto.PP2Type(rapid.SampledFrom([]byte{1, 2, 4, 5, 0x20, 0x30, 0xE0, 0xEA}).Draw(t, "type")),
					Value: rapid.SliceOfN(rapid.Byte(), 0, 60).Draw(t, "value"),
				})
			}
			if err := header.SetTLVs(tlvs); err != nil {
				t.Fatal(err)
			}
		}
		written, err := header.Format()
		if err != nil {
			t.Fatal(err)
		}
		want := AddrFrom(from.AddrPort())
		if header.Command == proxyproto.LOCAL {
			want = Addr{}
		}
		got, size, bad := parseProxy(append(bytes.Clone(written), "GET /"...))
		if bad != nil || size != len(written) || got != want {
			t.Fatalf("%q: got %v, %d, %v", written, got.AddrPort(), size, bad)
		}
		read, err := proxyproto.Read(bufio.NewReader(bytes.NewReader(written)))
		if err != nil || want != (Addr{}) && read.SourceAddr.String() != from.String() {
			t.Fatalf("%q: the other one: %+v, %v", written, read, err)
		}
	})
}
