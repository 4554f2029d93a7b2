package config

import (
	"fmt"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/evhttpd/evhttpd/internal/accesslog"
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
	// path is where in a text the path of a file begins, negative if there is none in it; nil: no value has one.
	path func(text string) int
}

// of is a kind of what parse reads, which has JSON schemas of those types.
func of[T any](shape shape, want, sample string, parse func(text string) (T, error), types ...string) kind {
	k := kind{
		shape: shape, want: want, sample: sample,
		parse:  func(s string) (any, error) { return parse(s) },
		format: func(v any) string { return fmt.Sprint(v) },
		schema: map[string]any{"type": types},
	}
	if len(types) == 1 {
		k.schema["type"] = types[0]
	}
	return k
}

// unwantedError is the error of a value that is not what is wanted.
type unwantedError struct{ text, want string }

func (e unwantedError) Error() string { return fmt.Sprintf("%q: want %s", e.text, e.want) }

func wrong(text, want string) error { return unwantedError{text, want} }

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
	return of(onlyText, "", sample, func(s string) (string, error) {
		for _, check := range checks {
			if err := check(s); err != nil {
				return "", err
			}
		}
		return s, nil
	}, "string")
}

// check says what is wrong with a text of the kind.
func (k kind) check(text string) error {
	_, err := k.parse(text)
	return err
}

// moved is a text of the kind in which a path has been moved; move may be nil.
func (k kind) moved(text string, move func(path string) string) string {
	if k.path == nil || move == nil {
		return text
	}
	if at := k.path(text); at >= 0 {
		return text[:at] + move(text[at:])
	}
	return text
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
	check := k.check
	k.parse = func(s string) (any, error) { return T(slices.Index(words, s)), check(s) }
	k.format = func(v any) string { return words[v.(T)] }
	return k
}

// number is a whole number within bounds.
func number(least, most int) kind {
	want := fmt.Sprintf("a number from %d to %d", least, most)
	if least == 0 {
		want = fmt.Sprintf("a number from 0 (no limit) to %d", most)
	}
	k := of(onlyNumber, want, strconv.Itoa(max(least, 1)), func(s string) (int, error) {
		n, err := strconv.ParseUint(s, 10, 31)
		if err != nil || int(n) < least || int(n) > most {
			return 0, wrong(s, want)
		}
		return int(n), nil
	}, "integer")
	k.schema["minimum"], k.schema["maximum"] = least, most
	return k
}

// size is a number of bytes within bounds.
func size(least, most int64) kind {
	k := of(anyScalar, wantSize, FormatSize(max(least, 64*KiB)), func(s string) (int64, error) {
		n, err := ParseSize(s)
		if err == nil && (n < least || n > most) {
			err = wrong(s, FormatSize(least)+" to "+FormatSize(most))
		}
		return n, err
	}, "string", "integer")
	k.format = func(v any) string { return FormatSize(reflect.ValueOf(v).Int()) }
	k.schema["pattern"], k.schema["minimum"] = "^[0-9]+ *([KMG]iB)?$", least
	return k
}

// orAuto is a number or a size that may be the word auto, which stands for 0.
func orAuto(k kind) kind {
	parse, format := k.parse, k.format
	k.want = "auto or " + k.want
	k.parse = func(s string) (any, error) {
		if s == "auto" {
			return 0, nil
		}
		v, err := parse(s)
		if unwanted, ok := err.(unwantedError); ok {
			err = wrong(s, "auto or "+unwanted.want)
		}
		return v, err
	}
	k.format = func(v any) string {
		if reflect.ValueOf(v).IsZero() {
			return "auto"
		}
		return format(v)
	}
	k.schema = map[string]any{"anyOf": []any{map[string]any{"const": "auto"}, k.schema}}
	return k
}

func duration(most time.Duration) kind {
	k := of(anyScalar, wantDuration, "30s", func(s string) (time.Duration, error) {
		d, err := ParseDuration(s)
		if err == nil && d > most {
			err = wrong(s, "at most "+FormatDuration(most))
		}
		return d, err
	}, "string", "integer")
	k.format = func(v any) string { return FormatDuration(v.(time.Duration)) }
	k.schema["pattern"], k.schema["maximum"] = `^(0|([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h))+$`, 0
	return k
}

// boolean is true or false, on a command line on or off.
var boolean = func() kind {
	k := of(onlyBool, "true or false", "true", func(s string) (bool, error) {
		switch s {
		case "on", "true":
			return true, nil
		case "off", "false":
			return false, nil
		}
		return false, wrong(s, "on or off")
	}, "boolean")
	k.choices = []string{"on", "off"}
	return k
}()

var address = func() kind {
	k := unique(of(anyScalar, wantAddress, `":8080"`, ParseAddress, "string", "integer"))
	k.path = func(s string) int {
		if strings.HasPrefix(s, "unix:") {
			return len("unix:")
		}
		return -1
	}
	return k
}()

var mode = func() kind {
	k := of(anyScalar, "", `"0660"`, func(s string) (os.FileMode, error) {
		n, err := strconv.ParseUint(strings.TrimPrefix(s, "0o"), 8, 9)
		if err != nil {
			err = fmt.Errorf("%q: want permissions in octal, such as %q", s, "0660")
		}
		return os.FileMode(n), err
	}, "string", "integer")
	k.format = func(v any) string { return fmt.Sprintf("%04o", uint32(v.(os.FileMode))) }
	k.quotes = true
	return k
}()

var prefix = unique(of(onlyText, "", "10.0.0.0/8", parsePrefix, "string"))

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

var rate = func() kind {
	k := of(onlyText, "", "50/s burst 100", guard.ParseRate, "string")
	k.schema["pattern"] = "^([0-9]+/(s|m|h)( burst [0-9]+)?)?$"
	return k
}()

// file is the path of a file or a folder. A relative path begins at the folder of the configuration file that has it,
// on the command line at the working directory.
func file(sample string) kind {
	k := text(sample, "a path", func(s string) bool { return s != "" && !strings.ContainsRune(s, 0) })
	check := k.check
	k.parse = func(s string) (any, error) {
		if s == "~" || strings.HasPrefix(s, "~/") {
			return nil, fmt.Errorf("%q: only shells know ~: write the whole path", s)
		}
		return s, check(s)
	}
	k.path = func(string) int { return 0 }
	return k
}

// logFile is a file or one of some words. Stray words are refused, because they might be taken for such words.
func logFile(want string, words, stray []string) kind {
	k := file(words[0])
	check := k.check
	k.want = want
	k.parse = func(s string) (any, error) {
		switch {
		case slices.Contains(stray, s):
			return nil, fmt.Errorf("%q: want %s (a file of that name is ./%s)", s, want, s)
		case slices.Contains(words, s):
			return s, nil
		case s == "":
			return nil, wrong(s, want)
		}
		return s, check(s)
	}
	k.path = func(s string) int {
		if slices.Contains(words, s) {
			return -1
		}
		return 0
	}
	return k
}

// accessOutput is where access lines may go.
var accessOutput = func() kind {
	const unixSyslog = accesslog.SyslogPrefix + "unix:"
	k := logFile("off, - (stdout), a file, syslog:udp://HOST:PORT or syslog:unix:PATH", []string{"-", "off"},
		[]string{"on", "true", "false", "stdout", "stderr"})
	parse, path := k.parse, k.path
	k.parse = func(s string) (any, error) {
		if strings.HasPrefix(s, accesslog.SyslogPrefix) {
			return s, accesslog.CheckSyslog(s)
		}
		return parse(s)
	}
	k.path = func(s string) int {
		switch {
		case strings.HasPrefix(s, unixSyslog):
			return len(unixSyslog)
		case strings.HasPrefix(s, accesslog.SyslogPrefix):
			return -1
		}
		return path(s)
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
