package soak

import (
	"encoding/binary"
	"fmt"
)

// cellSize is the number of bytes that say of themselves which file, version and offset they are of.
const cellSize = 32

// cellOf makes the words of a cell: the file, its version, the offset, and a sum that no other three have by chance.
// Version 0 is what no one has written: zeros.
func cellOf(file, version uint32, offset int64) (w [4]uint64) {
	if version == 0 {
		return w
	}
	w[0] = 0x65766800_00000000 | uint64(file)
	w[1] = uint64(version)
	w[2] = uint64(offset)
	w[3] = (w[0]*0x9e3779b97f4a7c15 ^ w[1]*0xc2b2ae3d27d4eb4f ^ w[2]*0x165667b19e3779f9) | 1
	return w
}

// cellBytes makes the bytes of a cell.
func cellBytes(file, version uint32, offset int64) (b [cellSize]byte) {
	for i, w := range cellOf(file, version, offset) {
		binary.LittleEndian.PutUint64(b[8*i:], w)
	}
	return b
}

// fill makes the bytes of a version from that offset on.
func fill(p []byte, file, version uint32, offset int64) {
	for len(p) > 0 {
		cell := cellBytes(file, version, offset&^(cellSize-1))
		n := copy(p, cell[offset&(cellSize-1):])
		p, offset = p[n:], offset+int64(n)
	}
}

// firstWrong compares bytes with a version's from that offset on, and returns the index of a wrong one; -1: none.
func firstWrong(p []byte, file, version uint32, offset int64) int {
	for at := 0; at < len(p); {
		if offset&(cellSize-1) == 0 && len(p)-at >= cellSize {
			w := cellOf(file, version, offset)
			q := p[at : at+cellSize]
			if binary.LittleEndian.Uint64(q) == w[0] && binary.LittleEndian.Uint64(q[8:]) == w[1] &&
				binary.LittleEndian.Uint64(q[16:]) == w[2] && binary.LittleEndian.Uint64(q[24:]) == w[3] {
				at, offset = at+cellSize, offset+cellSize
				continue
			}
		}
		cell := cellBytes(file, version, offset&^(cellSize-1))
		rest := cell[offset&(cellSize-1):]
		for i := 0; i < len(rest) && at < len(p); i++ {
			if p[at] != rest[i] {
				return at
			}
			at, offset = at+1, offset+1
		}
	}
	return -1
}

// cellAt is the cell around an index; what it is of is in its first word. It is nil at the edge of p. offset is that of
// p in the file.
func cellAt(p []byte, at int, offset int64) []byte {
	start := at - int((offset+int64(at))&(cellSize-1))
	if start < 0 || start+cellSize > len(p) {
		return nil
	}
	return p[start : start+cellSize]
}

// ofFile reports whether the bytes around an index are that file's, of whichever version or of a write that was not
// over, or zeros.
func ofFile(p []byte, at int, offset int64, file uint32) bool {
	q := cellAt(p, at, offset)
	if q == nil { // the edge of a range: a part of a cell, of which the next one says more
		return true
	}
	want := cellBytes(file, 1, 0)
	for i, b := range q[:8] { // zeros may begin in the middle of it
		if b != want[i] && b != 0 {
			return false
		}
	}
	return true
}

// describeCell says what the bytes around an index are, for a report.
func describeCell(p []byte, at int, offset int64) string {
	q := cellAt(p, at, offset)
	if q == nil {
		return fmt.Sprintf("%x", p[max(0, at-cellSize):min(len(p), at+cellSize)])
	}
	var w [4]uint64
	for i := range w {
		w[i] = binary.LittleEndian.Uint64(q[8*i:])
	}
	switch {
	case w == [4]uint64{}:
		return "zeros"
	case w == cellOf(uint32(w[0]), uint32(w[1]), int64(w[2])):
		return fmt.Sprintf("file %d, version %d, offset %d", uint32(w[0]), w[1], w[2])
	}
	return fmt.Sprintf("%x", q)
}
