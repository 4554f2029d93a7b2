package admin

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// hosts are the names by which clients may ask the control plane, in lower case. *.example.org stands for all names
// below it, * for all names.
type hosts []string

// answersTo reports whether a request with that Host (RFC 9110 section 7.2) is answered. Another site can have its
// own name resolve to this address (DNS rebinding), and its pages could then read the answers as if they were of the
// site. The browser sends the name of that site. The name cannot be an address, nor localhost or one below it (RFC
// 6761 section 6.3), so these are answered. So is a request without a name, which no browser makes.
func (names hosts) answersTo(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if host == "" || host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	for _, name := range names {
		if name == host || name == "*" || strings.HasPrefix(name, "*.") && strings.HasSuffix(host, name[1:]) {
			return true
		}
	}
	return false
}

// onlyFor refuses requests by other names, except at a Unix socket, to which no browser connects.
func (names hosts) onlyFor(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		if ok && local.Network() != "unix" && !names.answersTo(r.Host) {
			w.Header().Set("Connection", "close")
			http.Error(w, "421: the control plane answers to addresses, localhost and the names in admin.hosts",
				http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}
