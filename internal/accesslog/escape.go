package accesslog

import "encoding/binary"

// cut marks text that was longer than its place.
const cut = "..."

// plain are the bytes that stand for themselves: printable ASCII but for the
// quotation mark, which ends a value, and the backslash, which escapes.
var plain = func() (table [256]bool) {
	for b := byte(' '); b < 0x7f; b++ {
		table[b] = b != '"' && b != '\\'
	}
	return table
}()

// appendEscaped appends what a client sent so that it can harm neither a
// terminal nor a program that reads the log: every other byte as \xHH, like
// nginx. It appends at most limit bytes, then the mark of a cut.
func appendEscaped(dst, text []byte, limit int) []byte {
	if len(text) <= limit {
		clean := plainPrefix(text)
		dst = append(dst, text[:clean]...)
		if clean == len(text) {
			return dst
		}
		text, limit = text[clean:], limit-clean
	}
	for _, b := range text {
		if plain[b] && limit >= 1 {
			dst = append(dst, b)
			limit--
		} else if limit >= 4 {
			dst = append(dst, '\\', 'x', upperHex[b>>4], upperHex[b&15])
			limit -= 4
		} else {
			return append(dst, cut...)
		}
	}
	return dst
}

// plainPrefix returns how many bytes at the start of text stand for themselves.
func plainPrefix(text []byte) int {
	i := 0
	for ; i+8 <= len(text); i += 8 {
		if !allPlain(binary.LittleEndian.Uint64(text[i:])) {
			break
		}
	}
	if i > 0 && i+8 > len(text) && allPlain(binary.LittleEndian.Uint64(text[len(text)-8:])) {
		return len(text) // the last eight, some of them for the second time
	}
	for ; i < len(text) && plain[text[i]]; i++ {
	}
	return i
}

// allPlain reports whether each of eight bytes stands for itself. Each term has
// the high bit set in some byte if, and only if, one of the bytes is of its kind
// or of that of x itself ("Bit Twiddling Hacks": a zero byte, a byte less than n).
func allPlain(x uint64) bool {
	const ones, highs = 0x0101_0101_0101_0101, 0x8080_8080_8080_8080
	quote, backslash := x^ones*'"', x^ones*'\\'
	return (x| // 80 and up
		(x+ones)| // 7F
		(x-ones*' ')&^x| // below space
		(quote-ones)&^quote|
		(backslash-ones)&^backslash)&highs == 0
}
