package config

import (
	"cmp"
	"fmt"
	"io"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/token"
)

// WriteTo writes the configuration as a file that says every key, each with a comment where its value comes from.
// Paths are whole, so that the file means the same wherever it is put.
func (e *Effective) WriteTo(w io.Writer) (int64, error) {
	f := effectiveFile{e: e}
	f.section("", 0, reflect.ValueOf(e.Config))
	n, err := io.WriteString(w, f.String())
	return int64(n), err
}

// Summary says in one line that the configuration is right, and what it is.
func (e *Effective) Summary() string {
	var roots []string
	for _, s := range e.Config.Sites {
		roots = append(roots, s.Root)
	}
	return fmt.Sprintf("%s: the configuration is right: serves %s at %s", cmp.Or(e.File, "without a file"),
		strings.Join(roots, ", "), strings.Join(formatted("listen", reflect.ValueOf(e.Config.Listen), nil), ", "))
}

// effectiveFile is the text of a configuration.
type effectiveFile struct {
	strings.Builder
	e *Effective
}

// commentColumn is where comments begin, if the line is not longer.
const commentColumn = 40

// line writes a key's line; an origin of nothing has no comment.
func (f *effectiveFile) line(indent int, first, text string, comment string) {
	line := strings.Repeat("  ", indent) + text
	if first != "" { // the dash of a list's element
		line = strings.Repeat("  ", indent-1) + first + text
	}
	if comment != "" {
		line += strings.Repeat(" ", max(commentColumn-utf8.RuneCountInString(line), 2)) + "# " + comment
	}
	f.WriteString(line + "\n")
}

// section writes the keys of a struct. Below a dash the first one stands in its line.
func (f *effectiveFile) section(path string, indent int, v reflect.Value) {
	first := ""
	if strings.HasSuffix(path, "]") {
		first = "- "
	}
	for i, key := range keysOf(v.Type()) {
		if f.key(join(path, key), key, indent, first, v.Field(i)) {
			first = ""
		}
	}
}

// key writes one key, and reports whether there was anything to write.
func (f *effectiveFile) key(path, name string, indent int, first string, v reflect.Value) bool {
	_, isLeaf := kinds[row(path)]
	origin := f.e.origins.of(path)
	isRule := strings.HasPrefix(row(path), "sites[].paths[].") // a rule says only what it changes
	switch {
	case isRule && v.IsZero() && origin == Origin{}:
		return false
	case isLeaf:
		f.line(indent, first, name+": "+written(path, v, Absolute), origin.comment())
	case v.Kind() == reflect.Pointer:
		f.line(indent, first, name+":", "")
		f.section(path, indent+1, v.Elem())
	case v.Kind() == reflect.Struct:
		f.line(indent, first, name+":", "")
		f.section(path, indent+1, v)
	case v.Len() == 0:
		f.line(indent, first, name+": []", origin.comment())
	default:
		f.line(indent, first, name+":", "")
		for i := range v.Len() {
			f.section(fmt.Sprintf("%s[%d]", path, i), indent+2, v.Index(i))
		}
	}
	return true
}

// comment is the origin in a comment, which ends with its line.
func (o Origin) comment() string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == utf8.RuneError {
			return '?'
		}
		return r
	}, o.String())
}

// Absolute is the whole path.
func Absolute(path string) string {
	if whole, err := filepath.Abs(path); err == nil {
		return whole
	}
	return path
}

// quoted writes a scalar as YAML, with quotes where it would be something else without.
func quoted(s string, as shape) string {
	plain := s != ""
	for i, r := range s {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '/' || r == '$'
		plain = plain && (letter || r >= '0' && r <= '9' || i > 0 && strings.ContainsRune("._-+*", r))
	}
	if plain && as == onlyText {
		plain = !token.IsNeedQuoted(s) || s == "off"
	}
	if plain {
		return s
	}
	// Go's escapes are YAML's too (YAML 1.2.2 section 5.7). A byte that is not UTF-8, which no YAML can hold, becomes
	// U+FFFD.
	return strconv.Quote(string([]rune(s)))
}

// Diff lists the keys whose values differ, each as "key: old → new", in the order of the file. What only one of the
// two has is "nothing" in the other.
func Diff(old, new *Config) []string {
	was, order := flat(old)
	is, added := flat(new)
	for _, path := range added {
		if was[path] == "" {
			order = append(order, path)
		}
	}
	var lines []string
	for _, path := range order {
		before, after := cmp.Or(was[path], "nothing"), cmp.Or(is[path], "nothing")
		if before != after {
			lines = append(lines, path+": "+before+" → "+after)
		}
	}
	return lines
}

// flat is every key with its value in one line, and their order.
func flat(c *Config) (values map[string]string, order []string) {
	values = make(map[string]string)
	visit("", reflect.ValueOf(*c), func(path string, v reflect.Value) {
		if _, isLeaf := kinds[row(path)]; !isLeaf { // an empty list of sections: its elements are what differs
			return
		}
		values[path] = written(path, v, nil)
		order = append(order, path)
	})
	return values, order
}
