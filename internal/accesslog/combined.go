package accesslog

import (
	"bytes"
	"strconv"

	"github.com/evhttpd/evhttpd/conn"
)

// The most bytes that the parts of a line take, escaped. Together, with the
// marks of those that were cut and some 130 bytes for the rest, they are less than lineMax.
const (
	requestLineMax = 2048
	unparsedMax    = 1024 // of a head that is no request
	refererMax     = 1024
	userAgentMax   = 512
	userMax        = 128
)

// combined is the Combined format.
type combined struct{ recent }

// The time stands between a client that has no user name and the quotation mark of the request line.
var combinedStyle = style{time: ` - - [02/Jan/2006:15:04:05 -0700] "`, none: "-"}

func (c *combined) head(dst []byte, a *conn.Access) []byte {
	c.update(a)
	dst = append(dst, c.address...)
	if len(a.User) == 0 {
		dst = append(dst, c.stamp...)
	} else {
		dst = appendUser(append(dst, " - "...), a.User, userMax)
		dst = append(dst, c.stamp[len(" - -"):]...)
	}
	if a.Req != nil {
		dst = appendEscaped(dst, a.Req.Line.In(a.Buf), requestLineMax)
	} else {
		dst = appendEscaped(dst, firstLine(a.Buf), unparsedMax)
	}
	if s := a.Status; s >= 100 && s <= 999 {
		return append(dst, '"', ' ', '0'+byte(s/100), '0'+byte(s/10%10), '0'+byte(s%10), ' ')
	}
	dst = append(dst, `" `...)
	dst = strconv.AppendInt(dst, int64(a.Status), 10)
	return append(dst, ' ')
}

func (c *combined) rest(dst []byte, bytes, _ int64) []byte {
	return strconv.AppendInt(dst, bytes, 10)
}

func (c *combined) tail(dst []byte, a *conn.Access) []byte {
	referer, userAgent, _ := sentBy(a)
	dst = append(dst, ` "`...)
	dst = appendValue(dst, referer, refererMax)
	dst = append(dst, `" "`...)
	dst = appendValue(dst, userAgent, userAgentMax)
	return append(dst, "\"\n"...)
}

// appendUser appends a user's name. A space, which ends the field, is escaped too.
func appendUser(dst, name []byte, limit int) []byte {
	for {
		space := bytes.IndexByte(name, ' ')
		if space < 0 {
			return appendEscaped(dst, name, limit)
		}
		before := len(dst)
		dst = appendEscaped(dst, name[:space], limit)
		if limit -= len(dst) - before + len(`\x20`); limit < 0 {
			return append(dst, cut...)
		}
		dst, name = append(dst, `\x20`...), name[space+1:]
	}
}

// firstLine returns the first line of what was received, as far as it came,
// after the empty line that RFC 9112 section 2.2 allows; a hyphen for nothing.
func firstLine(buf []byte) []byte {
	buf = bytes.TrimPrefix(buf, []byte("\r\n"))
	if end := bytes.IndexByte(buf, '\n'); end >= 0 {
		buf = bytes.TrimSuffix(buf[:end], []byte("\r"))
	}
	if len(buf) == 0 {
		return nothing
	}
	return buf
}

var nothing = []byte{'-'}

// appendValue appends a field's value; a hyphen for a field that is not there
// (nil), nothing for an empty one, as Apache and nginx do.
func appendValue(dst, value []byte, limit int) []byte {
	if value == nil {
		return append(dst, '-')
	}
	return appendEscaped(dst, value, limit)
}
