package config

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// section reads a mapping into a struct.
func (r *reader) section(path string, n ast.Node, into reflect.Value) {
	at := n.GetToken()
	if n = r.resolve(path, n); n == nil {
		return
	}
	mustBeSection(path, into.Type())
	names := keysOf(into.Type())
	if _, ok := pairs(n); !ok {
		// Only comments below a section's name: it says nothing.
		if n.Type() != ast.NullType || strings.HasSuffix(path, "]") {
			r.at(at, "%s is %s: want keys and values, of %s", cmp.Or(path, wholeName), describe(n),
				strings.Join(names, ", "))
		}
		return
	}
	said := make(map[string]bool)
	for _, e := range r.entries(path, n) {
		said[e.name] = true
		i := slices.Index(names, e.name)
		if i < 0 {
			r.unknown(path, e, names)
			continue
		}
		r.value(join(path, e.name), e, into.Field(i))
	}
	for _, name := range requiredOf(row(path)) {
		if key := join(path, name); !said[name] {
			r.at(r.first(n, at), "%s has no %s: add one, such as %s: %s", path, name, name, kinds[row(key)].sample)
			r.bad[key] = true
		}
	}
}

// unknown says that there is no such key, and which may have been meant.
func (r *reader) unknown(section string, e entry, names []string) {
	what := fmt.Sprintf("%q is no key here", e.name)
	if section != "" {
		what = fmt.Sprintf("%q is no key of %s", e.name, section)
	}
	near := Nearest(e.name, names)
	if near == "" {
		near = inOtherSection(strings.ReplaceAll(e.name, "-", "_"))
	}
	if near != "" {
		r.at(e.key, "%s: did you mean %s?", what, near)
		return
	}
	r.at(e.key, "%s: want one of %s", what, strings.Join(names, ", "))
}

// inOtherSection is the whole key, in another section, that ends in that name; empty: there is none, or several.
func inOtherSection(name string) string {
	found := ""
	for path := range kinds {
		if strings.HasSuffix(path, "."+name) && strings.Count(path, "[]") < 2 {
			if found != "" {
				return ""
			}
			found = path
		}
	}
	return found
}

// value reads the value of a known key.
func (r *reader) value(path string, e entry, into reflect.Value) {
	r.origins[path] = r.origin(e.key)
	k, isLeaf := kinds[row(path)]
	if _, isScalar := e.value.(ast.ScalarNode); isScalar && isLeaf {
		r.origins[path] = r.origin(e.value.GetToken())
	}
	kindOf := into.Kind()
	switch {
	case isLeaf && kindOf == reflect.Slice:
		r.list(path, e, k, into)
	case isLeaf && kindOf == reflect.Map:
		r.mapping(path, e, k, into)
	case isLeaf && kindOf == reflect.Pointer:
		target := reflect.New(into.Type().Elem())
		if r.scalar(path, e.value, k, target.Elem()) {
			into.Set(target)
		}
	case isLeaf:
		r.scalar(path, e.value, k, into)
	case kindOf == reflect.Slice:
		r.sections(path, e, into)
	case kindOf == reflect.Pointer:
		into.Set(reflect.New(into.Type().Elem()))
		begin(into.Elem(), row(path))
		r.section(path, e.value, into.Elem())
	default:
		r.section(path, e.value, into)
	}
}

// sections reads a list of mappings.
func (r *reader) sections(path string, e entry, into reflect.Value) {
	items, ok := r.items(path, e)
	if !ok {
		return
	}
	if len(items) == 0 && path == "sites" {
		r.add(path, r.origin(e.value.GetToken()), "is empty: want at least one site, or leave the key out")
		return
	}
	list := reflect.MakeSlice(into.Type(), len(items), len(items))
	for i, item := range items {
		each := fmt.Sprintf("%s[%d]", path, i)
		if into.Len() > 0 { // the site that there is by default
			list.Index(i).Set(into.Index(0))
		}
		begin(list.Index(i), row(path)+"[]")
		r.origins[each] = r.origin(r.first(item, item.GetToken()))
		r.section(each, item, list.Index(i))
	}
	into.Set(list)
}

// begin gives a section the defaults of its row of elements, if it has one.
func begin(section reflect.Value, row string) {
	if byDefault := elements[row]; byDefault != nil {
		section.Set(reflect.ValueOf(byDefault))
	}
}

// items are the elements of a list.
func (r *reader) items(path string, e entry) ([]ast.Node, bool) {
	n := r.resolve(path, e.value)
	if n == nil {
		return nil, false
	}
	if list, ok := n.(*ast.SequenceNode); ok {
		return list.Values, true
	}
	k, isLeaf := kinds[row(path)]
	want := fmt.Sprintf("a list such as [%s]", k.sample)
	switch s, isScalar := n.(ast.ScalarNode); {
	case !isLeaf:
		want = `a list of keys and values, each beginning with "- "`
	case isScalar && n.Type() != ast.NullType:
		want = fmt.Sprintf("a list: [%s]", quoted(scalar(s), k.shape))
	}
	r.add(path, r.origin(e.value.GetToken()), "is %s: want %s", describe(n), want)
	return nil, false
}

// list reads a list of scalars.
func (r *reader) list(path string, e entry, k kind, into reflect.Value) {
	items, ok := r.items(path, e)
	if !ok {
		return
	}
	if len(items) < k.least {
		r.add(path, r.origin(e.value.GetToken()), "is empty: want at least one, such as [%s]", k.sample)
		return
	}
	list := reflect.MakeSlice(into.Type(), 0, len(items))
	seen := make(map[any]int)
	for i, item := range items {
		each := fmt.Sprintf("%s[%d]", path, i)
		r.origins[each] = r.origin(item.GetToken())
		v := reflect.New(into.Type().Elem()).Elem()
		if !r.scalar(each, item, k, v) {
			r.bad[path] = true
			continue
		}
		if first, twice := seen[v.Interface()]; twice && k.unique && repeats(v.Interface()) {
			r.add(each, r.origins[each],
				"%q is in the list a second time: it is element %d already, keep one of them",
				k.format(v.Interface()), first)
			continue
		}
		seen[v.Interface()] = i
		list = reflect.Append(list, v)
	}
	into.Set(list)
}

// repeats reports whether a value in a list says nothing new the second time.
func repeats(v any) bool {
	a, ok := v.(Address)
	return !ok || a.Unix != "" || a.Port != 0 || a.Systemd != "" // port 0 is another one each time
}

// mapping reads a map of scalars.
func (r *reader) mapping(path string, e entry, k kind, into reflect.Value) {
	n := r.resolve(path, e.value)
	if n == nil {
		return
	}
	if _, ok := pairs(n); !ok {
		r.add(path, r.origin(e.value.GetToken()), "is %s: want keys and values such as {%s: %s}", describe(n),
			k.key.sample, k.sample)
		return
	}
	m := reflect.MakeMap(into.Type())
	for _, inner := range r.entries(path, n) {
		each := path + "[" + inner.name + "]"
		r.origins[each] = r.origin(inner.key)
		key, err := k.key.parse(inner.name)
		if err != nil {
			r.add(path, r.origins[each], "key %v", err)
		}
		v := reflect.New(into.Type().Elem()).Elem()
		if r.scalar(each, inner.value, k, v) && err == nil {
			m.SetMapIndex(reflect.ValueOf(key).Convert(into.Type().Key()), v)
		}
	}
	into.Set(m)
}

// scalar reads one value, and reports whether it is right.
func (r *reader) scalar(path string, n ast.Node, k kind, into reflect.Value) bool {
	at := r.origin(n.GetToken())
	if n = r.resolve(path, n); n == nil {
		r.bad[path] = true
		return false
	}
	s, ok := n.(ast.ScalarNode)
	if !ok || n.Type() == ast.NullType {
		r.add(path, at, "is %s: want %s", describe(n), k.wanted())
		return false
	}
	text := scalar(s)
	if k.rejects(n, text) {
		r.add(path, at, "is %s: want %s", describe(n), k.instead(n, text))
		return false
	}
	v, err := k.parse(text)
	if err != nil {
		r.add(path, at, "%v", err)
		return false
	}
	if moved := k.moved(text, r.move); moved != text {
		v, _ = k.parse(moved) // as right as it was
	}
	into.Set(reflect.ValueOf(v).Convert(into.Type()))
	return true
}

// rejects reports whether a scalar has another type than the kind is written in.
func (k kind) rejects(n ast.Node, text string) bool {
	isBool := n.Type() == ast.BoolType
	isText := n.Type() == ast.StringType || n.Type() == ast.LiteralType
	switch k.shape {
	case onlyBool:
		return !isBool
	case onlyNumber:
		t := n.GetToken().Type
		quotes := t == token.DoubleQuoteType || t == token.SingleQuoteType
		return isBool || isText && quotes && text != "auto"
	case onlyText:
		return !isText
	default:
		return isBool
	}
}

// wanted is what a value of the kind is, for errors.
func (k kind) wanted() string { return cmp.Or(k.want, "one such as "+k.sample) }

// instead is what to write in place of a scalar of the wrong type.
func (k kind) instead(n ast.Node, text string) string {
	if k.shape == onlyText && n.Type() != ast.BoolType {
		if _, err := k.parse(text); err == nil {
			return fmt.Sprintf("text, in quotes: %q", text)
		}
	}
	if k.shape == onlyNumber && n.Type() == ast.StringType {
		if _, err := k.parse(text); err == nil {
			return "it without the quotes: " + text
		}
	}
	return k.wanted()
}
