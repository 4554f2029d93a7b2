package http1

import "testing"

func TestMediaRangesRFC9110Section12_5_1(t *testing.T) {
	type accepted struct {
		media  string
		weight int
	}
	for _, c := range []struct {
		value string
		want  []accepted
	}{
		{"", nil},
		{" , ,", nil},
		{"text/html", []accepted{{"text/html", 1000}}},
		{"text/*;q=0.3, */* ; Q=0", []accepted{{"text/*", 300}, {"*/*", 0}}},
		{"a/b;level=1;q=0.25;ext, c/d", []accepted{{"a/b", 250}, {"c/d", 1000}}},
		{`a/b;x="c,d;q=0";q=1.000`, []accepted{{"a/b", 1000}}},
		{`a/b;x="\",c/d`, []accepted{{"a/b", 1000}}},
		{"a/b;q=2, c/d;q=1.001, e/f;q=0.1234, g/h;q=", []accepted{{"a/b", 0}, {"c/d", 0}, {"e/f", 0}, {"g/h", 0}}},
	} {
		var got []accepted
		for ranges := AcceptedIn([]byte(c.value)); ranges.Next(); {
			got = append(got, accepted{string(ranges.Media), ranges.Weight})
		}
		if len(got) != len(c.want) {
			t.Errorf("%q: %v, want %v", c.value, got, c.want)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%q: %v, want %v", c.value, got, c.want)
			}
		}
	}
}

func TestAcceptsPages(t *testing.T) {
	for value, want := range map[string][2]bool{
		"": {}, "*/*": {}, "text/*": {}, "Text/HTML": {true, false}, "text/html;q=0": {},
		"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8": {true, true},
		"application/xhtml+xml;q=0.1":                                     {false, true},
	} {
		if html, xhtml := AcceptsPages([]byte(value)); html != want[0] || xhtml != want[1] {
			t.Errorf("%q: %t %t, want %v", value, html, xhtml, want)
		}
	}
}

func TestHasDirective(t *testing.T) {
	for value, want := range map[string]bool{
		"": false, "no-cache": true, "max-age=0, No-Cache": true, "no-cachet": false, `a="no-cache"`: false,
		`a="x,no-cache,y"`: false,
	} {
		if got := HasDirective([]byte(value), "no-cache"); got != want {
			t.Errorf("%q: %t", value, got)
		}
	}
}

func TestAcceptAllocatesNothing(t *testing.T) {
	value := []byte("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
	if got := testing.AllocsPerRun(100, func() { AcceptsPages(value); HasDirective(value, "no-cache") }); got != 0 {
		t.Errorf("%v allocations", got)
	}
}
