// Package listing renders the listing of a directory, as HTML, JSON or text, from rows that its caller has read.
//
// A [Directory] has what was read, within the bounds of a [Store]. [ParseQuery] says what a request asks to see of it,
// a [Renderer] renders that block by block, and a [Stream] is the body of a listing that is longer than one block: each
// block is rendered when the one before it has been taken, so that a slow client costs two blocks of memory and no
// goroutine.
//
// It imports conn, http1 and internal/background.
package listing

import (
	"crypto/sha256"
	"encoding/base64"
	"strconv"
)

const (
	// BlockSize is about how many bytes of a listing are rendered at a time. A block is longer by less than a row, or
	// than a piece of the README.
	BlockSize = 64 << 10
	// PageRows is how many rows a page has at most.
	PageRows = 1000
)

// fields go out with every listing, before its Content-Type. no-cache: what a listing shows may change without the
// directory's modification time, as sizes do.
const fields = "X-Content-Type-Options: nosniff\r\nCache-Control: no-cache\r\nVary: Accept\r\n"

// typeFields are by format. The policy of the HTML lets nothing run, load or be sent, whatever a name brings in.
var typeFields = [formats]string{
	FormatHTML: "Content-Type: text/html; charset=utf-8\r\n" +
		"Content-Security-Policy: default-src 'none'; style-src 'sha256-" + styleHash() +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'\r\n",
	FormatJSON: "Content-Type: application/json\r\n",
	FormatText: "Content-Type: text/plain; charset=utf-8\r\n",
}

func styleHash() string {
	sum := sha256.Sum256([]byte(style))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// AppendFields appends the fields of the listing in that format, all but those of its length.
func (d *Directory) AppendFields(dst []byte, format Format) []byte {
	dst = append(append(dst, fields...), typeFields[format]...)
	if d.omitted == 0 {
		return dst
	}
	return append(strconv.AppendInt(append(dst, "X-Not-Listed: "...), int64(d.omitted), 10), "\r\n"...)
}
