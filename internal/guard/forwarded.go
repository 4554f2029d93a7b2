package guard

import (
	"bytes"
	"net/netip"
	"strings"
	"unsafe"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/http1"
)

const (
	// forwardedMax bounds the proxies between us and the client. A longer chain is made up.
	forwardedMax = 64
	// forwardedLen is the length of the longest address with a port.
	forwardedLen = len("[0000:0000:0000:0000:0000:ffff:255.255.255.255]:65535")
)

// Forwarded finds out which client a request comes from, if the peer is one of the proxies, and tells out. Then
// limits, rules and the log know the client and not the proxy.
func Forwarded(proxies conn.Networks, req *http1.Request, buf []byte, out *conn.Output) {
	if len(proxies) == 0 || !req.Has(http1.FieldXForwardedFor) {
		return
	}
	// A peer at a Unix socket has no address. The permissions of the socket's file let it in, and it is a proxy on
	// this machine.
	if peer := out.Remote(); peer == (conn.Addr{}) || proxies.Contains(peer) {
		if client, ok := forwardedFor(proxies, req, buf); ok {
			out.SetClient(client)
		}
	}
}

// forwardedFor walks the addresses of X-Forwarded-For from the right, where our proxy has put the address that it
// saw, to the first address that is no proxy of ours. What stands left of that is only what a stranger claims.
// Something else than an address ends the walk at the address before it, and so does the bound. ok is false if there
// is no address.
func forwardedFor(proxies conn.Networks, req *http1.Request, buf []byte) (client conn.Addr, ok bool) {
	value, more := req.Get(http1.FieldXForwardedFor, buf), true
	for left := forwardedMax; more && left > 0; left-- {
		comma := bytes.LastIndexByte(value, ',')
		word := bytes.Trim(value[comma+1:], " \t")
		value, more = value[:max(comma, 0)], comma >= 0
		if len(word) == 0 {
			continue // an empty element of a list is none (RFC 9110 section 5.6.1.2)
		}
		at, good := parseForwarded(word)
		if !good {
			break
		}
		client, ok = conn.AddrFrom(at), true
		if !proxies.ContainsIP(at.Addr()) {
			break
		}
	}
	return client, ok
}

// parseForwarded reads an address as proxies write it: bare or in brackets, or with a port. An IPv6 address that has
// a port stands in brackets. Without a port it is 0.
func parseForwarded(word []byte) (at netip.AddrPort, ok bool) {
	if len(word) > forwardedLen {
		return at, false
	}
	// The string is not kept: a zone would be, and an error.
	text := unsafe.String(unsafe.SliceData(word), len(word))
	var ip netip.Addr
	var err error
	open, closed := text[0] == '[', text[len(text)-1] == ']'
	switch {
	case open && closed:
		ip, err = netip.ParseAddr(text[1 : len(text)-1])
	case open || strings.Count(text, ":") == 1:
		at, err = netip.ParseAddrPort(text)
		ip = at.Addr()
	default:
		ip, err = netip.ParseAddr(text)
	}
	if err != nil || ip.Zone() != "" || open && !ip.Is6() {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(ip.Unmap(), at.Port()), true
}
