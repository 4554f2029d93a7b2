package accesslog

import (
	"bytes"
	"strconv"
	"time"
)

// terminalLines is how many lines a second a person can be shown.
const terminalLines = 200

// throttle lets at most terminalLines through in a second, for a terminal: a
// person cannot read more, and a terminal takes lines so slowly that all would
// be dropped. The second begins with the first line that comes after the last ended.
type throttle struct {
	began time.Time
	shown int
	left  int // left out since then
}

// due is how long after now the summary of what was left out is to be written;
// 0: there is none.
func (t *throttle) due(now time.Time) time.Duration {
	if t.left == 0 {
		return 0
	}
	return max(t.began.Add(time.Second).Sub(now), time.Nanosecond)
}

// pass appends those of the lines that may be shown, after the summary of a
// second that has ended.
func (t *throttle) pass(dst, lines []byte, now time.Time) []byte {
	if now.Sub(t.began) >= time.Second {
		if t.left > 0 {
			dst = t.summary(dst)
		}
		t.began, t.shown, t.left = now, 0, 0
	}
	for ; len(lines) > 0 && t.shown < terminalLines; t.shown++ {
		end := bytes.IndexByte(lines, '\n') + 1
		dst = append(dst, lines[:end]...)
		lines = lines[end:]
	}
	t.left += bytes.Count(lines, newline)
	return dst
}

// summary appends the line that stands for those left out.
func (t *throttle) summary(dst []byte) []byte {
	dst = append(dst, "... "...)
	dst = strconv.AppendInt(dst, int64(t.left), 10)
	return append(dst, " lines left out (a terminal is shown 200 a second)\n"...)
}
