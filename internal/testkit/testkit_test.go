package testkit_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// TestEventually: what comes late is waited for.
func TestEventually(t *testing.T) {
	looks := 0
	testkit.Eventually(t, func() error {
		if looks++; looks < 3 {
			return errors.New("not yet")
		}
		return nil
	})
	testkit.Until(t, "it does not come", func() bool { looks++; return looks > 5 })
	if looks != 6 {
		t.Errorf("%d looks", looks)
	}
}

// TestSkipped: a skipped test is counted by what it wants, in this process and in the file of all packages.
func TestSkipped(t *testing.T) {
	file := filepath.Join(t.TempDir(), "skips")
	t.Setenv("EVHTTPD_TEST_SKIPS", file)
	if got := testkit.Skipped(); got != "" {
		t.Errorf("before any: %q", got)
	}
	for i, want := range []string{"haproxy", "axel", "haproxy"} {
		t.Run(fmt.Sprint(i), func(t *testing.T) { testkit.Skip(t, want) })
	}
	if got := testkit.Skipped(); got != "skipped 3 for want of: axel, haproxy (2)" {
		t.Errorf("%q", got)
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "haproxy\naxel\nhaproxy\n" {
		t.Errorf("%q, %v", text, err)
	}
	t.Setenv("EVHTTPD_TEST", "")
	t.Run("long", func(t *testing.T) {
		testkit.Long(t)
		t.Error("it runs without being asked for")
	})
	t.Setenv("EVHTTPD_TEST", "all")
	testkit.Long(t)
}
