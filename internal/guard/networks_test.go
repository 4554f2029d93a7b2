package guard

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func prefixes(tb testing.TB, list string) (all []netip.Prefix) {
	tb.Helper()
	for _, s := range strings.Fields(list) {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			tb.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

func address(s string) netip.Addr {
	if s == "unix" {
		return netip.Addr{}
	}
	return netip.MustParseAddr(s)
}

func TestNetworks(t *testing.T) {
	for _, c := range []struct {
		allow, deny string
		may, mayNot string
	}{
		{"", "", "192.0.2.1 ::1 unix", ""},
		{"10.0.0.0/8", "", "10.0.0.0 10.255.255.255 ::ffff:10.1.2.3",
			"9.255.255.255 11.0.0.0 ::1 unix ::ffff:11.0.0.0 ::a00:1"},
		{"", "10.0.0.0/8", "11.0.0.0 ::1 unix", "10.1.2.3 ::ffff:10.1.2.3"},
		{"10.0.0.0/8", "10.1.0.0/16", "10.2.0.1", "10.1.0.1 192.0.2.1 unix"},
		{"10.1.0.0/16", "10.0.0.0/8", "10.1.0.1 192.0.2.1 ::1", "10.2.0.1 unix"},
		{"10.0.0.0/8 10.1.2.0/24", "10.1.0.0/16", "10.2.0.1 10.1.2.3", "10.1.3.1 192.0.2.1"},
		{"10.0.0.0/8", "192.0.2.1/32", "10.0.0.1", "192.0.2.1 192.0.2.2"}, // deny says nothing more, and opens nothing
		{"10.1.0.0/16 192.0.2.0/24", "10.0.0.0/8", "10.1.0.1 192.0.2.1", "10.2.0.1 198.51.100.1"},
		{"0.0.0.0/0", "192.0.2.1/32", "192.0.2.2", "192.0.2.1 ::1 unix"},
		{"::/0", "", "::1 2001:db8::1", "192.0.2.1 unix"}, // ::/0 is IPv6 alone
		{"2001:db8::/32", "2001:db8:1::/48", "2001:db8::1", "2001:db8:1::1 2001:db9::1"},
		{"2001:db8:1::/48", "::/0", "2001:db8:1::1", "2001:db8::1 192.0.2.1 unix"},
		// everybody is denied, of whichever family
		{"10.0.0.0/8", "0.0.0.0/0", "10.1.2.3 ::ffff:10.1.2.3", "192.0.2.1 ::1 2001:db8::1 unix"},
		{"10.0.0.0/8", "::ffff:0.0.0.0/96", "10.1.2.3", "192.0.2.1 ::1 unix"},
		{"10.0.0.0/8 ::/0", "0.0.0.0/0", "10.1.2.3 ::1", "192.0.2.1 unix"},
		{"0.0.0.0/0", "::/0", "192.0.2.1", "::1 unix"},
		{"", "0.0.0.0/0", "", "192.0.2.1 ::1 unix"},
		{"", "::/0", "", "192.0.2.1 ::1 unix"},
		{"", "0.0.0.0/1", "192.0.2.1 ::1 unix", "10.1.2.3"},
		{"::ffff:10.0.0.0/104", "", "10.1.2.3 ::ffff:10.1.2.3", "11.0.0.0"},
		{"::ffff:0.0.0.0/96", "", "10.1.2.3", "::1"},
		{"192.0.2.1/32", "192.0.2.1/32", "", "192.0.2.1"},
		{"127.0.0.1/32 ::1/128", "", "127.0.0.1 ::1", "127.0.0.2 ::2"},
		{"fe80::/10", "", "fe80::1 fe80::1%eth0", "::1"}, // the kernel's scope is no part of a network
	} {
		n := NewNetworks(prefixes(t, c.allow), prefixes(t, c.deny))
		for want, list := range map[bool]string{true: c.may, false: c.mayNot} {
			for _, client := range strings.Fields(list) {
				if got := n.Allows(address(client)); got != want {
					t.Errorf("allow [%s], deny [%s]: %s may come: %v, want %v", c.allow, c.deny, client, got, want)
				}
			}
		}
	}
}

// For any lists, the decision is that of looking at each network in turn.
func TestNetworksAgreeWithAListOfThem(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		network := rapid.Custom(func(r *rapid.T) netip.Prefix {
			ip := netip.AddrFrom4([4]byte{10, byte(rapid.IntRange(0, 3).Draw(r, "b")),
				byte(rapid.IntRange(0, 3).Draw(r, "c")), 1})
			return netip.PrefixFrom(ip, rapid.IntRange(0, 32).Draw(r, "bits")).Masked()
		})
		allow := rapid.SliceOfN(network, 1, 5).Draw(r, "allow")
		deny := rapid.SliceOfN(network, 0, 5).Draw(r, "deny")
		n := NewNetworks(allow, deny)
		client := network.Draw(r, "client").Addr()
		longest, want := -1, n.otherwise
		for _, p := range allow {
			if p.Contains(client) && p.Bits() > longest {
				longest, want = p.Bits(), true
			}
		}
		for _, p := range deny {
			if p.Contains(client) && p.Bits() >= longest {
				longest, want = p.Bits(), false
			}
		}
		if got := n.Allows(client); got != want {
			r.Errorf("allow %v, deny %v: %v may come: %v", allow, deny, client, got)
		}
	})
}

func TestNetworksAllocateNothing(t *testing.T) {
	var allow []netip.Prefix
	for i := range 10_000 {
		allow = append(allow, netip.MustParsePrefix(fmt.Sprintf("10.%d.%d.0/%d", i/256, i%256, 24+i%8)).Masked())
	}
	n := NewNetworks(allow, prefixes(t, "10.0.0.0/16 2001:db8::/32"))
	for _, client := range []netip.Addr{address("10.1.2.3"), address("192.0.2.1"), address("2001:db8::1"), {}} {
		if got := testing.AllocsPerRun(100, func() { n.Allows(client) }); got != 0 {
			t.Errorf("%v: %v allocations", client, got)
		}
	}
}

func BenchmarkNetworks(b *testing.B) {
	n := NewNetworks(prefixes(b, "10.0.0.0/8 192.168.0.0/16 127.0.0.1/32"), nil)
	client := address("10.1.2.3")
	for b.Loop() {
		n.Allows(client)
	}
}
