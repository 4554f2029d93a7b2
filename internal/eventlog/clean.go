package eventlog

import (
	"bytes"
	"fmt"
	"strconv"
	"unicode"
	"unicode/utf8"
)

// clean makes a line harmless to a terminal: the text of an error, or a path that a client has asked for, may hold
// sequences that a terminal obeys. It escapes everything but printable characters and the newline at the end.
func clean(line []byte) []byte {
	text := bytes.TrimSuffix(line, []byte{'\n'})
	out := make([]byte, 0, len(line))
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		switch {
		case r == utf8.RuneError && size == 1:
			out = fmt.Appendf(out, `\x%02x`, text[0])
		case unicode.IsPrint(r):
			out = append(out, text[:size]...)
		default:
			quoted := strconv.QuoteRuneToASCII(r)
			out = append(out, quoted[1:len(quoted)-1]...)
		}
		text = text[size:]
	}
	return append(out, '\n')
}
