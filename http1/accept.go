package http1

import "bytes"

// mediaRangesMax is how many media ranges of one Accept field are looked at: no client sends more, and each takes time.
const mediaRangesMax = 64

// MediaRanges goes through the media ranges of an Accept field (RFC 9110 section 12.5.1):
//
//	for ranges := AcceptedIn(value); ranges.Next(); { … ranges.Media, ranges.Weight … }
type MediaRanges struct {
	Media  []byte // text/html, text/* or */*, without parameters
	Weight int    // in thousandths; 0: what the range names is not acceptable
	rest   []byte
	seen   int
}

// AcceptedIn returns the media ranges of the value of an Accept field, before the first of them.
func AcceptedIn(value []byte) MediaRanges { return MediaRanges{rest: value} }

// Next goes to the next media range, and reports whether there is one. Empty elements are passed over.
func (m *MediaRanges) Next() bool {
	for len(m.rest) > 0 && m.seen < mediaRangesMax {
		var element, params []byte
		element, m.rest = cutUnquoted(m.rest, ',')
		if element = trimSpace(element); len(element) == 0 {
			continue
		}
		m.seen++
		m.Media, params = cutUnquoted(element, ';')
		m.Media, m.Weight = trimSpace(m.Media), weightAmong(params)
		return true
	}
	return false
}

// weightAmong returns the weight among the parameters of a media range. One that is not valid makes the range
// unacceptable.
func weightAmong(params []byte) int {
	for len(params) > 0 {
		var p []byte
		p, params = cutUnquoted(params, ';')
		name, value, _ := bytes.Cut(trimSpace(p), []byte{'='})
		if len(name) == 1 && name[0]|0x20 == 'q' {
			weight, _ := parseQvalue(value)
			return int(weight)
		}
	}
	return 1000
}

// AcceptsPages reports which types of a page the value of an Accept field names: HTML, XHTML. Browsers name both when
// they ask for a page, and neither for what a page loads: scripts and style sheets are asked for with */*.
func AcceptsPages(accept []byte) (html, xhtml bool) {
	for ranges := AcceptedIn(accept); ranges.Next(); {
		switch {
		case ranges.Weight == 0:
		case equalFold(ranges.Media, "text/html"):
			html = true
		case equalFold(ranges.Media, "application/xhtml+xml"):
			xhtml = true
		}
	}
	return html, xhtml
}

// HasDirective reports whether the value of a Cache-Control or Pragma field has a directive, which is in lower case and
// may have an argument: no-cache, max-age=0 (RFC 9111 section 5.2).
func HasDirective(value []byte, directive string) bool {
	for len(value) > 0 {
		var element []byte
		element, value = cutUnquoted(value, ',')
		if equalFold(trimSpace(element), directive) {
			return true
		}
	}
	return false
}

// cutUnquoted cuts at the first separator that is not within a quoted string (RFC 9110 section 5.6.4).
func cutUnquoted(p []byte, separator byte) (before, after []byte) {
	quoted := false
	for i := 0; i < len(p); i++ {
		switch {
		case quoted && p[i] == '\\':
			i++
		case p[i] == '"':
			quoted = !quoted
		case !quoted && p[i] == separator:
			return p[:i], p[i+1:]
		}
	}
	return p, nil
}
