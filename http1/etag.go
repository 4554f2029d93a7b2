package http1

import "bytes"

// MatchETag looks for an entity tag in the value of If-Match (strong: neither
// tag may be weak) or If-None-Match (weak comparison), RFC 9110 section 8.8.3.2. "*" matches any
// etag, an empty one too: the caller asks only if there is a representation.
//
// A list that is not valid as a whole matches nothing: "*" beside tags among them.
func MatchETag(list, etag []byte, strong bool) (match, valid bool) {
	if len(list) == 1 && list[0] == '*' {
		return true, true
	}
	weak, opaque, rest, ok := cutETag(etag)
	known := ok && len(rest) == 0 && (!strong || !weak)
	for {
		list = trimSpace(list)
		if len(list) == 0 {
			return match && valid, valid
		}
		if list[0] == ',' {
			list = list[1:]
			continue
		}
		w, o, rest, ok := cutETag(list)
		if !ok {
			return false, false
		}
		valid = true
		match = match || known && (!strong || !w) && bytes.Equal(o, opaque)
		if list = trimSpace(rest); len(list) > 0 && list[0] != ',' {
			return false, false
		}
	}
}

// cutETag splits the entity tag [ "W/" ] DQUOTE *etagc DQUOTE off p; opaque is
// what stands between the quotes.
func cutETag(p []byte) (weak bool, opaque, rest []byte, ok bool) {
	if len(p) >= 2 && p[0] == 'W' && p[1] == '/' {
		weak, p = true, p[2:]
	}
	if len(p) == 0 || p[0] != '"' {
		return false, nil, nil, false
	}
	i := 1
	for i < len(p) && class[p[i]]&isETag != 0 {
		i++
	}
	if i == len(p) || p[i] != '"' {
		return false, nil, nil, false
	}
	return weak, p[1:i], p[i+1:], true
}
