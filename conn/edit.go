package conn

import (
	"bytes"
	"slices"
	"strings"
)

// EditField is one change of an Edit.
type EditField struct {
	Name  string // a token (RFC 9110 section 5.1)
	Value string // without control characters; empty: the fields of that name are removed
	// Successes keeps an answer of 4xx or 5xx from the change: what is said of a file, how
	// long it may be cached or in which language it is, is not true of an error in its place.
	Successes bool
	// Beside leaves the fields of that name that there are: for a list (RFC 9110 section 5.3)
	// of which the handler has an element of its own, such as Vary.
	Beside bool
}

// Edit is a list of changes to the fields of an answer's head. It does not
// change once it is made, and may be shared by all loops.
type Edit struct {
	items []editItem
	first [256 / 8]byte // a bit for each letter that a name to be taken out begins with, see firstBit
}

type editItem struct {
	name      []byte // in lower case
	line      string // the whole field line with its CRLF; empty: there is none to be set
	successes bool
	beside    bool
}

// NewEdit makes an Edit, nil of no fields. A later field of a name takes the place of an earlier one.
func NewEdit(fields []EditField) *Edit {
	if len(fields) == 0 {
		return nil
	}
	e := &Edit{}
	for _, f := range fields {
		name := []byte(strings.ToLower(f.Name))
		e.items = slices.DeleteFunc(e.items, func(before editItem) bool { return bytes.Equal(before.name, name) })
		item := editItem{name: name, successes: f.Successes, beside: f.Beside && f.Value != ""}
		if f.Value != "" {
			item.line = f.Name + ": " + f.Value + "\r\n"
		}
		e.items = append(e.items, item)
		if !item.beside {
			at, bit := firstBit(name[0])
			e.first[at] |= bit
		}
	}
	return e
}

// firstBit is where Edit.first has the bit of a letter, in either case. Some other bytes share one.
func firstBit(c byte) (at, bit byte) {
	c |= 0x20
	return c >> 3, 1 << (c & 7)
}

// keep appends the lines which stay. failed: the answer is 4xx or 5xx.
func (e *Edit) keep(dst, lines []byte, failed bool) []byte {
	from := 0 // what stands from here on is not copied yet
	for at := 0; at < len(lines); {
		end := len(lines)
		if n := bytes.IndexByte(lines[at:], '\n'); n >= 0 {
			end = at + n + 1
		}
		if i, bit := firstBit(lines[at]); e.first[i]&bit != 0 && e.drops(lines[at:end], failed) {
			dst = append(dst, lines[from:at]...)
			from = end
		}
		at = end
	}
	return append(dst, lines[from:]...)
}

// set appends the lines that are set.
func (e *Edit) set(dst []byte, failed bool) []byte {
	for i := range e.items {
		if item := &e.items[i]; !failed || !item.successes {
			dst = append(dst, item.line...)
		}
	}
	return dst
}

// drops reports whether a field line is to be left out.
func (e *Edit) drops(line []byte, failed bool) bool {
	for i := range e.items {
		item := &e.items[i]
		if item.beside || failed && item.successes || len(line) <= len(item.name) || line[len(item.name)] != ':' {
			continue
		}
		if bytes.EqualFold(line[:len(item.name)], item.name) {
			return true
		}
	}
	return false
}
