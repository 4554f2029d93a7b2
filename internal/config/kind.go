package config

import (
	"fmt"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/evhttpd/evhttpd/internal/guard"
)

// shape is which scalars of a file a value may be. What a flag or a variable says is text.
type shape uint8

const (
	anyScalar shape = iota // text or a number: sizes, durations, addresses
	onlyText               // text: a number needs quotes
	onlyNumber
	onlyBool
)

// kind is how the value of a key is written. The kind of a list is that of each element, the kind of a map that of each
// value.
type kind struct {
	shape shape
	want  string // what a value is, for errors; empty: one such as sample
	// gives the field's type or one convertible to it; an error begins with the quoted text
	parse  func(text string) (any, error)
	format func(v any) string // writes a value as parse reads it
	sample string             // a value that is right, for errors

	quotes  bool           // the value is written in quotes, because it would be a number without
	least   int            // a list has at least this many elements
	unique  bool           // no element of a list stands there twice
	key     *kind          // of a map: how its keys are written
	choices []string       // all values, if they are few
	schema  map[string]any // the JSON schema of a scalar
	// rebase moves what is a path in a value; nil: there is no path in it.
	rebase func(v any, move func(path string) string) any
}

// wrong is the error of a value that is not what is wanted.
func wrong(text, want string) error { return fmt.Errorf("%q: want %s", text, want) }

// text is a string that right accepts.
func text(sample, want string, right func(text string) bool) kind {
	k := checked(sample, func(s string) error {
		if !right(s) {
			return wrong(s, want)
		}
		return nil
	})
	k.want = want
	return k
}

// checked is a string that none of the checks finds wrong. They are those of the package that uses the value.
func checked(sample string, checks ...func(text string) error) kind {
	return kind{
		shape: onlyText,
		parse: func(s string) (any, error) {
			for _, check := range checks {
				if err := check(s); err != nil {
					return nil, err
				}
			}
			return s, nil
		},
		format: asString,
		sample: sample,
		schema: schemaOf("string"),
	}
}

// check says what is wrong with a text of the kind.
func (k kind) check(text string) error {
	_, err := k.parse(text)
	return err
}

func asString(v any) string { return v.(string) }

func schemaOf(types ...string) map[string]any {
	if len(types) == 1 {
		return map[string]any{"type": types[0]}
	}
	return map[string]any{"type": types}
}

// oneOf is one of a few words.
func oneOf(choices ...string) kind {
	want := strings.Join(choices, ", ")
	k := text(choices[0], want, func(s string) bool { return slices.Contains(choices, s) })
	k.choices, k.schema = choices, map[string]any{"enum": choices}
	return k
}

// enum is one of a few words, each of which stands for a number: the first for 0.
func enum[T ~uint8](words []string) kind {
	k := oneOf(words...)
	k.parse = func(s string) (any, error) {
		if i := slices.Index(words, s); i >= 0 {
			return T(i), nil
		}
		return nil, wrong(s, k.want)
	}
	k.format = func(v any) string { return words[v.(T)] }
	return k
}

// number is a whole number within bounds. auto: the word auto stands for 0.
func number(least, most int, auto bool) kind {
	want := fmt.Sprintf("a number from %d to %d", least, most)
	switch {
	case auto:
		want = "auto or " + want
	case least == 0:
		want = fmt.Sprintf("a number from 0 (no limit) to %d", most)
	}
	k := kind{
		shape: onlyNumber,
		want:  want,
		parse: func(s string) (any, error) {
			if auto && s == "auto" {
				return 0, nil
			}
			n, err := strconv.ParseUint(s, 10, 31)
			if err != nil || int(n) < least || int(n) > most {
				return nil, wrong(s, want)
			}
			return int(n), nil
		},
		format: func(v any) string {
			if n := v.(int); n != 0 || !auto {
				return strconv.Itoa(n)
			}
			return "auto"
		},
		sample: strconv.Itoa(max(least, 1)),
		schema: map[string]any{"type": "integer", "minimum": least, "maximum": most},
	}
	if auto {
		k.schema = map[string]any{"anyOf": []any{map[string]any{"const": "auto"}, k.schema}}
	}
	return k
}

// size is a number of bytes within bounds.
func size(least, most int64) kind {
	return kind{
		want: wantSize,
		parse: func(s string) (any, error) {
			n, err := ParseSize(s)
			if err == nil && (n < least || n > most) {
				err = wrong(s, FormatSize(least)+" to "+FormatSize(most))
			}
			return n, err
		},
		format: func(v any) string {
			if n, ok := v.(int); ok {
				return FormatSize(int64(n))
			}
			return FormatSize(v.(int64))
		},
		sample: FormatSize(max(least, 64*KiB)),
		schema: map[string]any{"type": []string{"string", "integer"}, "pattern": "^[0-9]+ *([KMG]iB)?$",
			"minimum": least},
	}
}

// autoSize is a size that may be auto, which is 0.
func autoSize(least, most int64) kind {
	k := size(least, most)
	parse, format := k.parse, k.format
	k.parse = func(s string) (any, error) {
		if s == "auto" {
			return int64(0), nil
		}
		v, err := parse(s)
		if err != nil {
			err = fmt.Errorf("%w, or auto", err)
		}
		return v, err
	}
	k.format = func(v any) string {
		if v.(int64) == 0 {
			return "auto"
		}
		return format(v)
	}
	k.sample = FormatSize(least)
	k.schema = map[string]any{"anyOf": []any{map[string]any{"const": "auto"}, k.schema}}
	return k
}

func duration(most time.Duration) kind {
	return kind{
		want: wantDuration,
		parse: func(s string) (any, error) {
			d, err := ParseDuration(s)
			if err == nil && d > most {
				err = wrong(s, "at most "+FormatDuration(most))
			}
			return d, err
		},
		format: func(v any) string { return FormatDuration(v.(time.Duration)) },
		sample: "30s",
		schema: map[string]any{"type": []string{"string", "integer"},
			"pattern": `^(0|([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h))+$`, "maximum": 0},
	}
}

// boolean is true or false, on a command line on or off.
var boolean = kind{
	shape: onlyBool,
	want:  "true or false",
	parse: func(s string) (any, error) {
		switch s {
		case "on", "true":
			return true, nil
		case "off", "false":
			return false, nil
		}
		return nil, wrong(s, "on or off")
	},
	format:  func(v any) string { return strconv.FormatBool(v.(bool)) },
	sample:  "true",
	choices: []string{"on", "off"},
	schema:  schemaOf("boolean"),
}

var address = kind{
	want:   wantAddress,
	parse:  func(s string) (any, error) { return ParseAddress(s) },
	format: func(v any) string { return v.(Address).String() },
	sample: `":8080"`,
	unique: true,
	rebase: func(v any, move func(string) string) any {
		a := v.(Address)
		if a.Unix != "" {
			a.Unix = move(a.Unix)
		}
		return a
	},
	schema: schemaOf("string", "integer"),
}

var mode = kind{
	parse: func(s string) (any, error) {
		n, err := strconv.ParseUint(strings.TrimPrefix(s, "0o"), 8, 9)
		if err != nil {
			return nil, fmt.Errorf("%q: want permissions in octal, such as %q", s, "0660")
		}
		return os.FileMode(n), nil
	},
	format: func(v any) string { return fmt.Sprintf("%04o", uint32(v.(os.FileMode))) },
	sample: `"0660"`,
	quotes: true,
	schema: schemaOf("string", "integer"),
}

var prefix = kind{
	shape:  onlyText,
	parse:  func(s string) (any, error) { return parsePrefix(s) },
	format: func(v any) string { return v.(netip.Prefix).String() },
	sample: "10.0.0.0/8",
	unique: true,
	schema: schemaOf("string"),
}

// parsePrefix reads a network, or an address as a network of its own.
func parsePrefix(s string) (netip.Prefix, error) {
	if ip, err := netip.ParseAddr(s); err == nil && ip.Zone() == "" {
		return netip.PrefixFrom(ip, ip.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return p, fmt.Errorf("%q: want a network such as 10.0.0.0/8 or 2001:db8::/32, or an address", s)
	case p != p.Masked():
		return p, fmt.Errorf("%q: the address has bits beyond the %d of the network: want %s", s, p.Bits(), p.Masked())
	}
	return p, nil
}

var rate = kind{
	shape:  onlyText,
	parse:  func(s string) (any, error) { return guard.ParseRate(s) },
	format: func(v any) string { return v.(guard.Rate).String() },
	sample: "50/s burst 100",
	schema: map[string]any{"type": "string", "pattern": "^([0-9]+/(s|m|h)( burst [0-9]+)?)?$"},
}

// file is the path of a file or a folder. A relative path begins at the folder of the configuration file that has it,
// on the command line at the working directory.
func file(sample string) kind {
	k := text(sample, "a path", func(s string) bool { return s != "" && !strings.ContainsRune(s, 0) })
	parse := k.parse
	k.parse = func(s string) (any, error) {
		if s == "~" || strings.HasPrefix(s, "~/") {
			return nil, fmt.Errorf("%q: only shells know ~: write the whole path", s)
		}
		return parse(s)
	}
	k.rebase = func(v any, move func(string) string) any { return move(v.(string)) }
	return k
}

// logFile is a file or one of some words. Stray words are refused, because they might be taken for such words.
func logFile(want string, words, stray []string) kind {
	k := file(words[0])
	isWord := func(s string) bool { return slices.Contains(words, s) || strings.HasPrefix(s, "syslog:") }
	asFile, rebase := k.parse, k.rebase
	k.parse = func(s string) (any, error) {
		switch {
		case slices.Contains(stray, s):
			return nil, fmt.Errorf("%q: want %s (a file of that name is ./%s)", s, want, s)
		case isWord(s):
			return s, nil
		case s == "":
			return nil, wrong(s, want)
		}
		return asFile(s)
	}
	k.want = want
	k.rebase = func(v any, move func(string) string) any {
		if isWord(v.(string)) {
			return v
		}
		return rebase(v, move)
	}
	return k
}

// accessOutput is where access lines may go.
var accessOutput = func() kind {
	const want = "off, - (stdout), a file, syslog:udp://HOST:PORT or syslog:unix:PATH"
	k := logFile(want, []string{"-", "off"}, []string{"on", "true", "false", "stdout", "stderr"})
	other, rebase := k.parse, k.rebase
	k.parse = func(s string) (any, error) {
		target, ok := strings.CutPrefix(s, "syslog:")
		if !ok {
			return other(s)
		}
		if path, ok := strings.CutPrefix(target, "unix:"); ok && path != "" {
			return s, nil
		}
		if host, ok := strings.CutPrefix(target, "udp://"); ok {
			if a, err := ParseAddress(host); err == nil && a.Host != "" && a.Port != 0 {
				return s, nil
			}
		}
		return nil, wrong(s, "syslog:udp://HOST:514 or syslog:unix:/dev/log")
	}
	k.rebase = func(v any, move func(string) string) any {
		if path, ok := strings.CutPrefix(v.(string), "syslog:unix:"); ok {
			return "syslog:unix:" + move(path)
		}
		return rebase(v, move)
	}
	return k
}()

// relativeTo moves relative paths into a folder.
func relativeTo(folder string) func(string) string {
	return func(path string) string {
		if filepath.IsAbs(path) {
			return path
		}
		return filepath.Join(folder, path)
	}
}

// countMax bounds what is counted, so that it fits an int everywhere.
const countMax = math.MaxInt32
