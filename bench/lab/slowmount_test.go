package lab

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFindSlow: the program is the one beside the server; where there is none and it cannot be built, the error says
// what is missing.
func TestFindSlow(t *testing.T) {
	folder := t.TempDir()
	server := filepath.Join(folder, "evhttpd")
	t.Setenv("PATH", t.TempDir())
	if path, err := findSlow(t.Context(), server, t.TempDir()); err == nil || !strings.Contains(err.Error(),
		"takes evhttpd-slowfs") {
		t.Errorf("without one: %q, %v", path, err)
	}
	beside := filepath.Join(folder, slowProgram)
	if err := os.WriteFile(beside, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if path, err := findSlow(t.Context(), server, t.TempDir()); path != beside || err != nil {
		t.Errorf("got %q, %v, want %q", path, err, beside)
	}
}
