package site

import "testing"

func TestHosts(t *testing.T) {
	sites := []Site{
		{Hosts: []string{"example.org", "[2001:db8::1]", "192.0.2.1"}},
		{Hosts: []string{"*.example.org", "other.test"}},
		{Hosts: []string{"never.example.org", "*.deep.test"}},
		{Hosts: []string{"*", "a.deep.test"}},
		{Hosts: []string{"late.test"}},
	}
	h := newHosts(sites)
	for host, want := range map[string]int{
		"example.org": 0, "EXAMPLE.org:8080": 0, "example.org.": 0, "example.org.:80": 0, "example.org:": 0,
		"[2001:DB8:0::1]:80": 0, "192.0.2.1:8080": 0,
		"www.example.org": 1, "a.b.Example.Org.": 1, "other.test": 1,
		"never.example.org": 1, // the first whose hosts match
		"a.deep.test":       2,
		"deep.test":         3, // a wildcard does not stand for nothing
		"xexample.org":      3, "example.org.evil.test": 3, "[2001:db8::2]": 3, "[v1.x]": 3, "": 3, ":80": 3,
		".": 3, "..": 3,
		"late.test": 3, // the sites before it match
	} {
		if got := h.find([]byte(host)); got != want {
			t.Errorf("%q: site %d, want %d", host, got, want)
		}
	}
	h = newHosts(sites[:3])
	for _, host := range []string{"", ":80", "elsewhere.test", "example.org..", "com.", "deep.test"} {
		if got := h.find([]byte(host)); got != -1 {
			t.Errorf("%q: site %d, want none", host, got)
		}
	}
}
