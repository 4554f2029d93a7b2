package static

import (
	"bytes"
	"fmt"
	"path"
	"strings"

	"github.com/evhttpd/evhttpd/internal/pattern"
)

// hidden decides which names are not served. It is a list of patterns in the
// syntax of path.Match; the last that matches counts, and one that begins with
// an exclamation mark shows the name again.
type hidden []string

// newHidden checks the patterns of Options.
func newHidden(patterns []string) (hidden, error) {
	for _, p := range patterns {
		if err := CheckHide(p); err != nil {
			return nil, fmt.Errorf("hide: %w", err)
		}
	}
	return patterns, nil
}

// CheckHide says what is wrong with an element of Options.Hide.
func CheckHide(pattern string) error {
	name := strings.TrimPrefix(pattern, "!")
	if _, err := path.Match(name, ""); err != nil || name == "" || strings.ContainsAny(name, "/\x00") {
		return fmt.Errorf("%q: is no pattern for one name: write it like \".*\" or \"!.well-known\"", pattern)
	}
	return nil
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

// PathRule is what a rule says of the paths that match it, as far as the listing of the directory is concerned in which
// they are. Of the rules that match a path and say something of it, the last counts.
type PathRule struct {
	Match  *pattern.Pattern
	Hide   []string // as Options.Hide; nil: the rule says nothing of it
	Guards bool     // the rule says who may have the path
}

// lists reports whether the listing of a directory has a name: not if a request for that would be answered with 404.
func (t *tree) lists(directory, name string) bool {
	if len(t.rules) == 0 {
		return true
	}
	hide, path := t.hide, directory+name
	for _, r := range t.rules {
		if r.Hide != nil && r.Match.Match(path) {
			hide = r.Hide
		}
	}
	return !hide.name(name)
}

// listsText reports whether the listing of a directory has the text of a file too: not if the file is guarded by other
// rules than the directory, of which a client may satisfy one set and not the other.
func (t *tree) listsText(directory, name string) bool {
	guarded, otherwise := false, false
	for _, r := range t.rules {
		if r.Guards {
			own := r.Match.Match(directory + name)
			guarded = guarded || own
			otherwise = otherwise || own != r.Match.Match(directory)
		}
	}
	return !(guarded && otherwise) && t.lists(directory, name)
}
