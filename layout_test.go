package evhttpd_test

import (
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/evhttpd/evhttpd"

// platforms are those that .ci/run builds for: a file counts if one of them builds it.
var platforms = []string{
	"linux/amd64", "linux/arm64", "darwin/arm64",
	"freebsd/amd64", "netbsd/amd64", "openbsd/amd64",
}

// rule says what the packages in one folder and beneath it may import.
type rule struct {
	folder  string
	project []string // folders of the project, exactly
	modules []string // from other modules, by prefix
	denied  []string // of the standard library, exactly
}

const xsys = "golang.org/x/sys"

// system is what a package that makes no system call has no business with.
// net/netip is an address as a value and net/textproto and net/url are text, so they are not in it.
var system = []string{
	"internal", "io/ioutil", "log", "net", "net/http", "net/mail", "net/rpc", "net/smtp",
	"os", "os/exec", "os/signal", "os/user", "plugin", "runtime", "syscall", "testing",
}

// rules is who may import whom; a folder is looked up by its longest prefix here,
// and one without a row fails the test. Everything may import itself and what lies beneath it.
// The rows are in the order of the floors: none names one that comes after it.
var rules = []rule{
	{folder: "http1", denied: append([]string{"net/netip", "net/url", "fmt", "unsafe"}, system...)},
	{folder: "poller", modules: []string{xsys}},
	{folder: "sendfile", modules: []string{xsys}},
	{folder: "socket", modules: []string{xsys}},
	{folder: "uring", modules: []string{xsys}},
	{folder: "proxyproto", denied: system},
	{folder: "clock"},
	{folder: "conn", project: []string{"clock", "http1", "proxyproto", "sendfile"}, denied: system},
	{folder: "workers", project: []string{"conn"}, denied: system},
	{folder: "model", project: []string{"conn", "socket", "workers"}, modules: []string{xsys}},
	{folder: "reactor", project: []string{"clock", "poller", "conn", "model", "sendfile", "socket", "workers"},
		modules: []string{xsys}},
	// Every model implements conn.Transport, so a model names sendfile's types too.
	{folder: "iomodel/ring", project: []string{"conn", "model", "poller", "reactor", "sendfile", "uring"},
		modules: []string{xsys}},
	{folder: "internal/quota", modules: []string{xsys}},
	{folder: "iomodel", project: []string{"reactor", "clock", "conn", "model", "poller", "sendfile", "socket",
		"workers", "internal/quota"},
		modules: []string{xsys, "github.com/cloudwego/netpoll"}},
	{folder: "internal/background"},
	{folder: "internal/mediatype", project: []string{"http1"}},
	{folder: "internal/pattern"},
	{folder: "internal/listing", project: []string{"conn", "http1", "internal/background"}, denied: system},
	{folder: "internal/static", project: []string{"conn", "http1", "sendfile", "internal/background",
		"internal/listing", "internal/mediatype", "internal/pattern"},
		modules: []string{xsys, "github.com/klauspost/compress"}},
	{folder: "internal/guard", project: []string{"clock", "conn", "http1"},
		modules: []string{"golang.org/x/crypto/bcrypt"}},
	{folder: "internal/site", project: []string{"conn", "http1", "internal/guard", "internal/mediatype",
		"internal/pattern", "internal/static"}},
	{folder: "internal/sink", modules: []string{xsys}},
	{folder: "internal/accesslog", project: []string{"conn", "http1", "internal/sink"}, modules: []string{xsys}},
	{folder: "internal/config", project: []string{"http1", "iomodel", "internal/accesslog", "internal/guard",
		"internal/mediatype", "internal/site", "internal/static"},
		modules: []string{"github.com/goccy/go-yaml"}},
	{folder: "internal/grace"},
	{folder: "internal/eventlog", project: []string{"internal/config", "internal/grace", "internal/sink"},
		modules: []string{xsys, "go.uber.org/zap"}},
	{folder: "internal/admin", project: []string{"conn"},
		modules: []string{"go.uber.org/zap", "github.com/prometheus/client_golang"}},
	{folder: "internal/listener", project: []string{"model", "internal/config", "socket"}, modules: []string{xsys}},
	{folder: "internal/systemd", project: []string{"internal/grace"},
		modules: []string{"go.uber.org/zap", "github.com/coreos/go-systemd/v22"}},
	{folder: "internal/healthcheck", project: []string{"conn", "internal/config"}},
	{folder: "internal/upgrade", modules: []string{xsys}},
	{folder: "internal/daemon", project: []string{"conn", "http1", "internal/accesslog", "internal/admin",
		"internal/config",
		"internal/eventlog", "internal/grace", "internal/guard", "internal/listener", "internal/quota",
		"internal/sink",
		"internal/site", "internal/static", "internal/systemd", "internal/upgrade", "iomodel", "model", "workers"},
		modules: []string{xsys, "go.uber.org/zap"}},
	// What tests stand on: no row names it, so that no file but a test's may import it.
	{folder: "internal/testkit", modules: []string{xsys}},
	{folder: "test/faults", modules: []string{xsys}},
	{folder: "bench/chart"},
	{folder: "bench/text"},
	{folder: "bench/stats"},
	{folder: "bench/machine", modules: []string{xsys}},
	{folder: "bench/load", project: []string{"poller", "socket"},
		modules: []string{xsys, "github.com/HdrHistogram/hdrhistogram-go"}},
	{folder: "bench/scenario", project: []string{"bench/load"}},
	{folder: "bench/slowfs", modules: []string{"github.com/hanwen/go-fuse/v2"}},
	{folder: "bench/experiment", project: []string{"bench/chart", "bench/machine", "bench/stats", "bench/text"}},
	{folder: "bench/server", project: []string{"bench/machine"}},
	{folder: "bench/results", project: []string{"bench/experiment", "bench/scenario", "bench/stats"}},
	// What shows a comparison knows nothing of how it was made.
	{folder: "bench/report", project: []string{"bench/chart", "bench/experiment", "bench/results",
		"bench/stats", "bench/text"}},
	{folder: "bench/loadtest", project: []string{"bench/experiment", "bench/load", "bench/machine", "bench/text"}},
	// It waits with the pollers and with io_uring itself, and measures the server from outside, but for two parts
	// of it that have no switch: the parser and the counters.
	{folder: "bench/lab", project: []string{"bench/chart", "bench/experiment", "bench/load", "bench/machine",
		"bench/server", "bench/stats", "bench/text", "conn", "http1", "uring", "poller"}, modules: []string{xsys}},
	// A client: it knows the server only from outside.
	{folder: "bench", project: []string{"bench/experiment", "bench/load", "bench/machine", "bench/results",
		"bench/scenario", "bench/server"}},
	// What is linked runs its initialization in every start, so the server links no FUSE.
	{folder: "cmd/evhttpd-slowfs", project: []string{"bench/slowfs", "internal/config"}},
	{folder: "cmd", project: []string{"bench", "bench/experiment", "bench/lab", "bench/load", "bench/loadtest",
		"bench/report", "bench/results", "bench/text", "internal/config", "internal/daemon",
		"internal/healthcheck", "internal/sink", "iomodel", "poller"},
		modules: []string{"github.com/spf13/cobra", "github.com/spf13/pflag", "golang.org/x/term", xsys}},
}

// oneFile names the modules that a single file of a folder imports.
var oneFile = map[string]string{"github.com/cloudwego/netpoll": "iomodel"}

// source is one file that is built into the program (no test).
type source struct {
	folder  string // slash-separated, from the module's root; "" for the root itself
	name    string
	pkg     string // of the package clause
	doc     string // the comment above it
	imports []string
}

// TestImportRules holds every package to docs/architecture.md: who imports whom, and what a package comment says.
func TestImportRules(t *testing.T) {
	sources := parseTree(t, ".")
	if len(sources) == 0 {
		t.Fatal("no Go files found: the test must run in the module's root")
	}
	for _, violation := range violations(sources) {
		t.Error(violation)
	}
}

// TestRulesAreFloorsAndUsed: no import runs upwards, so none goes in a circle, and nothing is allowed that nobody
// does.
func TestRulesAreFloorsAndUsed(t *testing.T) {
	used := make(map[string]bool) // "folder of the row imported"
	for _, s := range parseTree(t, ".") {
		row, _ := ruleFor(s.folder)
		for _, imported := range s.imports {
			used[row.folder+" "+strings.TrimPrefix(imported, module+"/")] = true
			for _, allowed := range row.modules {
				if beneath(imported, allowed) {
					used[row.folder+" "+allowed] = true
				}
			}
		}
	}
	above := make(map[string]bool)
	for _, r := range rules {
		for _, allowed := range slices.Concat(r.project, r.modules) {
			if !used[r.folder+" "+allowed] {
				t.Errorf("%s may import %s, and does not", r.folder, allowed)
			}
		}
		for _, allowed := range r.project {
			if !above[allowed] {
				t.Errorf("%s may import %s, whose row does not stand above its own", r.folder, allowed)
			}
		}
		above[r.folder] = true
	}
}

// violations is every breach of rules and oneFile, and every package without its comment.
func violations(sources []source) []string {
	var found []string
	users := make(map[string][]string) // module of oneFile: the files that import it
	docs := make(map[string]string)    // folder: the package comments of its files
	names := make(map[string]string)
	for _, s := range sources {
		docs[s.folder] += s.doc
		names[s.folder] = s.pkg
		row, ok := ruleFor(s.folder)
		if !ok {
			found = append(found, fmt.Sprintf("%s: no row in the table of rules of layout_test.go covers folder %q",
				s.name, s.folder))
			continue
		}
		for _, imported := range s.imports {
			if reason := row.forbids(s.folder, imported); reason != "" {
				found = append(found, fmt.Sprintf("%s/%s imports %s: %s", s.folder, s.name, imported, reason))
			}
			for dependency := range oneFile {
				if beneath(imported, dependency) {
					users[dependency] = append(users[dependency], path.Join(s.folder, s.name))
				}
			}
		}
	}
	for dependency, files := range users {
		if len(files) > 1 {
			found = append(found, fmt.Sprintf("%s is to be imported by one file, not %d: %s", dependency,
				len(files), strings.Join(files, ", ")))
		}
	}
	for folder, doc := range docs {
		if reason := docLacks(names[folder], doc); reason != "" {
			found = append(found, fmt.Sprintf("package %s in %s: %s", names[folder], folder, reason))
		}
	}
	slices.Sort(found)
	return found
}

func ruleFor(folder string) (best rule, ok bool) {
	for _, r := range rules {
		if beneath(folder, r.folder) && len(r.folder) >= len(best.folder) {
			best, ok = r, true
		}
	}
	return best, ok
}

// forbids says why a file in folder may not import that; "" if it may.
func (r rule) forbids(folder, imported string) string {
	if inner, ok := strings.CutPrefix(imported, module+"/"); ok {
		if slices.Contains(r.project, inner) || beneath(inner, r.folder) {
			return ""
		}
		return fmt.Sprintf("%s may import of the project only [%s]", r.folder, strings.Join(r.project, " "))
	}
	first, _, _ := strings.Cut(imported, "/")
	if strings.Contains(first, ".") {
		for _, allowed := range r.modules {
			if beneath(imported, allowed) {
				return ""
			}
		}
		return fmt.Sprintf("%s may import of other modules only [%s]", r.folder, strings.Join(r.modules, " "))
	}
	if slices.Contains(r.denied, imported) || first == "internal" {
		return fmt.Sprintf("%s makes no system call and may not import that of the standard library", r.folder)
	}
	return ""
}

// beneath reports whether a slash-separated path is root or lies within it.
func beneath(p, root string) bool { return p == root || strings.HasPrefix(p, root+"/") }

func docLacks(pkg, doc string) string {
	switch {
	case doc == "":
		return "it has no package comment"
	case pkg != "main" && !strings.HasPrefix(doc, "Package "+pkg+" "):
		return fmt.Sprintf("its comment is to begin with %q, in one file", "Package "+pkg)
	case !strings.Contains(doc, "import"):
		return "its comment is to say what it imports"
	}
	return ""
}

// parseTree reads the package clauses and imports of all files that some platform builds.
func parseTree(t *testing.T, root string) []source {
	t.Helper()
	var sources []source
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() {
			if file != root && (strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") ||
				name == "testdata" || hasModule(file)) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") || !builtSomewhere(t, file) {
			return nil
		}
		sources = append(sources, parseSource(t, root, file))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return sources
}

func hasModule(folder string) bool {
	_, err := os.Stat(filepath.Join(folder, "go.mod"))
	return err == nil
}

func builtSomewhere(t *testing.T, file string) bool {
	t.Helper()
	for _, platform := range platforms {
		target := build.Default
		target.GOOS, target.GOARCH, _ = strings.Cut(platform, "/")
		target.CgoEnabled = false
		match, err := target.MatchFile(filepath.Dir(file), filepath.Base(file))
		if err != nil {
			t.Fatal(err)
		}
		if match {
			return true
		}
	}
	return false
}

func parseSource(t *testing.T, root, file string) source {
	t.Helper()
	tree, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly|parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	folder, err := filepath.Rel(root, filepath.Dir(file))
	if err != nil {
		t.Fatal(err)
	}
	s := source{folder: strings.TrimPrefix(filepath.ToSlash(folder), "."), name: filepath.Base(file),
		pkg: tree.Name.Name, doc: tree.Doc.Text()}
	for _, spec := range tree.Imports {
		s.imports = append(s.imports, importPath(t, spec))
	}
	return s
}

func importPath(t *testing.T, spec *ast.ImportSpec) string {
	t.Helper()
	imported, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		t.Fatal(err)
	}
	return imported
}

// TestImportRulesCatchBreaches breaks each rule once.
func TestImportRulesCatchBreaches(t *testing.T) {
	const netpoll = "github.com/cloudwego/netpoll"
	file := func(folder string, imports ...string) source {
		pkg := path.Base(folder)
		return source{folder: folder, name: "x.go", pkg: pkg, doc: "Package " + pkg +
			" does a thing. It imports nothing.", imports: imports}
	}
	second := file("iomodel", netpoll)
	second.name, second.doc = "y.go", ""
	silent, bare, misnamed := file("poller"), file("poller"), file("poller")
	silent.doc, bare.doc, misnamed.doc = "", "Package poller waits.", "Waits, and imports nothing."
	for _, c := range []struct {
		name    string
		sources []source
		want    string // in the only violation; "": there is none
	}{
		{"http1 may use pure packages", []source{file("http1", "bytes", "math/bits", "time")}, ""},
		{"http1 and os", []source{file("http1", "os")}, "http1/x.go imports os"},
		{"http1 and net", []source{file("http1", "net")}, "imports net"},
		{"http1 and net/http", []source{file("http1", "net/http")}, "imports net/http"},
		{"http1 and syscall", []source{file("http1", "syscall")}, "imports syscall"},
		{"http1 and x/sys", []source{file("http1", xsys+"/unix")}, "only []"},
		{"http1 and the project", []source{file("http1", module+"/conn")}, "only []"},
		{"poller may use x/sys", []source{file("poller", "syscall", xsys+"/unix")}, ""},
		{"poller and the project", []source{file("poller", module+"/conn")},
			"poller may import of the project only []"},
		{"sendfile and the project", []source{file("sendfile", module+"/http1")}, "sendfile may import"},
		{"conn may use http1, sendfile and addresses",
			[]source{file("conn", "net/netip", module+"/http1", module+"/sendfile")}, ""},
		{"conn and the loop", []source{file("conn", module+"/reactor")}, "only [clock http1 proxyproto sendfile]"},
		{"conn and system calls", []source{file("conn", "syscall")}, "makes no system call"},
		{"conn and x/sys", []source{file("conn", xsys+"/unix")}, "only []"},
		{"static and site", []source{file("internal/static", module+"/internal/site")}, "internal/static may import"},
		{"reactor and static", []source{file("reactor", module+"/internal/static")}, "reactor may import"},
		{"iomodel and config", []source{file("iomodel", module+"/internal/config")}, "iomodel may import"},
		{"iomodel may use a folder of its own", []source{file("iomodel/x", module+"/iomodel", module+"/socket")}, ""},
		{"zap in reactor", []source{file("reactor", "go.uber.org/zap")}, "imports go.uber.org/zap"},
		{"zap in daemon", []source{file("internal/daemon", "go.uber.org/zap/zapcore")}, ""},
		{"zap's neighbour by name", []source{file("internal/daemon", "go.uber.org/zapped")},
			"imports go.uber.org/zapped"},
		{"cmd and static", []source{file("cmd/x", module+"/internal/static")}, "cmd may import"},
		{"netpoll in reactor", []source{file("reactor", netpoll)}, "imports " + netpoll},
		{"netpoll in one file", []source{file("iomodel", netpoll)}, ""},
		{"netpoll in two files", []source{file("iomodel", netpoll), second}, "by one file, not 2"},
		{"the tests' kit in the program", []source{file("conn", module+"/internal/testkit")}, "conn may import"},
		{"a folder without a row", []source{file("helpers")}, `covers folder "helpers"`},
		{"no package comment", []source{silent}, "no package comment"},
		{"a comment without imports", []source{bare}, "say what it imports"},
		{"a comment of another form", []source{misnamed}, "begin with"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := violations(c.sources)
			switch {
			case c.want == "" && len(got) > 0:
				t.Errorf("reported, though allowed: %v", got)
			case c.want != "" && (len(got) != 1 || !strings.Contains(got[0], c.want)):
				t.Errorf("got %q, want one that says %q", got, c.want)
			}
		})
	}
}

// TestStandardErrorHasOneWriter: what runs within the server says what it has to say by internal/eventlog, which
// waits for no reader. Package os would have the process killed by SIGPIPE, or have it wait for ever.
func TestStandardErrorHasOneWriter(t *testing.T) {
	for _, s := range parseTree(t, ".") {
		if beneath(s.folder, "cmd") || beneath(s.folder, "bench") {
			continue // programs that end with their reader
		}
		file := path.Join(s.folder, s.name)
		for _, use := range standardOutputs(t, file) {
			t.Errorf("%s: %s: use internal/eventlog", file, use)
		}
	}
}

// standardOutputs lists the uses of standard output and error in a file.
func standardOutputs(t *testing.T, file string) (uses []string) {
	t.Helper()
	tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(tree, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			pkg, ok := s.X.(*ast.Ident)
			switch name := s.Sel.Name; {
			case !ok:
			case pkg.Name == "os" && (name == "Stdout" || name == "Stderr"),
				pkg.Name == "fmt" && strings.HasPrefix(name, "Print"),
				pkg.Name == "log" && strings.HasPrefix(name, "Print"):
				uses = append(uses, pkg.Name+"."+name)
			}
		}
		return true
	})
	return uses
}

// TestStandardOutputsAreFound breaks that rule in each way.
func TestStandardOutputsAreFound(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.go")
	const text = "package x\nfunc f() { os.Stderr.Write(nil); fmt.Fprintln(os.Stdout); fmt.Println(); " +
		"log.Printf(\"\"); fmt.Sprint(); os.Open(\"\") }\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(standardOutputs(t, file), " "); got != "os.Stderr os.Stdout fmt.Println log.Printf" {
		t.Errorf("found %q", got)
	}
}
