package guard

import (
	"net/netip"
	"slices"

	"github.com/evhttpd/evhttpd/conn"
)

// Networks says which clients may come. It is never changed, and safe for use
// by any number of goroutines.
type Networks struct {
	allowed map[netip.Prefix]bool // every network that was named: true, allowed; false, denied
	bits4   []int                 // the lengths of the IPv4 networks, the longest first
	bits6   []int
	others  bool // whether a client with an address that is in none of them may come
	nowhere bool // whether one without an address may, at a Unix socket
}

// NewNetworks returns what the lists of allow and deny say together; nil, which
// lets everybody come, if both are empty. A network that is in both is denied.
//
// Of the networks that a client is in the most specific decides. Whoever is in
// none may not come if there is an allowed one, with one exception: when each allowed
// network lies within a denied one, allow only makes holes in deny. Nor may they if all of a
// family are denied: who denies 0.0.0.0/0 means everybody, at a listener of both families too.
func NewNetworks(allow, deny []netip.Prefix) *Networks {
	if len(allow) == 0 && len(deny) == 0 {
		return nil
	}
	n := &Networks{allowed: make(map[netip.Prefix]bool)}
	n.add(allow, true)
	n.add(deny, false)
	n.others = true
	for p, allowed := range n.allowed {
		if allowed && !n.inDenied(p) || !allowed && p.Bits() == 0 {
			n.others = false
		}
	}
	n.nowhere = n.others && len(allow) == 0
	return n
}

func (n *Networks) add(list []netip.Prefix, allowed bool) {
	for _, p := range list {
		p = conn.PlainPrefix(p)
		n.allowed[p] = allowed
		bits := &n.bits6
		if p.Addr().Is4() {
			bits = &n.bits4
		}
		if !slices.Contains(*bits, p.Bits()) {
			*bits = append(*bits, p.Bits())
			slices.Sort(*bits)
			slices.Reverse(*bits)
		}
	}
}

// lengths are those of the networks of the address's family, the longest first.
func (n *Networks) lengths(a netip.Addr) []int {
	if a.Is4() {
		return n.bits4
	}
	return n.bits6
}

// inDenied reports whether p lies within a denied network.
func (n *Networks) inDenied(p netip.Prefix) bool {
	for _, length := range n.lengths(p.Addr()) {
		if length > p.Bits() {
			continue
		}
		if allowed, ok := n.allowed[netip.PrefixFrom(p.Addr(), length).Masked()]; ok && !allowed {
			return true
		}
	}
	return false
}

// Allows reports whether that client may come. The zero Addr, of a client at a
// Unix socket, is in no network.
func (n *Networks) Allows(client netip.Addr) bool {
	if n == nil {
		return true
	}
	if !client.IsValid() {
		return n.nowhere
	}
	client = client.Unmap()
	for _, length := range n.lengths(client) {
		p, _ := client.Prefix(length) // the lengths are those of its family
		if allowed, ok := n.allowed[p]; ok {
			return allowed
		}
	}
	return n.others
}

// reasonDenied is for who may not come.
const reasonDenied = "this address may not have it (allow and deny of the site's paths)"
