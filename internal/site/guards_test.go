package site

import (
	"encoding/base64"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/internal/guard"
	"github.com/evhttpd/evhttpd/internal/static"
)

// serveSite is a loop with one site, whose client is at 192.0.2.1.
func serveSite(t testing.TB, s Site, limiter *guard.Limiter, files map[string]string) *loop {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s.Hosts = []string{"*"}
	s.Root, s.Index, s.Precompressed = dir, []string{"index.html"}, []string{"br", "zst", "gz"}
	r, err := New(Options{
		Sites: []Site{s}, Cache: static.NewCache(static.Limits{Memory: 1 << 20, File: 64 << 10, Descriptors: 64}),
		Valid: time.Second, Now: ahead, Limiter: limiter, Verifier: guard.NewVerifier(1, 8),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	l := newLoop(t, r.Handler())
	l.addr = peer("192.0.2.1")
	return l
}

func peer(ip string) conn.Addr {
	return conn.AddrFrom(netip.AddrPortFrom(netip.MustParseAddr(ip), 4711))
}

// ask asks for a path and returns the answer and its body.
func (l *loop) ask(path, fields string) (*http.Response, string) {
	l.t.Helper()
	a := l.request("GET", path, "a", fields)
	return a.Response, a.body
}

func basicField(credentials string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(credentials)) + "\r\n"
}

func htpasswd(t testing.TB, lines ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "htpasswd")
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// A file that is protected is so by whatever path it is reached: as an index, by try_files, as the fallback. And who
// is refused learns nothing of what there is.
func TestProtectedFilesByOtherPaths(t *testing.T) {
	users := htpasswd(t, "alice:"+secretHash)
	asks := func(pattern string) Rule {
		return Rule{Match: pattern, Auth: &guard.Auth{Realm: "Staff", Htpasswd: users}}
	}
	d := serveSite(t, Site{
		TryFiles:   []string{"$path", "$path.html", "/hidden/last.html"},
		ErrorPages: map[int]string{401: "/401.html", 403: "/403.html"},
		Rules: []Rule{asks("/private/**"), asks("/a/index.html"), asks("/b.html"), asks("/hidden/**"), asks("/r/**"),
			{Match: "/closed/**", Allow: prefixes(t, "198.51.100.0/24")}},
		Redirects: []Redirect{{From: "/r/old", To: "/new", Status: 301}},
	}, nil, map[string]string{
		"private/f": "secret", "a/index.html": "secret", "b.html": "secret", "hidden/last.html": "secret",
		"closed/f": "secret",
		"open":     "open", "401.html": "who are you?", "403.html": "not you",
	})
	for _, path := range []string{
		"/private/f", "/private/none", "/private/", "//private/f", "/%70rivate/f", "/x/../private/f",
		"/private%2ff", "/private/f/",
		"/a/", "/a/index.html", "/b", "/b.html", "/none", "/hidden/last.html", "/r/old",
	} {
		for range 2 {
			r, text := d.ask(path, "")
			if r.StatusCode != 401 || text != "who are you?" || r.Header.Get("WWW-Authenticate") == "" ||
				r.Header.Get("Location") != "" {
				t.Errorf("%s: %d %q %v", path, r.StatusCode, text, r.Header)
			}
		}
	}
	for path, want := range map[string]string{"/private/f": "secret", "/a/": "secret", "/b": "secret",
		"/none": "secret", "/open": "open"} {
		if r, text := d.ask(path, basicField("alice:secret")); r.StatusCode != 200 || text != want ||
			path != "/open" && string(d.user) != "alice" {
			t.Errorf("%s with a password: %d %q, user %q", path, r.StatusCode, text, d.user)
		}
	}
	if r, _ := d.ask("/r/old", basicField("alice:secret")); r.StatusCode != 301 {
		t.Errorf("the redirect with a password: %d", r.StatusCode)
	}
	if r, text := d.ask("/open", ""); r.StatusCode != 200 || text != "open" {
		t.Errorf("/open: %d %q", r.StatusCode, text)
	}
	if r, text := d.ask("/closed/f", basicField("alice:secret")); r.StatusCode != 403 || text != "not you" {
		t.Errorf("/closed/f: %d %q", r.StatusCode, text)
	}
	d.addr = peer("198.51.100.7")
	if r, text := d.ask("/closed/f", ""); r.StatusCode != 200 || text != "secret" {
		t.Errorf("/closed/f from there: %d %q", r.StatusCode, text)
	}
}

// The later of two rules wins for the paths that both match; for a file that only the first matches
// it takes nothing away, by whatever path the file is reached.
func TestProtectedFilesByOtherRules(t *testing.T) {
	admins, members := htpasswd(t, "root:"+secretHash), htpasswd(t, "alice:"+secretHash)
	follow := static.LinksFollow
	d := serveSite(t, Site{
		TryFiles: []string{"$path", "$path/index.html", "$path.html"},
		Rules: []Rule{
			{Match: "/private/**", Auth: &guard.Auth{Realm: "Admins", Htpasswd: admins}},
			{Match: "/docs/*.html", Auth: &guard.Auth{Realm: "Admins", Htpasswd: admins}},
			{Match: "/inner/*.html", Allow: prefixes(t, "198.51.100.0/24")},
			{Match: "/*", Auth: &guard.Auth{Realm: "Members", Htpasswd: members}, Hide: []string{}, Links: &follow},
			{Match: "/docs/", Auth: &guard.Auth{Realm: "Members", Htpasswd: members}},
			{Match: "/inner/", Allow: prefixes(t, "0.0.0.0/0 ::/0")},
			{Match: "/page.html", Hide: []string{"page.*"}},
		},
	}, nil, map[string]string{
		"private/index.html": "secret", "docs/index.html": "secret", "inner/index.html": "secret",
		"page.html": "hidden", "open.html": "open",
	})
	for _, path := range []string{"/private", "/private/", "/docs/", "/docs"} {
		if r, text := d.ask(path, basicField("alice:secret")); r.StatusCode != 401 ||
			!strings.Contains(r.Header.Get("WWW-Authenticate"), "Admins") {
			t.Errorf("%s as a member: %d %q", path, r.StatusCode, text)
		}
	}
	if r, text := d.ask("/private/", basicField("root:secret")); r.StatusCode != 200 || text != "secret" {
		t.Errorf("as an admin: %d %q", r.StatusCode, text)
	}
	if r, text := d.ask("/inner/", ""); r.StatusCode != 403 {
		t.Errorf("from elsewhere: %d %q", r.StatusCode, text)
	}
	if r, text := d.ask("/page", basicField("alice:secret")); r.StatusCode != 404 {
		t.Errorf("a hidden file by another path: %d %q", r.StatusCode, text)
	}
	if r, text := d.ask("/open", basicField("alice:secret")); r.StatusCode != 200 || text != "open" {
		t.Errorf("what members may have: %d %q", r.StatusCode, text)
	}
}

// A listing has no file that is hidden by its own path, and no text of a README that is protected by its own.
func TestListingOfProtectedFiles(t *testing.T) {
	users := htpasswd(t, "alice:"+secretHash)
	yes := true
	asks := &guard.Auth{Realm: "Staff", Htpasswd: users}
	d := serveSite(t, Site{Rules: []Rule{
		{Match: "/**", Listing: &yes},
		{Match: "/a/README*", Auth: asks},
		{Match: "/b/README*", Deny: prefixes(t, "0.0.0.0/0")},
		{Match: "/c/**", Auth: asks},
		{Match: "/d/x.txt", Hide: []string{"x.txt"}},
	}}, nil, map[string]string{"a/README.md": "plan", "b/README.md": "plan", "c/README.md": "plan", "d/x.txt": "x",
		"d/y.txt": "y", "d/README.md": "plan"})
	for _, path := range []string{"/a/", "/b/"} {
		if r, text := d.ask(path, ""); r.StatusCode != 200 || strings.Contains(text, "plan") ||
			!strings.Contains(text, "README.md") {
			t.Errorf("%s: %d %q", path, r.StatusCode, text)
		}
	}
	if r, text := d.ask("/c/", basicField("alice:secret")); r.StatusCode != 200 || !strings.Contains(text, "plan") {
		t.Errorf("/c/ with a password: %d %q", r.StatusCode, text)
	}
	if r, text := d.ask("/d/", ""); r.StatusCode != 200 || strings.Contains(text, "x.txt") ||
		!strings.Contains(text, "y.txt") || !strings.Contains(text, "plan") {
		t.Errorf("/d/: %d %q", r.StatusCode, text)
	}
}

// A request counts once in its client's rate, whatever it waits for, and so does one that is refused.
func TestRateCountsARequestOnce(t *testing.T) {
	users := htpasswd(t, "alice:"+secretHash)
	d := serveSite(t, Site{Rules: []Rule{{Match: "/private/**", Auth: &guard.Auth{Realm: "x", Htpasswd: users}}}},
		guard.NewLimiter(guard.Rate{Count: 1, Per: time.Hour, Burst: 3}), map[string]string{"private/f": "f", "g": "g"})
	for i, c := range []struct {
		path, fields string
		status       int
	}{
		{"/private/f", basicField("alice:secret"), 200}, // is put off for the password, and perhaps for the file
		{"/private/f", "", 401}, {"/none", "", 404}, {"/g", "", 429}, {"/private/f", "", 429},
	} {
		if r, text := d.ask(c.path, c.fields); r.StatusCode != c.status {
			t.Errorf("request %d: %d %q, want %d", i+1, r.StatusCode, text, c.status)
		}
	}
	if d.jobs == 0 {
		t.Error("nothing was put off: this shows nothing")
	}
}

// A site with no rules has its rate all the same.
func TestRateOfAPlainSite(t *testing.T) {
	d := serveSite(t, Site{}, guard.NewLimiter(guard.Rate{Count: 1, Per: time.Hour, Burst: 1}),
		map[string]string{"f": "f"})
	for _, want := range []int{200, 429} {
		if r, _ := d.ask("/f", ""); r.StatusCode != want {
			t.Errorf("%d, want %d", r.StatusCode, want)
		}
	}
}

func TestNewNamesWhatIsWrongWithAccess(t *testing.T) {
	for want, r := range map[string]Rule{
		"paths[1].auth.htpasswd: /none: no such file": {Match: "/b", Auth: &guard.Auth{Realm: "x", Htpasswd: "/none"}},
		"paths[1].cors: credentials": {Match: "/b",
			CORS: &guard.CORS{Origins: []string{"*"}, Credentials: true}},
	} {
		_, err := New(Options{
			Sites: []Site{{Hosts: []string{"*"}, Root: t.TempDir(), Rules: []Rule{{Match: "/a"}, r}}},
			Cache: static.NewCache(static.Limits{}), Verifier: guard.NewVerifier(1, 1),
		})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// A file behind a password that is known, with fields for other origins, allocates nothing.
func TestGuardedFileAllocatesNothing(t *testing.T) {
	users := htpasswd(t, "alice:"+secretHash)
	d := serveSite(t, Site{Rules: []Rule{{Match: "/private/**",
		Auth:  &guard.Auth{Realm: "x", Htpasswd: users},
		CORS:  &guard.CORS{Origins: []string{"https://a.example"}, Methods: []string{"GET"}, Credentials: true},
		Allow: prefixes(t, "192.0.2.0/24 2001:db8::/32"), Deny: prefixes(t, "192.0.2.7/32"),
	}}}, guard.NewLimiter(guard.Rate{Count: 1 << 20, Per: time.Second, Burst: 1 << 20}),
		map[string]string{"private/f": strings.Repeat("x", 1000)})
	const head, from = " /private/f HTTP/1.1\r\nHost: a\r\n", "Origin: https://a.example\r\n"
	for name, raw := range map[string]string{
		"a file":    "GET" + head + from + basicField("alice:secret") + "\r\n",
		"a refusal": "GET" + head + from + "\r\n",
		"preflight": "OPTIONS" + head + from + "Access-Control-Request-Method: GET\r\n\r\n",
	} {
		d.send(raw)
		a := newAgain(d, raw)
		if n := testing.AllocsPerRun(100, a.step); n != 0 {
			t.Errorf("%s: %v allocations a request", name, n)
		}
	}
}

func BenchmarkGuardedFile(b *testing.B) {
	users := htpasswd(b, "alice:"+secretHash)
	for name, c := range map[string]struct {
		rule    Rule
		limiter *guard.Limiter
		fields  string
	}{
		"rate": {Rule{Match: "/f"},
			guard.NewLimiter(guard.Rate{Count: 1 << 20, Per: time.Second, Burst: 1 << 20}), ""},
		"address": {Rule{Match: "/f", Allow: prefixes(b, "192.0.2.0/24")}, nil, ""},
		"origin": {Rule{Match: "/f", CORS: &guard.CORS{Origins: []string{"https://a.example"}}}, nil,
			"Origin: https://a.example\r\n"},
		"password": {Rule{Match: "/f", Auth: &guard.Auth{Realm: "x", Htpasswd: users}}, nil,
			basicField("alice:secret")},
	} {
		b.Run(name, func(b *testing.B) {
			d := serveSite(b, Site{Rules: []Rule{c.rule}}, c.limiter, map[string]string{"f": "f"})
			measure(b, d, "GET /f HTTP/1.1\r\nHost: a\r\n"+c.fields+"\r\n")
		})
	}
}

// However a path is written, a protected file is not had by who is not let pass.
func TestNoSpellingOfAPathLeaks(t *testing.T) {
	users := htpasswd(t, "alice:"+secretHash)
	d := serveSite(t, Site{
		TryFiles: []string{"$path", "$path.txt", "$path/"},
		Fallback: "/private/f.txt",
		Rules: []Rule{{Match: "/private/**", Auth: &guard.Auth{Realm: "x", Htpasswd: users}},
			{Match: "/closed/**", Deny: prefixes(t, "0.0.0.0/0 ::/0")}},
	}, nil, map[string]string{"private/f.txt": "secret", "private/index.html": "secret", "closed/f.txt": "secret",
		"a/b.txt": "open"})
	pieces := []string{"/", "/", "//", "%2f", "%2F", "private", "p%72ivate", "closed", "a", "f.txt", "f", ".txt",
		"b", "index.html", ".", "..", "%2e%2e", "%2E", "%00", "%", "\\", "\x80", ";x", "?", "#"}
	rapid.Check(t, func(r *rapid.T) {
		path := "/" + strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 8).Draw(r, "path"), "")
		fields := rapid.SampledFrom([]string{"", "Accept: text/html\r\n", basicField("alice:wrong"),
			"Range: bytes=0-\r\n", "Accept-Encoding: gzip\r\nOrigin: null\r\n"}).Draw(r, "fields")
		raw := d.send("GET " + path + " HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n")
		if strings.Contains(raw, "secret") || !strings.HasPrefix(raw, "HTTP/1.1 ") {
			r.Errorf("GET %q: %q", path, raw)
		}
	})
	if r, text := d.ask("/a/b", ""); r.StatusCode != 200 || text != "open" {
		t.Errorf("nothing is served at all: %d %q", r.StatusCode, text)
	}
}

// What the configuration says is coded is sent as it is: neither a sibling nor a coding of ours stands in for it.
func TestFilesThatAreCoded(t *testing.T) {
	d := serveSite(t,
		Site{Rules: []Rule{{Match: "/*.svgz", Headers: map[string]string{"Content-Encoding": "gzip"}}}}, nil,
		map[string]string{"a.svgz": "coded", "a.svgz.br": "sibling", "b.svg": "plain", "b.svg.br": "sibling"})
	for path, want := range map[string][2]string{"/a.svgz": {"coded", "gzip"}, "/b.svg": {"sibling", "br"}} {
		r, text := d.ask(path, "Accept-Encoding: br, gzip\r\n")
		if got := [2]string{text, r.Header.Get("Content-Encoding")}; r.StatusCode != 200 || got != want {
			t.Errorf("%s: %d %q", path, r.StatusCode, got)
		}
	}
}

// A CONNECT that a rule refuses closes the connection as any other does: what follows is no request.
func TestRefusedConnectCloses(t *testing.T) {
	d := serveSite(t,
		Site{Rules: []Rule{{Match: "/**",
			Auth: &guard.Auth{Realm: "Staff", Htpasswd: htpasswd(t, "alice:"+secretHash)}}}}, nil, nil)
	for request, closes := range map[string]bool{"CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n": true,
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n": false} {
		if got := d.send(request); !strings.HasPrefix(got, "HTTP/1.1 401 ") ||
			strings.Contains(got, "\r\nConnection: close\r\n") != closes {
			t.Errorf("%q: %q", request, got)
		}
	}
}
