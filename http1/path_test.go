package http1

import (
	"bytes"
	"net/url"
	"path"
	"strings"
	"testing"
)

func TestAppendPath(t *testing.T) {
	for _, c := range []struct{ name, encoded, want, bad string }{
		{"RFC 3986 3.3 root", "/", "/", ""},
		{"RFC 3986 6.2.3 empty", "", "/", ""},
		{"RFC 3986 3.3 segments", "/a/b.c", "/a/b.c", ""},
		{"RFC 3986 3.3 trailing slash", "/a/b/", "/a/b/", ""},
		{"RFC 3986 2.1 escape", "/%41%c3%a4%C3%A4%20%7e", "/Aää ~", ""},
		{"RFC 3986 2.1 slash", "/a%2Fb%2f", "/a/b/", ""},
		{"RFC 3986 2.4 decoded once", "/%2541%252e%252e", "/%41%2e%2e", ""},
		{"RFC 3986 2.1 control characters but NUL", "/%01%0a%7f", "/\x01\n\x7f", ""},
		{"RFC 3986 3.3 no plus", "/a+b", "/a+b", ""},
		{"RFC 3986 5.2.4 dot", "/./a/./b", "/a/b", ""},
		{"RFC 3986 5.2.4 dot at the end", "/a/.", "/a/", ""},
		{"RFC 3986 5.2.4 two dots", "/a/../b", "/b", ""},
		{"RFC 3986 5.2.4 two dots at the end", "/a/b/..", "/a/", ""},
		{"RFC 3986 5.2.4 up to the root", "/a/..", "/", ""},
		{"RFC 3986 5.2.4 up twice", "/a/b/../../c", "/c", ""},
		{"RFC 3986 5.2.4 encoded dots", "/a/%2e%2E/b/%2e", "/b/", ""},
		{"RFC 3986 5.2.4 encoded slashes and dots", "/a%2f..%2fb", "/b", ""},
		{"RFC 3986 5.2.4 names with dots", "/.../..a/a../.a", "/.../..a/a../.a", ""},
		{"empty segments", "//a///b//", "/a/b/", ""},
		{"empty segments do not count for two dots", "/a//../b", "/b", ""},
		{"backslash is a byte", `/a\..\b`, `/a\..\b`, ""},
		{"RFC 3986 5.2.4 above the root", "/..", "", "400: path above the root at byte 1 (RFC 3986 section 5.2.4)"},
		{
			"RFC 3986 5.2.4 above the root, further on", "/a/../../a", "",
			"400: path above the root at byte 6 (RFC 3986 section 5.2.4)",
		},
		{
			"RFC 3986 5.2.4 above the root, encoded", "/%2e%2e%2fetc", "",
			"400: path above the root at byte 1 (RFC 3986 section 5.2.4)",
		},
		{
			"RFC 3986 5.2.4 above the root over empty segments", "//../a", "",
			"400: path above the root at byte 2 (RFC 3986 section 5.2.4)",
		},
		{
			"RFC 3986 2.1 bad escape", "/a%zz", "",
			"400: bad percent-encoding at byte 2 (RFC 3986 section 2.1; a percent sign is written %25)",
		},
		{
			"RFC 3986 2.1 short escape", "/a%2", "",
			"400: bad percent-encoding at byte 2 (RFC 3986 section 2.1; a percent sign is written %25)",
		},
		{
			"RFC 3986 2.1 percent sign at the end", "/%", "",
			"400: bad percent-encoding at byte 1 (RFC 3986 section 2.1; a percent sign is written %25)",
		},
		{"RFC 3986 7.3 NUL", "/a%00.html", "", "400: NUL in the path at byte 2 (RFC 3986 section 7.3)"},
		{"RFC 3986 7.3 raw NUL", "/a\x00", "", "400: NUL in the path at byte 2 (RFC 3986 section 7.3)"},
		{"RFC 3986 3.3 no leading slash", "a", "",
			"400: path without a leading slash at byte 0 (RFC 3986 section 3.3)"},
		{
			"RFC 3986 3.3 encoded leading slash", "%2fa", "",
			"400: path without a leading slash at byte 0 (RFC 3986 section 3.3)",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			const before = "/before/"
			got, bad := AppendPath([]byte(before), []byte(c.encoded))
			if string(got) != before+c.want {
				t.Errorf("got %q, want %q", got[len(before):], c.want)
			}
			if bad.Status == 0 && c.bad != "" || bad.Status != 0 && bad.Error() != c.bad {
				t.Errorf("got  %+v\nwant %s", bad, c.bad)
			}
		})
	}
}

func TestAppendPathIsLinear(t *testing.T) {
	// Popping a long segment again and again would be felt here.
	encoded := []byte("/" + strings.Repeat("a", 1<<20) + strings.Repeat("/b/..", 1<<18))
	got, bad := AppendPath(nil, encoded)
	if bad.Status != 0 || len(got) != 1+1<<20+1 {
		t.Errorf("%d bytes, %+v", len(got), bad)
	}
}

func TestAppendEscapedPath(t *testing.T) {
	var all []byte
	for c := 1; c < 256; c++ {
		all = append(all, byte(c))
	}
	got := AppendEscapedPath([]byte("/"), all)
	if i := bytes.IndexAny(got, " \"'&<>?#\\%\x7f"); got[i] != '%' {
		t.Errorf("%q holds %q", got, got[i])
	}
	decoded, err := url.PathUnescape(string(got))
	if err != nil || decoded != "/"+string(all) {
		t.Errorf("%q decodes to %q, %v", got, decoded, err)
	}
	if got := AppendEscapedPath(nil, []byte("a b/ä?#%.html")); string(got) != "a%20b/%C3%A4%3F%23%25.html" {
		t.Errorf("got %q", got)
	}
}

func TestAppendPathAllocatesNothing(t *testing.T) {
	buf := make([]byte, 0, 64)
	good, above := []byte("/a%20b/../c//d/."), []byte("/a/../..")
	if n := testing.AllocsPerRun(100, func() {
		AppendPath(buf, good)
		AppendPath(buf, above)
		AppendEscapedPath(buf, good)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzPath(f *testing.F) {
	for _, s := range []string{
		"/", "/a/../b", "/%2e%2e/", "//a//..//", "/a%2f%2e.%2Fb/.", "/%00", "/%", "/..a/.b./..", "*",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, encoded string) {
		got, bad := AppendPath(nil, []byte(encoded))
		if bad.Status != 0 {
			if len(got) != 0 || bad.At < 0 || bad.At > len(encoded) {
				t.Errorf("%q: %q, %+v", encoded, got, bad)
			}
			return
		}
		s := string(got)
		if clean := path.Clean(s); s != clean && s != clean+"/" || s[0] != '/' || strings.ContainsRune(s, 0) {
			t.Errorf("%q: %q is not clean", encoded, s)
		}
		if decoded, err := url.PathUnescape(encoded); err != nil || path.Clean("/"+decoded) != path.Clean(s) {
			t.Errorf("%q: %q, net/url: %q, %v", encoded, s, decoded, err)
		}
		again, bad := AppendPath(nil, AppendEscapedPath(nil, got))
		if bad.Status != 0 || !bytes.Equal(again, got) {
			t.Errorf("%q: %q, then %q, %+v", encoded, got, again, bad)
		}
	})
}
