package accesslog

import "github.com/evhttpd/evhttpd/conn"

// Format is the shape of a line.
type Format uint8

// Combined is the format that Apache and nginx call so:
//
//	ADDR - USER [22/Nov/2026:22:00:00 +0000] "GET /x HTTP/1.1" 200 1024 "referer" "user-agent"
//
// USER is a hyphen for a client that has given no name.
// It has no place for an error's reason or for the time an answer took.
const Combined Format = 0

// JSON is one object a line, with the fields of docs/operations.md.
const JSON Format = 1

// FormatNames are the names of the formats.
var FormatNames = []string{Combined: "combined", JSON: "json"}

const (
	// lineMax is the most bytes that a format makes of a request, LF included.
	lineMax = 4096
	// restMax is the most bytes of them that rest appends.
	restMax = 64
)

// format appends a line in three parts, since what stands in the middle is known
// last. One format serves one loop, and may keep what it needs again.
type format interface {
	// head appends what comes before.
	head(dst []byte, a *conn.Access) []byte
	// rest appends the bytes of the body and, if the format has a place for it,
	// the time in nanoseconds that the answer took.
	rest(dst []byte, bytes, took int64) []byte
	// tail appends what comes after, and LF.
	tail(dst []byte, a *conn.Access) []byte
}

// newFormat returns a format for one loop.
func newFormat(o Options) format {
	if o.Format == JSON {
		return &jsonLines{newRecent(&jsonStyle, o.Location)}
	}
	return &combined{newRecent(&combinedStyle, o.Location)}
}
