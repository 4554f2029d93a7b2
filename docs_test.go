package evhttpd_test

import (
	"encoding/xml"
	"errors"
	"go/ast"
	"io"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// declared is what the project's Go files declare, by name alone and behind what it belongs to: "Step", "Conn.Step",
// "conn.Conn.Step" and "conn.Step".
type declared map[string]bool

func (d declared) add(folder string, names ...string) {
	pkg := path.Base(folder)
	d[pkg], d[names[len(names)-1]] = true, true
	d[strings.Join(names, ".")] = true
	d[pkg+"."+strings.Join(names, ".")] = true
	d[pkg+"."+names[len(names)-1]] = true
}

// addSpec adds a type with its fields or methods, a constant or a variable.
func (d declared) addSpec(folder string, spec ast.Spec) {
	switch spec := spec.(type) {
	case *ast.ValueSpec:
		for _, name := range spec.Names {
			d.add(folder, name.Name)
		}
	case *ast.TypeSpec:
		d.add(folder, spec.Name.Name)
		ast.Inspect(spec.Type, func(n ast.Node) bool {
			if field, ok := n.(*ast.Field); ok {
				for _, name := range field.Names {
					d.add(folder, spec.Name.Name, name.Name)
				}
			}
			return true
		})
	}
}

// allDeclared includes the keys of a configuration, which docs write in the same form.
func allDeclared(t *testing.T) declared {
	t.Helper()
	d := make(declared)
	for _, p := range parseAll(t) {
		if strings.HasSuffix(p.file, "_test.go") {
			continue
		}
		folder := path.Dir(p.file)
		for _, decl := range p.tree.Decls {
			switch decl := decl.(type) {
			case *ast.GenDecl:
				for _, spec := range decl.Specs {
					d.addSpec(folder, spec)
				}
			case *ast.FuncDecl:
				if name := receiver(decl); name != "" {
					d.add(folder, name, decl.Name.Name)
				} else {
					d.add(folder, decl.Name.Name)
				}
			}
		}
	}
	content, err := os.ReadFile("internal/config/evhttpd.yaml")
	if err != nil {
		t.Fatal(err)
	}
	section := ""
	for _, key := range regexp.MustCompile(`(?m)^([ -]*)([a-z_]+):`).FindAllStringSubmatch(string(content), -1) {
		d[key[2]] = true
		if key[1] == "" {
			section = key[2]
		}
		d[section+"."+key[2]] = true
	}
	return d
}

// receiver is the name of a method's type; "" for a function.
func receiver(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return ""
	}
	typ := f.Recv.List[0].Type
	if pointer, ok := typ.(*ast.StarExpr); ok {
		typ = pointer.X
	}
	switch typ := typ.(type) {
	case *ast.Ident:
		return typ.Name
	case *ast.IndexExpr:
		return typ.X.(*ast.Ident).Name
	}
	return ""
}

// foreign are the names in docs/architecture.md and CONTRIBUTING.md that are not the project's.
var foreign = []string{"recvfrom", "sendto", "curl", "os.File", "strings.Cut", "yaml"}

var (
	quoted = regexp.MustCompile("`([^`\n]+)`")
	dotted = regexp.MustCompile(`^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$`)
	paths  = regexp.MustCompile(`^\.?[\w.-]+(/[\w.-]*)+$`)
)

// TestDocsNameWhatIsThere: the names of Go and the paths between backquotes exist.
func TestDocsNameWhatIsThere(t *testing.T) {
	known := allDeclared(t)
	for _, file := range []string{"docs/architecture.md", "CONTRIBUTING.md"} {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		names := quoted.FindAllStringSubmatch(string(content), -1)
		if len(names) < 20 {
			t.Errorf("%s: %d names found", file, len(names))
		}
		for _, name := range names {
			switch name := name[1]; {
			case slices.Contains(foreign, name) || known[name]:
			case paths.MatchString(name), dotted.MatchString(name):
				if !isPath(t, name) {
					t.Errorf("%s: %s is neither declared nor a file", file, name)
				}
			}
		}
	}
}

// isPath reports whether there is a file or folder of that name, from the root, from internal, or in any folder if it
// is a bare name.
func isPath(t *testing.T, name string) bool {
	t.Helper()
	for _, at := range []string{name, path.Join("internal", name), path.Join("bench", name), path.Join("docs", name)} {
		if _, err := os.Stat(at); err == nil {
			return true
		}
	}
	return !strings.Contains(name, "/") && slices.ContainsFunc(files(t, name), func(file string) bool {
		return path.Base(file) == name
	})
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	marks   = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// TestLinksLead: a relative link of a page leads to a file, and its fragment to a heading, as GitHub names them.
func TestLinksLead(t *testing.T) {
	for _, file := range files(t, ".md") {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range link.FindAllStringSubmatch(string(content), -1) {
			if strings.Contains(match[1], ":") {
				continue // another site's
			}
			target, fragment, _ := strings.Cut(match[1], "#")
			to := file
			if target != "" {
				to = path.Join(path.Dir(file), target)
			}
			if _, err := os.Stat(to); err != nil {
				t.Errorf("%s links to %s: %v", file, match[1], err)
			} else if fragment != "" && !slices.Contains(fragments(t, to), fragment) {
				t.Errorf("%s links to %s, and there is no such heading", file, match[1])
			}
		}
	}
}

// fragments are those of a page's headings.
func fragments(t *testing.T, file string) (found []string) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, match := range heading.FindAllStringSubmatch(string(content), -1) {
		text := marks.ReplaceAllString(strings.ToLower(match[1]), "")
		found = append(found, strings.ReplaceAll(text, " ", "-"))
	}
	return found
}

// TestPictureOfRooms: docs/pictures/rooms.svg has every row of rules, on a floor above all that it imports.
func TestPictureOfRooms(t *testing.T) {
	drawn := drawnFloors(t, "docs/pictures/rooms.svg")
	floors := make(map[string]int)
	imported := make(map[string][]string)
	for _, s := range parseTree(t, ".") {
		row, _ := ruleFor(s.folder)
		for _, name := range s.imports {
			if folder, ok := strings.CutPrefix(name, module+"/"); ok {
				if other, _ := ruleFor(folder); other.folder != row.folder {
					imported[row.folder] = append(imported[row.folder], other.folder)
				}
			}
		}
	}
	var floor func(folder string) int
	floor = func(folder string) int {
		if n, ok := floors[folder]; ok {
			return n
		}
		n := 0
		for _, other := range imported[folder] {
			n = max(n, floor(other)+1)
		}
		floors[folder] = n
		return n
	}
	for _, r := range rules {
		name := strings.TrimPrefix(r.folder, "internal/")
		switch name {
		case "testkit", "test/faults":
			continue // of the tests alone
		case "cmd":
			name = "cmd/evhttpd"
		}
		if at, ok := drawn[name]; !ok || at != floor(r.folder) {
			t.Errorf("%s is on floor %d, and drawn: %t, on floor %d", r.folder, floor(r.folder), ok, at)
		}
		delete(drawn, name)
	}
	for name := range drawn {
		t.Errorf("%s is drawn, and has no row", name)
	}
}

// drawnFloors reads the texts of the picture: a floor's number, then what is on it.
func drawnFloors(t *testing.T, file string) map[string]int {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	drawn, floor, class := make(map[string]int), -1, ""
	for decoder := xml.NewDecoder(f); ; {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return drawn
		}
		if err != nil {
			t.Fatal(err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			class = ""
			for _, a := range token.Attr {
				if token.Name.Local == "text" && a.Name.Local == "class" {
					class = a.Value
				}
			}
		case xml.CharData:
			text := string(token)
			if n, ok := strings.CutPrefix(text, "floor "); ok && class == "s" {
				floor = slices.Index([]string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"}, n)
			} else if class == "t" {
				drawn[text] = floor
			}
			class = ""
		}
	}
}
