// Package pattern matches the paths that a configuration's rules and redirects name.
//
// It imports nothing of the project.
package pattern

import (
	"fmt"
	"strings"
)

// Pattern matches a decoded path. In it * stands for any bytes within a segment, and ** for any bytes, of other
// segments too; both may stand for none. Every other byte stands for itself.
type Pattern struct {
	literals []string // the text before, between and after the wildcards: one piece more than there are wildcards
	across   []bool   // for each wildcard: it is **
}

// WildcardsMax bounds the wildcards of a pattern, because the cost of a match grows with them. A redirect names each
// with one digit.
const WildcardsMax = 9

// New checks a pattern and prepares it.
func New(s string) (*Pattern, error) {
	p := &Pattern{}
	for rest := s; ; {
		i := strings.IndexByte(rest, '*')
		if i < 0 {
			p.literals = append(p.literals, rest)
			break
		}
		p.literals = append(p.literals, rest[:i])
		across := strings.HasPrefix(rest[i:], "**")
		p.across = append(p.across, across)
		if rest = rest[i+1:]; across {
			rest = rest[1:]
		}
	}
	if !strings.HasPrefix(s, "/") || strings.Contains(s, "***") || len(p.across) > WildcardsMax {
		return nil, fmt.Errorf("%q: want a pattern that begins with /, with * within a segment and ** across segments,"+
			" and at most %d of them", s, WildcardsMax)
	}
	return p, nil
}

// Wildcards is how many wildcards the pattern has.
func (p *Pattern) Wildcards() int { return len(p.across) }

// Match reports whether the pattern matches the whole path. It allocates nothing, and the work is at most that
// of len(path) for each wildcard and each slash of the pattern.
//
// The literals are looked for from the left, each at the first place where it can be. That is as good as any other
// place: what is behind a ** goes as far as it likes, and a * ends at the next slash, so that a later place of a
// literal with a slash would not be within its reach, and one of a literal without leads no further. If it fails,
// only the literal behind the last ** may stand further right.
func (p *Pattern) Match(path string) bool {
	rest, ok := strings.CutPrefix(path, p.literals[0])
	last := len(p.across)
	if !ok || last == 0 {
		return ok && rest == ""
	}
	if rest, ok = strings.CutSuffix(rest, p.literals[last]); !ok {
		return false
	}
	at := 0               // behind the literal that was found last
	behind, from := -1, 0 // the last ** so far, and where the literal behind it stands
	for i := 0; ; i++ {
		if p.across[i] {
			if i == last-1 {
				return true
			}
			n := strings.Index(rest[at:], p.literals[i+1])
			if n < 0 {
				return false
			}
			behind, from = i, at+n
			at = from + len(p.literals[i+1])
			continue
		}
		slash := strings.IndexByte(rest[at:], '/')
		if i == last-1 && slash < 0 {
			return true
		}
		if i < last-1 {
			literal, within := p.literals[i+1], rest[at:]
			if slash >= 0 {
				within = within[:min(len(within), slash+len(literal))] // it begins at the slash at the latest
			}
			if n := strings.Index(within, literal); n >= 0 {
				at += n + len(literal)
				continue
			}
		}
		// From a place before the next slash the same slash would be in the way.
		if behind >= 0 {
			slash = strings.IndexByte(rest[from:], '/')
		}
		if behind < 0 || slash < 0 {
			return false
		}
		at, i = from+slash+1, behind-1
	}
}

// Find is Match, and appends what each wildcard stands for to got: from the first on, each for as little
// as it can. The work is at most that of len(path) for each wildcard.
func (p *Pattern) Find(path string, got []string) ([]string, bool) {
	rest, ok := strings.CutPrefix(path, p.literals[0])
	last := len(p.across)
	if !ok {
		return got, false
	}
	if last == 0 {
		return got, rest == ""
	}
	end := p.literals[last]
	if last == 1 { // as most patterns are
		middle, ok := strings.CutSuffix(rest, end)
		if !ok || !p.across[0] && strings.IndexByte(middle, '/') >= 0 {
			return got, false
		}
		return append(got, middle), true
	}
	if !p.Match(path) { // as of most paths; the tables are large
		return got, false
	}
	reach := p.reachable(rest)
	if !reach[0][0] {
		return got, false
	}
	at := 0
	for i := range p.across {
		n := 0
		for !p.follows(reach, rest, i, at+n) {
			n++ // there is one, as reach says
		}
		got = append(got, rest[at:at+n])
		at += n + len(p.literals[i+1])
	}
	return got, true
}

// reachable says for each wildcard from where on rest it, and all behind it, match to the end.
func (p *Pattern) reachable(rest string) [][]bool {
	last := len(p.across)
	reach := make([][]bool, last+1)
	for i := range reach {
		reach[i] = make([]bool, len(rest)+1)
	}
	reach[last][len(rest)] = true
	for i := last - 1; i >= 0; i-- {
		for at := len(rest); at >= 0; at-- {
			reach[i][at] = p.follows(reach, rest, i, at) ||
				at < len(rest) && (p.across[i] || rest[at] != '/') && reach[i][at+1]
		}
	}
	return reach
}

// follows reports whether the wildcard i may end at that place: the literal behind it is there, and the rest matches.
func (p *Pattern) follows(reach [][]bool, rest string, i, at int) bool {
	literal := p.literals[i+1]
	return strings.HasPrefix(rest[at:], literal) && reach[i+1][at+len(literal)]
}
