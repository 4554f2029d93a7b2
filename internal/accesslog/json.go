package accesslog

import (
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/evhttpd/evhttpd/conn"
)

// The most bytes that the values of a JSON line take, escaped. Together, with the
// marks of those that were cut and some 300 bytes for the rest, they are less than lineMax.
const (
	jsonMethodMax = 64
	jsonTargetMax = 1536
	jsonHostMax   = 300
	jsonFieldMax  = 640 // of a referer, a user agent
	jsonReasonMax = 384
	jsonUserMax   = 128
)

// jsonLines is the JSON format.
type jsonLines struct{ recent }

// The time is that of RFC 3339.
var jsonStyle = style{
	time: `{"time":"2006-01-02T15:04:05.`, zone: `Z07:00"`,
	before: `,"remote":"`, after: `"`, none: `,"remote":null`,
}

func (j *jsonLines) head(dst []byte, a *conn.Access) []byte {
	j.update(a)
	dst = append(dst, j.stamp...)
	milli := a.Wall / int64(time.Millisecond) % 1000
	dst = append(dst, '0'+byte(milli/100), '0'+byte(milli/10%10), '0'+byte(milli%10))
	dst = append(dst, j.zone...)
	dst = append(dst, j.address...)
	if len(a.User) == 0 {
		dst = append(dst, `,"user":null`...)
	} else {
		dst = appendJSON(append(dst, `,"user":`...), a.User, jsonUserMax)
	}
	if r := a.Req; r != nil {
		dst = appendJSON(append(dst, `,"method":`...), r.Name.In(a.Buf), jsonMethodMax)
		dst = appendJSON(append(dst, `,"target":`...), r.Target.In(a.Buf), jsonTargetMax)
		dst = append(append(dst, `,"proto":"HTTP/1.`...), '0'+r.Minor, '"')
	} else {
		// No request: its first line, as far as it came, stands where a target would.
		dst = append(dst, `,"method":null`...)
		dst = appendJSON(append(dst, `,"target":`...), firstLine(a.Buf), jsonTargetMax)
		dst = append(dst, `,"proto":null`...)
	}
	return strconv.AppendInt(append(dst, `,"status":`...), int64(a.Status), 10)
}

func (j *jsonLines) rest(dst []byte, bytes, took int64) []byte {
	dst = strconv.AppendInt(append(dst, `,"bytes":`...), bytes, 10)
	dst = append(dst, `,"duration":`...)
	// Seconds with six digits: microseconds are as fine as a loop's clock deserves.
	micro := max(took, 0) / int64(time.Microsecond)
	dst = append(strconv.AppendInt(dst, micro/1e6, 10), '.')
	for digit := int64(1e5); digit > 0; digit /= 10 {
		dst = append(dst, '0'+byte(micro/digit%10))
	}
	return dst
}

func (j *jsonLines) tail(dst []byte, a *conn.Access) []byte {
	referer, userAgent, host := sentBy(a)
	dst = appendJSON(append(dst, `,"referer":`...), referer, jsonFieldMax)
	dst = appendJSON(append(dst, `,"user_agent":`...), userAgent, jsonFieldMax)
	dst = appendJSON(append(dst, `,"host":`...), host, jsonHostMax)
	dst = append(dst, `,"reason":`...)
	if a.Reason == "" {
		dst = append(dst, "null"...)
	} else {
		dst = append(appendJSONText(append(dst, '"'), a.Reason, jsonReasonMax), '"')
	}
	return append(dst, "}\n"...)
}

// appendJSON appends what a client sent as a JSON string; null for what is not there (nil).
func appendJSON(dst, text []byte, limit int) []byte {
	if text == nil {
		return append(dst, "null"...)
	}
	dst = append(dst, '"')
	if len(text) <= limit && plainPrefix(text) == len(text) {
		dst = append(dst, text...)
	} else {
		dst = appendJSONText(dst, text, limit)
	}
	return append(dst, '"')
}

// appendJSONText appends the inside of a JSON string (RFC 8259 section 7), at most limit
// bytes of it and then the mark of a cut. Characters that are not to be seen, which a terminal
// may obey, are escaped; bytes that are no UTF-8, which JSON has no place for, become \xHH in
// the text that the string stands for, as in the other format.
func appendJSONText[T []byte | string](dst []byte, text T, limit int) []byte {
	var escape [12]byte
	for i := 0; i < len(text); {
		r, size := decodeRune(text[i:])
		unit := escape[:0]
		switch {
		case r == utf8.RuneError && size == 1:
			unit = append(unit, `\\x`...)
			unit = append(unit, upperHex[text[i]>>4], upperHex[text[i]&15])
		case r == '"' || r == '\\':
			unit = append(unit, '\\', byte(r))
		case unicode.IsPrint(r):
			unit = append(unit, text[i:i+size]...)
		case r > 0xffff: // a surrogate pair
			r -= 0x10000
			unit = appendUnit(appendUnit(unit, 0xd800+r>>10), 0xdc00+r&0x3ff)
		default:
			unit = appendUnit(unit, r)
		}
		if limit -= len(unit); limit < 0 {
			return append(dst, cut...)
		}
		dst = append(dst, unit...)
		i += size
	}
	return dst
}

func decodeRune[T []byte | string](text T) (rune, int) {
	if text[0] < utf8.RuneSelf {
		return rune(text[0]), 1
	}
	var b [utf8.UTFMax]byte
	n := copy(b[:], text)
	return utf8.DecodeRune(b[:n])
}

const upperHex = "0123456789ABCDEF"

// appendUnit appends a UTF-16 unit as \uHHHH.
func appendUnit(dst []byte, u rune) []byte {
	return append(dst, '\\', 'u', upperHex[u>>12&15], upperHex[u>>8&15], upperHex[u>>4&15], upperHex[u&15])
}
