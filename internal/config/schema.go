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
	for _, file := range []string{Documented, documentedRules} {
		_, at := readDocumented(file)
		lines := strings.Split(file, "\n")
		for path, o := range at {
			if _, comment, ok := strings.Cut(lines[o.Line-1], " # "); ok {
				d.text[row(path)] = strings.TrimSpace(comment)
			}
		}
	}
	visit("", reflect.ValueOf(Default()), func(path string, v reflect.Value) {
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
