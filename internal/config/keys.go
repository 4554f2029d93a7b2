package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/evhttpd/evhttpd/internal/guard"
	"github.com/evhttpd/evhttpd/internal/mediatype"
	"github.com/evhttpd/evhttpd/internal/site"
	"github.com/evhttpd/evhttpd/internal/static"
	"github.com/evhttpd/evhttpd/iomodel"
)

// kinds says how the value of every key is written. [] stands for each element of a list. A key whose field is a
// struct, or a list of structs, has no row: the keys within it have.
var kinds = map[string]kind{
	"listen":          atLeastOne(address),
	"backlog":         number(1, countMax, false),
	"defer_accept":    boolean,
	"unix_mode":       mode,
	"proxy_protocol":  prefix,
	"trusted_proxies": prefix,
	"server_header":   fieldValue,

	"io_model":      model(),
	"trigger":       oneOf("auto", "edge", "level"),
	"loops":         number(1, 1024, true),
	"accept":        oneOf("auto", "reuseport", "shared"),
	"threads":       number(1, iomodel.ThreadsMax, false),
	"workers":       number(1, 1024, false),
	"turn.requests": number(0, countMax, false),
	"turn.bytes":    size(0, GiB),

	"limits.connections":             number(1, countMax, true),
	"limits.connections_per_client":  number(0, countMax, false),
	"limits.requests_per_client":     rate,
	"limits.requests_per_connection": number(0, countMax, false),
	// A loop's receive buffer is made for a whole head, so these two have bounds.
	"limits.request_line": size(KiB, MiB),
	"limits.head":         size(KiB, MiB),
	"limits.fields":       number(0, 10_000, false),
	"limits.body":         size(0, 1<<62),
	"limits.ranges":       number(1, 1024, false),
	"limits.output":       size(16*KiB, 64*MiB),
	"limits.buffers":      autoSize(MiB, 1<<62),

	"timeouts.first_byte":  duration(durationMax),
	"timeouts.head":        duration(durationMax),
	"timeouts.body":        duration(durationMax),
	"timeouts.send":        duration(durationMax),
	"timeouts.keep_alive":  duration(durationMax),
	"timeouts.deferred":    duration(durationMax),
	"timeouts.connection":  duration(durationMax),
	"timeouts.drain_delay": duration(time.Hour),
	"timeouts.drain":       duration(durationMax),

	"cache.memory":      size(0, 1<<62),
	"cache.file":        size(0, 16*MiB),
	"cache.descriptors": number(0, countMax, false),
	"cache.valid":       duration(durationMax),

	"log.output": logFile("stderr, stdout or a file", []string{"stderr", "stdout"}, []string{"-", "off", "on"}),
	"log.level":  oneOf("debug", "info", "warn", "error"),
	"log.format": oneOf("auto", "console", "json"),

	"access_log.output": accessOutput,
	"access_log.format": oneOf("combined", "json"),

	"admin.listen": address,
	"admin.hosts":  hostName,
	"admin.pprof":  boolean,

	"sites[].hosts":    atLeastOne(hostName),
	"sites[].root":     file("/srv/www"),
	"sites[].index":    unique(checked("index.html", static.CheckIndex)),
	"sites[].listing":  boolean,
	"sites[].hide":     checked(`".*"`, static.CheckHide),
	"sites[].symlinks": enum[static.Links](static.LinksNames),
	"sites[].etag":     enum[static.ETag](static.ETagNames),
	"sites[].types": mapOf(checked(".wasm", mediatype.CheckExtension),
		checked("application/wasm", mediatype.Check)),
	"sites[].precompressed":      unique(oneOf(static.PrecompressedNames...)),
	"sites[].compress":           unique(oneOf(static.CodingNames...)),
	"sites[].try_files":          unique(checked("$path.html", site.CheckTry)),
	"sites[].fallback":           checked("/index.html", site.CheckFallback),
	"sites[].error_pages":        mapOf(status(400, 599), checked("/404.html", site.CheckPath)),
	"sites[].relative_redirects": boolean,

	"sites[].redirects[].from":   checked("/assets/**", site.CheckPattern),
	"sites[].redirects[].to":     checked("/new/$1", site.CheckTarget),
	"sites[].redirects[].status": status(301, 308, site.RedirectStatuses...),

	"sites[].paths[].match":         checked("/assets/**", site.CheckPattern),
	"sites[].paths[].headers":       mapOf(headerName, fieldValue),
	"sites[].paths[].listing":       boolean,
	"sites[].paths[].etag":          enum[static.ETag](static.ETagNames),
	"sites[].paths[].hide":          checked(`".*"`, static.CheckHide),
	"sites[].paths[].symlinks":      enum[static.Links](static.LinksNames),
	"sites[].paths[].allow":         atLeastOne(prefix), // an empty list would look as if nobody was allowed
	"sites[].paths[].deny":          atLeastOne(prefix),
	"sites[].paths[].auth.realm":    checked("text", guard.CheckRealm, fieldValue.check),
	"sites[].paths[].auth.htpasswd": file("/etc/evhttpd/htpasswd"),

	"sites[].paths[].cors.origins":     atLeastOne(unique(checked("https://example.org", guard.CheckOrigin))),
	"sites[].paths[].cors.methods":     unique(oneOf("GET", "HEAD", "OPTIONS")),
	"sites[].paths[].cors.headers":     unique(fieldName),
	"sites[].paths[].cors.credentials": boolean,
	"sites[].paths[].cors.max_age":     duration(24 * time.Hour),
}

// required are the keys that an element of a list or a section must have.
var required = []string{
	"sites[].root", // the default would be the directory that the process was started in
	"sites[].redirects[].from", "sites[].redirects[].to", "sites[].paths[].match",
	"sites[].paths[].auth.realm", "sites[].paths[].auth.htpasswd", "sites[].paths[].cors.origins",
}

// requiredOf are the names of the keys that the section with that row must have.
func requiredOf(section string) (names []string) {
	for _, key := range required {
		if name, ok := strings.CutPrefix(key, section+"."); ok && !strings.ContainsAny(name, ".[") {
			names = append(names, name)
		}
	}
	return names
}

// elements are the defaults within an element of a list, and within a section that is not there by default.
var elements = map[string]any{
	"sites[]":              DefaultSite(),
	"sites[].redirects[]":  site.Redirect{Status: 301},
	"sites[].paths[]":      site.Rule{},
	"sites[].paths[].auth": guard.Auth{},
	"sites[].paths[].cors": guard.CORS{Methods: []string{"GET", "HEAD"}, MaxAge: 10 * time.Minute},
}

// model is the name of an IO model. iomodel.Resolve says what is wrong with it, once the trigger is known too.
func model() kind {
	k := oneOf(append([]string{iomodel.Auto}, iomodel.Names()...)...)
	k.parse = func(s string) (any, error) { return s, nil }
	return k
}

func atLeastOne(k kind) kind {
	k.least = 1
	return k
}

func unique(k kind) kind {
	k.unique = true
	return k
}

func mapOf(key, value kind) kind {
	value.key = &key
	return value
}

// row is the key in kinds of a path: sites[].root for sites[0].root.
func row(path string) string {
	for i := 0; i < len(path); i++ {
		if path[i] == '[' {
			if end := strings.IndexByte(path[i:], ']'); end > 1 {
				path = path[:i+1] + path[i+end:]
			}
		}
	}
	return path
}

// field is a key of a section with its place in the struct.
type field struct {
	name  string
	index int
}

// fieldsOf lists the keys of a section's type.
func fieldsOf(t reflect.Type) []field {
	all := make([]field, t.NumField())
	for i := range all {
		all[i] = field{t.Field(i).Tag.Get("yaml"), i}
	}
	return all
}

// join is the path of a key within a section.
func join(section, key string) string {
	if section == "" {
		return key
	}
	return section + "." + key
}

// visit calls f with each key of a section that has a value of its own, and with each empty list of sections, in the
// order of the struct.
func visit(section string, v reflect.Value, f func(path string, v reflect.Value)) {
	for _, key := range fieldsOf(v.Type()) {
		path, value := join(section, key.name), v.Field(key.index)
		_, isLeaf := kinds[row(path)]
		switch {
		case isLeaf:
			f(path, value)
		case value.Kind() == reflect.Struct:
			visit(path, value, f)
		case value.Kind() == reflect.Pointer && value.IsNil(), value.Kind() == reflect.Slice && value.Len() == 0:
			f(path, value)
		case value.Kind() == reflect.Pointer:
			visit(path, value.Elem(), f)
		default:
			for i := range value.Len() {
				visit(fmt.Sprintf("%s[%d]", path, i), value.Index(i), f)
			}
		}
	}
}

// formatted writes the values of a key, each as its kind does: one for a scalar, any number for a list, and "key:
// value" in order for a map.
func formatted(path string, v reflect.Value) []string {
	k := kinds[row(path)]
	switch {
	case v.Kind() == reflect.Pointer && v.IsNil():
		return nil
	case v.Kind() == reflect.Pointer:
		return []string{k.format(v.Elem().Interface())}
	case v.Kind() == reflect.Slice:
		all := make([]string, v.Len())
		for i := range all {
			all[i] = k.format(v.Index(i).Interface())
		}
		return all
	case v.Kind() == reflect.Map:
		var all []string
		for _, key := range v.MapKeys() {
			value := k.format(v.MapIndex(key).Interface())
			all = append(all, quoted(k.key.format(key.Interface()), k.key.shape)+": "+quoted(value, k.shape))
		}
		slices.Sort(all)
		return all
	default:
		return []string{k.format(v.Interface())}
	}
}

// written is the value of a key as YAML in one line.
func written(path string, v reflect.Value) string {
	k := kinds[row(path)]
	all := formatted(path, v)
	switch {
	case v.Kind() == reflect.Map:
		return "{" + strings.Join(all, ", ") + "}"
	case v.Kind() == reflect.Slice:
		for i := range all {
			all[i] = quoted(all[i], k.shape)
		}
		return "[" + strings.Join(all, ", ") + "]"
	case len(all) == 0:
		return "null"
	}
	if k.quotes {
		return doubleQuoted(all[0])
	}
	return quoted(all[0], k.shape)
}
