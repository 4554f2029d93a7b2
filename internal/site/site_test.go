package site

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/internal/static"
)

func TestSitesByHost(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"one", "two", "rest"} {
		write(t, dir+"/"+name+"/index.html", name)
	}
	one, two, rest := options(dir+"/one"), options(dir+"/two"), options(dir+"/rest")
	one.Hosts, two.Hosts = []string{"one.test"}, []string{"*.two.test"}
	two.Rules = []Rule{{Match: "/**", Headers: map[string]string{"X-Two": "2"}}}
	both(t, open(t, one, two, rest), func(t *testing.T, l *loop) {
		for range 2 {
			for host, want := range map[string]string{"one.test": "one", "ONE.test.:80": "one", "a.two.test": "two",
				"two.test": "rest", "": "rest", "127.0.0.1:8080": "rest"} {
				r := l.request("GET", "/", host, "")
				if r.StatusCode != 200 || r.body != want || (r.Header.Get("X-Two") == "2") != (want == "two") {
					t.Errorf("%q: %d %q %v", host, r.StatusCode, r.body, r.Header)
				}
			}
			// The target's host wins over the field (RFC 9112 section 3.2.2).
			if r := l.request("GET", "http://one.test/", "a.two.test", ""); r.body != "one" {
				t.Errorf("%q", r.body)
			}
		}
	})
	both(t, open(t, one, two), func(t *testing.T, l *loop) {
		for range 2 {
			for _, host := range []string{"", "two.test", "127.0.0.1", strings.Repeat("a.", 150) + "com"} {
				if r := l.request("GET", "/", host, ""); r.StatusCode != 421 {
					t.Errorf("%q: %d", host, r.StatusCode)
				}
			}
			if raw := l.send("GET / HTTP/1.0\r\n\r\n"); !strings.HasPrefix(raw, "HTTP/1.1 421 ") {
				t.Errorf("%q", raw)
			}
		}
	})
}

// What a host of a million names brings is not kept.
func TestHostsAreBounded(t *testing.T) {
	one, rest := options(t.TempDir()), options(t.TempDir())
	one.Hosts = []string{"one.test"}
	h := open(t, one, rest).Handler().(*handler)
	l := newLoop(t, h)
	for i := range 3 * hostsMax {
		l.request("GET", "/", fmt.Sprint("h", i), "")
	}
	l.request("GET", "/", strings.Repeat("a", 1000), "")
	if len(h.known) != hostsMax {
		t.Errorf("%d hosts are remembered", len(h.known))
	}
}

func TestRoutesAreBounded(t *testing.T) {
	s := options(t.TempDir())
	s.Fallback = "/index.html"
	h := open(t, s).Handler().(*handler)
	h.routes = 10
	l := newLoop(t, h)
	for i := range 30 {
		l.get(fmt.Sprint("/", i))
	}
	l.get("/" + strings.Repeat("a", routePath))
	if n := len(h.sites[0].routes); n != 10 {
		t.Errorf("%d routes are remembered", n)
	}
}

// A site with nothing of its own is served by static's handler itself.
func TestPlainSiteCostsNothing(t *testing.T) {
	plain := options(t.TempDir())
	if h, ok := open(t, plain).Handler().(*handler); ok {
		t.Errorf("%v stands between", h)
	}
	for what, change := range map[string]func(s *Site){
		"hosts":       func(s *Site) { s.Hosts = []string{"a"} },
		"try_files":   func(s *Site) { s.TryFiles = []string{"$path"} },
		"fallback":    func(s *Site) { s.Fallback = "/a" },
		"error_pages": func(s *Site) { s.ErrorPages = map[int]string{404: "/a"} },
		"redirects":   func(s *Site) { s.Redirects = []Redirect{{"/a", "/b", 301}} },
		"paths":       func(s *Site) { s.Rules = []Rule{{Match: "/a", Listing: to(true)}} },
	} {
		s := plain
		change(&s)
		r := open(t, s)
		for _, h := range []conn.Handler{r.Handler(), r.ThreadHandler()} {
			if _, ok := h.(*handler); !ok {
				t.Errorf("%s has no effect", what)
			}
		}
	}
}

func TestRules(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"index.html", "assets/app.js", "assets/app.css", "list/x", "list/.dot",
		"secret.bak", "LICENSE", "untyped.txt", "own.html", "doc.html", "docs/index.html"} {
		write(t, dir+"/"+name, name)
	}
	s := options(dir)
	s.Rules = []Rule{
		{Match: "/**", Headers: map[string]string{"X-Frame-Options": "DENY", "Vary": "X-A",
			"X-Content-Type-Options": ""}},
		{Match: "/assets/**", Headers: map[string]string{"Cache-Control": "public, immutable",
			"x-frame-options": "SAMEORIGIN"}, ETag: to(static.ETagOff)},
		{Match: "/assets/*.css", Headers: map[string]string{"Cache-Control": "no-cache",
			"X-Content-Type-Options": "nosniff"}, ETag: to(static.ETagContent)},
		{Match: "/list/", Listing: to(true), Hide: []string{}},
		{Match: "/list/**", Hide: []string{}},
		{Match: "/*.bak", Hide: []string{"*.bak"}},
		{Match: "/LICENSE", Headers: map[string]string{"content-type": "text/plain"}},
		{Match: "/untyped.txt", Headers: map[string]string{"Content-Type": ""}},
		{Match: "/own.html", Headers: map[string]string{"Content-Type": "text/html"}},
		{Match: "/**/index.html", Headers: map[string]string{"X-Index": "1"}},
	}
	both(t, open(t, s), func(t *testing.T, l *loop) {
		for range 2 {
			r := l.get("/assets/app.js")
			for name, want := range map[string]string{"Cache-Control": "public, immutable",
				"X-Frame-Options": "SAMEORIGIN", "X-Content-Type-Options": "", "Vary": "X-A", "Etag": "",
				"X-Index": ""} {
				if got := r.Header.Get(name); r.StatusCode != 200 || got != want {
					t.Errorf("%d %s: %q, want %q", r.StatusCode, name, got, want)
				}
			}
			r = l.get("/assets/app.css")
			if r.Header.Get("Cache-Control") != "no-cache" || len(r.Header.Get("Etag")) != 34 ||
				r.Header.Get("X-Content-Type-Options") != "nosniff" || r.Header.Get("X-Frame-Options") != "SAMEORIGIN" {
				t.Errorf("%v", r.Header)
			}
			// What is said of a file is not true of an error in its place.
			r = l.get("/assets/missing.js")
			if r.StatusCode != 404 || r.Header.Get("Cache-Control") != "" ||
				r.Header.Get("X-Frame-Options") != "SAMEORIGIN" {
				t.Errorf("%d %v", r.StatusCode, r.Header)
			}
			r = l.request("GET", "/assets/app.css", "a", "If-None-Match: *\r\n")
			if r.StatusCode != 304 || r.Header.Get("Cache-Control") != "no-cache" {
				t.Errorf("%d %v", r.StatusCode, r.Header)
			}
			r = l.get("/list/")
			if r.StatusCode != 200 || !strings.Contains(r.body, ".dot") {
				t.Errorf("%d %q", r.StatusCode, r.body)
			}
			l.want("/list/.dot", 200, "list/.dot")
			l.want("/docs/", 200, "docs/index.html")
			l.want("/secret.bak", 404, "")
			l.want("/assets/", 404, "")
			if r = l.get("/LICENSE"); r.Header.Get("Content-Type") != "text/plain" {
				t.Errorf("%v", r.Header)
			}
			for path, want := range map[string][]string{"/untyped.txt": nil, "/own.html": {"text/html"},
				"/doc.html": {"text/html; charset=utf-8"}} {
				if r = l.get(path); r.StatusCode != 200 || !slices.Equal(r.Header["Content-Type"], want) {
					t.Errorf("%s: %d %v", path, r.StatusCode, r.Header)
				}
			}
			// too small for parts
			if r = l.request("GET", "/LICENSE", "a", "Range: bytes=0-0,2-2,4-4\r\n"); r.StatusCode != 200 {
				t.Errorf("%d", r.StatusCode)
			}
			// The rules of a directory's index file are the directory's.
			if r = l.get("/docs/"); r.Header.Get("X-Index") != "1" {
				t.Errorf("%v", r.Header)
			}
			for _, same := range []string{"/assets/./app.js", "//assets//app.js", "/assets%2Fapp.js",
				"/x/../assets/%61pp.js"} {
				if r = l.get(same); r.StatusCode != 200 || r.Header.Get("Cache-Control") != "public, immutable" {
					t.Errorf("%s: %d %v", same, r.StatusCode, r.Header)
				}
			}
			l.want("/%zz", 400, "")
			l.want("/../x", 400, "")
		}
	})
}

func TestTryFiles(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"about.html", "docs/index.html", "docs.html", "only/index.html", "all.html",
		"hidden/.secret.html", "a/b.html/c"} {
		write(t, dir+"/"+name, name)
	}
	for _, c := range []struct {
		try  []string
		want map[string]string // the body, or the status, or the Location
	}{
		{[]string{"$path", "$path.html"}, map[string]string{"/about": "about.html", "/about.html": "about.html",
			"/docs": "docs.html", "/docs/": "docs/index.html", "/only": "/only/", "/about/": "404",
			"/": "404", "/hidden/.secret": "404", "/a/b": "404", "/nothing": "404", "/%61bout": "about.html"}},
		{[]string{"$path.html", "$path"},
			map[string]string{"/about.html": "about.html", "/docs": "docs.html", "/only": "/only/"}},
		{[]string{"$path", "$path/", "$path.html"},
			map[string]string{"/docs": "/docs/", "/about": "about.html", "/only": "/only/"}},
		{[]string{"$path.html", "$path/"}, map[string]string{"/docs": "docs.html", "/only": "/only/",
			"/only/": "only/index.html", "/about.html": "404"}},
		{[]string{"$path/index.html"}, map[string]string{"/docs": "docs/index.html", "/docs/": "docs/index.html"}},
		{[]string{"$path", "/all.html"}, map[string]string{"/nothing": "all.html", "/nothing.css": "all.html",
			"/only": "/only/", "/hidden/.secret": "404", "/hidden/": "all.html"}},
		{[]string{"/all.html"}, map[string]string{"/about.html": "all.html", "/": "all.html"}},
		// a directory without its slash is no answer
		{[]string{"$path", "/only", "//all.html"}, map[string]string{"/nothing": "all.html"}},
		{[]string{"$path", "/only/"}, map[string]string{"/nothing": "only/index.html"}},
	} {
		s := options(dir)
		s.TryFiles = c.try
		t.Run(strings.Join(c.try, " "), func(t *testing.T) {
			both(t, open(t, s), func(t *testing.T, l *loop) {
				for range 2 {
					for path, want := range c.want {
						r := l.get(path)
						if got := r.Header.Get("Location"); r.body != want && got != want &&
							fmt.Sprint(r.StatusCode) != want {
							t.Errorf("%s: %d %q %q, want %s", path, r.StatusCode, got, r.body, want)
						}
					}
				}
			})
		})
	}
}

func TestFallback(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/index.html", "application")
	write(t, dir+"/assets/app.js", "script")
	s := options(dir)
	s.Fallback = "/index.html"
	s.ErrorPages = map[int]string{404: "/.pages/404.html"} // what the configuration names is not hidden
	write(t, dir+"/.pages/404.html", "no such page")
	s.Rules = []Rule{
		{Match: "/**", Headers: map[string]string{"X-All": "1"}},
		{Match: "/assets/**", Headers: map[string]string{"Cache-Control": "immutable", "X-Asset": "1"}},
		{Match: "/index.html", Headers: map[string]string{"Cache-Control": "no-cache"}},
	}
	both(t, open(t, s), func(t *testing.T, l *loop) {
		for range 2 {
			for _, path := range []string{"/", "/index.html", "/route", "/route/of/it", "/user/jane.doe",
				"/assets/page", "/v1.2/"} {
				for _, method := range []string{"GET", "HEAD"} {
					r := l.request(method, path, "a", navigates)
					if r.StatusCode != 200 || method == "GET" && r.body != "application" ||
						r.Header.Get("Cache-Control") != "no-cache" || r.Header.Get("X-All") != "1" {
						t.Errorf("%s %s: %d %q %v", method, path, r.StatusCode, r.body, r.Header)
					}
				}
			}
			// What a page loads is missing, or there, and never the application.
			for _, path := range []string{"/missing.css", "/assets/missing.js", "/img/a.png", "/data.json"} {
				r := l.request("GET", path, "a", navigates)
				if r.StatusCode != 404 || r.body != "no such page" || r.Header.Get("Cache-Control") != "" ||
					r.Header.Get("X-All") != "1" {
					t.Errorf("%s: %d %q %v", path, r.StatusCode, r.body, r.Header)
				}
			}
			for _, accept := range []string{"", "Accept: */*\r\n", "Accept: application/json\r\n"} {
				r := l.request("GET", "/route", "a", accept)
				if r.StatusCode != 404 || r.body != "no such page" || r.Header.Get("Vary") != "Accept" {
					t.Errorf("%s: %d %q %v", accept, r.StatusCode, r.body, r.Header)
				}
			}
			if r := l.request("GET", "/assets/app.js", "a", navigates); r.StatusCode != 200 ||
				r.Header.Get("Vary") != "" || r.Header.Get("Cache-Control") != "immutable" {
				t.Errorf("%d %v", r.StatusCode, r.Header)
			}
			if r := l.request("GET", "/.git/config", "a", navigates); r.StatusCode != 404 {
				t.Errorf("%d", r.StatusCode)
			}
			if r := l.request("POST", "/route", "a", navigates); r.StatusCode != 405 || r.Header.Get("Allow") == "" {
				t.Errorf("%d %v", r.StatusCode, r.Header)
			}
		}
	})
}

func TestErrorPages(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/400.html", "bad")
	write(t, dir+"/405.html", "no way")
	write(t, dir+"/404.html", "missing")
	s := options(dir)
	s.ErrorPages = map[int]string{400: "/400.html", 404: "/404.html", 405: "/405.html", 416: "/none.html"}
	both(t, open(t, s), func(t *testing.T, l *loop) {
		for range 2 {
			l.want("/%zz", 400, "bad")
			l.want("/nothing", 404, "missing")
			l.want("/404.html", 200, "missing") // asked for by its name it is a file
			if r := l.request("DELETE", "/404.html", "a", ""); r.StatusCode != 405 || r.body != "no way" ||
				r.Header.Get("Allow") == "" {
				t.Errorf("%d %q %v", r.StatusCode, r.body, r.Header)
			}
			if r := l.request("GET", "/404.html", "a", "Range: bytes=100-\r\n"); r.StatusCode != 416 ||
				!strings.HasPrefix(r.body, "416: ") {
				t.Errorf("%d %q", r.StatusCode, r.body)
			}
		}
	})
}

func TestRedirects(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/old/there", "there")
	s := options(dir)
	s.Redirects = []Redirect{{"/old/**", "/new/$1", 301}, {"/go/*", "https://example.org/$1?from=go", 307},
		{"/x**", "/$1", 302}}
	s.Rules = []Rule{{Match: "/go/*", Headers: map[string]string{"X-Go": "1"}}}
	both(t, open(t, s), func(t *testing.T, l *loop) {
		for range 2 {
			for target, want := range map[string]string{
				"/old/a%20b?q=1": "/new/a%20b?q=1", "/old/there": "/new/there",
				"/go/x?y": "https://example.org/x?from=go&y", "/x//evil.example": "/evil.example",
				"/x%2F%2Fevil.example": "/evil.example",
				"/x/%5Cevil.example":   "/%5Cevil.example", "/old/%0d%0aX:y": "/new/%0D%0AX:y",
			} {
				r := l.get(target)
				if got := r.Header.Get("Location"); got != want || r.StatusCode/100 != 3 || r.body != "" ||
					r.Header.Get("Server") != "evhttpd" {
					t.Errorf("%s: %d %q, want %q", target, r.StatusCode, got, want)
				}
			}
			if r := l.request("POST", "/go/x", "a", ""); r.StatusCode != 307 || r.Header.Get("X-Go") != "1" {
				t.Errorf("%d %v", r.StatusCode, r.Header)
			}
			if r := l.request("OPTIONS", "/go/x", "a", ""); r.StatusCode != 204 {
				t.Errorf("%d", r.StatusCode)
			}
			l.want("/old", 301, "") // to its slash
		}
	})
}

func TestNewErrors(t *testing.T) {
	dir := t.TempDir()
	for want, change := range map[string]func(s *Site){
		"root":           func(s *Site) { s.Root = dir + "/nowhere" },
		"paths[1].match": func(s *Site) { s.Rules = []Rule{{Match: "/a"}, {Match: "a"}} },
		"paths[0]: hide": func(s *Site) { s.Rules = []Rule{{Match: "/a", Hide: []string{"/"}}} },
		"paths[0]: \"text\"": func(s *Site) {
			s.Rules = []Rule{{Match: "/a",
				Headers: map[string]string{"Content-Type": "text"}}}
		},
		"redirects[0].to":  func(s *Site) { s.Redirects = []Redirect{{"/a", "//b", 301}} },
		"try_files":        func(s *Site) { s.TryFiles = []string{"$path/../x"} },
		"fallback":         func(s *Site) { s.Fallback = "/a/../b" },
		"error_pages: 404": func(s *Site) { s.ErrorPages = map[int]string{404: "a"} },
	} {
		s := options(dir)
		change(&s)
		for sites, prefix := range map[int]string{1: "", 2: "sites[1]: "} {
			all := []Site{options(dir), s}[2-sites:]
			if _, err := New(Options{Sites: all, Cache: static.NewCache(static.Limits{})}); err == nil ||
				!strings.HasPrefix(err.Error(), prefix+want) {
				t.Errorf("%v, want %q", err, prefix+want)
			}
		}
	}
}

// A request in steady state allocates nothing, whatever its site does beside serving the file.
func TestNoAllocations(t *testing.T) {
	l := benchLoop(t, true)
	for name, raw := range map[string]string{
		"plain site": benchPlain, "file": benchRules, "fallback": "GET /route HTTP/1.1\r\nHost: rules.test\r\n" +
			navigates + "\r\n",
		"error page": "GET /nothing HTTP/1.1\r\nHost: rules.test\r\n\r\n",
		"redirect":   "GET /old/x?y HTTP/1.1\r\nHost: rules.test\r\n\r\n", "421": "",
	} {
		if raw == "" {
			continue // its text is made each time
		}
		t.Run(name, func(t *testing.T) {
			l.send(raw)
			a := newAgain(l, raw)
			a.step()
			if n := testing.AllocsPerRun(200, a.step); n != 0 {
				t.Errorf("%v allocations a request", n)
			}
		})
	}
}

// again steps one connection with the same request over and over.
type again struct {
	peer script
	conn conn.Conn
	loop *loop
	raw  []byte
}

func newAgain(l *loop, raw string) *again {
	a := &again{loop: l, raw: []byte(raw)}
	a.peer.quiet = true
	a.conn.Start(l.local, l.addr, false)
	return a
}

func (a *again) step() {
	a.peer.in = a.raw
	if want := a.conn.Step(&a.peer, a.loop.local); want != conn.WantRead {
		a.loop.t.Fatalf("Step wants %d", want)
	}
}

const (
	benchPlain = "GET /small.html HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n"
	benchRules = "GET /small.html HTTP/1.1\r\nHost: rules.test\r\n\r\n"
)

// benchLoop has a site with everything at rules.test, and a plain one. many: they stand behind a Router.
func benchLoop(t testing.TB, many bool) *loop {
	dir := t.TempDir()
	write(t, dir+"/small.html", strings.Repeat("x", 1024))
	write(t, dir+"/404.html", "missing")
	plain := options(dir)
	if !many {
		return newLoop(t, open(t, plain).Handler())
	}
	rules := plain
	rules.Hosts = []string{"rules.test"}
	rules.TryFiles, rules.Fallback, rules.ErrorPages = []string{"$path", "$path.html"}, "/small.html",
		map[int]string{404: "/404.html"}
	rules.Redirects = []Redirect{{"/old/**", "/new/$1", 301}}
	rules.Rules = []Rule{{Match: "/a/**", Headers: map[string]string{"Cache-Control": "no-cache"}},
		{Match: "/**/b/*", Listing: to(true)}}
	headers := rules
	headers.Hosts = []string{"headers.test"}
	headers.Rules = []Rule{{Match: "/**",
		Headers: map[string]string{"Cache-Control": "no-cache", "X-Frame-Options": "DENY"}}}
	return newLoop(t, open(t, rules, headers, plain).Handler())
}

// What stands before the file costs: Direct is static's own handler, the others are a Router with a site that is
// plain, one with all that a site can have, and one whose fields are changed too. Step and the parser are in the
// figures.
func BenchmarkSmall(b *testing.B) {
	for _, c := range []struct {
		name, raw string
		many      bool
	}{
		{"Direct", benchPlain, false}, {"Plain", benchPlain, true}, {"Rules", benchRules, true},
		{"Fields", strings.Replace(benchRules, "rules.test", "headers.test", 1), true},
	} {
		b.Run(c.name, func(b *testing.B) {
			measure(b, benchLoop(b, c.many), c.raw)
		})
	}
}

// measure answers one request over and over.
func measure(b *testing.B, l *loop, raw string) {
	l.send(raw)
	a := newAgain(l, raw)
	a.step()
	b.ReportAllocs()
	for b.Loop() {
		a.step()
	}
}

// BenchmarkRoute is what a path costs that was not asked for before.
func BenchmarkRoute(b *testing.B) {
	l := benchLoop(b, true)
	l.send(benchRules)
	s := l.local.Handler.(*handler).sites[0]
	for b.Loop() {
		if _, err := s.newRoute("/some/path/of/usual/length.html"); err != nil {
			b.Fatal(err)
		}
	}
}
