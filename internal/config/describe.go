package config

import "reflect"

// Key is what a page or an editor says of one key of the configuration.
type Key struct {
	Path    string   // with [] for each element of a list: sites[].root
	Text    string   // one line
	Default string   // as a file has it, or empty
	Choices []string // all values, if they are few
}

// Keys are all keys that have a value of their own, in the order of Documented.
func Keys() []Key {
	defaults := make(map[string]string)
	visit("", reflect.ValueOf(Default()), func(path string, v reflect.Value) { defaults[row(path)] = written(path, v) })
	d := documented()
	var all []Key
	var walk func(section string, t reflect.Type)
	walk = func(section string, t reflect.Type) {
		for _, field := range fieldsOf(t) {
			path, each := join(section, field.name), t.Field(field.index).Type
			if k, isLeaf := kinds[path]; isLeaf {
				key := Key{Path: path, Text: d.describe(path), Default: defaults[path], Choices: k.choices}
				if k.shape == onlyBool {
					key.Choices = []string{"true", "false"} // on and off are for flags
				}
				all = append(all, key)
				continue
			}
			if each.Kind() == reflect.Slice {
				path += "[]"
			}
			if each.Kind() == reflect.Slice || each.Kind() == reflect.Pointer {
				each = each.Elem()
			}
			walk(path, each)
		}
	}
	walk("", reflect.TypeFor[Config]())
	return all
}
