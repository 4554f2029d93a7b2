package test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestProgramsAreInstalledByCI: every program that a test looks for is in the list of those that .ci/run
// installs: a test that is always skipped proves nothing.
func TestProgramsAreInstalledByCI(t *testing.T) {
	text, err := os.ReadFile("../.ci/run")
	must(t, err)
	listed := regexp.MustCompile(`(?s)\nprograms=\((.*?)\)\n`).FindSubmatch(text)
	if listed == nil {
		t.Fatal(".ci/run has no list of programs")
	}
	installed := map[string]bool{
		"promtool": strings.Contains(string(text), "take_promtool"),
		"zckdl":    true, "zsyncmake": true, // in the packages of zck and zsync
		// Every Debian has these.
		"apt-get": true, "env": true, "head": true,
		"nohup": true, "ps": true, "sh": true, "timeout": true, "unshare": true,
	}
	for _, entry := range strings.Fields(string(listed[1])) {
		program, _, _ := strings.Cut(entry, ":")
		installed[program] = true
	}
	asked := regexp.MustCompile(`\b(?:tool|run|testkit\.Program|exec\.LookPath)\((?:t, )?"([^"]+)"`)
	must(t, filepath.WalkDir("..", func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(file, "_test.go") {
			return err
		}
		source, err := os.ReadFile(file)
		for _, m := range asked.FindAllSubmatch(source, -1) {
			if !installed[string(m[1])] {
				t.Errorf("%s looks for %s, which .ci/run does not install", file, m[1])
			}
		}
		return err
	}))
}

// TestResultsAreOfTheseSources looks at every file that the server is made of. go test notes what a test looks
// at, and gives no cached result when that has changed; that the tests build and run a server it does not know.
func TestResultsAreOfTheseSources(t *testing.T) {
	found := 0
	must(t, filepath.WalkDir("..", func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(file, ".go") && entry.Name() != "go.mod" {
			return err
		}
		found++
		_, err = os.Stat(file)
		return err
	}))
	if found < 100 {
		t.Errorf("%d files: these are not the sources", found)
	}
}
