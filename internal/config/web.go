package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/evhttpd/evhttpd/http1"
)

// The kinds of what concerns HTTP.
var (
	// The value of a field that we send (RFC 9110 section 5.5).
	fieldValue = text("text", "text without control characters, and no space at either end", http1.IsValue)
	// A token (RFC 9110 section 5.6.2).
	fieldName = text("X-Name", "a field's name: letters, digits and hyphens", http1.IsToken)

	headerName = checked("X-Name", notOwn, fieldName.check)

	hostName = unique(of(onlyText, "", "example.org", parseHost, "string"))
)

// ownFields are the fields that frame or date every answer. A configuration that set them would break HTTP.
var ownFields = []string{"Connection", "Content-Length", "Content-Range", "Date", "Keep-Alive", "Server",
	"Transfer-Encoding", "Upgrade"}

// notOwn refuses the fields that the server makes itself.
func notOwn(name string) error {
	if slices.ContainsFunc(ownFields, func(own string) bool { return strings.EqualFold(name, own) }) {
		return fmt.Errorf("%q: is a field that the server makes itself: leave it out", name)
	}
	return nil
}

// status is one of a few statuses, or any from least to most.
func status(least, most int, only ...int) kind {
	want := fmt.Sprintf("a status from %d to %d", least, most)
	if len(only) > 0 {
		want = "one of " + strings.Trim(strings.Join(strings.Fields(fmt.Sprint(only)), ", "), "[]")
	}
	k := of(onlyNumber, want, strconv.Itoa(least), func(s string) (int, error) {
		n, err := strconv.Atoi(s)
		if err != nil || len(s) != 3 || n < least || n > most || len(only) > 0 && !slices.Contains(only, n) {
			err = wrong(s, want)
		}
		return n, err
	}, "integer")
	k.schema["minimum"], k.schema["maximum"] = least, most
	if len(only) > 0 {
		k.schema = map[string]any{"enum": only}
	}
	return k
}

// parseHost reads the host of a site, in lower case.
func parseHost(s string) (string, error) {
	if s == "*" {
		return s, nil
	}
	host := strings.ToLower(strings.TrimPrefix(s, "*."))
	if inner, ok := strings.CutPrefix(s, "["); ok {
		if ip, err := netip.ParseAddr(strings.TrimSuffix(inner, "]")); err == nil && ip.Is6() &&
			strings.HasSuffix(inner, "]") {
			return "[" + ip.String() + "]", nil
		}
	}
	if name, port, ok := strings.Cut(host, ":"); ok && isHostName(name) {
		if _, err := strconv.ParseUint(port, 10, 16); err == nil {
			return "", fmt.Errorf("%q: a host has no port: want %s", s, name)
		}
	}
	if !isHostName(host) {
		return "", fmt.Errorf("%q: want a host such as example.org, *.example.org, [2001:db8::1], or * for any; "+
			"other scripts in punycode (xn--...)", s)
	}
	return strings.ToLower(s), nil
}

// isHostName reports whether s is made of labels (underscores are in use, whatever RFC 1123 says).
func isHostName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || strings.ContainsFunc(label, func(r rune) bool {
			return (r < '0' || r > '9') && (r < 'a' || r > 'z') && r != '-' && r != '_'
		}) {
			return false
		}
	}
	return true
}
