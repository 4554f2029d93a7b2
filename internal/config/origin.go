package config

import (
	"fmt"
	"strings"
)

// Origin is where a value comes from; a default has none.
type Origin struct {
	File         string // the configuration file
	Line, Column int    // in the file, from 1
	Name         string // of a variable or a flag, as it is typed, or fromRoot
}

// fromRoot is the name of ROOT on the command line.
const fromRoot = "ROOT"

// String names the origin in a few words.
func (o Origin) String() string {
	switch {
	case o.Line > 0:
		return fmt.Sprintf("%s:%d", o.File, o.Line)
	case o.Name == "":
		return "default"
	case o.Name == fromRoot:
		return o.Name
	case strings.HasPrefix(o.Name, "--"):
		return "flag " + o.Name
	default:
		return "variable " + o.Name
	}
}

// origins are where the values come from, by path; a value without one is a default.
type origins map[string]Origin

// near is where the value at path comes from. If it is a default, near is the innermost section around it that was
// written.
func (m origins) near(path string) Origin {
	for {
		if o := m.of(path); o != (Origin{}) {
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
