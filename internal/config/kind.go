package config

import (
	"fmt"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// shape is which scalars of a file a value may be. What a flag or a variable says is text.
type shape uint8

const (
	anyScalar shape = iota // text or a number: sizes, durations, addresses
	onlyText               // text: a number needs quotes
	onlyNumber
	onlyBool
)

// kind is how the value of a key is written. A list has its kind for each
// element, a map for each value.
type kind struct {
	shape  shape
	parse  func(text string) (any, error) // of the field's own type, or convertible to it; an error begins with the quoted text
	format func(v any) string             // as parse reads it
	sample string                         // a value that is right, for errors

	quotes  bool                                           // of a value that would be a number without
	least   int                                            // elements that a list has
	unique  bool                                           // no element of a list stands twice
	key     *kind                                          // of a map: how its keys are written
	rebase  func(v any, move func(path string) string) any // moves what is a path in a value
	choices []string                                       // all values, if they are few
	schema  map[string]any                                 // JSON schema of a scalar
}

// wants makes a parse function from one that says only whether the text is right.
func wants(want string, right func(text string) bool) func(string) (any, error) {
	return func(text string) (any, error) {
		if !right(text) {
			return nil, fmt.Errorf("%q: want %s", text, want)
		}
		return text, nil
	}
}

// text is a string of which right decides.
func text(sample, want string, right func(text string) bool) kind {
	return kind{shape: onlyText, parse: wants(want, right), format: asString, sample: sample, schema: schemaOf("string")}
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
	return kind{
		shape:   onlyText,
		parse:   func(s string) (any, error) { return OneOf(s, choices...) },
		format:  asString,
		sample:  choices[0],
		choices: choices,
		schema:  map[string]any{"enum": choices},
	}
}

// OneOf returns s if it is one of the choices.
func OneOf(s string, choices ...string) (string, error) {
	for _, c := range choices {
		if s == c {
			return s, nil
		}
	}
	return "", fmt.Errorf("%q: want %s", s, strings.Join(choices, ", "))
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
		parse: func(s string) (any, error) {
			if auto && s == "auto" {
				return 0, nil
			}
			n, err := strconv.ParseUint(s, 10, 31)
			if err != nil || int(n) < least || int(n) > most {
				return nil, fmt.Errorf("%q: want %s", s, want)
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
		parse: func(s string) (any, error) {
			n, err := ParseSize(s)
			if err == nil && (n < least || n > most) {
				err = fmt.Errorf("%q: want %s to %s", s, FormatSize(least), FormatSize(most))
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
		schema: map[string]any{"type": []string{"string", "integer"}, "pattern": "^[0-9]+ *([KMG]iB)?$", "minimum": least},
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
		parse: func(s string) (any, error) {
			d, err := ParseDuration(s)
			if err == nil && d > most {
				err = fmt.Errorf("%q: want at most %s", s, FormatDuration(most))
			}
			return d, err
		},
		format: func(v any) string { return FormatDuration(v.(time.Duration)) },
		sample: "30s",
		schema: map[string]any{"type": []string{"string", "integer"}, "pattern": `^(0|([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h))+$`, "maximum": 0},
	}
}

// boolean is true or false, on a command line on or off.
var boolean = kind{
	shape: onlyBool,
	parse: func(s string) (any, error) { return ParseSwitch(s) },
	format: func(v any) string {
		return strconv.FormatBool(v.(bool))
	},
	sample:  "true",
	choices: []string{"on", "off"},
	schema:  schemaOf("boolean"),
}

// ParseSwitch reads on or off.
func ParseSwitch(s string) (bool, error) {
	switch s {
	case "on", "true":
		return true, nil
	case "off", "false":
		return false, nil
	}
	return false, fmt.Errorf("%q: want on or off", s)
}

var address = kind{
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
	parse:  func(s string) (any, error) { return ParseRate(s) },
	format: func(v any) string { return v.(Rate).String() },
	sample: "50/s burst 100",
	schema: map[string]any{"type": "string", "pattern": "^([0-9]+/(s|m|h)( burst [0-9]+)?)?$"},
}

// ratePeriods are what a rate may be counted in.
var ratePeriods = map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}

// ParseRate reads a rate such as "50/s burst 100"; the burst is the count itself
// if it is left out. Nothing is no limit.
func ParseRate(s string) (Rate, error) {
	if s == "" {
		return Rate{}, nil
	}
	wrong := fmt.Errorf("%q: want a number per s, m or h and what may come at once, such as \"50/s burst 100\", or \"\" for no limit", s)
	words := strings.Fields(s)
	if len(words) != 1 && (len(words) != 3 || words[1] != "burst") {
		return Rate{}, wrong
	}
	count, per, _ := strings.Cut(words[0], "/")
	n, err := strconv.ParseUint(count, 10, 31)
	r := Rate{Count: int(n), Per: ratePeriods[per], Burst: int(n)}
	if err != nil || n == 0 || r.Per == 0 {
		return Rate{}, wrong
	}
	if len(words) == 3 {
		n, err := strconv.ParseUint(words[2], 10, 31)
		if err != nil || n == 0 {
			return Rate{}, wrong
		}
		r.Burst = int(n)
	}
	return r, nil
}

// String returns the rate as ParseRate reads it.
func (r Rate) String() string {
	for name, per := range ratePeriods {
		if r.Per == per {
			return fmt.Sprintf("%d/%s burst %d", r.Count, name, r.Burst)
		}
	}
	return ""
}

// file is the path of a file or a folder, relative to the working directory, or
// to the folder of the configuration file that says it.
func file(sample string) kind {
	k := text(sample, "a path", func(s string) bool { return s != "" && !strings.ContainsRune(s, 0) })
	check := k.parse
	k.parse = func(s string) (any, error) {
		if s == "~" || strings.HasPrefix(s, "~/") {
			return nil, fmt.Errorf("%q: only shells know ~: write the whole path", s)
		}
		return check(s)
	}
	k.rebase = func(v any, move func(string) string) any { return move(v.(string)) }
	return k
}

// logFile is a file or one of some words; stray words are what it is not, though it might be thought.
func logFile(want string, words, stray []string) kind {
	k := file(words[0])
	isWord := func(s string) bool {
		for _, w := range words {
			if s == w {
				return true
			}
		}
		return strings.HasPrefix(s, "syslog:")
	}
	asFile := k.parse
	k.parse = func(s string) (any, error) {
		for _, w := range stray {
			if s == w {
				return nil, fmt.Errorf("%q: want %s (a file of that name is ./%s)", s, want, s)
			}
		}
		if isWord(s) {
			return s, nil
		}
		if v, err := asFile(s); err == nil || s != "" {
			return v, err
		}
		return nil, fmt.Errorf("%q: want %s", s, want)
	}
	k.rebase = func(v any, move func(string) string) any {
		if s := v.(string); !isWord(s) {
			return move(s)
		}
		return v
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
		return nil, fmt.Errorf("%q: want syslog:udp://HOST:514 or syslog:unix:/dev/log", s)
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
