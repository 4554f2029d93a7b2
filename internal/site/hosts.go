package site

import (
	"bytes"
	"net/netip"
	"strings"
)

// hosts finds the site of a Host: the first in the order of the configuration that has a matching host.
type hosts struct {
	exact    map[string]int // sites by name in lower case; an IPv6 address is in brackets, as netip writes it
	beneath  map[string]int // sites with *.example.org, by the name without the asterisk and the dot
	anything int            // the first site with "*"; -1: there is none
}

// hostMax is the length of the longest name of a host (RFC 1035 section 2.3.4), in bytes, with a dot at its end.
const hostMax = 254

func newHosts(sites []Site) *hosts {
	h := &hosts{exact: make(map[string]int), beneath: make(map[string]int), anything: -1}
	first := func(m map[string]int, host string, i int) {
		if _, taken := m[host]; !taken {
			m[host] = i
		}
	}
	for i, s := range sites {
		for _, host := range s.Hosts {
			if name, ok := strings.CutPrefix(host, "*."); ok {
				first(h.beneath, strings.ToLower(name), i)
			} else if host != "*" {
				first(h.exact, strings.ToLower(host), i)
			} else if h.anything < 0 {
				h.anything = i
			}
		}
	}
	return h
}

// find returns the index of the site that a Host names; -1: there is none. host is a valid uri-host[:port] or empty.
// Port, case and a dot at the end do not matter.
func (h *hosts) find(host []byte) int {
	name := nameOf(host)
	if name == "" {
		return h.anything
	}
	best := h.anything
	look := func(m map[string]int, name string) {
		if i, ok := m[name]; ok && (best < 0 || i < best) {
			best = i
		}
	}
	look(h.exact, name)
	for _, parent, more := strings.Cut(name, "."); more && name[0] != '['; _, parent, more = strings.Cut(parent, ".") {
		look(h.beneath, parent)
	}
	return best
}

// nameOf is the name in a Host, as newHosts keeps names; empty: there is none, or one that no site can have.
func nameOf(host []byte) string {
	if len(host) > 0 && host[0] == '[' {
		end := bytes.IndexByte(host, ']')
		ip, err := netip.ParseAddr(string(host[1:max(end, 1)]))
		if err != nil {
			return string(bytes.ToLower(host[:end+1]))
		}
		return "[" + ip.String() + "]"
	}
	if i := bytes.IndexByte(host, ':'); i >= 0 {
		host = host[:i]
	}
	if len(host) > hostMax {
		return ""
	}
	return string(bytes.ToLower(bytes.TrimSuffix(host, dot)))
}

var dot = []byte{'.'}
