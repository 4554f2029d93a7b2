package config

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"
)

// Schema is the JSON schema (draft 2020-12) of a configuration file, by which editors complete keys and mark
// mistakes. It is looser than the loader, never stricter.
func Schema() ([]byte, error) {
	root := documented().section("", reflect.TypeFor[Config]())
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "evhttpd configuration"
	var b bytes.Buffer
	out := json.NewEncoder(&b)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	err := out.Encode(root)
	return b.Bytes(), err
}

// unlisted describes the keys that have no line of their own in Documented: they are of elements that no default has.
var unlisted = map[string]string{
	"sites[].redirects[].from":   "pattern of the paths that are redirected; each * and ** is $1, $2 in to",
	"sites[].redirects[].to":     "path or URL that they are redirected to, written as in a URL",
	"sites[].redirects[].status": "301, 302, 303, 307 or 308",

	"sites[].paths[].match": "pattern of the paths that the rule is for; among rules the later wins, " +
		"key by key",
	"sites[].paths[].headers":  `fields of the answer: "" removes one; nosniff is set unless removed`,
	"sites[].paths[].listing":  "list directories without an index",
	"sites[].paths[].etag":     "mtime, content, off",
	"sites[].paths[].hide":     "patterns of names that are not served; ! excepts",
	"sites[].paths[].symlinks": "beneath the root (links relative or absolute), follow anywhere, deny",
	"sites[].paths[].allow": "networks that may ask; the most specific of allow and deny wins; with " +
		"allow alone all others get 403",
	"sites[].paths[].deny":          "networks that get 403; the most specific of allow and deny wins",
	"sites[].paths[].auth":          "who may ask, by name and password",
	"sites[].paths[].auth.realm":    "what a browser shows when it asks for the password",
	"sites[].paths[].auth.htpasswd": "file of name:bcrypt lines (htpasswd -B); looked at once a second",

	"sites[].paths[].cors":             "scripts of other origins that may read the answer",
	"sites[].paths[].cors.origins":     "origins such as https://app.example.org, or *",
	"sites[].paths[].cors.methods":     "methods that a preflight allows",
	"sites[].paths[].cors.headers":     "fields of a request that a preflight allows",
	"sites[].paths[].cors.credentials": "cookies and passwords may come along; not with the origin *",
	"sites[].paths[].cors.max_age":     "how long a browser may keep the preflight's answer",
}

// Key is what a page or an editor says of one key of the configuration.
type Key struct {
	Path    string   // with [] for each element of a list: sites[].root
	Text    string   // one line
	Default string   // as a file has it, or empty
	Choices []string // all values, if they are few
}

// Keys are all keys that have a value of their own, in the order of Documented.
func Keys() []Key {
	d := documented()
	d.section("", reflect.TypeFor[Config]())
	return d.keys
}

// description is what is said of the keys: Documented's comments and the defaults, both by row of kinds.
type description struct {
	text     map[string]string
	defaults map[string]string // as a file has them
	keys     []Key             // which section has come across
}

// documented reads Documented for what it says beside the values.
func documented() *description {
	d := &description{text: make(map[string]string), defaults: make(map[string]string)}
	cfg, at := readDocumented()
	lines := strings.Split(Documented, "\n")
	for path, o := range at {
		_, comment, _ := strings.Cut(lines[o.Line-1], " # ")
		d.text[row(path)] = strings.TrimSpace(comment)
	}
	maps.Copy(d.text, unlisted)
	visit("", reflect.ValueOf(cfg), func(path string, v reflect.Value) {
		d.defaults[row(path)] = written(path, v, nil)
	})
	return d
}

// section is the schema of a struct.
func (d *description) section(path string, t reflect.Type) map[string]any {
	properties := make(map[string]any)
	for i, key := range keysOf(t) {
		each := join(path, key)
		s := d.key(each, t.Field(i).Type)
		if text := d.text[each]; text != "" {
			s["description"] = text
		}
		properties[key] = s
	}
	s := map[string]any{"type": []string{"object", "null"}, "additionalProperties": false, "properties": properties}
	if strings.HasSuffix(path, "[]") {
		s["type"] = "object"
	}
	if names := requiredOf(path); names != nil {
		s["required"] = names
	}
	return s
}

// key is the schema of one key's value.
func (d *description) key(path string, t reflect.Type) map[string]any {
	k, isLeaf := kinds[path]
	switch {
	case isLeaf:
		return d.leaf(path, k, t)
	case t.Kind() == reflect.Slice:
		s := map[string]any{"type": "array", "items": d.section(path+"[]", t.Elem())}
		if path == "sites" {
			s["minItems"] = 1
		}
		return s
	case t.Kind() == reflect.Pointer:
		return d.section(path, t.Elem())
	default:
		return d.section(path, t)
	}
}

// leaf is the schema of a value that is no section.
func (d *description) leaf(path string, k kind, t reflect.Type) map[string]any {
	key := Key{Path: path, Text: d.text[path], Default: d.defaults[path], Choices: k.choices}
	if k.shape == onlyBool {
		key.Choices = []string{"true", "false"} // on and off are for flags
	}
	d.keys = append(d.keys, key)
	s := maps.Clone(k.schema)
	switch t.Kind() {
	case reflect.Slice:
		s = map[string]any{"type": "array", "items": s}
		if k.least > 0 {
			s["minItems"] = k.least
		}
	case reflect.Map:
		s = map[string]any{"type": "object", "additionalProperties": s}
	}
	var value any
	if text, ok := d.defaults[path]; ok && yaml.Unmarshal([]byte(text), &value) == nil {
		s["default"] = value
	}
	return s
}
