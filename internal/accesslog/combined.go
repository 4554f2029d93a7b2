package accesslog

import (
	"bytes"
	"net/netip"
	"strconv"
	"time"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/http1"
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

// combined is the Combined format. It keeps the text of the last second and of
// the last peer.
type combined struct {
	location *time.Location
	second   int64 // that stamp is of
	stamp    []byte
	peer     netip.Addr // that address is of
	address  []byte
}

func newCombined(location *time.Location) *combined {
	if location == nil {
		location = time.Local
	}
	c := &combined{location: location}
	c.setSecond(0)
	c.setPeer(netip.Addr{})
	return c
}

func (c *combined) head(dst []byte, a *conn.Access) []byte {
	if peer := a.Remote.AddrPort().Addr(); peer != c.peer {
		c.setPeer(peer)
	}
	if second := a.Wall / int64(time.Second); second != c.second {
		c.setSecond(second)
	}
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
	var referer, userAgent []byte
	if a.Req != nil {
		referer = a.Req.Get(http1.FieldReferer, a.Buf)
		userAgent = a.Req.Get(http1.FieldUserAgent, a.Buf)
	}
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

// setPeer makes the text of a peer's address; of a Unix socket's it is a hyphen.
func (c *combined) setPeer(peer netip.Addr) {
	c.peer = peer
	if !peer.IsValid() {
		c.address = append(c.address[:0], '-')
		return
	}
	c.address = peer.AppendTo(c.address[:0])
}

// setSecond makes the text between the address and the request line, of a client that is nobody.
func (c *combined) setSecond(second int64) {
	c.second = second
	c.stamp = time.Unix(second, 0).In(c.location).AppendFormat(c.stamp[:0], ` - - [02/Jan/2006:15:04:05 -0700] "`)
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
