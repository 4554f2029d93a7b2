package site

import (
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestRedirect(t *testing.T) {
	for _, c := range []struct {
		from, to, path, query, want string // want "": no match
	}{
		{"/old", "/new", "/old", "", "/new"}, {"/old", "/new", "/old/", "", ""},
		{"/old/**", "/new/$1", "/old/a/b", "", "/new/a/b"}, {"/old/**", "/new/$1", "/old/a", "x=1&y", "/new/a?x=1&y"},
		{"/old/**", "/new/$1?from=old", "/old/a", "x=1", "/new/a?from=old&x=1"},
		{"/old/**", "/new/$1#top", "/old/a", "x=1", "/new/a?x=1#top"},
		{"/*/*", "/$2/$1", "/a/b", "", "/b/a"},
		{"/**", "https://example.org/$1", "/a b/ü", "", "https://example.org/a%20b/%C3%BC"},
		{"/find/*", "/search?q=$1", "/find/a&b=c+d?e#f", "", "/search?q=a%26b%3Dc%2Bd%3Fe%23f"},
		{"/x**", "/$1", "/x/evil.example", "", "/evil.example"},
		{"/x**", "/$1", "/x\\evil.example", "", "/%5Cevil.example"},
		{"/x**", "/$1", "/x//evil.example", "", "/evil.example"},
		{"/x**", "https://example.org/$1", "/x/evil.example", "", "https://example.org//evil.example"},
		{"/cost", "/a$", "/cost", "", "/a$"}, {"/a", "/ü b", "/a", "", "/%C3%BC%20b"},
		{"/a*", "/b$1", "/a\r\nX: y", "", "/b%0D%0AX:%20y"},
	} {
		d, err := newRedirect(Redirect{From: c.from, To: c.to, Status: 301})
		if err != nil {
			t.Errorf("%s to %s: %v", c.from, c.to, err)
			continue
		}
		location, ok := d.location(c.path)
		got := ""
		if ok {
			got = string(d.appendTo(nil, location, []byte(c.query), c.query != ""))
		}
		if got != c.want {
			t.Errorf("%s to %s: %q becomes %q, want %q", c.from, c.to, c.path, got, c.want)
		}
	}
	for _, bad := range []Redirect{
		{"/a", "//evil.example", 301}, {"/a*", "//$1", 301}, {"/a*", "https://$1/", 301},
		{"/a*", "https://example.org$1", 301}, {"/a*", "https://$1.example.org/", 301},
		{"/a*", "https:///$1", 301}, {"/a*", "ftp://a/", 301}, {"/a", "b", 301}, {"/a", "", 301},
		{"/a*", "/$2", 301}, {"/a*", "/$0", 301}, {"/a", "/b", 200}, {"/a", "/b", 304}, {"a", "/b", 301},
	} {
		if _, err := newRedirect(bad); err == nil {
			t.Errorf("%v is taken", bad)
		}
	}
}

// Whatever is asked for, a redirect leads to the host that it names.
func TestRedirectKeepsItsHost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from := rapid.SampledFrom([]string{"/**", "/*", "/x**", "/a/**", "/**/b"}).Draw(t, "from")
		to := rapid.SampledFrom([]string{"/$1", "/$1$1", "$1", "/a$1", "https://example.org/$1",
			"https://example.org/?$1", "/?$1", "/#$1"}).Draw(t, "to")
		d, err := newRedirect(Redirect{From: from, To: to, Status: 302})
		if err != nil {
			return
		}
		path := strings.ReplaceAll(from, "*", "") +
			rapid.StringMatching(`(//|/|\\|\.|@|:|evil|\r|\n|\x00|\x80|%|#|\?){0,8}`).Draw(t, "rest")
		location, ok := d.location(path)
		if !ok {
			return
		}
		text := string(d.appendTo(nil, location, nil, false))
		base, _ := url.Parse("http://here.example/dir/")
		u, err := base.Parse(text)
		want := "here.example"
		if strings.HasPrefix(to, "https") {
			want = "example.org"
		}
		if err != nil || u.Host != want || u.User != nil || strings.ContainsAny(text, "\\\r\n \x00") ||
			strings.IndexByte(text, 0x80) >= 0 {
			t.Fatalf("%q: %v %v", text, u, err)
		}
	})
}
