package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

const (
	fileMax = 1 * MiB // bytes of a configuration file: its parser takes many times that
	// brackets or dashes within each other on a line, on which the parser's time grows with the square
	nestingMax = 32
	// values read, aliases followed: an alias of aliases is short in a file and long when it is read
	nodesMax = 200_000
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
	r.all = append(r.all, Problem{Origin{File: r.file}, fmt.Sprintf(format, args...)})
}

// at notes a problem of the file at a token.
func (r *reader) at(t *token.Token, format string, args ...any) {
	r.all = append(r.all, Problem{r.origin(t), fmt.Sprintf(format, args...)})
}

func (r *reader) origin(t *token.Token) Origin {
	o := Origin{File: r.file}
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
		r.whole("is empty: was it cut off while it was written? \"evhttpd config --defaults\" prints all that " +
			"it can say")
		return
	}
	r.anchors = make(map[string]ast.Node)
	r.section("", body, reflect.ValueOf(cfg).Elem())
}

// parse returns the tree of the text, nil if there is nothing in it.
func (r *reader) parse(text string) (body ast.Node, ok bool) {
	defer func() {
		// The library's parser is known to have panicked on malformed text; a reload must not end the server.
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
			r.at(doc.Body.GetToken(),
				"a second document begins here: a configuration is one; remove the --- or what follows")
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

// entries are the keys of a mapping, with what << merges behind them. Only the first of duplicates is among them.
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
			r.at(p.Key.GetToken(), "%s: a key is a word, not %s", cmp.Or(path, wholeName), describe(p.Key))
			continue
		}
		e := entry{scalar(key), p.Key.GetToken(), p.Value}
		if line, twice := lines[e.name]; twice {
			r.at(e.key, "%s is here a second time: it stands in line %d already, keep one of them",
				join(path, e.name), line)
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
		r.at(at, "%s: << takes keys and values from a mapping, not from %s", cmp.Or(path, wholeName), describe(n))
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

// wholeName stands for the path of what is in no section.
const wholeName = "the configuration"

// first is where a section begins: at its first key, or where it was named.
func (r *reader) first(n ast.Node, at *token.Token) *token.Token {
	if values, ok := pairs(n); ok && len(values) > 0 {
		return values[0].Key.GetToken()
	}
	return at
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
