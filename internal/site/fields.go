package site

import (
	"maps"
	"slices"
	"strings"

	"github.com/evhttpd/evhttpd/conn"
)

// aboutFile are the fields that say something of a file: how long it may be cached, in which language it
// is. They are kept from answers of 4xx and 5xx, which are not that file: else a missing
// picture would be missing for as long as the picture may be cached.
var aboutFile = []string{
	"accept-ranges", "age", "cache-control", "cdn-cache-control", "content-disposition", "content-encoding", "content-language",
	"content-location", "etag", "expires", "last-modified", "pragma", "surrogate-control",
}

// contentType is the field that a view of static makes, since the parts of a multipart answer have it too.
const contentType = "content-type"

// contentEncoding is the field that says that files are coded as they lie there: they are not coded again.
const contentEncoding = "content-encoding"

// fieldsOf are the fields of rules, of which the one that is said last counts (conn.NewEdit).
// about: those that say something of a file are among them.
func fieldsOf(dst []conn.EditField, headers map[string]string, about bool) []conn.EditField {
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		lower := strings.ToLower(name)
		ofFile := slices.Contains(aboutFile, lower)
		if lower == contentType || ofFile && !about {
			continue
		}
		// Vary is a list, and what the server says there of its own must stay.
		dst = append(dst, conn.EditField{Name: name, Value: headers[name], Successes: ofFile, Beside: lower == "vary"})
	}
	return dst
}

// valueOf is what headers set a field to.
func valueOf(headers map[string]string, field string) (value string, ok bool) {
	for name, value := range headers {
		if strings.EqualFold(name, field) {
			return value, true
		}
	}
	return "", false
}
