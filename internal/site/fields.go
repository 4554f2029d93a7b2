package site

import (
	"maps"
	"slices"
	"strings"

	"github.com/evhttpd/evhttpd/conn"
)

// aboutFile are the fields that say something of a file, such as how long it may be cached or in which language it
// is. They are kept from answers of 4xx and 5xx, which are not that file. Else a missing picture would be missing for
// as long as the picture may be cached.
var aboutFile = []string{
	"accept-ranges", "age", "cache-control", "cdn-cache-control", "content-disposition", "content-encoding",
	"content-language",
	"content-location", "etag", "expires", "last-modified", "pragma", "surrogate-control",
}

// contentType is a field that static makes itself, as the view says, because the parts of a multipart answer have it
// too.
const contentType = "content-type"

// contentEncoding is the field by which a rule says that files are encoded as they are stored. They are not encoded
// again.
const contentEncoding = "content-encoding"

// fieldsOf appends the fields of a rule. Of several with one name the last counts (conn.NewEdit). about says whether
// the fields that say something of a file are wanted too.
func fieldsOf(dst []conn.EditField, headers map[string]string, about bool) []conn.EditField {
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		lower := strings.ToLower(name)
		ofFile := slices.Contains(aboutFile, lower)
		if lower == contentType || ofFile && !about {
			continue
		}
		// Vary is a list. What the server itself has put there must stay.
		dst = append(dst, conn.EditField{Name: name, Value: headers[name], Successes: ofFile, Beside: lower == "vary"})
	}
	return dst
}

// valueOf is the value that headers give to a field.
func valueOf(headers map[string]string, field string) (value string, ok bool) {
	for name, value := range headers {
		if strings.EqualFold(name, field) {
			return value, true
		}
	}
	return "", false
}
