package config

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

var update = flag.Bool("update", false,
	"write anew what is made from the code: configs/evhttpd.schema.json, tables in docs")

const schemaFile = "../../configs/evhttpd.schema.json"

// TestSchemaFile: what editors read is made from the struct.
func TestSchemaFile(t *testing.T) {
	want, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(schemaFile, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not the struct's: go test ./internal/config -run TestSchemaFile -update", schemaFile)
	}
}

// TestSchemaHasEveryKey: by the paths of kinds, not by the walk that made it.
func TestSchemaHasEveryKey(t *testing.T) {
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	type node struct {
		Properties map[string]*node
		Items      *node
		Required   []string
	}
	var root node
	if err := json.Unmarshal(text, &root); err != nil {
		t.Fatal(err)
	}
	find := func(path string) (section, key *node) {
		key = &root
		for name := range strings.SplitSeq(path, ".") {
			section = key
			if section = key; section == nil {
				return nil, nil
			}
			key = section.Properties[strings.TrimSuffix(name, "[]")]
			if key != nil && strings.HasSuffix(name, "[]") {
				key = key.Items
			}
		}
		return section, key
	}
	for path := range kinds {
		if _, key := find(path); key == nil {
			t.Errorf("%s is not in the schema", path)
		}
	}
	for _, path := range required {
		section, _ := find(path)
		if name := path[strings.LastIndexByte(path, '.')+1:]; section == nil ||
			!strings.Contains(strings.Join(section.Required, " "), name) {
			t.Errorf("%s is not required by the schema", path)
		}
	}
}

// TestSchemaDescribesEveryKey: an editor shows a line for each property, and no line is of a key that is gone.
func TestSchemaDescribesEveryKey(t *testing.T) {
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	type node struct {
		Description string
		Properties  map[string]*node
		Items       *node
	}
	var root node
	if err := json.Unmarshal(text, &root); err != nil {
		t.Fatal(err)
	}
	var walk func(path string, n *node)
	walk = func(path string, n *node) {
		for name, each := range n.Properties {
			key := join(path, name)
			if each.Description == "" {
				t.Errorf("%s has no description", key)
			}
			walk(key, each)
			if each.Items != nil {
				walk(key+"[]", each.Items)
			}
		}
	}
	walk("", &root)
	r := &reader{problems: &problems{bad: make(map[string]bool)}, file: "rules.yaml", origins: make(origins)}
	if r.read([]byte(documentedRules), new(Config)); r.err() != nil {
		t.Error(r.err())
	}
}

const validate = `
import json, sys
import jsonschema
schema = json.load(open(sys.argv[1]))
jsonschema.Draft202012Validator.check_schema(schema)
check = jsonschema.Draft202012Validator(schema)
for line in sys.stdin:
    print("wrong" if list(check.iter_errors(json.loads(line))) else "right")
`

// TestSchemaValidates: another implementation takes by it what the loader takes, and finds mistakes.
func TestSchemaValidates(t *testing.T) {
	if err := testkit.Command("python3", "-c", "import jsonschema; jsonschema.Draft202012Validator").Run(); err != nil {
		testkit.Skip(t, "python3 with jsonschema")
	}
	texts := []string{Documented, whole, "{}", "limits:\n", "listn: [80]", "loops: many", "timeouts: {head: 30}",
		"cache: {memory: 64MB}",
		"sites: [{listing: true}]", "sites: []", "trigger: up",
		"sites: [{root: www, paths: [{match: /a, auth: {realm: x}}]}]"}
	want := "right\nright\nright\nright\n" + strings.Repeat("wrong\n", len(texts)-4)
	examples, err := filepath.Glob("../../configs/*.yaml")
	if err != nil || len(examples) == 0 {
		t.Fatal(examples, err)
	}
	for _, file := range examples {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(text, []byte("$schema=evhttpd.schema.json")) {
			continue // a compose file
		}
		texts, want = append(texts, string(text)), want+"right\n"
	}
	var lines bytes.Buffer
	for _, text := range texts {
		line, err := yaml.YAMLToJSON([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		lines.WriteString(strings.TrimSpace(string(line)) + "\n")
	}
	c := testkit.Command("python3", "-c", validate, schemaFile)
	c.Stdin = &lines
	c.Stderr = os.Stderr
	got, err := c.Output()
	if err != nil || string(got) != want {
		t.Errorf("%v, got\n%s\nwant\n%s", err, got, want)
	}
}
