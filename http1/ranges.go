package http1

import (
	"math"
	"slices"
)

// ByteRange is a part of a representation, within it and not empty. Units: bytes.
type ByteRange struct{ Offset, Length int64 }

// RangeResult is what a Range field comes to.
type RangeResult uint8

// The outcomes of ParseRange.
const (
	RangeIgnored       RangeResult = iota // the whole representation is the answer
	RangeSatisfiable                      // 206
	RangeUnsatisfiable                    // 416
)

// ParseRange parses the value of a Range field (RFC 9110 section 14) for a
// representation of size bytes and appends the ranges that it asks for to dst, in its
// order, without those that are beyond the end.
//
// A value that is not valid, another unit than bytes, or more than max ranges
// (0: any number) is ignored: section 14.2 lets a server do that. So is a range from the first byte of an empty
// representation, or from its end, as by nginx: who asks for all that there is takes 416 for a failure. The work is
// linear in len(value).
func ParseRange(value []byte, size int64, max int, dst []ByteRange) ([]ByteRange, RangeResult) {
	const unit = "bytes"
	base := len(dst)
	if len(value) <= len(unit) || value[len(unit)] != '=' || !equalFold(value[:len(unit)], unit) {
		return dst, RangeIgnored
	}
	list := value[len(unit)+1:]
	count := 0
	for more := true; more; {
		var spec []byte
		spec, list, more = cutList(list)
		if len(spec) == 0 {
			continue // RFC 9110 section 5.6.1.2: empty elements do not count
		}
		count++
		r, ok := parseRangeSpec(spec, size)
		if !ok || max > 0 && count > max {
			return dst[:base], RangeIgnored
		}
		if r.Length > 0 {
			dst = append(dst, r)
		}
	}
	switch {
	case count == 0:
		return dst, RangeIgnored
	case len(dst) == base:
		return dst, RangeUnsatisfiable
	}
	return dst, RangeSatisfiable
}

// parseRangeSpec parses first-last, first- or -suffix. A range without a byte
// of the representation has Length 0. ok: it is valid and can be answered.
func parseRangeSpec(spec []byte, size int64) (r ByteRange, ok bool) {
	first, rest := cutNumber(spec)
	if len(rest) == 0 || rest[0] != '-' {
		return r, false
	}
	last, tail := cutNumber(rest[1:])
	if len(tail) > 0 {
		return r, false
	}
	switch {
	case first < 0 && last < 0:
		return r, false
	case first < 0:
		length := min(last, size)
		return ByteRange{size - length, length}, size > 0
	case last < 0:
		last = math.MaxInt64
	case last < first:
		return r, false
	}
	if first >= size {
		return r, first > 0
	}
	return ByteRange{first, min(last, size-1) - first + 1}, true
}

// cutNumber splits the digits at the start of p off. n is -1 without any and
// math.MaxInt64 if they overflow.
func cutNumber(p []byte) (n int64, rest []byte) {
	i := 0
	for i < len(p) && isDigit(p[i]) {
		d := int64(p[i] - '0')
		if n > (math.MaxInt64-d)/10 {
			n = math.MaxInt64
		} else {
			n = n*10 + d
		}
		i++
	}
	if i == 0 {
		return -1, p
	}
	return n, p[i:]
}

// CoalesceRanges joins the ranges that overlap or touch, in place, and returns
// what is left. A joined range stands where the first of its parts stood, so that the
// order stays the client's (RFC 9110 section 15.3.7.2). Of ranges in ascending order, as clients send them, the work is
// linear; at worst it grows with the square of len(ranges), which ParseRange bounds.
func CoalesceRanges(ranges []ByteRange) []ByteRange {
	kept := ranges[:0]   // disjoint, with a gap between any two
	highest := int64(-1) // end of all of them
	for _, r := range ranges {
		at := len(kept)
		if r.Offset <= highest {
			for i, k := range slices.Backward(kept) {
				if k.Offset > r.Offset+r.Length || r.Offset > k.Offset+k.Length {
					continue
				}
				end := max(r.Offset+r.Length, k.Offset+k.Length)
				r.Offset = min(r.Offset, k.Offset)
				r.Length = end - r.Offset
				kept, at = slices.Delete(kept, i, i+1), i
			}
		}
		highest = max(highest, r.Offset+r.Length)
		kept = slices.Insert(kept, min(at, len(kept)), r)
	}
	return kept
}
