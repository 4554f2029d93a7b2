package test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestExamples: each example is one that the program takes as it is, but for
// the place of its folders.
func TestExamples(t *testing.T) {
	want := []string{"behind-load-balancer", "development", "evhttpd", "io-model-lab", "package-mirror",
		"single-page-application", "static-site"}
	for _, name := range want {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile("../configs/" + name + ".yaml")
			must(t, err)
			folder := t.TempDir()
			for _, root := range []string{"/srv/www", "/srv/site/public", "/srv/app/dist", "/srv/mirror"} {
				must(t, os.MkdirAll(folder+root, 0o755))
			}
			const first = "# yaml-language-server: $schema=evhttpd.schema.json\n"
			if !strings.HasPrefix(string(text), first) {
				t.Errorf("its first line is not %q", first)
			}
			file := filepath.Join(folder, name+".yaml")
			must(t, os.WriteFile(file, []byte(strings.ReplaceAll(string(text), " /srv/", " "+folder+"/srv/")), 0o644))
			code, stdout, stderr := command(t, "check", "--config", file)
			if code != 0 || stderr != "" || !strings.Contains(stdout, "is right") {
				t.Errorf("exit %d, %s%s", code, stdout, stderr)
			}
			// What is commented out for the reader to choose is right too.
			if code, _, stderr = command(t, "check", "--config", uncomment(t, file)); code != 0 || stderr != "" {
				t.Errorf("with what is commented out: exit %d, %s", code, stderr)
			}
		})
	}
}

// uncomment writes the file with its keys that stand in comments, a # right
// before each, and returns the new one's name.
func uncomment(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	must(t, err)
	var b strings.Builder
	within := false // a key whose own keys are indented
	for line := range strings.Lines(string(text)) {
		before, rest, isComment := strings.Cut(line, "#")
		isKey := isComment && strings.TrimSpace(before) == "" && strings.TrimSpace(rest) != "" &&
			(!strings.HasPrefix(rest, " ") || within && strings.HasPrefix(rest, "  "))
		if within = isKey; isKey {
			line = before + rest
		}
		b.WriteString(line)
	}
	other := strings.TrimSuffix(file, ".yaml") + "-whole.yaml"
	must(t, os.WriteFile(other, []byte(b.String()), 0o644))
	return other
}
