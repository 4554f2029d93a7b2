package site

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/evhttpd/evhttpd/http1"
	"github.com/evhttpd/evhttpd/internal/pattern"
)

// RedirectStatuses are those that a Redirect may have.
var RedirectStatuses = []int{301, 302, 303, 307, 308}

// Redirect sends the paths that match From elsewhere.
type Redirect struct {
	From   string `yaml:"from"`   // a pattern
	To     string `yaml:"to"`     // a path or an http or https URL; $1 is what the first wildcard stands for
	Status int    `yaml:"status"` // one of RedirectStatuses
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
	if !slices.Contains(RedirectStatuses, r.Status) {
		return nil, fmt.Errorf("status: %d: want one of %v", r.Status, RedirectStatuses)
	}
	if err := errors.Join(CheckTarget(escaped(r.To)), r.Check("from")); err != nil {
		return nil, fmt.Errorf("to: %w", err)
	}
	to, fragment, _ := strings.Cut(escaped(r.To), "#")
	d := &redirect{from: from, status: r.Status, local: strings.HasPrefix(to, "/")}
	if fragment != "" {
		d.fragment = "#" + fragment
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
			d.to = append(d.to, part{wildcard: int(to[1] - '0'), inQuery: d.query})
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

// CheckTarget says what is wrong with Redirect.To. What begins with two slashes is another host's (RFC 3986 section 4.2). Which
// host it is, is not for a request to say ("https://example.org$1").
func CheckTarget(to string) error {
	path := strings.HasPrefix(to, "/") && !strings.HasPrefix(to, "//")
	if u, err := url.Parse(to); !path && err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" {
		_, rest, _ := strings.Cut(to, "://")
		host, _, _ := strings.Cut(strings.NewReplacer("?", "/", "#", "/").Replace(rest), "/")
		path = !strings.Contains(host, "$")
	}
	if !path || http1.HasControl(to) || strings.Contains(to, " ") {
		return fmt.Errorf("%q: want a path that begins with one /, or a URL that begins with http:// or https:// and whose host has no $", to)
	}
	return nil
}

// Check says what is wrong with From and To together, neither of which is wrong alone. from is how the error names From.
func (r Redirect) Check(from string) error {
	if r.From == r.To {
		return fmt.Errorf("%q: is where it comes from: a client would go around in circles", r.To)
	}
	p, err := pattern.New(r.From)
	if err != nil {
		return err
	}
	for rest := r.To; ; {
		i := wildcardAt(rest)
		if i < 0 {
			return nil
		}
		if n := int(rest[i+1] - '0'); n == 0 || n > p.Wildcards() {
			return fmt.Errorf("%q: there is no $%d: %s has %d wildcards, counted from $1", r.To, n, from, p.Wildcards())
		}
		rest = rest[i+2:]
	}
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
