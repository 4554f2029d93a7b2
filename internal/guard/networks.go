package guard

import (
	"net/netip"
	"slices"

	"github.com/evhttpd/evhttpd/conn"
)

// Networks says which clients may pass. It is never changed, and safe for use by any number of goroutines.
type Networks struct {
	allowed    map[netip.Prefix]bool // the answer for a client in that network, if no smaller network has the client
	lengths    [2][]int              // the prefix lengths of the IPv4 and of the IPv6 networks, the longest first
	otherwise  bool                  // the answer for a client in no network
	unixSocket bool                  // the answer for a client without an address, at a Unix socket
}

// NewNetworks returns what the lists of allow and deny say together; nil, which lets everybody pass, if both are empty.
//
//  1. The smallest network that has the client decides. A network that is in both lists is denied.
//  2. A client in no network is refused if a network is allowed: allow 10/8 refuses all others.
//  3. But if each allowed network lies within a denied one, allow only makes holes in deny, and other clients pass:
//     deny 10/8 and allow 10.1/16 refuse the rest of 10/8 and nobody else.
//  4. A client in no network is refused if a whole family is denied: deny 0.0.0.0/0 means everybody, at a listener of
//     both families too.
func NewNetworks(allow, deny []netip.Prefix) *Networks {
	if len(allow) == 0 && len(deny) == 0 {
		return nil
	}
	n := &Networks{allowed: make(map[netip.Prefix]bool)}
	n.add(allow, true)
	n.add(deny, false)
	n.otherwise = true
	for p, allowed := range n.allowed {
		if allowed && !n.inDenied(p) || !allowed && p.Bits() == 0 {
			n.otherwise = false
		}
	}
	n.unixSocket = n.otherwise && len(allow) == 0
	return n
}

func (n *Networks) add(list []netip.Prefix, allowed bool) {
	for _, p := range list {
		p = conn.PlainPrefix(p)
		n.allowed[p] = allowed
		if lengths := n.lengthsOf(p.Addr()); !slices.Contains(*lengths, p.Bits()) {
			*lengths = append(*lengths, p.Bits())
			slices.SortFunc(*lengths, func(a, b int) int { return b - a })
		}
	}
}

// lengthsOf are the prefix lengths of the networks of the address's family.
func (n *Networks) lengthsOf(a netip.Addr) *[]int { return &n.lengths[a.BitLen()/128] }

// inDenied reports whether p lies within a denied network.
func (n *Networks) inDenied(p netip.Prefix) bool {
	for _, length := range *n.lengthsOf(p.Addr()) {
		if length > p.Bits() {
			continue
		}
		if allowed, ok := n.allowed[netip.PrefixFrom(p.Addr(), length).Masked()]; ok && !allowed {
			return true
		}
	}
	return false
}

// Allows reports whether a client may pass. The zero Addr is that of a client at a Unix socket, and in no network.
func (n *Networks) Allows(client netip.Addr) bool {
	if n == nil {
		return true
	}
	if !client.IsValid() {
		return n.unixSocket
	}
	client = client.Unmap()
	for _, length := range *n.lengthsOf(client) {
		p, _ := client.Prefix(length) // it has no error: the length is one of the family
		if allowed, ok := n.allowed[p]; ok {
			return allowed
		}
	}
	return n.otherwise
}

// reasonDenied is the reason of a refusal by address.
const reasonDenied = "this address may not have it (allow and deny of the site's paths)"
