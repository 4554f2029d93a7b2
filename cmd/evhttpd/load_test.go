package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestReadURLs: comments and empty lines are no URLs, a line may be of any length, and a file without one is an error.
func TestReadURLs(t *testing.T) {
	name := filepath.Join(t.TempDir(), "urls")
	long := "/" + strings.Repeat("x", 1<<20)
	for text, want := range map[string][]string{
		"/a\n\n# a comment\n  /b?c \r\n" + long + "\n/d": {"/a", "/b?c", long, "/d"},
		"# nothing\n": nil,
		"":            nil,
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := readURLs(name); !slices.Equal(got, want) || (err == nil) != (want != nil) {
			t.Errorf("%.20q: %d URLs, %v, want %d", text, len(got), err, len(want))
		}
	}
}
