package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestFloodHidesNoOtherEvent: more links out of the root than a minute's events tell of do not hide that the root
// has been removed. Those that are left out are counted.
func TestFloodHidesNoOtherEvent(t *testing.T) {
	const links = 300
	root := filepath.Join(t.TempDir(), "root")
	write(t, root, "a", []byte(hello))
	for i := range links {
		must(t, os.Symlink("/etc/hostname", filepath.Join(root, fmt.Sprint("out", i))))
	}
	c := startControlled(t, defaultVariant(), root, "")
	for i := range links {
		if got := c.server.get(t, fmt.Sprint("/out", i)); got.status != 404 {
			t.Fatalf("a link out of the root: %d", got.status)
		}
	}
	must(t, os.RemoveAll(root))
	eventually(t, func() error {
		if got, err := c.tryGet("/a"); err != nil || got.status != 404 {
			return fmt.Errorf("a file of a root that is gone: %d, %v", got.status, err)
		}
		return nil
	})
	eventually(t, says(c.stderr.String, root+": no such directory"))
	said := c.stderr.String()
	if n := strings.Count(said, "leads out of the site's root"); n == 0 || n >= links/2 {
		t.Errorf("%d of %d links are told", n, links)
	}
	for line := range strings.Lines(said) {
		if strings.Contains(line, "no such directory") && !strings.Contains(line, `"level":"error"`) {
			t.Errorf("no error: %s", line)
		}
	}
	got, err := c.metrics()
	must(t, err)
	if n := got["evhttpd_events_suppressed_total"]; n < links/2 || n > links ||
		got["evhttpd_events_dropped_total"] != 0 {
		t.Errorf("%v are counted as suppressed, %v as dropped", n, got["evhttpd_events_dropped_total"])
	}
}

// TestReloadsAreCounted: metrics count the reloads that changed the configuration and those that failed, and say
// which the last one was.
func TestReloadsAreCounted(t *testing.T) {
	root := t.TempDir()
	c := startControlled(t, defaultVariant(), root, "")
	c.eventuallyMetrics(t, map[string]float64{
		`evhttpd_reloads_total{result="success"}`: 0, `evhttpd_reloads_total{result="failure"}`: 0,
		"evhttpd_last_reload_successful": 1})
	c.signal(t, syscall.SIGHUP)
	c.eventuallyMetrics(t, map[string]float64{
		`evhttpd_reloads_total{result="success"}`: 1, `evhttpd_reloads_total{result="failure"}`: 0,
		"evhttpd_last_reload_successful": 1})
	config := filepath.Join(filepath.Dir(c.socket), "evhttpd.yaml")
	text, err := os.ReadFile(config)
	must(t, err)
	must(t, os.WriteFile(config, append(text, "loops: none\n"...), 0o600))
	c.signal(t, syscall.SIGHUP)
	c.eventuallyMetrics(t, map[string]float64{
		`evhttpd_reloads_total{result="success"}`: 1, `evhttpd_reloads_total{result="failure"}`: 1,
		"evhttpd_last_reload_successful": 0})
	must(t, os.WriteFile(config, text, 0o600))
	c.signal(t, syscall.SIGHUP)
	c.eventuallyMetrics(t, map[string]float64{
		`evhttpd_reloads_total{result="success"}`: 2, `evhttpd_reloads_total{result="failure"}`: 1,
		"evhttpd_last_reload_successful": 1})
}
