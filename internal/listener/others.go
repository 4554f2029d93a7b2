package listener

import (
	"net"
	"net/netip"
)

// Others returns the URLs by which other machines find a listener that is not
// bound to one address: of each family, the address that packets to the world would have.
func (l *Listener) Others() []string {
	if l.unix != "" || !l.addr.Addr().IsUnspecified() {
		return nil
	}
	worlds := []string{"192.0.2.1:9", "[2001:db8::1]:9"} // documentation's addresses (RFC 5737, RFC 3849)
	if l.addr.Addr().Is4() {
		worlds = worlds[:1]
	}
	var urls []string
	for _, world := range worlds {
		c, err := net.Dial("udp", world) // asks the routing table; sends nothing
		if err != nil {
			continue // no route
		}
		ip := c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
		c.Close()
		if ip.IsGlobalUnicast() {
			other := Listener{addr: netip.AddrPortFrom(ip, l.addr.Port())}
			urls = append(urls, other.url())
		}
	}
	return urls
}
