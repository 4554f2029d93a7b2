package site

import (
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/evhttpd/evhttpd/internal/guard"
)

// secretHash is a bcrypt hash of "secret".
const secretHash = "$2a$04$BE.YA9GXVbZ3Ln/HiBi4L.Rv1BRMQOGppHTf91nQk/b1NUNnfeRcu"

func prefixes(tb testing.TB, list string) (all []netip.Prefix) {
	tb.Helper()
	for text := range strings.FieldsSeq(list) {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			tb.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

func mustRules(t testing.TB, all ...Rule) *rules {
	t.Helper()
	for i := range all {
		all[i].Match = "/"
	}
	r, err := newRules(all, nil, guard.NewPasswordFiles(guard.NewVerifier(1, 8), nil))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Key by key the last rule that says something counts.
func TestAccessOfRules(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "b"} {
		if err := os.WriteFile(dir+"/"+name, []byte(name+":"+secretHash), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	of := func(numbers ...int) ruleSet {
		m := make([]byte, 1)
		for _, n := range numbers {
			m[0] |= 1 << n
		}
		return ruleSet(m)
	}
	r := mustRules(t,
		Rule{Allow: prefixes(t, "10.0.0.0/8")},
		Rule{Deny: prefixes(t, "10.1.0.0/16"), Auth: &guard.Auth{Realm: "A", Htpasswd: dir + "/a"}},
		Rule{},
		Rule{Allow: prefixes(t, "192.0.2.0/24"), CORS: &guard.CORS{Origins: []string{"*"}}},
		Rule{Auth: &guard.Auth{Realm: "B", Htpasswd: dir + "/b"}, CORS: &guard.CORS{Origins: []string{"https://a"}}},
		Rule{Auth: &guard.Auth{Realm: "C", Htpasswd: dir + "/a"}},
	)
	if got := r.guard(of()); got != nil {
		t.Error("no rule makes", got)
	}
	if got := r.guard(of(2)); got != nil {
		t.Error("a rule of nothing makes", got)
	}
	got := r.guard(of(0, 1))
	for client, want := range map[string]bool{"10.0.0.1": true, "10.1.0.1": false, "192.0.2.1": false} {
		if got.Networks.Allows(netip.MustParseAddr(client)) != want {
			t.Errorf("%s: want %v", client, want)
		}
	}
	if got.Realm != r.realms[1] || got.Origins != nil {
		t.Error("realm and origins of rule 1:", got)
	}
	all := r.guard(of(0, 1, 2, 3, 4))
	if all.Realm != r.realms[4] || all.Origins != r.origins[4] ||
		!all.Networks.Allows(netip.MustParseAddr("192.0.2.1")) || all.Networks.Allows(netip.MustParseAddr("10.0.0.1")) {
		t.Error("the later ones do not win:", all)
	}
	if again := r.guard(of(0, 1, 3, 4)); *again != *all {
		t.Error("the same keys are made twice")
	}
	if _, err := newRules([]Rule{{Match: "/"}, {Match: "/",
		Auth: &guard.Auth{Realm: "x", Htpasswd: dir + "/none"}}}, nil,
		guard.NewPasswordFiles(guard.NewVerifier(1, 1), nil)); err == nil ||
		!strings.Contains(err.Error(), "paths[1].auth.htpasswd: "+dir+"/none: no such file") {
		t.Error(err)
	}
}
