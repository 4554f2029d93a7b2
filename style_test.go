package evhttpd_test

import (
	"bufio"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// These are the bounds of CONTRIBUTING.md.
const (
	columnsMax       = 120 // of a line, a tab being four
	functionLinesMax = 70
	booleansMax      = 5 // of a struct, with those of the structs in it
)

// linesMax are what else has a bound, in lines of files that are no tests: a file or a folder without those beneath.
var linesMax = map[string]int{
	"conn/step.go":    200, // the hot path is read on a few screens, from top to bottom
	"internal/daemon": 2000,
	"internal/static": 4000,
}

// prose are the names' ends of files whose lines have a bound.
var prose = []string{".go", ".md", ".yaml", ".yml", ".sh", ".py", ".c", ".service", ".socket", "Makefile", "Dockerfile",
	".ci/run", ".ci/skipped"}

// TestLinesFit: no line is longer than columnsMax, but for the rows of a table and what cannot be broken.
func TestLinesFit(t *testing.T) {
	for _, file := range files(t, prose...) {
		for _, line := range longLines(t, file) {
			t.Errorf("%s:%d has %d columns, at most %d are wanted", file, line.number, line.columns, columnsMax)
		}
	}
}

type longLine struct{ number, columns int }

func longLines(t *testing.T, file string) (long []longLine) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	scanner := bufio.NewScanner(strings.NewReader(string(content)))
	scanner.Buffer(nil, len(content)+1)
	for number := 1; scanner.Scan(); number++ {
		line := scanner.Text()
		columns := len([]rune(line)) + 3*strings.Count(line, "\t")
		table := strings.HasSuffix(file, ".md") && strings.HasPrefix(line, "|")
		if columns > columnsMax && !table && strings.ContainsAny(strings.TrimSpace(line), " \t") {
			long = append(long, longLine{number, columns})
		}
	}
	if scanner.Err() != nil {
		t.Fatal(scanner.Err())
	}
	return long
}

// files lists the files beneath the root whose names end so.
func files(t *testing.T, ends ...string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if strings.HasPrefix(file, ".") && file != "." && file != ".ci" {
				return filepath.SkipDir
			}
			return nil
		}
		file = filepath.ToSlash(file)
		if slices.ContainsFunc(ends, func(end string) bool { return strings.HasSuffix(file, end) }) {
			found = append(found, file)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		t.Fatal("no files found: the test must run in the module's root")
	}
	return found
}

// TestFilesStayShort holds what linesMax names to its bounds.
func TestFilesStayShort(t *testing.T) {
	lines := make(map[string]int) // of a file and of its folder
	for _, file := range files(t, ".go") {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		n := strings.Count(string(content), "\n")
		lines[file] += n
		lines[path.Dir(file)] += n
	}
	for name, bound := range linesMax {
		if n := lines[name]; n == 0 || n > bound {
			t.Errorf("%s has %d lines, 1 to %d are wanted", name, n, bound)
		}
	}
}

// parsed is a Go file with its tree.
type parsed struct {
	file string
	set  *token.FileSet
	tree *ast.File
}

// parseAll reads every Go file, once for all tests.
func parseAll(t *testing.T) []parsed {
	t.Helper()
	allParsed.once.Do(func() {
		for _, file := range files(t, ".go") {
			set := token.NewFileSet()
			tree, err := parser.ParseFile(set, file, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			allParsed.trees = append(allParsed.trees, parsed{file, set, tree})
		}
	})
	return allParsed.trees
}

var allParsed struct {
	once  sync.Once
	trees []parsed
}

// TestFunctionsStayShort: none has more than functionLinesMax lines. The rows of a table do not count.
func TestFunctionsStayShort(t *testing.T) {
	for _, p := range parseAll(t) {
		for _, d := range p.tree.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if n := p.lines(f) + 1 - p.rows(f); n > functionLinesMax {
				t.Errorf("%s: %s has %d lines, at most %d are wanted", p.set.Position(f.Pos()), f.Name.Name, n,
					functionLinesMax)
			}
		}
	}
}

// lines is how many lines further on a node ends than it begins.
func (p parsed) lines(n ast.Node) int {
	return p.set.Position(n.End()).Line - p.set.Position(n.Pos()).Line
}

// rows is how many lines within a function are those of composite literals.
func (p parsed) rows(f *ast.FuncDecl) (n int) {
	ast.Inspect(f, func(node ast.Node) bool {
		if literal, ok := node.(*ast.CompositeLit); ok {
			n += p.lines(literal)
			return false
		}
		return true
	})
	return n
}

// structs are the struct types of the project by "folder.Name", with what it takes to look into them.
type structs struct {
	types   map[string]*ast.StructType
	imports map[*ast.StructType]map[string]string // of the struct's file: name to folder
	methods map[string]bool                       // whether the type has methods
}

// TestStructsHaveFewBooleans: a struct with more than booleansMax hides a state. Those of the structs in it count too,
// unless they have methods: then they are a thing of their own.
func TestStructsHaveFewBooleans(t *testing.T) {
	all := structs{make(map[string]*ast.StructType), make(map[*ast.StructType]map[string]string), make(map[string]bool)}
	for _, p := range parseAll(t) {
		all.add(p)
	}
	for _, name := range slices.Sorted(maps.Keys(all.types)) {
		folder, _, _ := strings.Cut(name, ".")
		if n := all.booleans(folder, all.types[name]); n > booleansMax {
			t.Errorf("%s has %d booleans, at most %d are wanted", name, n, booleansMax)
		}
	}
}

func (all structs) add(p parsed) {
	imports := projectImports(p.tree)
	folder := path.Dir(p.file)
	ast.Inspect(p.tree, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.StructType:
			all.imports[n] = imports
		case *ast.TypeSpec:
			if s, ok := n.Type.(*ast.StructType); ok {
				all.types[folder+"."+n.Name.Name] = s
			}
		case *ast.FuncDecl:
			if n.Recv != nil {
				receiver := n.Recv.List[0].Type
				if pointer, ok := receiver.(*ast.StarExpr); ok {
					receiver = pointer.X
				}
				if name, ok := receiver.(*ast.Ident); ok {
					all.methods[folder+"."+name.Name] = true
				}
			}
		}
		return true
	})
}

// projectImports is what a file imports of the project: the folder by its name there.
func projectImports(tree *ast.File) map[string]string {
	folders := make(map[string]string)
	for _, spec := range tree.Imports {
		folder, ok := strings.CutPrefix(strings.Trim(spec.Path.Value, `"`), module+"/")
		if !ok {
			continue
		}
		name := path.Base(folder)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		folders[name] = folder
	}
	return folders
}

// booleans counts them in a struct of a package in folder.
func (all structs) booleans(folder string, s *ast.StructType) (n int) {
	for _, f := range s.Fields.List {
		n += max(1, len(f.Names)) * all.of(folder, s, f)
	}
	return n
}

func (all structs) of(folder string, s *ast.StructType, f *ast.Field) int {
	name := ""
	switch typ := f.Type.(type) {
	case *ast.StructType:
		return all.booleans(folder, typ)
	case *ast.Ident:
		if typ.Name == "bool" {
			return 1
		}
		name = typ.Name
	case *ast.SelectorExpr:
		pkg := typ.X.(*ast.Ident).Name
		if pkg == "atomic" && typ.Sel.Name == "Bool" {
			return 1
		}
		folder, name = all.imports[s][pkg], typ.Sel.Name
	}
	if name = folder + "." + name; all.types[name] == nil || all.methods[name] && len(f.Names) > 0 {
		return 0
	}
	return all.booleans(folder, all.types[name])
}
