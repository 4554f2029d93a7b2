package http1

import "bytes"

// AppendPath appends the path that an encoded one names to dst. It is decoded
// exactly once (%2F is then a slash, %25 a percent sign); then dot segments are removed and
// empty segments too, as a file system and nginx's merge_slashes do, so that "//a/./b/.." is
// "/a/". The result begins with a slash, and ends with one if the path names a
// directory: it ended with a slash or a dot segment. An empty path is "/".
//
// bad.Status is not 0 if the path is refused: a percent sign without two
// digits, NUL, a ".." above the root, or no leading slash. bad.At is an offset in encoded. path
// is then dst as it was. encoded and dst must not overlap.
func AppendPath(dst, encoded []byte) (path []byte, bad Error) {
	if len(encoded) == 0 {
		return append(dst, '/'), bad
	}
	if encoded[0] != '/' {
		return dst, errPathStart.at(0)
	}
	root := len(dst) + 1 // behind the leading slash
	path = append(dst, '/')
	segment, segmentAt := root, 1 // where the segment begins, in path and in encoded
	for i := 1; i < len(encoded); {
		c, n := encoded[i], 1
		if c == '%' {
			if !validEscape(encoded[i:]) {
				return path[:root-1], errPathEscape.at(i)
			}
			c, n = unhex(encoded[i+1])<<4|unhex(encoded[i+2]), 3
		}
		if c == 0 {
			return path[:root-1], errPathNUL.at(i)
		}
		i += n
		if c != '/' {
			path = append(path, c)
			continue
		}
		closed, ok := closeSegment(path, root, segment)
		if !ok {
			return path[:root-1], errPathAbove.at(segmentAt)
		}
		if path = closed; len(path) > segment {
			path = append(path, '/')
		}
		segment, segmentAt = len(path), i
	}
	path, ok := closeSegment(path, root, segment)
	if !ok {
		return dst, errPathAbove.at(segmentAt)
	}
	return path, bad
}

// closeSegment applies the last segment of path, path[segment:], if it is a
// dot segment. What stands before it ends with a slash. ok: it does not lead above the root.
func closeSegment(path []byte, root, segment int) (closed []byte, ok bool) {
	switch string(path[segment:]) {
	case ".":
		return path[:segment], true
	case "..":
		if segment == root {
			return path, false
		}
		return path[:bytes.LastIndexByte(path[:segment-1], '/')+1], true
	}
	return path, true
}

// AppendEscapedPath appends a decoded path or a segment of one, percent-encoded
// so that it can stand in a URL's path, in a field and in an HTML attribute. Slashes stay. A first segment with a
// colon needs "./" in front to be a relative reference (RFC 3986 section 4.2).
func AppendEscapedPath(dst, segment []byte) []byte {
	const upperHex = "0123456789ABCDEF"
	for _, c := range segment {
		if class[c]&isPlain != 0 {
			dst = append(dst, c)
		} else {
			dst = append(dst, '%', upperHex[c>>4], upperHex[c&15])
		}
	}
	return dst
}
