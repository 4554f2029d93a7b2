package config

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestDocs: docs/configuration.md has the flags and keys that there are.
func TestDocs(t *testing.T) {
	const name = "../../docs/configuration.md"
	page, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	table.WriteString("| flag | variable | key | default | |\n|---|---|---|---|---|\n")
	fmt.Fprintf(&table, "| `--config`, `-c` | `%s` | | | the file |\n", variable(fileFlag))
	for _, f := range Flags() {
		names := "`--" + f.Name + "`"
		if f.Short != "" {
			names += ", `-" + f.Short + "`"
		}
		byDefault := "see Sites"
		if d := f.Default(); d != "" {
			byDefault = "`" + d + "`"
		}
		usage := strings.ReplaceAll(strings.ReplaceAll(f.Usage, "`", ""), "|", " or ")
		key := strings.ReplaceAll(f.Key, "[0]", "[]")
		fmt.Fprintf(&table, "| %s | `%s` | `%s` | %s | %s |\n", names, f.Variable(), key, byDefault, usage)
	}
	want := replaceBetween(t, string(page), "<!-- flags:", table.String())
	want = replaceBetween(t, want, "<!-- defaults:", "```yaml\n"+Documented+"```\n")
	if *update {
		if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if string(page) != want {
		t.Errorf("%s is behind: go test ./internal/config -run TestDocs -update", name)
	}
}

// replaceBetween puts text between the line that begins with mark and the next end.
func replaceBetween(t *testing.T, page, mark, text string) string {
	t.Helper()
	before, rest, found := strings.Cut(page, mark)
	line, after, _ := strings.Cut(rest, "\n")
	_, after, ends := strings.Cut(after, "<!-- end -->")
	if !found || !ends {
		t.Fatalf("there is no %s ... <!-- end -->", mark)
	}
	return before + mark + line + "\n" + text + "<!-- end -->" + after
}
