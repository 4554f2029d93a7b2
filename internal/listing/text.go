package listing

import (
	"bytes"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/evhttpd/evhttpd/http1"
)

// appendRowReference appends the relative reference from a directory to one of its rows, which needs no escape in HTML
// or JSON. "./" stands before a name with a colon, since what precedes a colon would else be a scheme (RFC 3986 section
// 4.2).
func appendRowReference(dst, name []byte, dir bool) []byte {
	if bytes.IndexByte(name, ':') >= 0 {
		dst = append(dst, "./"...)
	}
	dst = http1.AppendEscapedPath(dst, name)
	if dir {
		dst = append(dst, '/')
	}
	return dst
}

// appendJSONRow appends an object on a line of its own. Its keys and types are those of nginx's autoindex; url is the
// reference, which has every byte of a name that is not UTF-8.
func appendJSONRow(b, name []byte, r *row, last bool) []byte {
	b = appendJSONString(append(b, `{"name":`...), name)
	switch r.Kind {
	case KindDirectory:
		b = append(b, `,"type":"directory"`...)
	case KindFile:
		b = strconv.AppendInt(append(b, `,"type":"file","size":`...), r.Size, 10)
	case KindUnknown:
		b = append(b, `,"type":"unknown"`...)
	}
	if at, ok := r.changed(); ok {
		b = append(at.AppendFormat(append(b, `,"mtime":"`...), time.RFC3339), '"')
	}
	b = append(appendRowReference(append(b, `,"url":"`...), name, r.Kind == KindDirectory), '"', '}')
	if !last {
		b = append(b, ',')
	}
	return append(b, '\n')
}

// appendJSONString appends a string of RFC 8259. Bytes that are not UTF-8 become U+FFFD. Characters that mean something
// in HTML or to a terminal, or end a line in JavaScript, are escaped too. The access log has another writer: it bounds
// the length, and keeps the bytes that are not UTF-8.
func appendJSONString(b, s []byte) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for len(s) > 0 {
		r, n := utf8.DecodeRune(s)
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case isControl(r) || r == '<' || r == '>' || r == '&' || r == '\u2028' || r == '\u2029':
			b = append(b, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
		default:
			b = utf8.AppendRune(b, r) // RuneError where it is no UTF-8
		}
		s = s[n:]
	}
	return append(b, '"')
}

// appendTextRow appends the reference, the size and the time with tabs between them. "-" stands for what is not known,
// and for the size of a directory. No name can break a line or a column.
func appendTextRow(b, name []byte, r *row) []byte {
	b = append(appendRowReference(b, name, r.Kind == KindDirectory), '\t')
	if r.Kind == KindFile {
		b = strconv.AppendInt(b, r.Size, 10)
	} else {
		b = append(b, '-')
	}
	b = append(b, '\t')
	if at, ok := r.changed(); ok {
		b = at.AppendFormat(b, time.RFC3339)
	} else {
		b = append(b, '-')
	}
	return append(b, '\n')
}
