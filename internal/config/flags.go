package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/evhttpd/evhttpd/iomodel"
)

// Flag is a key that the command line has, and with it a variable.
type Flag struct {
	Name  string // without the dashes
	Short string // one letter, or empty
	Key   string // of the configuration
	Usage string // the value's name stands in backquotes
}

// flags is the one table of what the command line can set: flags, variables, help, completion and the origins of
// values are made from it. The order is that of the help. No flag may be called port, host or service-*: Kubernetes
// gives every container variables that would then be taken for ours.
var flags = []Flag{
	{"listen", "l", "listen", "`addresses`: host:port, [v6]:port, a port, unix:PATH, systemd:NAME"},
	{"io-model", "", "io_model", "`name` of the way that connections are driven: auto, " +
		strings.Join(iomodel.Names(), ", ")},
	{"trigger", "", "trigger", "`kind` of readiness events: edge, level, auto"},
	{"loops", "", "loops", "`number` of event loops; auto: the CPUs this process may use"},
	{"accept", "", "accept", "`how` loops share a port: reuseport, shared, auto"},
	{"threads", "", "threads", "`number` of connections that io-model blocking serves at a time; at most 8192"},
	{"listing", "", "sites[0].listing", "list directories without an index: `on|off` (default on without --config)"},
	{"hide", "", "sites[0].hide", "`patterns` of names that are not served; ! excepts"},
	{"fallback", "", "sites[0].fallback",
		"`path` of the file for a page that is not there: /index.html of an application that routes in the browser"},
	{"cache-valid", "", "cache.valid", "how `long` an answer may be stale under load; 0s looks at the file every time"},
	{"access-log", "", "access_log.output", "off, - (stdout), a `file`, syslog:udp://HOST:PORT or syslog:unix:PATH"},
	{"log-format", "", "access_log.format", "`format` of access lines: combined, json"},
	{"turn-requests", "", "turn.requests",
		"`number` of requests in one connection's turn before the others'; 0: no bound, for the lab"},
	{"turn-bytes", "", "turn.bytes",
		"`size` of one connection's turn before the others', received and sent; 0: no bound, for the lab"},
}

// fileFlag is the flag that names the configuration file; it is no key of it.
const fileFlag = "config"

// Flags lists what the command line can set, in the order of its help.
func Flags() []Flag { return append([]Flag(nil), flags...) }

// Variable is the name of the flag's environment variable.
func (f Flag) Variable() string { return variable(f.Name) }

func variable(flag string) string {
	return "EVHTTPD_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// Default is the flag's default as it would be typed; empty: it depends.
func (f Flag) Default() string {
	if f.Key == "sites[0].listing" {
		return ""
	}
	return strings.Join(formatted(f.Key, at(reflect.ValueOf(defaults()), f.Key), nil), ",")
}

// Choices are all the values that the flag may have, if they are few.
func (f Flag) Choices() []string { return kinds[row(f.Key)].choices }

// ofSite reports whether the flag is about the one site of the command line.
func (f Flag) ofSite() bool { return strings.HasPrefix(f.Key, "sites[") }

// at is the value of a key.
func at(v reflect.Value, path string) reflect.Value {
	for part := range strings.SplitSeq(path, ".") {
		name, index, isElement := strings.Cut(part, "[")
		v = v.Field(slices.Index(keysOf(v.Type()), name))
		if isElement && index == "0]" {
			v = v.Index(0)
		}
	}
	return v
}

// set reads what was typed for a flag, or stands in its variable, into cfg. Of several values the last counts, but for
// a list, which has them all.
func (f Flag) set(cfg *Config, values []string, o Origin, p *problems) {
	k, into := kinds[row(f.Key)], at(reflect.ValueOf(cfg).Elem(), f.Key)
	isList := into.Kind() == reflect.Slice
	if isList {
		values = elementsOf(values, k.least)
		into.Set(reflect.MakeSlice(into.Type(), 0, len(values)))
	} else {
		values = values[len(values)-1:]
	}
	seen := make(map[any]bool)
	for _, text := range values {
		v, err := k.parse(text)
		if err == nil && k.unique && seen[v] && repeats(v) {
			err = fmt.Errorf("%q: is there a second time: once is enough", text)
		}
		switch {
		case err != nil:
			p.add(f.Key, o, "%v", err)
		case isList:
			seen[v] = true
			into.Set(reflect.Append(into, reflect.ValueOf(v).Convert(into.Type().Elem())))
		default:
			into.Set(reflect.ValueOf(v).Convert(into.Type()))
		}
	}
}

// elementsOf splits values at commas. Empty text is an empty list, if the list may be empty.
func elementsOf(values []string, least int) []string {
	if strings.Join(values, "") == "" && least == 0 {
		return nil
	}
	var all []string
	for _, v := range values {
		all = append(all, strings.Split(v, ",")...)
	}
	return all
}
