package conn

import "net/netip"

// Networks is a set of addresses.
type Networks []netip.Prefix

// NewNetworks returns the addresses of those networks.
func NewNetworks(prefixes []netip.Prefix) (all Networks) {
	for _, p := range prefixes {
		all = append(all, PlainPrefix(p))
	}
	return all
}

// PlainPrefix returns the network without bits beyond its length. A network of IPv4-mapped IPv6
// addresses becomes that of IPv4, since that is how addresses are compared.
func PlainPrefix(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked()
}

// Contains reports whether the address is in one of the networks. The zero Addr is in none.
func (n Networks) Contains(a Addr) bool {
	return len(n) > 0 && n.ContainsIP(a.AddrPort().Addr())
}

// ContainsIP is Contains for an address that is not IPv4-mapped.
func (n Networks) ContainsIP(ip netip.Addr) bool {
	for _, p := range n {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}
