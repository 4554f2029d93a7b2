package pattern

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestPattern(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		want          []string // what the wildcards stand for; nil: no match
	}{
		{"/", "/", []string{}}, {"/", "/a", nil}, {"/a", "/a", []string{}}, {"/a", "/A", nil}, {"/a", "/a/", nil},
		{"/*", "/", []string{""}}, {"/*", "/a", []string{"a"}}, {"/*", "/a/b", nil}, {"/*", "/a/", nil},
		{"/**", "/", []string{""}}, {"/**", "/a/b/", []string{"a/b/"}},
		{"/a/**", "/a", nil}, {"/a/**", "/a/", []string{""}}, {"/a/**", "/ab/c", nil},
		{"/**.html", "/a/b.html", []string{"a/b"}}, {"/**.html", "/a.htm", nil}, {"/*.html", "/a/b.html", nil},
		{"/*.html", "/.html", []string{""}},
		{"/a*a", "/a", nil}, {"/a*a", "/aa", []string{""}}, {"/ab*ba", "/aba", nil}, // the ends do not overlap
		{"/*/b/*", "/a/b/c", []string{"a", "c"}}, {"/*/b/*", "/a/x/b/c", nil},
		{"/**/b/*", "/a/x/b/c", []string{"a/x", "c"}},
		{"/**/x/**", "/a/x/b/x/c", []string{"a", "b/x/c"}}, // each for as little as it can
		{"/*-*", "/a-b-c", []string{"a", "b-c"}}, {"/**a**", "/banana", []string{"b", "nana"}},
		{"/*/**", "/a/b/c", []string{"a", "b/c"}}, {"/**/*", "/a/b/c", []string{"a/b", "c"}}, {"/***/x", "/a", nil},
		{"/a/[b]?", "/a/[b]?", []string{}}, {"/a/[b]?", "/a/bc", nil}, {"/\xff*", "/\xff\xfe", []string{"\xfe"}},
	} {
		p, err := New(c.pattern)
		if strings.Contains(c.pattern, "***") {
			if err == nil {
				t.Errorf("%s is taken", c.pattern)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		got, ok := p.Find(c.path, []string{})
		if ok != (c.want != nil) || ok && !slices.Equal(got, c.want) {
			t.Errorf("%s on %s: %q, %t, want %q", c.pattern, c.path, got, ok, c.want)
		}
		if p.Match(c.path) != ok {
			t.Errorf("%s on %s: match and find do not agree", c.pattern, c.path)
		}
	}
	for _, bad := range []string{"", "a", "*", "/" + strings.Repeat("*a", WildcardsMax+1)} {
		if _, err := New(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// Against regular expressions, which say the same in another way.
func TestPatternIsTheRegularExpression(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`/([ab/*]|\*\*){0,8}`).Draw(t, "pattern")
		path := rapid.StringMatching(`/[ab/]{0,12}`).Draw(t, "path")
		p, err := New(text)
		if err != nil {
			return
		}
		expression := regexp.QuoteMeta(text)
		expression = strings.ReplaceAll(expression, `\*\*`, `((?s:.*?))`)
		expression = strings.ReplaceAll(expression, `\*`, `([^/]*?)`)
		want := regexp.MustCompile(`\A` + expression + `\z`).FindStringSubmatch(path)
		got, ok := p.Find(path, nil)
		if ok != (want != nil) || ok && !slices.Equal(got, want[1:]) && len(got)+len(want) > 1 {
			t.Fatalf("%s on %s: %q, %t, want %q", text, path, got, ok, want)
		}
	})
}

// The way without tables against those, for patterns of many wildcards and paths that are nearly, or truly, such.
func TestPatternMatchesAsItsTablesSay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, err := New(rapid.StringMatching(`/[ab/]?((\*|\*\*)[ab/]{1,3}){1,6}(\*|\*\*)?[ab/]?`).Draw(t, "pattern"))
		if err != nil {
			t.Skip(err)
		}
		path := p.literals[0]
		for i, across := range p.across {
			alphabet := `[ab]{0,3}`
			if across || rapid.IntRange(0, 9).Draw(t, "wrong") == 0 {
				alphabet = `[ab/]{0,4}`
			}
			path += rapid.StringMatching(alphabet).Draw(t, "middle") + p.literals[i+1]
		}
		if cut := rapid.IntRange(0, 2*len(path)).Draw(t, "cut"); cut < len(path) && cut > 0 {
			path = path[:cut] + path[cut+1:]
		}
		rest, want := strings.CutPrefix(path, p.literals[0])
		want = want && p.reachable(rest)[0][0]
		if got := p.Match(path); got != want {
			t.Fatalf("%q on %s: %t", p.literals, path, got)
		}
		if _, got := p.Find(path, nil); got != want {
			t.Fatalf("%q on %s: found: %t", p.literals, path, got)
		}
	})
}

func TestPatternAllocatesNothing(t *testing.T) {
	for _, text := range []string{"/**/x/**.html", "/**a*b/**/c*", "/*/*/*.js"} {
		p, err := New(text)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{"/a/x/b.html", "/" + strings.Repeat("a/", 4000), "/a/b/c.js"} {
			if got := testing.AllocsPerRun(10, func() { p.Match(path) }); got != 0 {
				t.Errorf("%s on %.20s: %v allocations", text, path, got)
			}
			if p.Match(path) {
				continue
			}
			if got := testing.AllocsPerRun(10, func() { p.Find(path, nil) }); got != 0 {
				t.Errorf("%s is not found in %.20s with %v allocations", text, path, got)
			}
		}
	}
}

// BenchmarkPatternHostile has a path that looks like a match again and again: no request may take long for it.
func BenchmarkPatternHostile(b *testing.B) {
	long := strings.Repeat("a", 4<<10)
	for _, c := range []struct{ pattern, path string }{
		{"/**" + strings.Repeat("a**", WildcardsMax-2) + "b**a", "/" + long + long},
		{"/**" + strings.Repeat("a*", WildcardsMax-1) + "b", "/" + long + "/" + long + "b/b"},
		{"/**" + strings.Repeat("a/*", WildcardsMax-2) + "b*/b", "/" + strings.Repeat("a/", 4<<10) + "b"},
		{"/**a*aaaaaaaab*b", "/" + long + "/" + long + "b"},
	} {
		p, err := New(c.pattern)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(c.pattern[:9], func(b *testing.B) {
			for b.Loop() {
				p.Match(c.path)
			}
		})
	}
}
