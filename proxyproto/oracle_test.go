package proxyproto

import (
	"bufio"
	"bytes"
	"net"
	"net/netip"
	"testing"

	other "github.com/pires/go-proxyproto"
	"pgregory.net/rapid"
)

// TestHeadersOfOthers: what another implementation writes is understood, and
// it understands the same of it.
func TestHeadersOfOthers(t *testing.T) {
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
		header := other.HeaderProxyFromAddrs(version, from, endpoint("to", six))
		if version == 2 {
			if rapid.Bool().Draw(t, "local") {
				header.Command = other.LOCAL
			}
			var tlvs []other.TLV
			for range rapid.IntRange(0, 4).Draw(t, "TLVs") {
				tlvs = append(tlvs, other.TLV{
					Type:  other.PP2Type(rapid.SampledFrom([]byte{1, 2, 4, 5, 0x20, 0x30, 0xE0, 0xEA}).Draw(t, "type")),
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
		want := netip.AddrPortFrom(from.AddrPort().Addr().Unmap(), from.AddrPort().Port())
		if header.Command == other.LOCAL {
			want = netip.AddrPort{}
		}
		got, size, bad := Parse(append(bytes.Clone(written), "GET /"...))
		if bad != nil || size != len(written) || got != want {
			t.Fatalf("%q: got %v, %d, %v", written, got, size, bad)
		}
		read, err := other.Read(bufio.NewReader(bytes.NewReader(written)))
		if err != nil || want.IsValid() && read.SourceAddr.String() != from.String() {
			t.Fatalf("%q: the other one: %+v, %v", written, read, err)
		}
	})
}

// checkOracle: another implementation reads the same source from a header that is taken here and names one.
func checkOracle(t *testing.T, header []byte, from netip.AddrPort) {
	t.Helper()
	if !from.IsValid() {
		return // it refuses those without an address, which the specification has for health checks
	}
	read, err := other.Read(bufio.NewReader(bytes.NewReader(header)))
	if err != nil {
		t.Fatalf("%q: %v, the other one: %v", header, from, err)
	}
	source, err := netip.ParseAddrPort(read.SourceAddr.String()) // of TCP or of UDP
	if err != nil || source.Addr().Unmap() != from.Addr().Unmap() || source.Port() != from.Port() {
		t.Fatalf("%q: %v, the other one: %v, %v", header, from, source, err)
	}
}
