package static

import (
	"strings"
	"testing"
	"time"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/http1"
)

// planner serves the plans that it makes of paths.
type planner struct {
	files *PlanServer
	plans map[string]*Plan
	plan  func(path string) *Plan
	err   int                                // the error that answers instead; 0: none does
	guard func(i int, out *conn.Output) bool // has answered instead of the candidate that was found; nil: none does
}

func (p *planner) Serve(req *http1.Request, buf []byte, out *conn.Output) {
	path := req.Path.In(buf)
	plan := p.plans[string(path)]
	if plan == nil {
		plan = p.plan(string(path))
		p.plans[string(path)] = plan
	}
	if p.err != 0 {
		p.files.Fail(plan, req, buf, out, p.err, "X-More: 1\r\n", "for a reason", false)
		return
	}
	found, ok := p.files.Find(plan, req, buf, out)
	switch {
	case !ok:
	case p.guard != nil && p.guard(found.Candidate, out):
		p.files.Drop(found)
	default:
		p.files.Answer(found, req, buf, out)
	}
}

// servePlans opens a site whose paths are tried as $path and then $path.html, and then what more says.
func servePlans(t testing.TB, opts Options, walks bool, more func(s *Site, p *Plan)) (*loop, *planner) {
	t.Helper()
	l := serve(t, opts, walks)
	s := l.site
	far := &planner{files: s.PlanServer(), plans: make(map[string]*Plan)}
	pages := map[int]*CachedPath{
		404: NewCachedPath(s, "/errors/404.html"), 403: NewCachedPath(s, "/missing.html"),
		412: NewCachedPath(s, "/errors/412.html"), 416: NewCachedPath(s, "/errors/412.html"),
	}
	fallback := NewCachedPath(s, "/app.html")
	far.plan = func(path string) *Plan {
		p := &Plan{Path: path, ErrorPages: pages, Candidates: []Candidate{{CachedPath: NewCachedPath(s, path),
			Derived: true}}}
		if !strings.HasSuffix(path, "/") {
			p.Candidates = append(p.Candidates, Candidate{CachedPath: NewCachedPath(s, path+".html"), Derived: true})
		}
		p.Candidates = append(p.Candidates, Candidate{CachedPath: fallback, Fallback: true})
		if more != nil {
			more(s, p)
		}
		return p
	}
	l.local.Handler = far
	return l, far
}

const navigates = "Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8\r\n"

func writePlans(t testing.TB, dir string) {
	write(t, dir+"/file.txt", "file")
	write(t, dir+"/about.html", "about, in HTML")
	write(t, dir+"/about.html.gz", "about, coded")
	write(t, dir+"/docs/index.html", "docs")
	write(t, dir+"/docs.html", "docs, the file")
	write(t, dir+"/only/index.html", "only")
	write(t, dir+"/empty/x", "")
	write(t, dir+"/app.html", "the application")
	write(t, dir+"/errors/404.html", "not here")
	write(t, dir+"/errors/404.html.gz", "not here, coded")
	write(t, dir+"/errors/412.html", strings.Repeat("large ", 20_000))
	write(t, dir+"/large", strings.Repeat("0123456789", 10_000))
}

func TestPlans(t *testing.T) {
	fileSystems(t, func(t *testing.T, dir string) {
		resolvers(t, func(t *testing.T, walks bool) {
			writePlans(t, dir)
			l, _ := servePlans(t, precompressedOptions(dir), walks, nil)
			for range 3 {
				l.get("/file.txt").want(t, 200, "file")
				l.get("/about").want(t, 200, "about, in HTML")
				l.get("/docs").want(t, 200, "docs, the file") // a file before the directory's slash
				l.get("/docs/").want(t, 200, "docs")
				r := l.get("/only?a=b")
				if r.StatusCode != 301 || r.Header.Get("Location") != "/only/?a=b" {
					t.Errorf("%d %v", r.StatusCode, r.Header)
				}
				l.request("GET", "/only", navigates).wantStatus(t, 301) // not the fallback
				r = l.get("/large")
				if len(r.body) != 100_000 || r.Header.Get("Vary") != "" {
					t.Errorf("%d bytes, Vary %q", len(r.body), r.Header.Get("Vary"))
				}
				l.request("GET", "/some/route", navigates).want(t, 200, "the application")
				l.request("HEAD", "/some/route", navigates).want(t, 200, "")
				l.request("GET", "/empty/", navigates).want(t, 200, "the application")
				l.get("/some/route").want(t, 404, "not here")
				l.request("HEAD", "/some/route", "").want(t, 404, "")
				l.request("POST", "/file.txt", "").wantStatus(t, 405)
				l.request("OPTIONS", "/file.txt", "").wantStatus(t, 204)
				l.advance(3 * time.Second)
			}
		})
	})
}

// Only to the request's own path is a slash added: a directory /name.html/ is no answer to /name.
func TestPlansAddNoSlashToOtherPaths(t *testing.T) {
	resolvers(t, func(t *testing.T, walks bool) {
		dir := t.TempDir()
		writePlans(t, dir)
		write(t, dir+"/name.html/index.html", "name.html")
		write(t, dir+"/both/index.html", "both")
		write(t, dir+"/both.html/index.html", "both.html")
		l, _ := servePlans(t, precompressedOptions(dir), walks, nil)
		for range 2 {
			l.get("/name").want(t, 404, "not here")
			l.request("GET", "/name", navigates).want(t, 200, "the application")
			for path, location := range map[string]string{"/name.html": "/name.html/", "/both": "/both/"} {
				r := l.get(path)
				if r.StatusCode != 301 || r.Header.Get("Location") != location {
					t.Errorf("%s: %d %v", path, r.StatusCode, r.Header)
				}
			}
		}
	})
}

// What is written to a file shows, whichever candidate it is the answer of, and so does that it has gone or come.
func TestPlansAreFresh(t *testing.T) {
	resolvers(t, func(t *testing.T, walks bool) {
		dir := t.TempDir()
		writePlans(t, dir)
		l, _ := servePlans(t, precompressedOptions(dir), walks, nil)
		l.get("/about").want(t, 200, "about, in HTML")
		l.request("GET", "/new", navigates).want(t, 200, "the application")
		write(t, dir+"/about.html", "about, again")
		write(t, dir+"/app.html", "another application")
		l.advance(1100 * time.Millisecond)
		l.get("/about").want(t, 200, "about, again")
		l.request("GET", "/new", navigates).want(t, 200, "another application")
		write(t, dir+"/new", "come")
		write(t, dir+"/about", "in front")
		l.advance(150 * time.Millisecond) // a missing file is believed for 100 ms
		l.request("GET", "/new", navigates).want(t, 200, "come")
		l.get("/about").want(t, 200, "in front")
		write(t, dir+"/errors/404.html", "gone")
		l.request("GET", "/nothing", "Cache-Control: no-cache\r\n").want(t, 404, "gone")
		l.alone = true
		write(t, dir+"/errors/404.html", "gone again")
		l.get("/nothing").want(t, 404, "gone again")
	})
}

// Rewritten or not, a file is answered with its own validators, codings and ranges.
func TestPlansKeepTheFilesProperties(t *testing.T) {
	resolvers(t, func(t *testing.T, walks bool) {
		dir := t.TempDir()
		writePlans(t, dir)
		l, _ := servePlans(t, precompressedOptions(dir), walks, nil)
		for range 2 {
			r := l.get("/about")
			if r.Header.Get("Content-Type") != "text/html; charset=utf-8" ||
				r.Header.Get("Vary") != "Accept-Encoding" || r.Header.Get("ETag") == "" {
				t.Errorf("%v", r.Header)
			}
			l.request("GET", "/about", "If-None-Match: "+r.Header.Get("ETag")+"\r\n").want(t, 304, "")
			l.request("GET", "/about", "Range: bytes=0-4\r\n").want(t, 206, "about")
			r = l.request("GET", "/about", "Accept-Encoding: gzip\r\n")
			r.want(t, 200, "about, coded")
			if r.Header.Get("Content-Encoding") != "gzip" {
				t.Errorf("%v", r.Header)
			}
			r = l.request("GET", "/some/route", navigates)
			if r.Header.Get("Vary") != "Accept" || r.Header.Get("ETag") == "" {
				t.Errorf("%v", r.Header)
			}
			l.request("GET", "/some/route", navigates+"If-None-Match: "+r.Header.Get("ETag")+"\r\n").want(t, 304, "")
		}
	})
}

// An error's page is no representation of what was asked for.
func TestErrorPages(t *testing.T) {
	resolvers(t, func(t *testing.T, walks bool) {
		dir := t.TempDir()
		writePlans(t, dir)
		l, far := servePlans(t, precompressedOptions(dir), walks, nil)
		for range 2 {
			for _, fields := range []string{"", "Range: bytes=0-1\r\n", "If-None-Match: *\r\n",
				"If-Modified-Since: " + "Thu, 29 Feb 2024 12:30:16 GMT\r\n", "If-Match: \"a\"\r\n"} {
				r := l.request("GET", "/nothing", fields)
				r.want(t, 404, "not here")
				for _, name := range []string{"ETag", "Last-Modified", "Accept-Ranges", "Content-Range"} {
					if r.Header.Get(name) != "" {
						t.Errorf("%s: %s", name, r.Header.Get(name))
					}
				}
				if r.Header.Get("Content-Type") != "text/html; charset=utf-8" ||
					r.Header.Get("X-Content-Type-Options") != "nosniff" || r.Header.Get("Server") != "evhttpd" {
					t.Errorf("%v", r.Header)
				}
				if vary := r.Header.Values("Vary"); strings.Join(vary, ",") != "Accept-Encoding,Accept" &&
					strings.Join(vary, ",") != "Accept,Accept-Encoding" {
					t.Errorf("Vary %q", vary)
				}
			}
			r := l.request("GET", "/nothing", "Accept-Encoding: gzip\r\n")
			r.want(t, 404, "not here, coded")
			if r.Header.Get("Content-Encoding") != "gzip" {
				t.Errorf("%v", r.Header)
			}
			large := strings.Repeat("large ", 20_000)
			l.request("GET", "/large", "If-Match: \"a\"\r\n").want(t, 412, large)
			r = l.request("GET", "/large", "Range: bytes=200000-\r\n")
			r.want(t, 416, large)
			if r.Header.Get("Content-Range") != "bytes */100000" {
				t.Errorf("%v", r.Header)
			}
			far.err = 403 // whose page is missing
			r = l.get("/file.txt")
			r.want(t, 403, "403: for a reason\n")
			far.err = 404
			r = l.get("/file.txt")
			r.want(t, 404, "not here")
			if r.Header.Get("X-More") != "1" {
				t.Errorf("%v", r.Header)
			}
			far.err = 0
			l.advance(3 * time.Second)
		}
	})
}

// A page that has just changed, on a file system that only the pool may look at, comes in time too.
func TestErrorPageThatIsNotKept(t *testing.T) {
	dir := t.TempDir()
	writePlans(t, dir)
	opts := precompressedOptions(dir)
	opts.Now = func() time.Time { return time.Now() } // every file has just changed
	l, far := servePlans(t, opts, true, nil)
	l.get("/nothing").want(t, 404, "not here")
	far.err = 404
	l.get("/nothing").want(t, 404, "not here")
}

// The candidates' views and edits are their own.
func TestCandidatesHaveViewsAndEdits(t *testing.T) {
	dir := t.TempDir()
	writePlans(t, dir)
	write(t, dir+"/list/x", "x")
	opts := precompressedOptions(dir)
	edit := func(value string) *conn.Edit {
		return conn.NewEdit([]conn.EditField{{Name: "X-Step", Value: value}})
	}
	l, _ := servePlans(t, opts, false, func(s *Site, p *Plan) {
		options := s.ViewOptions()
		own := "text/x-viewed"
		options.Listing, options.ETag, options.Type = true, ETagOff, &own
		view, err := s.View(options)
		if err != nil {
			t.Fatal(err)
		}
		for i := range p.Candidates {
			c := &p.Candidates[i]
			if c.Fallback {
				c.Edit = edit("fallback")
				continue
			}
			c.site, c.Edit = view, edit(string(rune('1'+i)))
		}
		p.Edit = edit("error")
	})
	for range 2 {
		for _, c := range []struct {
			path, step string
			status     int
			viewed     bool
		}{
			{"/file.txt", "1", 200, true}, {"/about", "2", 200, true}, {"/only", "1", 301, false}, {"/list/", "1", 200,
				false},
			{"/route", "fallback", 200, false}, {"/list/?page=0", "1", 400, false},
		} {
			r := l.request("GET", c.path, navigates)
			if r.StatusCode != c.status || r.Header.Get("X-Step") != c.step ||
				(r.Header.Get("Content-Type") == "text/x-viewed") != c.viewed ||
				c.viewed && r.Header.Get("ETag") != "" {
				t.Errorf("%s: %d %v", c.path, r.StatusCode, r.Header)
			}
		}
		r := l.get("/route")
		if r.StatusCode != 404 || r.Header.Get("X-Step") != "error" {
			t.Errorf("%d %v", r.StatusCode, r.Header)
		}
	}
	r := l.request("GET", "/list/", "Accept: application/json\r\n")
	if r.StatusCode != 200 || r.Header.Get("X-Step") != "1" || !strings.Contains(r.body, `"name":"x"`) {
		t.Errorf("%d %v %q", r.StatusCode, r.Header, r.body)
	}
}

// A listing that had to be waited for is the fallback's, with its head and behind its guard.
func TestFallbackToAListing(t *testing.T) {
	resolvers(t, func(t *testing.T, walks bool) {
		dir := t.TempDir()
		writePlans(t, dir)
		write(t, dir+"/list/x", "x")
		closed, asked := false, 0
		l, far := servePlans(t, precompressedOptions(dir), walks, func(s *Site, p *Plan) {
			options := s.ViewOptions()
			options.Listing = true
			view, err := s.View(options)
			if err != nil {
				t.Fatal(err)
			}
			c := &p.Candidates[len(p.Candidates)-1]
			c.CachedPath = NewCachedPath(view, "/list/")
			c.Edit = conn.NewEdit([]conn.EditField{{Name: "X-Step", Value: "fallback"}})
		})
		far.guard = func(i int, out *conn.Output) bool {
			if i < 2 {
				return false
			}
			if asked++; closed {
				out.Fail(403, "", "closed")
			}
			return closed
		}
		for range 2 {
			asked = 0
			r := l.request("GET", "/route", navigates)
			if r.StatusCode != 200 || r.Header.Get("X-Step") != "fallback" || asked != 2 ||
				!strings.Contains(r.body, `<a href="x">x</a>`) {
				t.Errorf("%d %v, asked %d times", r.StatusCode, r.Header, asked)
			}
			closed = true
			l.request("GET", "/route", navigates).wantStatus(t, 403)
			closed = false
			l.advance(3 * time.Second)
		}
	})
}

// A root that is replaced is seen by all of its views, and none shows another's entries.
func TestViewsShareTheRoot(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/1/.hidden", "one")
	write(t, dir+"/2/.hidden", "two")
	symlink(t, "1", dir+"/current")
	l := serve(t, testOptions(dir+"/current"), false)
	options := l.site.ViewOptions()
	options.Hide = nil
	view, err := l.site.View(options)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := l.site.View(options); again != view {
		t.Error("there are two of one view")
	}
	if options.Hide = []string{"a/b"}; err == nil {
		if _, err := l.site.View(options); err == nil {
			t.Error("a bad pattern is taken")
		}
	}
	shown := newLoop(t, view, view.Handler(IndexMax))
	shown.advance(settled)
	for _, want := range []string{"one", "two"} {
		for range 2 {
			l.get("/.hidden").wantStatus(t, 404)
			shown.get("/.hidden").want(t, 200, want)
		}
		relink(t, "2", dir+"/current")
		l.advance(3 * time.Second)
		shown.advance(3 * time.Second)
	}
	l.site.Close()
	if _, _, entries := l.site.cache.Usage(); entries > 0 {
		t.Errorf("%d entries are left", entries)
	}
	shown.get("/.hidden").wantStatus(t, 404)
}

func TestAcceptsHTML(t *testing.T) {
	dir := t.TempDir()
	writePlans(t, dir)
	l, _ := servePlans(t, testOptions(dir), false, nil)
	for accept, status := range map[string]int{
		"text/html": 200, "TEXT/HTML;q=0.1": 200, "application/xhtml+xml": 200, "image/png, text/html": 200,
		"text/html;level=1": 200, "application/json;a=\",text/html\", text/html;q=1": 200,
		"*/*": 404, "text/*": 404, "text/css,*/*;q=0.1": 404, "text/html;q=0": 404, "text/html;q=0.0, */*": 404,
		"":                                   404,
		"application/json;a=\",text/html,\"": 404, "text/htmlx": 404, "x/text/html": 404,
		strings.Repeat("a/b,", 64) + "text/html": 404,
	} {
		l.request("GET", "/route", "Accept: "+accept+"\r\n").wantStatus(t, status)
	}
	l.request("GET", "/route", "Accept: */*\r\nAccept: text/html\r\n").wantStatus(t, 200)
	l.get("/route").wantStatus(t, 404)
}

func TestNoAllocationsOnPlans(t *testing.T) {
	dir := t.TempDir()
	writePlans(t, dir)
	const end = " HTTP/1.1\r\nHost: a\r\n"
	for name, raw := range map[string]string{
		"first candidate":  "GET /file.txt" + end + "\r\n",
		"second candidate": "GET /about" + end + "\r\n",
		"fallback":         "GET /route" + end + navigates + "\r\n",
		"error page":       "GET /nothing" + end + "\r\n",
		"304":              "GET /about" + end + "If-None-Match: *\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			l, _ := servePlans(t, precompressedOptions(dir), false, nil)
			l.send(raw)
			a := newAgain(l, raw)
			a.step()
			if n := testing.AllocsPerRun(200, a.step); n != 0 {
				t.Errorf("%v allocations a request", n)
			}
		})
	}
}

// What was remembered and has been given up, or was of a root that has been replaced, is looked for again.
func TestPlansOfShells(t *testing.T) {
	resolvers(t, func(t *testing.T, walks bool) {
		dir := t.TempDir()
		writePlans(t, dir+"/1")
		writePlans(t, dir+"/2")
		write(t, dir+"/2/about.html", "about, in the second")
		write(t, dir+"/2/errors/404.html", "not in the second")
		symlink(t, "1", dir+"/current")
		l, _ := servePlans(t, precompressedOptions(dir+"/current"), walks, nil)
		for _, want := range []string{"about, in HTML", "about, in the second"} {
			for range 2 {
				l.get("/about").want(t, 200, want)
				l.get("/large").want(t, 200, strings.Repeat("0123456789", 10_000))
				l.get("/nothing").want(t, 404, map[bool]string{true: "not here",
					false: "not in the second"}[want == "about, in HTML"])
				for i := range l.site.cache.shards {
					s := &l.site.cache.shards[i]
					for _, e := range s.entries {
						s.remove(e)
					}
				}
			}
			relink(t, "2", dir+"/current")
			l.advance(3 * time.Second)
		}
	})
}

// Where nothing is kept and all is looked at by the pool, a request is still put off a few
// times at most, and answered.
func TestPlansEnd(t *testing.T) {
	dir := t.TempDir()
	writePlans(t, dir)
	opts := precompressedOptions(dir)
	opts.Valid = 0
	opts.Now = func() time.Time { return time.Now() } // every file has just changed, and is not kept
	l, far := servePlans(t, opts, true, nil)
	for range 2 {
		l.get("/about").want(t, 200, "about, in HTML")
		l.get("/nothing").want(t, 404, "not here")
		l.request("GET", "/route", navigates).want(t, 200, "the application")
		l.request("GET", "/large", "If-Match: \"a\"\r\n").wantStatus(t, 412)
		l.get("/only").wantStatus(t, 301)
	}
	far.err = 412
	l.get("/large").wantStatus(t, 412)
}
