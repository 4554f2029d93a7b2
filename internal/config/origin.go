package config

import (
	"fmt"
	"strings"
)

// From is a kind of origin. They are listed from the weakest to the strongest.
type From uint8

const (
	FromDefault From = iota
	FromFile
	FromVariable
	FromFlag
	FromRoot // ROOT on the command line
)

// Origin is where a value comes from.
type Origin struct {
	From         From
	File         string // with FromFile
	Line, Column int    // with FromFile, from 1
	Name         string // with FromVariable and FromFlag, as it is typed
}

// String names the origin in a few words.
func (o Origin) String() string {
	switch o.From {
	case FromFile:
		return fmt.Sprintf("%s:%d", o.File, o.Line)
	case FromVariable:
		return "variable " + o.Name
	case FromFlag:
		return "flag " + o.Name
	case FromRoot:
		return "ROOT"
	default:
		return "default"
	}
}

// subject names the value in an error: by its key, or by what was typed.
func (o Origin) subject(path string) string {
	switch o.From {
	case FromVariable, FromFlag:
		return o.Name
	case FromRoot:
		return "ROOT"
	default:
		return path
	}
}

// origins are where the values come from, by path; a value without one is a default.
type origins map[string]Origin

// near is where the value at path comes from. If it is a default, near is the innermost section around it that was
// written.
func (m origins) near(path string) Origin {
	for {
		if o := m.of(path); o.From != FromDefault {
			return o
		}
		i := strings.LastIndexAny(path, ".[")
		if i < 0 {
			return Origin{}
		}
		path = path[:i]
	}
}

// of is where the value at path comes from. An element comes from where its list does.
func (m origins) of(path string) Origin {
	for {
		if o, ok := m[path]; ok {
			return o
		}
		if !strings.HasSuffix(path, "]") {
			return Origin{} // the key was not written, whether its section was or not
		}
		path = path[:strings.LastIndexByte(path, '[')]
	}
}
