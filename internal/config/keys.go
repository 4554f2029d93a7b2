package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/evhttpd/evhttpd/internal/accesslog"
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
	"backlog":         number(1, countMax),
	"defer_accept":    boolean,
	"unix_mode":       mode,
	"proxy_protocol":  prefix,
	"trusted_proxies": prefix,
	"server_header":   fieldValue,

	"io_model":      model(),
	"trigger":       oneOf("auto", "edge", "level"),
	"loops":         orAuto(number(1, 1024)),
	"accept":        oneOf("auto", "reuseport", "shared"),
	"threads":       number(1, iomodel.ThreadsMax),
	"workers":       number(1, 1024),
	"turn.requests": number(0, countMax),
	"turn.bytes":    size(0, GiB),

	"limits.connections":             orAuto(number(1, countMax)),
	"limits.connections_per_client":  number(0, countMax),
	"limits.requests_per_client":     rate,
	"limits.requests_per_connection": number(0, countMax),
	// A loop's receive buffer is made for a whole head, so these two have bounds.
	"limits.request_line": size(KiB, MiB),
	"limits.head":         size(KiB, MiB),
	"limits.fields":       number(0, 10_000),
	"limits.body":         size(0, 1<<62),
	"limits.ranges":       number(1, 1024),
	"limits.output":       size(16*KiB, 64*MiB),
	"limits.buffers":      orAuto(size(MiB, 1<<62)),

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
	"cache.descriptors": number(0, countMax),
	"cache.valid":       duration(durationMax),

	"log.output": logFile("stderr, stdout or a file", []string{"stderr", "stdout"}, []string{"-", "off", "on"}),
	"log.level":  oneOf("debug", "info", "warn", "error"),
	"log.format": oneOf("auto", "console", "json"),

	"access_log.output": accessOutput,
	"access_log.format": enum[accesslog.Format](accesslog.FormatNames),

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

// elements are the defaults within an element of a list, and within a section that is not there by default. Those
// without a row say nothing by default; a site begins as the one of Documented.
var elements = map[string]any{
	"sites[].redirects[]":  site.Redirect{Status: 301},
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

// keysOf lists the keys of a section's type, in the order of its fields.
func keysOf(t reflect.Type) []string {
	all := make([]string, t.NumField())
	for i := range all {
		all[i] = t.Field(i).Tag.Get("yaml")
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
	mustBeSection(section, v.Type())
	for i, key := range keysOf(v.Type()) {
		path, value := join(section, key), v.Field(i)
		_, isLeaf := kinds[row(path)]
		switch {
		case isLeaf:
			f(path, value)
		case value.Kind() == reflect.Pointer && value.IsNil(), value.Kind() == reflect.Slice && value.Len() == 0:
			f(path, value)
		case value.Kind() == reflect.Pointer:
			visit(path, value.Elem(), f)
		case value.Kind() == reflect.Slice:
			for i := range value.Len() {
				visit(fmt.Sprintf("%s[%d]", path, i), value.Index(i), f)
			}
		default:
			visit(path, value, f)
		}
	}
}

// mustBeSection names the key that whoever added its field has forgotten in kinds.
func mustBeSection(path string, t reflect.Type) {
	if t.Kind() != reflect.Struct {
		panic("config: " + path + " has no row in kinds")
	}
}

// formatted writes the values of a key, each as its kind does: one for a scalar, any number for a list, and "key:
// value" in order for a map. move, if there is one, is applied to paths.
func formatted(path string, v reflect.Value, move func(path string) string) (all []string) {
	k := kinds[row(path)]
	format := func(v reflect.Value) string { return k.moved(k.format(v.Interface()), move) }
	switch {
	case v.Kind() == reflect.Pointer && v.IsNil():
	case v.Kind() == reflect.Pointer:
		all = append(all, format(v.Elem()))
	case v.Kind() == reflect.Slice:
		for _, each := range v.Seq2() {
			all = append(all, format(each))
		}
	case v.Kind() == reflect.Map:
		for key, value := range v.Seq2() {
			all = append(all, quoted(k.key.format(key.Interface()), k.key.shape)+": "+quoted(format(value), k.shape))
		}
		slices.Sort(all)
	default:
		all = append(all, format(v))
	}
	return all
}

// written is the value of a key as YAML in one line, with its paths moved as formatted does.
func written(path string, v reflect.Value, move func(path string) string) string {
	k := kinds[row(path)]
	all := formatted(path, v, move)
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
	case k.quotes:
		return strconv.Quote(all[0])
	}
	return quoted(all[0], k.shape)
}
