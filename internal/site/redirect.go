package site

import (
	"fmt"
	"strings"

	"github.com/evhttpd/evhttpd/http1"
	"github.com/evhttpd/evhttpd/internal/pattern"
)

// Redirect sends the paths that match From elsewhere.
type Redirect struct {
	From   string // a pattern
	To     string // a path or an http or https URL; $1 is what the first wildcard stands for
	Status int    // 301, 302, 303, 307 or 308
}

// redirect is a Redirect, checked.
type redirect struct {
	from     *pattern.Pattern
	to       []part
	fragment string // with its #
	query    bool   // to has one
	local    bool   // to is a path
	status   int
}

// part is text, or what a wildcard stands for.
type part struct {
	text     string
	wildcard int  // from 1; 0: text
	inQuery  bool // behind a question mark
}

func newRedirect(r Redirect) (*redirect, error) {
	from, err := pattern.New(r.From)
	if err != nil {
		return nil, fmt.Errorf("from: %w", err)
	}
	if r.Status < 301 || r.Status > 308 || r.Status > 303 && r.Status < 307 {
		return nil, fmt.Errorf("status: %d: want 301, 302, 303, 307 or 308", r.Status)
	}
	to, fragment, _ := strings.Cut(escaped(r.To), "#")
	d := &redirect{from: from, status: r.Status, local: strings.HasPrefix(to, "/")}
	if fragment != "" {
		d.fragment = "#" + fragment
	}
	if strings.HasPrefix(to, "//") || !d.local && !hasHost(to) {
		return nil, fmt.Errorf("to: %q: want a path that begins with one /, or a URL whose host is no wildcard", r.To)
	}
	for to != "" {
		at := wildcardAt(to)
		text := to
		if at >= 0 {
			text = to[:at]
		}
		d.query = d.query || strings.Contains(text, "?")
		d.to = append(d.to, part{text: text})
		if to = to[len(text):]; to != "" {
			n := int(to[1] - '0')
			if n == 0 || n > from.Wildcards() {
				return nil, fmt.Errorf("to: %q: there is no $%d: from has %d wildcards, counted from $1", r.To, n, from.Wildcards())
			}
			d.to = append(d.to, part{wildcard: n, inQuery: d.query})
			to = to[2:]
		}
	}
	return d, nil
}

// wildcardAt is where $ and a digit stand; -1: nowhere.
func wildcardAt(s string) int {
	for i := range len(s) - 1 {
		if s[i] == '$' && s[i+1] >= '0' && s[i+1] <= '9' {
			return i
		}
	}
	return -1
}

// hasHost reports whether a URL names its host in full: what a request brings in must
// not become a part of it ("https://example.org$1").
func hasHost(url string) bool {
	scheme, rest, ok := strings.Cut(url, "://")
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	return ok && (strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https")) && end > 0 && !strings.Contains(rest[:end], "$")
}

// escaped has what can stand in no field value and no URL percent-encoded.
func escaped(to string) string {
	var b strings.Builder
	for i := range len(to) {
		if c := to[i]; c <= ' ' || c >= 0x7f {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// location returns the Location of a path that matches, up to where the request's query comes.
func (d *redirect) location(path string) (location []byte, ok bool) {
	got, ok := d.from.Find(path, nil)
	if !ok {
		return nil, false
	}
	for _, p := range d.to {
		if p.wildcard == 0 {
			location = append(location, p.text...)
		} else {
			location = appendValue(location, got[p.wildcard-1], p.inQuery)
		}
	}
	if d.local {
		// What begins with two slashes names a host (RFC 3986 section 4.2).
		rest := strings.TrimLeft(string(location), "/")
		location = append([]byte{'/'}, rest...)
	}
	return location, true
}

// appendValue appends what a wildcard stands for. In a query more has a meaning than in a path.
func appendValue(dst []byte, value string, inQuery bool) []byte {
	from := len(dst)
	dst = http1.AppendEscapedPath(dst, []byte(value))
	if !inQuery || !strings.ContainsAny(string(dst[from:]), "+=;") {
		return dst
	}
	text := strings.NewReplacer("+", "%2B", "=", "%3D", ";", "%3B").Replace(string(dst[from:]))
	return append(dst[:from], text...)
}

// appendTo appends the whole Location: the request's query is kept, behind the one that there is.
func (d *redirect) appendTo(dst, location, query []byte, hasQuery bool) []byte {
	dst = append(dst, location...)
	if hasQuery {
		separator := byte('?')
		if d.query {
			separator = '&'
		}
		dst = append(append(dst, separator), query...)
	}
	return append(dst, d.fragment...)
}
