package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

const (
	fileMax    = 1 * MiB // bytes of a configuration file: its parser takes many times that
	nestingMax = 32      // brackets or dashes within each other on a line, on which the parser's time grows with the square
	nodesMax   = 200_000 // values read, aliases followed: an alias of aliases is short in a file and long when it is read
)

// reader reads a file into a Config.
type reader struct {
	*problems
	file    string
	origins origins
	anchors map[string]ast.Node
	nodes   int
	move    func(path string) string // a relative path of the file to what it stands for
}

// readFile reads the named file into cfg.
func (r *reader) readFile(cfg *Config) {
	f, err := os.Open(r.file)
	if err != nil {
		r.whole("cannot be read: %s", reason(err))
		return
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, fileMax+1))
	if err != nil {
		r.whole("cannot be read: %s", reason(err))
		return
	}
	r.move = relativeTo(filepath.Dir(r.file))
	r.read(text, cfg)
}

// reason is an error without the path and the call, which the line has already.
func reason(err error) string {
	if inner := (*os.PathError)(nil); errors.As(err, &inner) {
		return inner.Err.Error()
	}
	return err.Error()
}

// whole notes a problem of the file as a whole.
func (r *reader) whole(format string, args ...any) {
	r.all = append(r.all, Problem{File: r.file, Text: fmt.Sprintf(format, args...)})
}

// at notes a problem of the file at a token.
func (r *reader) at(t *token.Token, format string, args ...any) {
	o := r.origin(t)
	r.all = append(r.all, Problem{File: r.file, Line: o.Line, Column: o.Column, Text: fmt.Sprintf(format, args...)})
}

func (r *reader) origin(t *token.Token) Origin {
	o := Origin{From: FromFile, File: r.file}
	if t != nil && t.Position != nil {
		o.Line, o.Column = max(t.Position.Line, 1), max(t.Position.Column, 1)
	}
	return o
}

// read reads the text of a file into cfg.
func (r *reader) read(text []byte, cfg *Config) {
	switch {
	case len(text) > fileMax:
		r.whole("is larger than %s: is it a configuration?", FormatSize(fileMax))
		return
	case !utf8.Valid(text):
		r.whole("is not UTF-8 text")
		return
	}
	body, ok := r.parse(string(text))
	switch {
	case !ok:
		return
	case body == nil:
		r.whole("is empty: was it cut off while it was written? \"evhttpd config --defaults\" prints all that it can say")
		return
	}
	r.anchors = make(map[string]ast.Node)
	r.section("", body, reflect.ValueOf(cfg).Elem())
}

// parse returns the tree of the text, nil if there is nothing in it.
func (r *reader) parse(text string) (body ast.Node, ok bool) {
	defer func() {
		// The library's parser is known to have panicked on malformed text; a
		// reload must not end the server.
		if v := recover(); v != nil {
			r.whole("is no YAML: the parser failed: %v", v)
			body, ok = nil, false
		}
	}()
	tokens := lexer.Tokenize(text)
	if deep := tooDeep(tokens); deep != nil {
		r.at(deep, "values are within each other more than %d deep: nothing here is", nestingMax)
		return nil, false
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey()) // duplicates are told with both places
	if syntax := yaml.Error(nil); errors.As(err, &syntax) {
		r.at(syntax.GetToken(), "is no YAML: %s", syntax.GetMessage())
		return nil, false
	}
	if err != nil {
		r.whole("is no YAML: %v", err)
		return nil, false
	}
	for _, doc := range file.Docs {
		switch {
		case doc.Body == nil || doc.Body.Type() == ast.NullType || doc.Body.Type() == ast.CommentType:
		case doc.Body.Type() == ast.DirectiveType:
			r.at(doc.Body.GetToken(), "a YAML directive is not used here: remove the line")
		case body != nil:
			r.at(doc.Body.GetToken(), "a second document begins here: a configuration is one; remove the --- or what follows")
			return body, true
		default:
			body = doc.Body
		}
	}
	return body, true
}

// tooDeep returns the token at which nesting goes beyond its bound.
func tooDeep(tokens token.Tokens) *token.Token {
	brackets, line, onLine := 0, 0, 0
	for _, t := range tokens {
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			brackets++
		case token.SequenceEndType, token.MappingEndType:
			brackets--
		case token.SequenceEntryType, token.MappingKeyType, token.AnchorType, token.TagType:
			if t.Position.Line != line {
				line, onLine = t.Position.Line, 0
			}
			onLine++
		}
		if brackets > nestingMax || onLine > nestingMax {
			return t
		}
	}
	return nil
}

// resolve follows anchors and aliases to a value; nil: there is none, which has been said.
func (r *reader) resolve(path string, n ast.Node) ast.Node {
	for {
		if r.nodes++; r.nodes > nodesMax {
			if r.nodes == nodesMax+1 {
				r.at(n.GetToken(), "more than %d values: are there aliases of aliases?", nodesMax)
			}
			return nil
		}
		switch x := n.(type) {
		case *ast.AnchorNode:
			r.anchors[x.Name.GetToken().Value] = x.Value
			n = x.Value
		case *ast.AliasNode:
			name := x.Value.GetToken().Value
			target := r.anchors[name]
			if target == nil {
				r.add(path, r.origin(x.Start), "is *%s, but no value before it is marked &%s", name, name)
				return nil
			}
			n = target
		case *ast.TagNode:
			r.add(path, r.origin(x.Start), "has the tag %s: remove it, the key says what it is", x.Start.Value)
			return nil
		default:
			return n
		}
		if n == nil {
			return nil
		}
	}
}

// pairs are the keys and values of a mapping.
func pairs(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch x := n.(type) {
	case *ast.MappingNode:
		return x.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{x}, true
	}
	return nil, false
}

// entry is a key of a section or of a map, as written.
type entry struct {
	name  string
	key   *token.Token
	value ast.Node
}

// entries are the keys of a mapping, with what << merges behind them. Only the
// first of duplicates is among them.
func (r *reader) entries(path string, n ast.Node) []entry {
	values, _ := pairs(n)
	var own []entry
	var merged []ast.Node
	lines := make(map[string]int)
	for _, p := range values {
		key, ok := p.Key.(ast.ScalarNode)
		switch {
		case p.Key.IsMergeKey():
			merged = append(merged, p.Value)
			continue
		case !ok:
			r.at(p.Key.GetToken(), "%s: a key is a word, not %s", named(path), describe(p.Key))
			continue
		}
		e := entry{scalar(key), p.Key.GetToken(), p.Value}
		if line, twice := lines[e.name]; twice {
			r.at(e.key, "%s is here a second time: it stands in line %d already, keep one of them", join(path, e.name), line)
			continue
		}
		lines[e.name] = e.key.Position.Line
		own = append(own, e)
	}
	for _, m := range merged {
		own = r.merge(path, m, own, lines)
	}
	return own
}

// merge adds to own the entries of what << names: a mapping or several.
func (r *reader) merge(path string, n ast.Node, own []entry, have map[string]int) []entry {
	at := n.GetToken()
	if n = r.resolve(path, n); n == nil {
		return own
	}
	if list, ok := n.(*ast.SequenceNode); ok {
		for _, each := range list.Values {
			own = r.merge(path, each, own, have)
		}
		return own
	}
	if _, ok := pairs(n); !ok {
		r.at(at, "%s: << takes keys and values from a mapping, not from %s", named(path), describe(n))
		return own
	}
	for _, e := range r.entries(path, n) {
		if _, there := have[e.name]; !there {
			have[e.name] = e.key.Position.Line
			own = append(own, e)
		}
	}
	return own
}

func named(path string) string {
	if path == "" {
		return "the configuration"
	}
	return path
}

// section reads a mapping into a struct.
func (r *reader) section(path string, n ast.Node, into reflect.Value) {
	at := n.GetToken()
	if n = r.resolve(path, n); n == nil {
		return
	}
	keys := fieldsOf(into.Type())
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = k.name
	}
	if _, ok := pairs(n); !ok {
		// Only comments below a section's name: it says nothing.
		if n.Type() != ast.NullType || strings.HasSuffix(path, "]") {
			r.at(at, "%s is %s: want keys and values, of %s", named(path), describe(n), strings.Join(names, ", "))
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
		r.value(join(path, e.name), e, into.Field(keys[i].index))
	}
	for _, name := range requiredOf(row(path)) {
		if key := join(path, name); !said[name] {
			r.at(r.first(n, at), "%s has no %s: add one, such as %s: %s", path, name, name, kinds[row(key)].sample)
			r.bad[key] = true
		}
	}
}

// first is where a section begins: at its first key, or where it was named.
func (r *reader) first(n ast.Node, at *token.Token) *token.Token {
	if values, ok := pairs(n); ok && len(values) > 0 {
		return values[0].Key.GetToken()
	}
	return at
}

// unknown says that there is no such key, and which may have been meant.
func (r *reader) unknown(section string, e entry, names []string) {
	what := fmt.Sprintf("%q is no key here", e.name)
	if section != "" {
		what = fmt.Sprintf("%q is no key of %s", e.name, section)
	}
	near := nearest(e.name, names)
	if near == "" {
		near = elsewhere(strings.ReplaceAll(e.name, "-", "_"))
	}
	if near != "" {
		r.at(e.key, "%s: did you mean %s?", what, near)
		return
	}
	r.at(e.key, "%s: want one of %s", what, strings.Join(names, ", "))
}

// elsewhere is the whole key, in another section, that ends in that name; empty: there is none, or several.
func elsewhere(name string) string {
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
		into.Elem().Set(reflect.ValueOf(elements[row(path)]))
		r.section(path, e.value, into.Elem())
	default:
		r.section(path, e.value, into)
	}
}

// sections reads a list of mappings.
func (r *reader) sections(path string, e entry, into reflect.Value) {
	items, ok := r.items(path, e, "- ")
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
		list.Index(i).Set(reflect.ValueOf(elements[row(path)+"[]"]))
		r.origins[each] = r.origin(r.first(item, item.GetToken()))
		r.section(each, item, list.Index(i))
	}
	into.Set(list)
}

// items are the elements of a list.
func (r *reader) items(path string, e entry, sample string) ([]ast.Node, bool) {
	n := r.resolve(path, e.value)
	if n == nil {
		return nil, false
	}
	list, ok := n.(*ast.SequenceNode)
	if ok {
		return list.Values, true
	}
	at := r.origin(e.value.GetToken())
	if s, isScalar := n.(ast.ScalarNode); isScalar && n.Type() != ast.NullType && sample != "- " {
		k := kinds[row(path)]
		r.add(path, at, "is %s: want a list: [%s]", describe(n), quoted(scalar(s), k.shape))
	} else if sample == "- " {
		r.add(path, at, "is %s: want a list of keys and values, each beginning with \"- \"", describe(n))
	} else {
		r.add(path, at, "is %s: want a list such as [%s]", describe(n), sample)
	}
	return nil, false
}

// list reads a list of scalars.
func (r *reader) list(path string, e entry, k kind, into reflect.Value) {
	items, ok := r.items(path, e, k.sample)
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
			r.add(each, r.origins[each], "%q is in the list a second time: it is element %d already, keep one of them", k.format(v.Interface()), first)
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
		r.add(path, r.origin(e.value.GetToken()), "is %s: want keys and values such as {%s: %s}", describe(n), k.key.sample, k.sample)
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
	if k.rebase != nil && r.move != nil {
		v = k.rebase(v, r.move)
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
func (k kind) wanted() string {
	if k.want == "" {
		return "one such as " + k.sample
	}
	return k.want
}

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

// scalar is the text of a scalar as it was written, without quotes.
func scalar(n ast.ScalarNode) string {
	switch x := n.(type) {
	case *ast.StringNode:
		return x.Value
	case *ast.LiteralNode:
		return x.Value.Value
	}
	return n.GetToken().Value
}

// describe says what a node is, with its article.
func describe(n ast.Node) string {
	switch n.Type() {
	case ast.NullType:
		return "empty"
	case ast.SequenceType:
		return "a list"
	case ast.MappingType, ast.MappingValueType:
		return "keys and values"
	case ast.BoolType:
		return n.GetToken().Value
	case ast.IntegerType, ast.FloatType, ast.InfinityType, ast.NanType:
		return "the number " + n.GetToken().Value
	case ast.StringType, ast.LiteralType:
		s := scalar(n.(ast.ScalarNode))
		if len(s) > 40 {
			s = s[:40] + "..."
		}
		return fmt.Sprintf("the text %q", s)
	}
	return "something else"
}
