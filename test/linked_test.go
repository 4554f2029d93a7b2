package test

import (
	"debug/buildinfo"
	"testing"
)

// TestServerLinksNoFUSE: the server does not link what only an experiment needs. Its initialization would run, and
// open descriptors, at every start.
func TestServerLinksNoFUSE(t *testing.T) {
	info, err := buildinfo.ReadFile(binary)
	must(t, err)
	if len(info.Deps) == 0 {
		t.Fatal("the binary does not say what it is made of")
	}
	for _, module := range info.Deps {
		if module.Path == "github.com/hanwen/go-fuse/v2" {
			t.Errorf("%s is linked", module.Path)
		}
	}
}
