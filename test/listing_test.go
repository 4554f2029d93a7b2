package test

import (
	"html"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// TestListing: a folder without an index is listed if that is on, and its names are text and never markup.
func TestListing(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		root := t.TempDir()
		names := []string{`a"b<script>.txt`, "new\nline", "percent%41", "javascript:alert(1)", "ümlaut", "sub/x", ".hidden", "a&amp;b"}
		for _, name := range names {
			write(t, root, name, []byte(name))
		}
		off := start(t, v, root, "--listing", "off")
		if got := off.get(t, "/"); got.status != 403 && got.status != 404 || strings.Contains(string(got.body), "percent") {
			t.Errorf("with the listing off: %d %s", got.status, got.body)
		}
		on := start(t, v, root, "--listing", "on")
		got := on.get(t, "/")
		page := string(got.body)
		if got.status != 200 || !strings.HasPrefix(got.header.Get("Content-Type"), "text/html") {
			t.Errorf("status %d, %v", got.status, got.header)
		}
		for _, never := range []string{"<script>.txt", ".hidden", `href="javascript:`, "new\nline"} {
			if strings.Contains(page, never) {
				t.Errorf("%q stands in the page:\n%s", never, page)
			}
		}
		targets := links(t, page)
		for _, name := range names {
			if name == ".hidden" {
				continue
			}
			target, linked := targets["/"+name]
			if name == "sub/x" { // a folder is linked with its slash
				target, linked = "/sub/x", targets["/sub/"] != ""
			}
			if !linked {
				t.Errorf("no link of the page leads to %q: %q", name, targets)
			} else if got := on.get(t, target); got.status != 200 || string(got.body) != name {
				t.Errorf("%s leads to %d %q, not to %q", target, got.status, got.body, name)
			}
		}
	})
}

var href = regexp.MustCompile(`href="([^"]*)"`)

// links finds where the links of the page at / lead: what is asked for, by the decoded path.
func links(t *testing.T, page string) map[string]string {
	t.Helper()
	found := make(map[string]string)
	base := &url.URL{Scheme: "http", Host: "x", Path: "/"}
	for _, m := range href.FindAllStringSubmatch(page, -1) {
		u, err := base.Parse(html.UnescapeString(m[1]))
		if err != nil {
			t.Errorf("a link that is no reference: %v", err)
		} else if u.Host == "x" {
			found[u.Path] = u.EscapedPath()
		}
	}
	return found
}
