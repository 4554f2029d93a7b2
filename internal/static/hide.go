package static

import (
	"bytes"
	"fmt"
	"path"
	"strings"
)

// hidden decides which names are not served. It is a list of patterns in the
// syntax of path.Match; the last that matches counts, and one that begins with
// an exclamation mark shows the name again.
type hidden []string

// newHidden checks the patterns of Options.
func newHidden(patterns []string) (hidden, error) {
	for _, p := range patterns {
		name := strings.TrimPrefix(p, "!")
		if _, err := path.Match(name, ""); err != nil || name == "" || strings.Contains(name, "/") {
			return nil, fmt.Errorf("hide: %q is no pattern for one name: write it like \".*\" or \"!.well-known\"", p)
		}
	}
	return patterns, nil
}

// name reports whether that name is hidden.
func (h hidden) name(name string) bool {
	for i := len(h) - 1; i >= 0; i-- {
		pattern, shown := strings.CutPrefix(h[i], "!")
		if ok, _ := path.Match(pattern, name); ok { // newHidden has seen the error
			return !shown
		}
	}
	return false
}

// path reports whether a segment of a decoded path is hidden.
func (h hidden) path(decoded []byte) bool {
	for len(h) > 0 && len(decoded) > 0 {
		var segment []byte
		segment, decoded, _ = bytes.Cut(decoded, slash)
		if len(segment) > 0 && h.name(string(segment)) {
			return true
		}
	}
	return false
}
