package http1

import "strings"

// HasControl reports whether s has a control character of ASCII, such as a tab. No field, path or
// name that we send may have one.
func HasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// IsValue reports whether s can be the value of a field that we send (RFC 9110 section 5.5): it has no control
// character, not even a tab, and no space at either end.
func IsValue(s string) bool { return !HasControl(s) && strings.TrimSpace(s) == s }

// IsToken reports whether s is a token, such as a field's name (RFC 9110 section 5.6.2).
func IsToken(s string) bool { return s != "" && only([]byte(s), isToken) }
