package static

import (
	"bytes"
	"strconv"

	"github.com/evhttpd/evhttpd/http1"
)

const (
	formatHTML = iota
	formatJSON
	formatText
	formats
)

const (
	sortName = iota
	sortSize
	sortTime
	sorts
)

var (
	formatNames = [formats]string{"html", "json", "text"}
	sortNames   = [sorts]string{"name", "size", "time"}
)

// pageMax bounds a page's number. No directory has so many.
const pageMax = 1_000_000

// view is what a request wants to see of a directory.
type view struct {
	format, sort uint8
	desc         bool
	page         int32 // from 1; 0: all rows
}

// appendKey appends what names a view of a directory in the cache. No path has a NUL.
func (v view) appendKey(dst []byte, path string) []byte {
	dst = append(append(dst, path...), 0, '0'+v.format, '0'+v.sort, '0')
	if v.desc {
		dst[len(dst)-1]++
	}
	return strconv.AppendInt(dst, int64(v.page), 10)
}

// appendQuery appends the reference that leads to the view, of HTML, from any other of the
// same directory. What is the default is left out.
func (v view) appendQuery(dst []byte) []byte {
	sep := "?"
	if v.sort != sortName || v.desc {
		dst = append(append(dst, "?sort="...), sortNames[v.sort]...)
		if v.desc {
			dst = append(dst, "&amp;order=desc"...)
		} else {
			dst = append(dst, "&amp;order=asc"...)
		}
		sep = "&amp;"
	}
	switch {
	case v.page > 1:
		dst = strconv.AppendInt(append(append(dst, sep...), "page="...), int64(v.page), 10)
	case sep == "?":
		dst = append(dst, "./"...)
	}
	return dst
}

// viewOf reads the query and, if that names no format, Accept. Keys that it does not know are
// left to others; reason says what is wrong with the value of one that it knows.
func viewOf(req *http1.Request, buf []byte) (v view, reason string) {
	format := -1
	for query := req.Query.In(buf); len(query) > 0; {
		var pair []byte
		pair, query, _ = bytes.Cut(query, []byte{'&'})
		name, value, _ := bytes.Cut(pair, []byte{'='})
		n, ok := 0, true
		switch string(name) {
		case "format":
			format, ok = oneOf(value, formatNames[:])
			reason = "format of a listing: want html, json or text"
		case "sort":
			n, ok = oneOf(value, sortNames[:])
			v.sort = uint8(n)
			reason = "sort of a listing: want name, size or time"
		case "order":
			n, ok = oneOf(value, []string{"asc", "desc"})
			v.desc = n == 1
			reason = "order of a listing: want asc or desc"
		case "page":
			n, err := strconv.ParseUint(string(value), 10, 31)
			ok = err == nil && n > 0 && n <= pageMax
			v.page = int32(n)
			reason = "page of a listing: want a number from 1"
		}
		if !ok {
			return v, reason
		}
	}
	if format < 0 {
		format = acceptedFormat(req, buf)
	}
	if v.format = uint8(format); format == formatHTML && v.page == 0 && browses(req, buf) {
		v.page = 1
	}
	return v, ""
}

// browses reports whether a request is a browser's, where people turn pages: Accept names both HTML and XHTML, as
// all of them do. Programs that read listings take one page for all there is. They send no Accept (rclone), */* (lftp,
// wget, curl, Kodi), or HTML alone or among other types (pip).
func browses(req *http1.Request, buf []byte) bool {
	html, xhtml := http1.AcceptsPages(req.Get(http1.FieldAccept, buf))
	return html && xhtml
}

func oneOf(value []byte, names []string) (int, bool) {
	for i, name := range names {
		if string(value) == name {
			return i, true
		}
	}
	return 0, false
}

// acceptedFormat chooses by Accept (RFC 9110 section 12.5.1): the highest weight, then the range that
// names the type more exactly, then HTML before JSON before text. A client that
// accepts none of them gets HTML, as section 12.4.1 allows.
func acceptedFormat(req *http1.Request, buf []byte) int {
	var weight, exactness [formats]int
	for ranges := http1.AcceptedIn(req.Get(http1.FieldAccept, buf)); ranges.Next(); {
		q := ranges.Weight
		for format, exact := range rangeMatches(ranges.Media) {
			// Of two ranges as exact the one that is accepted counts.
			if exact > exactness[format] || exact > 0 && exact == exactness[format] && q > weight[format] {
				weight[format], exactness[format] = q, exact
			}
		}
	}
	best := formatHTML
	for format := range formats {
		if w, b := weight[format], weight[best]; w > b || w == b && w > 0 && exactness[format] > exactness[best] {
			best = format
		}
	}
	return best
}

// rangeMatches says how exactly a media range names each format: 3 for the type, 2 for
// its kind, 1 for anything, 0 not at all.
func rangeMatches(media []byte) (exact [formats]int) {
	is := func(s string) bool { return bytes.EqualFold(media, []byte(s)) }
	switch {
	case is("text/html"):
		exact[formatHTML] = 3
	case is("application/json"):
		exact[formatJSON] = 3
	case is("text/plain"):
		exact[formatText] = 3
	case is("text/*"):
		exact[formatHTML], exact[formatText] = 2, 2
	case is("application/*"):
		exact[formatJSON] = 2
	case is("*/*"):
		exact = [formats]int{1, 1, 1}
	}
	return exact
}
