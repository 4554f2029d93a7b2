package site

import "testing"

func TestPathPattern(t *testing.T) {
	for _, right := range []string{"/", "/**", "/*", "/a/**", "/a/", "/**/a", "/.*", "/.**", "/..a", "/...",
		"/*.html", "/100%", "/100%/a", "/%zz", "/%+1", "/a b", "/über/**"} {
		if err := CheckPattern(right); err != nil {
			t.Errorf("%v", err)
		}
	}
	for wrong, want := range map[string]string{
		"//": "/", "/a//b": "/a/b", "/a//": "/a/", "/./a": "/a", "/a/.": "/a/", "/a/b/..": "/a/", "/..": "/",
		"/../a":   "/a",
		"/**/./a": "/**/a", "/%41": "/A", "/%2f": "/", "/a%2Fb/**": "/a/b/**", "/a%20b": "/a b", "/%2e%2E/a": "/a",
		"/a/%2e": "/a/",
	} {
		if err := CheckPattern(wrong); err == nil {
			t.Errorf("%s is taken", wrong)
		}
		if got := spelled(wrong); got != want {
			t.Errorf("%s is %s, want %s", wrong, got, want)
		}
	}
}
