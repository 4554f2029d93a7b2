package listing

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"github.com/evhttpd/evhttpd/http1"
)

// Format is a format of listings.
type Format uint8

const (
	FormatHTML Format = iota
	FormatJSON
	FormatText
	formats
)

// sortKey is what rows are sorted by.
type sortKey uint8

const (
	sortName sortKey = iota
	sortSize
	sortTime
	sortKeys
)

var sortNames = [sortKeys]string{"name", "size", "time"}

// pageMax bounds the number of a page. No directory has so many pages.
const pageMax = 1_000_000

// Query is what a request asks to see of a directory.
type Query struct {
	Format     Format
	sort       sortKey
	descending bool
	page       int32 // from 1; 0: all rows
}

// AppendKey appends a name of what is asked for: two names are equal if path and query are. No path has a NUL.
func (q Query) AppendKey(dst []byte, path string) []byte {
	dst = append(append(dst, path...), 0, '0'+byte(q.Format), '0'+byte(q.sort), '0')
	if q.descending {
		dst[len(dst)-1]++
	}
	return strconv.AppendInt(dst, int64(q.page), 10)
}

// order is the word for the direction.
func (q Query) order() string {
	if q.descending {
		return "desc"
	}
	return "asc"
}

// reference is the reference that leads to the query's HTML from that of any other query of the same directory. What is
// the default is left out.
func (q Query) reference() string {
	var keys []string
	if q.sort != sortName || q.descending {
		keys = append(keys, "sort="+sortNames[q.sort], "order="+q.order())
	}
	if q.page > 1 {
		keys = append(keys, "page="+strconv.Itoa(int(q.page)))
	}
	if keys == nil {
		return "./"
	}
	return "?" + strings.Join(keys, "&amp;")
}

// ParseQuery reads the query of a request and, if that names no format, Accept. Keys that it does not know are left to
// others. reason says what is wrong with the value of a key that it knows; empty: nothing is.
func ParseQuery(req *http1.Request, buf []byte) (q Query, reason string) {
	named := false
	for query := req.Query.In(buf); len(query) > 0; {
		var pair []byte
		pair, query, _ = bytes.Cut(query, []byte{'&'})
		name, value, _ := bytes.Cut(pair, []byte{'='})
		n, ok := 0, true
		switch string(name) {
		case "format":
			n, ok = oneOf(value, "html", "json", "text") // as the constants are numbered
			q.Format, named = Format(n), true
			reason = "format of a listing: want html, json or text"
		case "sort":
			n, ok = oneOf(value, sortNames[:]...)
			q.sort = sortKey(n)
			reason = "sort of a listing: want name, size or time"
		case "order":
			n, ok = oneOf(value, "asc", "desc")
			q.descending = n == 1
			reason = "order of a listing: want asc or desc"
		case "page":
			n, err := strconv.ParseUint(string(value), 10, 31)
			ok = err == nil && n > 0 && n <= pageMax
			q.page = int32(n)
			reason = "page of a listing: want a number from 1"
		}
		if !ok {
			return q, reason
		}
	}
	accept := req.Get(http1.FieldAccept, buf)
	if !named {
		q.Format = acceptedFormat(accept)
	}
	if q.Format == FormatHTML && q.page == 0 && browses(accept) {
		q.page = 1
	}
	return q, ""
}

// browses reports whether a request comes from a browser, where people turn pages: its Accept names both HTML and
// XHTML, as that of every browser does. Programs that read listings take one page for all there is. They send no Accept
// (rclone), */* (lftp, wget, curl, Kodi), or HTML alone or among other types (pip).
func browses(accept []byte) bool {
	html, xhtml := http1.AcceptsPages(accept)
	return html && xhtml
}

func oneOf(value []byte, names ...string) (int, bool) {
	i := slices.Index(names, string(value))
	return i, i >= 0
}

// acceptedFormat chooses by Accept (RFC 9110 section 12.5.1): the highest weight, then the range that names the type
// more exactly, then HTML before JSON before text. A client that accepts none of them gets HTML, as section 12.4.1
// allows.
func acceptedFormat(accept []byte) Format {
	var weight, exactness [formats]int
	for ranges := http1.AcceptedIn(accept); ranges.Next(); {
		q := ranges.Weight
		for format, exact := range namedBy[string(bytes.ToLower(ranges.Media))] {
			// Of two ranges as exact the one that is accepted counts.
			if exact > exactness[format] || exact > 0 && exact == exactness[format] && q > weight[format] {
				weight[format], exactness[format] = q, exact
			}
		}
	}
	best := FormatHTML
	for format := range formats {
		if w, b := weight[format], weight[best]; w > b || w == b && w > 0 && exactness[format] > exactness[best] {
			best = format
		}
	}
	return best
}

// namedBy says how exactly each media range names each format: 3 for the type, 2 for its kind, 1 for anything.
var namedBy = map[string][formats]int{
	"text/html":        {FormatHTML: 3},
	"application/json": {FormatJSON: 3},
	"text/plain":       {FormatText: 3},
	"text/*":           {FormatHTML: 2, FormatText: 2},
	"application/*":    {FormatJSON: 2},
	"*/*":              {1, 1, 1},
}
