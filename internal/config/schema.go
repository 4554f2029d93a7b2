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

// section is the schema of a struct.
func (d *descriptions) section(path string, t reflect.Type) map[string]any {
	properties := make(map[string]any)
	for _, key := range fieldsOf(t) {
		each := join(path, key.name)
		s := d.key(each, t.Field(key.index).Type)
		if text := d.text[each]; text != "" {
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
