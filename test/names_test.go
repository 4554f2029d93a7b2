package test

import (
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"
)

// oddNames are names of files that break what does not expect them.
func oddNames() []string {
	names := []string{
		"new\nline", "carriage\rreturn\r\nX-Injected: yes", "tab\there", "bell\a", "esc\x1b[31mred", "del\x7f",
		`"double"`, "'single'", "`back`", `back\slash`, "<script>alert(1)<", "<!--", "]]>", "&amp;", "&lt;b&gt;",
		`"><img src=x onerror=alert(1)>`,
		"%41", "%2e%2e%2fsecret", "%", "100%", "%zz", "?query=1", "#fragment", "a;b=c", "a:b", "javascript:alert(1)",
		"http:", "a=b&c=d", "~", "~root",
		" leading", "trailing ", " ", "  two", "-rf", "--help", "*", "$HOME", "$(id)", "{a,b}", "[1]", "|", "^", "!",
		"@", "+", ",",
		"a..b", "trailing.", "con", "nul.txt", "C:", "ümlaut", "日本語", "e\u0301", "\u202egpj.exe", "\u2028", "\ufeffbom",
		"\U0001f4a9",
		strings.Repeat("n", 255), strings.Repeat("%", 255), strings.Repeat("<", 255), strings.Repeat("é", 127), "$path",
		"{{.}}", "${jndi:x}",
	}
	if runtime.GOOS == "linux" { // others want UTF-8
		names = append(names, "latin1-\xfc", "\xff\xfe", "overlong-\xc0\xaf", "cut-\xe2\x82", "surrogate-\xed\xa0\x80",
			strings.Repeat("\x80", 255))
	}
	return names
}

// TestOddNames: whatever a file is called, each of the three listings links to it, and the link leads to it.
func TestOddNames(t *testing.T) {
	twoVariants(t, func(t *testing.T, v variant) {
		root := t.TempDir()
		names := oddNames()
		for _, name := range names {
			must(t, os.WriteFile(filepath.Join(root, name), []byte(name), 0o644))
			// A folder of the same name has one file.
			must(t, os.MkdirAll(filepath.Join(root, "folders", name), 0o755))
			must(t, os.WriteFile(filepath.Join(root, "folders", name, "index.html"), []byte(name), 0o644))
		}
		s := start(t, v, root, "--listing", "on")
		found := map[string]map[string]string{
			"html": links(t, string(s.get(t, "/?format=html").body)),
			"json": jsonLinks(t, s.get(t, "/?format=json").body),
			"text": textLinks(t, string(s.get(t, "/?format=text").body)),
		}
		for format, targets := range found {
			for _, name := range names {
				target, linked := targets["/"+name]
				if !linked {
					t.Errorf("%s: no link leads to %q", format, name)
					continue
				}
				if got := s.get(t, target); got.status != 200 || string(got.body) != name ||
					got.header.Get("X-Injected") != "" {
					t.Errorf("%s: %s leads to %d %q, not to %q", format, target, got.status, got.body, name)
				}
			}
		}
		page := string(s.get(t, "/").body)
		for _, never := range []string{"<script>alert", "<!--", "]]>", "<img", "new\nline", `href="javascript:`,
			`href="http:`, "\x1b", "\a"} {
			if strings.Contains(page, never) {
				t.Errorf("%q stands in the page", never)
			}
		}
		for _, name := range names { // by the folder's own name, through the redirect that adds its slash
			escaped := "/folders/" + url.PathEscape(name)
			moved := s.get(t, escaped)
			to, err := url.Parse(moved.header.Get("Location"))
			if err != nil || moved.status != 301 || moved.header.Get("X-Injected") != "" {
				t.Errorf("%q: %d %v, %v", name, moved.status, moved.header, err)
				continue
			}
			base, err := url.Parse("http://x" + escaped)
			must(t, err)
			if target := base.ResolveReference(to); target.Host != "x" {
				t.Errorf("%q leads to %s", name, target)
			} else if got := s.get(t, target.EscapedPath()); got.status != 200 || string(got.body) != name {
				t.Errorf("%q: %s leads to %d %q", name, target, got.status, got.body)
			}
		}
	})
}

// target is where a reference of the page at / leads, decoded and as it is asked for.
func target(t *testing.T, reference string) (decoded, escaped string) {
	t.Helper()
	base := &url.URL{Scheme: "http", Host: "x", Path: "/"}
	u, err := base.Parse(reference)
	if err != nil || u.Host != "x" {
		t.Errorf("%q is no reference to a file here: %v", reference, err)
		return "", ""
	}
	return u.Path, u.EscapedPath()
}

func jsonLinks(t *testing.T, body []byte) map[string]string {
	t.Helper()
	var rows []struct{ Name, URL string }
	must(t, json.Unmarshal(body, &rows))
	found := make(map[string]string)
	for _, row := range rows {
		decoded, escaped := target(t, row.URL)
		found[decoded] = escaped
		if name := strings.Trim(decoded, "/"); utf8.ValidString(name) && row.Name != name {
			t.Errorf("%q is called %q", row.URL, row.Name)
		}
	}
	return found
}

func textLinks(t *testing.T, body string) map[string]string {
	t.Helper()
	found := make(map[string]string)
	for line := range strings.Lines(body) {
		columns := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(columns) != 3 {
			t.Errorf("not three columns: %q", line)
			continue
		}
		decoded, escaped := target(t, columns[0])
		found[decoded] = escaped
	}
	return found
}
