package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong with a configuration. Its origin has a file without a line if the file as a whole
// is wrong.
type Problem struct {
	Origin
	Text string // what is wrong with what, and what would be right
}

// String returns the problem in one line, with its place first.
func (p Problem) String() string {
	text := strings.ReplaceAll(p.Text, "\n", `\n`) // a key may hold one
	switch {
	case p.File == "":
		return text
	case p.Line == 0:
		return p.File + ": " + text
	default:
		return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, text)
	}
}

// Error is everything that is wrong with a configuration, in the order of its places.
type Error struct{ Problems []Problem }

// Error returns the problems, one a line.
func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// problems collects what is wrong.
type problems struct {
	all []Problem
	bad map[string]bool // the keys whose values are wrong; they have kept their defaults
}

// add notes a problem of the value at path, where it came from.
func (p *problems) add(path string, o Origin, format string, args ...any) {
	p.all = append(p.all, Problem{o, cmp.Or(o.Name, path) + " " + fmt.Sprintf(format, args...)})
	p.bad[path] = true
}

// fine reports whether the values of these keys can be believed.
func (p *problems) fine(paths ...string) bool {
	return !slices.ContainsFunc(paths, func(path string) bool { return p.bad[path] })
}

// err is the error with all problems: first those of the file by their lines, then the others as they were found.
func (p *problems) err() error {
	if len(p.all) == 0 {
		return nil
	}
	slices.SortStableFunc(p.all, func(a, b Problem) int {
		if a.File == "" || b.File == "" {
			return cmp.Compare(b.File, a.File)
		}
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return &Error{p.all}
}

// Nearest is the candidate that may have been meant by word; empty: none is near.
func Nearest(word string, candidates []string) string {
	word = strings.ToLower(strings.ReplaceAll(word, "-", "_"))
	best, least := "", max(len(word)/3, 1)+1
	for _, c := range candidates {
		if d := distance(word, c); d < least {
			best, least = c, d
		}
	}
	return best
}

// distance is the number of letters that are to be added, removed, replaced or swapped with their neighbour to make b
// from a (optimal string alignment).
func distance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			replace := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			rows[i][j] = min(replace, rows[i-1][j]+1, rows[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
