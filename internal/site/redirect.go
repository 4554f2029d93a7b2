package site

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/evhttpd/evhttpd/http1"
	"github.com/evhttpd/evhttpd/internal/pattern"
)

// RedirectStatuses are the statuses that a Redirect may have.
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
	to       []part // the target without its fragment
	fragment string // of the target, with its #
	query    bool   // the target has a query
	local    bool   // the target is a path
	status   int
}

// part is a part of a target: text, or what a wildcard stands for.
type part struct {
	text     string
	wildcard int  // the number of the wildcard, from 1; 0: the part is text
	inQuery  bool // the part stands behind a question mark
}

func newRedirect(r Redirect) (*redirect, error) {
	matching, err := pattern.New(r.From)
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
	d := &redirect{from: matching, status: r.Status, local: strings.HasPrefix(to, "/")}
	if fragment != "" {
		d.fragment = "#" + fragment
	}
	from := 0 // what stands before it is in d.to
	for _, at := range append(wildcard.FindAllStringIndex(to, -1), []int{len(to), len(to)}) {
		text := to[from:at[0]]
		d.query = d.query || strings.Contains(text, "?")
		d.to = append(d.to, part{text: text})
		if from = at[1]; at[0] < from {
			d.to = append(d.to, part{wildcard: int(to[from-1] - '0'), inQuery: d.query})
		}
	}
	return d, nil
}

// wildcard is what stands in a target for a wildcard of the pattern.
var wildcard = regexp.MustCompile(`\$[0-9]`)

// CheckTarget says what is wrong with Redirect.To. A path with two slashes in front would name a host (RFC 3986 section
// 4.2). The host of a URL has no wildcard, because a request must not choose it ("https://example.org$1").
func CheckTarget(to string) error {
	ok := strings.HasPrefix(to, "/") && !strings.HasPrefix(to, "//")
	if u, err := url.Parse(to); !ok && err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" {
		_, rest, _ := strings.Cut(to, "://")
		host, _, _ := strings.Cut(strings.NewReplacer("?", "/", "#", "/").Replace(rest), "/")
		ok = !strings.Contains(host, "$")
	}
	if !ok || http1.HasControl(to) || strings.Contains(to, " ") {
		return fmt.Errorf("%q: want a path that begins with one /, or a URL that begins with http:// or "+
			"https:// and whose host has no $", to)
	}
	return nil
}

// Check says what is wrong with From and To together, if neither is wrong alone. The error names From by the word from.
func (r Redirect) Check(from string) error {
	if r.From == r.To {
		return fmt.Errorf("%q: is where it comes from: a client would go around in circles", r.To)
	}
	p, err := pattern.New(r.From)
	if err != nil {
		return err
	}
	for _, text := range wildcard.FindAllString(r.To, -1) {
		if n := int(text[1] - '0'); n == 0 || n > p.Wildcards() {
			return fmt.Errorf("%q: there is no %s: %s has %d wildcards, counted from $1", r.To, text, from,
				p.Wildcards())
		}
	}
	return nil
}

// escaped is a target in which the bytes that may not stand in a URL or a field value are percent-encoded.
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

// location returns where a path is redirected to, without the request's query and the fragment. ok: the path matches.
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
		// With two slashes in front it would name a host (RFC 3986 section 4.2).
		rest := strings.TrimLeft(string(location), "/")
		location = append([]byte{'/'}, rest...)
	}
	return location, true
}

// appendValue appends what a wildcard stands for. In a query more bytes have a meaning than in a path.
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
