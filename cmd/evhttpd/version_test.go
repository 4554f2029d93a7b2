package main

import (
	"runtime/debug"
	"strings"
	"testing"
)

// TestRelease: a build says its version, commit and date, from the linker or from its own record.
func TestRelease(t *testing.T) {
	const hash = "0123456789abcdef0123456789abcdef01234567"
	info := func(version string, settings ...string) *debug.BuildInfo {
		b := &debug.BuildInfo{Main: debug.Module{Version: version}}
		for i := 0; i < len(settings); i += 2 {
			b.Settings = append(b.Settings, debug.BuildSetting{Key: settings[i], Value: settings[i+1]})
		}
		return b
	}
	clone := []string{"vcs", "git", "vcs.revision", hash, "vcs.time", "2026-11-30T11:42:28Z", "vcs.modified", "false"}
	changed := append(clone[:6:6], "vcs.modified", "true")
	for _, c := range []struct {
		what    string
		linked  release
		info    *debug.BuildInfo
		version string
		says    string
	}{
		{"nothing is known", release{}, nil, "devel",
			"evhttpd devel (commit unknown: not built in a clone, or with -buildvcs=false, go"},
		{"no record of a commit", release{}, info("(devel)"), "devel",
			"evhttpd devel (commit unknown: not built in a clone, or with -buildvcs=false, go"},
		{"a clone", release{}, info("v0.0.0-20261130114228-0123456789ab", clone...),
			"v0.0.0-20261130114228-0123456789ab",
			"evhttpd v0.0.0-20261130114228-0123456789ab (commit 0123456789ab of 2026-11-30T11:42:28Z, go"},
		{"a clone with changes, of an older Go", release{}, info("(devel)", changed...), "devel-0123456789ab+dirty",
			"evhttpd devel-0123456789ab+dirty (commit 0123456789ab of 2026-11-30T11:42:28Z, with changes, go"},
		{"a module", release{}, info("v1.2.3"), "v1.2.3", "evhttpd v1.2.3 (commit unknown"},
		{"a linked version of a clone", release{version: "1.2.3"}, info("(devel)", clone...), "1.2.3",
			"evhttpd 1.2.3 (commit 0123456789ab of 2026-11-30T11:42:28Z, go"},
		{"all of it linked", release{version: "1.2.3", commit: "feed", date: "2026-12-01"}, info("v9", changed...),
			"1.2.3",
			"evhttpd 1.2.3 (commit feed of 2026-12-01, go"},
	} {
		got := c.linked.completed(c.info)
		if got.name() != c.version || !strings.HasPrefix(got.String(), c.says) {
			t.Errorf("%s: %q, %q; want %q, %q", c.what, got.name(), got, c.version, c.says)
		}
	}
}
