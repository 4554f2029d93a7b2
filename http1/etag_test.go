package http1

import "testing"

func TestMatchETagRFC9110Section8_8_3_2(t *testing.T) {
	for _, c := range []struct {
		name, list, etag    string
		strong, weak, valid bool
	}{
		{"both strong", `"a"`, `"a"`, true, true, true},
		{"both weak", `W/"a"`, `W/"a"`, false, true, true},
		{"the list's is weak", `W/"a"`, `"a"`, false, true, true},
		{"ours is weak", `"a"`, `W/"a"`, false, true, true},
		{"different", `"a"`, `"b"`, false, false, true},
		{"case", `"A"`, `"a"`, false, false, true},
		{"prefix", `"ab"`, `"a"`, false, false, true},
		{"empty tags", `""`, `""`, true, true, true},
		{"in a list", `"x", W/"y" ,"a"`, `"a"`, true, true, true},
		{"weak and strong in a list", `W/"a", "a"`, `"a"`, true, true, true},
		{"comma and backslash in a tag", `"a,b\"`, `"a,b\"`, true, true, true},
		{"obs-text", "\"\x80\"", "\"\x80\"", true, true, true},
		{"5.6.1 empty elements", `, ,"a",`, `"a"`, true, true, true},
		{"13.1.1 asterisk", `*`, `"a"`, true, true, true},
		{"13.1.1 asterisk without a tag", `*`, ``, true, true, true},
		{"no tag of ours", `"a"`, ``, false, false, true},
		{"nothing", ``, `"a"`, false, false, false},
		{"commas alone", `, ,`, `"a"`, false, false, false},
		{"not quoted", `a`, `a`, false, false, false},
		{"not closed", `"a`, `"a"`, false, false, false},
		{"lower-case w", `w/"a"`, `"a"`, false, false, false},
		{"space in a tag", `"a b"`, `"a b"`, false, false, false},
		{"no comma", `"a" "b"`, `"a"`, false, false, false},
		{"bad behind a match", `"a", b`, `"a"`, false, false, false},
		{"asterisk in a list", `*, "a"`, `"a"`, false, false, false},
		{"tag, then asterisk", `"a", *`, `"a"`, false, false, false},
		{"space behind W/", `W/ "a"`, `"a"`, false, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if match, valid := MatchETag([]byte(c.list), []byte(c.etag), true); match != c.strong || valid != c.valid {
				t.Errorf("strong: %v, valid %v", match, valid)
			}
			if match, valid := MatchETag([]byte(c.list), []byte(c.etag), false); match != c.weak || valid != c.valid {
				t.Errorf("weak: %v, valid %v", match, valid)
			}
		})
	}
}

func TestMatchETagAllocatesNothing(t *testing.T) {
	list, etag := []byte(`"x", W/"y", "a"`), []byte(`"a"`)
	if n := testing.AllocsPerRun(100, func() { MatchETag(list, etag, true) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzETag(f *testing.F) {
	f.Add(`"x", W/"y"`, `"y"`)
	f.Add(`*`, `W/"a"`)
	f.Fuzz(func(t *testing.T, list, etag string) {
		strong, valid := MatchETag([]byte(list), []byte(etag), true)
		weak, _ := MatchETag([]byte(list), []byte(etag), false)
		if strong && !weak || weak && !valid {
			t.Errorf("strong %v, weak %v, valid %v", strong, weak, valid)
		}
		if _, ok := MatchETag([]byte(list+`,"never"`), []byte(`"never"`), false); valid && list != "*" && !ok {
			t.Errorf("%q is not valid with one more", list)
		}
		if valid {
			checkETagOracle(t, list, etag, strong, weak)
		}
	})
}
