package config

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"
)

// Schema is the JSON schema (draft 2020-12) of a configuration file, by which
// editors complete keys and mark mistakes. It is looser than the loader, never stricter.
func Schema() ([]byte, error) {
	d := documented()
	root := d.section("", reflect.TypeFor[Config]())
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

	"sites[].paths[].match":         "pattern of the paths that the rule is for; among rules the later wins, key by key",
	"sites[].paths[].headers":       `fields of the answer: "" removes one; nosniff is set unless removed`,
	"sites[].paths[].listing":       "list directories without an index",
	"sites[].paths[].etag":          "mtime, content, off",
	"sites[].paths[].hide":          "patterns of names that are not served; ! excepts",
	"sites[].paths[].symlinks":      "beneath the root (links relative or absolute), follow anywhere, deny",
	"sites[].paths[].allow":         "networks that may ask; the most specific of allow and deny wins; with allow alone all others get 403",
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

// descriptions are the comments of Documented, by row of kinds, and the defaults.
type descriptions struct {
	text     map[string]string
	defaults map[string]any
}

// documented reads Documented for what it says beside the values.
func documented() *descriptions {
	d := &descriptions{text: make(map[string]string), defaults: make(map[string]any)}
	r := &reader{problems: &problems{bad: make(map[string]bool)}, origins: make(origins)}
	cfg := Default()
	r.read([]byte(Documented), &cfg)
	lines := strings.Split(Documented, "\n")
	for path, o := range r.origins {
		_, comment, _ := strings.Cut(lines[o.Line-1], " # ")
		d.text[row(path)] = strings.TrimSpace(comment)
	}
	visit("", reflect.ValueOf(cfg), func(path string, v reflect.Value) {
		var value any
		if _, isLeaf := kinds[row(path)]; isLeaf && yaml.Unmarshal([]byte(written(path, v)), &value) == nil {
			d.defaults[row(path)] = value
		}
	})
	return d
}

// describe is what is said of a key in one line.
func (d *descriptions) describe(key string) string {
	if text, ok := unlisted[key]; ok {
		return text
	}
	return d.text[key]
}

// section is the schema of a struct.
func (d *descriptions) section(path string, t reflect.Type) map[string]any {
	properties := make(map[string]any)
	for _, key := range fieldsOf(t) {
		each := join(path, key.name)
		s := d.key(each, t.Field(key.index).Type)
		if text := d.describe(each); text != "" {
			s["description"] = text
		}
		if value, ok := d.defaults[each]; ok {
			s["default"] = value
		}
		properties[key.name] = s
	}
	s := map[string]any{"type": []string{"object", "null"}, "additionalProperties": false, "properties": properties}
	if strings.HasSuffix(path, "[]") {
		s["type"] = "object"
	}
	var needs []string
	for _, key := range required {
		if name, ok := strings.CutPrefix(key, path+"."); ok && !strings.Contains(name, ".") && !strings.Contains(name, "[") {
			needs = append(needs, name)
		}
	}
	if needs != nil {
		s["required"] = needs
	}
	return s
}

// key is the schema of one key's value.
func (d *descriptions) key(path string, t reflect.Type) map[string]any {
	k, isLeaf := kinds[path]
	scalar := make(map[string]any)
	for name, value := range k.schema {
		scalar[name] = value
	}
	switch {
	case isLeaf && t.Kind() == reflect.Slice:
		s := map[string]any{"type": "array", "items": scalar}
		if k.least > 0 {
			s["minItems"] = k.least
		}
		return s
	case isLeaf && t.Kind() == reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": scalar}
	case isLeaf:
		return scalar
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
