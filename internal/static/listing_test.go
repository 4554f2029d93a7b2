package static

import (
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/internal/listing"
)

var linkPattern = regexp.MustCompile(`<tr(?: class="d")?><th scope="row">` +
	`<a href="([^"<>]*)"(?: aria-label="Parent folder")?>([^<>"]*)</a></th>` +
	`<td(?: title="[0-9,]* bytes">[0-9.]* [KMGTPE]?i?B|>)</td><td>` +
	`(?:[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2})?</td></tr>`)

// listedNames follows each link of a listing as a browser does and returns the paths.
func listedNames(t *testing.T, page, at string) (paths []string) {
	t.Helper()
	base, err := url.Parse("http://host" + at)
	if err != nil {
		t.Fatal(err)
	}
	rows := linkPattern.FindAllStringSubmatch(page, -1)
	if len(rows) != strings.Count(page, "<tr")-1 {
		t.Errorf("rows that are not what a row is to be: %s", page)
	}
	for _, row := range rows {
		ref, err := base.Parse(html.UnescapeString(row[1]))
		if err != nil || ref.Host != "host" || ref.RawQuery != "" || ref.Fragment != "" {
			t.Errorf("link %q leads to %v, %v", row[1], ref, err)
			continue
		}
		paths = append(paths, ref.EscapedPath())
	}
	return paths
}

// writeUnlisted has a link to a file, which is listed, and what is not: links that lead out of the root or nowhere, and
// a FIFO.
func writeUnlisted(t *testing.T, outside, folder string) {
	t.Helper()
	write(t, outside+"/outside", "outside")
	symlink(t, outside+"/outside", folder+"/leaves")
	symlink(t, "plain.txt", folder+"/link")
	symlink(t, "nowhere", folder+"/broken")
	symlink(t, "loops", folder+"/loops")
	symlink(t, "/", folder+"/leavesFolder")
	if err := unix.Mkfifo(folder+"/fifo", 0o644); err != nil {
		t.Fatal(err)
	}
	symlink(t, "fifo", folder+"/fifoLink")
}

// TestListing has names that mean something in HTML, in URLs and in fields.
func TestListing(t *testing.T) {
	fileSystems(t, func(t *testing.T, dir string) {
		resolvers(t, func(t *testing.T, walks bool) {
			root, err := os.MkdirTemp(dir, "root")
			if err != nil {
				t.Fatal(err)
			}
			names := []string{
				"plain.txt", "a b", "100%", "%41", "what?", "#1", "a&b", "&amp;", "<script>alert(1)</script"[:8] + ">",
				`"quoted"`, "'single'",
				"javascript:alert(1)", "http:", "new\nline", "tab\t", "\xff\xfe", "ünïcödé", "日本語", "\u202Ereversed",
				";semi=1", "+plus", "back\\slash", "~tilde", "x:y", "\x01\x7f",
			}
			for _, name := range names {
				write(t, root+"/sub/"+name, "contents of "+name)
			}
			write(t, root+"/sub/dir:with colon/x", "x")
			write(t, root+"/sub/.hidden", "hidden")
			write(t, root+"/sub/.well-known/x", "x")
			writeUnlisted(t, dir, root+"/sub")
			opts := testOptions(root)
			opts.Listing = true
			l := serve(t, opts, walks)
			r := l.get("/sub/")
			r.wantStatus(t, 200)
			paths := listedNames(t, r.body, "/sub/")
			if want := len(names) + 2 + 1 + 1; len(paths) != want {
				t.Errorf("%d links, want %d: %q", len(paths), want, paths)
			}
			if !slices.Equal(paths[:3], []string{"/", "/sub/.well-known/", "/sub/dir:with%20colon/"}) {
				t.Errorf("the parent and the directories come first: %q", paths[:3])
			}
			found := 0
			for _, path := range paths[3:] {
				if path == "/sub/link" {
					continue
				}
				name, err := url.PathUnescape(strings.TrimPrefix(path, "/sub/"))
				if err != nil || !slices.Contains(names, name) {
					t.Errorf("%s is no file's name: %v", path, err)
				}
				l.get(path).want(t, 200, "contents of "+name)
				found++
			}
			if found != len(names) {
				t.Errorf("%d of %d names", found, len(names))
			}
			for _, no := range []string{"hidden<", "leaves", "broken", "loops", "fifo", "<script", "\x01", "\xff",
				"new\nline"} {
				if strings.Contains(r.body, no) {
					t.Errorf("%q is in the page", no)
				}
			}
			if csp := r.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") ||
				r.Header.Get("Content-Type") != "text/html; charset=utf-8" ||
				r.Header.Get("Cache-Control") != "no-cache" || r.Header.Get("Vary") != "Accept" {
				t.Errorf("fields: %v", r.Header)
			}
			if r := l.get("/"); strings.Contains(r.body, "../") {
				t.Error("the root has a link to its parent")
			}
			l.request("GET", "/sub/", "Range: bytes=0-1\r\nIf-None-Match: *\r\n").wantStatus(t, 200)
			if r := l.request("HEAD", "/sub/", ""); r.body != "" || r.ContentLength < 1000 {
				t.Errorf("HEAD: %d", r.ContentLength)
			}
			l.get("/sub").wantStatus(t, 301)
			l.get("/missing/").wantStatus(t, 404)
		})
	})
}

// TestListingOff: a directory without an index file is not there.
func TestListingOff(t *testing.T) {
	resolvers(t, func(t *testing.T, walks bool) {
		dir := t.TempDir()
		write(t, dir+"/sub/file", "file")
		write(t, dir+"/indexed/index.html", "index")
		write(t, dir+"/odd/index.html/file", "file")
		opts := testOptions(dir)
		opts.Index = []string{"missing.html", "index.html"}
		l := serve(t, opts, walks)
		l.get("/").wantStatus(t, 404)
		l.get("/sub/").wantStatus(t, 404)
		l.get("/odd/").wantStatus(t, 404)
		l.get("/indexed/").want(t, 200, "index")
		if got := l.get("/indexed/").Header.Get("Content-Type"); got != "text/html; charset=utf-8" {
			t.Errorf("Content-Type %q", got)
		}
		write(t, dir+"/indexed/missing.html", "first")
		l.advance(time.Second)
		l.get("/indexed/").want(t, 200, "first")
	})
}

// TestListingFollowsItsDirectory: a new file is seen a second later, or at once by who comes alone.
func TestListingFollowsItsDirectory(t *testing.T) {
	dir := t.TempDir()
	opts := testOptions(dir)
	opts.Listing = true
	l := serve(t, opts, false)
	if r := l.get("/"); !strings.Contains(r.body, "nothing here") {
		t.Errorf("an empty directory: %s", r.body)
	}
	write(t, dir+"/one", "1")
	if r := l.get("/"); strings.Contains(r.body, `"one"`) {
		t.Error("it is not cached")
	}
	l.advance(time.Second)
	if r := l.get("/"); !strings.Contains(r.body, `"one"`) {
		t.Error("it is stale")
	}
	write(t, dir+"/two", "2")
	l.alone = true
	if r := l.get("/"); !strings.Contains(r.body, `"two"`) {
		t.Error("it is stale for a request that comes alone")
	}
}

// many makes n empty files called entry-0 and so on, in memory.
func many(t *testing.T, n int) (dir string) {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "static")
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for i := range n {
		f, err := os.Create(fmt.Sprintf("%s/entry-%d", dir, i))
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	return dir
}

// listed opens a site with the listing on.
func listed(t *testing.T, dir string) *loop {
	opts := testOptions(dir)
	opts.Listing = true
	return serve(t, opts, false)
}

// TestListingIsBounded: what there is no memory for is counted, and a directory finds room or gets 503.
func TestListingIsBounded(t *testing.T) {
	// As in internal/listing: rows and names take memory in blocks, and a row has a place in each of six orders.
	const rowsBlock, rowCost, namesBlock = 1 << 10, 32 + 6*4, 64 << 10
	const kept = 2 * rowsBlock
	l := listed(t, many(t, kept+7))
	store := l.site.cache.listings
	store.DirectoryMax = kept*rowCost + namesBlock
	r := l.get("/?page=2")
	if n := len(linkPattern.FindAllString(r.body, -1)); n != listing.PageRows ||
		!strings.Contains(r.body, "and 7 more, not listed") {
		t.Errorf("%d rows", n)
	}
	// A browser's page says how many are missing. A program gets no HTML that looks whole and is not.
	l.request("GET", "/", browserAccept).wantStatus(t, 200)
	if r := l.get("/"); r.StatusCode != 500 || r.Header.Get("Vary") != "Accept" ||
		!strings.Contains(r.body, "?format=text") {
		t.Errorf("%d %.200q %v", r.StatusCode, r.body, r.Header)
	}
	if r := l.get("/?format=text"); strings.Count(r.body, "\n") != kept || r.Header.Get("X-Not-Listed") != "7" {
		t.Errorf("%d lines, not listed %q", strings.Count(r.body, "\n"), r.Header.Get("X-Not-Listed"))
	}
	if used := store.Used.Load(); used == 0 || used > store.DirectoryMax {
		t.Errorf("%d bytes are reserved", used)
	}
	// What is kept gives way to another directory; what is being sent does not.
	store.Max = store.DirectoryMax
	l.advance(time.Minute)
	l.get("/?format=json").wantStatus(t, 200)
	l.advance(time.Minute)
	store.Used.Add(namesBlock)
	r = l.get("/?format=json&order=desc")
	r.wantStatus(t, 503)
	if r.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	store.Used.Add(-namesBlock)
	l.get("/?format=json&order=desc").wantStatus(t, 200)
	l.site.Close()
	if used := store.Used.Load(); used != 0 {
		t.Errorf("%d bytes are reserved in the end", used)
	}
}

// TestListingsShareMemory: who is sent a directory that has not changed is sent the one that is there.
func TestListingsShareMemory(t *testing.T) {
	dir := many(t, 3<<10)
	l := listed(t, dir)
	l.alone = true // each request looks anew
	store := l.site.cache.listings
	start := func() *listing.Directory {
		t.Helper()
		mono := l.local.Clock.Mono
		job := &listJob{site: l.site, path: "/", query: listing.Query{Format: listing.FormatJSON}, mono: mono,
			asked: l.site.now()}
		job.oldest = mono + 1
		result, ok := job.Run(wanted{}).(*listResult)
		if !ok || result.whole != nil {
			t.Fatal("no stream")
		}
		defer result.Release()
		t.Cleanup(listing.NewStream(result.first, result.rest, l, 0).Close)
		return result.dir
	}
	first := start()
	used := store.Used.Load()
	for range 10 {
		l.advance(time.Minute)
		start()
	}
	if got := store.Used.Load(); got != used {
		t.Errorf("%d bytes for eleven streams, %d for one", got, used)
	}
	write(t, dir+"/entry-7", "longer")
	l.advance(time.Minute)
	if changed := start(); changed == first {
		t.Error("a change does not show")
	}
	// Streams hold all but the last quarter: a small directory is listed beside them.
	write(t, dir+"/sub/x", "x")
	store.Max = (1<<20 + store.Used.Load()) * 4 / 3
	store.Used.Add(store.Max - store.Max/4 - store.Used.Load())
	l.get("/sub/").wantStatus(t, 200)
}

// TestListingPages turns the pages by their links and finds each entry once.
func TestListingPages(t *testing.T) {
	const n = 2*listing.PageRows + 34
	dir := many(t, n)
	write(t, dir+"/README", "read me")
	write(t, dir+"/sub/x", "x")
	l := listed(t, dir)
	for _, first := range []string{"/?sort=name&order=desc", "/"} {
		turnPages(t, l, first, n)
	}
	l.get("/?page=4").want(t, 404, "404: no such page of the listing: the last one is ?page=3\n")
	var page []jsonRow
	if err := json.Unmarshal([]byte(l.get("/?format=json&page=3").body), &page); err != nil || len(page) != 36 {
		t.Errorf("%d rows, %v", len(page), err)
	}
	l.get("/sub/?page=2").wantStatus(t, 404)
	if r := l.get("/sub/?page=1&sort=size"); !strings.Contains(r.body, `href="x"`) || strings.Contains(r.body, "Page") {
		t.Errorf("a single page: %s", r.body)
	}
}

// turnPages follows the links to the next page.
func turnPages(t *testing.T, l *loop, first string, n int) {
	next := regexp.MustCompile(`<a href="([^"]*)" rel="next">`)
	seen := make(map[string]bool)
	at, pages := first, 0
	want := []string{"sub/", "entry-0", "entry-1"}
	if strings.Contains(first, "desc") {
		want = []string{"sub/", "README", fmt.Sprint("entry-", n-1)}
	}
	for at != "" {
		r := l.request("GET", at, browserAccept)
		r.wantStatus(t, 200)
		pages++
		for i, m := range linkPattern.FindAllStringSubmatch(r.body, -1) {
			if seen[m[1]] {
				t.Errorf("%s is listed twice", m[1])
			}
			if seen[m[1]] = true; pages == 1 && i < 3 && m[1] != want[i] {
				t.Errorf("row %d is %s", i, m[1])
			}
		}
		if strings.Contains(r.body, "read me") != (pages == 1) {
			t.Errorf("page %d: the README stands on the first page alone", pages)
		}
		if (pages > 1) != strings.Contains(r.body, `rel="prev"`) ||
			!strings.Contains(r.body, fmt.Sprintf("Page %d of 3", pages)) {
			t.Errorf("page %d has not the right links", pages)
		}
		at = ""
		if m := next.FindStringSubmatch(r.body); m != nil {
			at = "/" + html.UnescapeString(m[1])
		}
	}
	if pages != 3 || len(seen) != n+2 {
		t.Errorf("%d pages, %d entries", pages, len(seen))
	}
}

type jsonRow struct {
	Name, Type, URL string
	Size            *int64
	Mtime           time.Time
}

// TestListingStreams: all rows of a large directory, in chunks, and to HTTP/1.0 until the connection ends.
func TestListingStreams(t *testing.T) {
	const n = 5000
	l := listed(t, many(t, n))
	check := func(body string) {
		t.Helper()
		var rows []jsonRow
		if err := json.Unmarshal([]byte(body), &rows); err != nil || len(rows) != n ||
			rows[n-1].Name != fmt.Sprint("entry-", n-1) {
			t.Errorf("%d rows, %v", len(rows), err)
		}
	}
	r := l.get("/?format=json")
	check(r.body)
	if len(r.TransferEncoding) != 1 || r.ContentLength >= 0 {
		t.Errorf("%v, length %d", r.TransferEncoding, r.ContentLength)
	}
	old := parseResponse(t, "GET", l.send("GET /?format=json HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"))
	check(old.body)
	if old.TransferEncoding != nil || !old.Close {
		t.Errorf("HTTP/1.0: %v, close %v", old.TransferEncoding, old.Close)
	}
	two := l.send("GET /?format=json HTTP/1.1\r\nHost: a\r\n\r\nHEAD /?format=text HTTP/1.1\r\nHost: a\r\n\r\n" +
		"GET /entry-1 HTTP/1.1\r\nHost: a\r\n\r\n")
	if got := strings.Count(two, "HTTP/1.1 200 OK\r\n"); got != 3 || !strings.HasSuffix(two, "\r\n\r\n") {
		t.Errorf("%d answers on one connection", got)
	}
	l.site.Close()
	if used := l.site.cache.listings.Used.Load(); used != 0 {
		t.Errorf("%d bytes are reserved in the end", used)
	}
}

// TestListingStreamIsGivenUp closes a stream before, while and after a block is rendered.
func TestListingStreamIsGivenUp(t *testing.T) {
	l := listed(t, many(t, 5000))
	store := l.site.cache.listings
	job := &listJob{site: l.site, path: "/", query: listing.Query{Format: listing.FormatJSON}, mono: 1, oldest: 1}
	for reads := range 4 * listing.BlockSize / 4096 {
		result, ok := job.Run(wanted{}).(*listResult)
		if !ok {
			t.Fatal("no listing")
		}
		s := listing.NewStream(result.first, result.rest, l, 0)
		result.Release()
		for range reads {
			if _, err := s.Next(make([]byte, 4096)); err == conn.ErrAgain && reads%2 == 0 {
				<-l.woken
			}
		}
		s.Close()
		s.Close()
	}
	l.site.Close()
	// The renderer may be at work on the last one.
	for end := time.Now().Add(time.Minute); store.Used.Load() != 0; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%d bytes are reserved in the end", store.Used.Load())
		}
	}
}

// TestListingJSON: every name that JSON can hold comes back, and every url leads to its file.
func TestListingJSON(t *testing.T) {
	dir := t.TempDir()
	names := []string{"plain", "a b", `q"uote`, `back\slash`, "new\nline", "tab\t", "\x01", "\x7f",
		"</script>"[:1] + "b>", "é", "日本", "\u2028", "a:b", "%41", "?x", "#y", "💡"}
	for _, name := range append(names, "\xff\xfe") {
		write(t, dir+"/"+name, name)
	}
	write(t, dir+"/folder:/x", "x")
	l := listed(t, dir)
	r := l.request("GET", "/", "Accept: application/json\r\n")
	var rows []jsonRow
	if err := json.Unmarshal([]byte(r.body), &rows); err != nil {
		t.Fatalf("%v in %s", err, r.body)
	}
	if r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Vary") != "Accept" ||
		len(rows) != len(names)+2 {
		t.Errorf("%d rows, %v", len(rows), r.Header)
	}
	if d := rows[0]; d.Name != "folder:" || d.Type != "directory" || d.URL != "./folder:/" || d.Size != nil {
		t.Errorf("the directory: %+v", d)
	}
	base, _ := url.Parse("http://a/")
	text := l.get("/?format=text").body
	for _, row := range rows[1:] {
		ref, err := base.Parse(row.URL)
		if err != nil || ref.Host != "a" || ref.RawQuery != "" {
			t.Errorf("%q: %v", row.URL, err)
			continue
		}
		name, _ := url.PathUnescape(ref.EscapedPath()[1:])
		l.get(ref.EscapedPath()).want(t, 200, name)
		if name != row.Name && row.Name != "\uFFFD\uFFFD" || row.Type != "file" || row.Size == nil ||
			*row.Size != int64(len(name)) || !row.Mtime.Equal(longAgo.Truncate(time.Second)) {
			t.Errorf("%q: %+v", name, row)
		}
		if want := fmt.Sprintf("%s\t%d\t2024-02-29T12:30:15Z\n", row.URL, len(name)); !strings.Contains(text, want) {
			t.Errorf("%q is not in the text", want)
		}
	}
	if got := strings.Count(text, "\n"); got != len(rows) {
		t.Errorf("%d lines of text", got)
	}
	if got := l.get("/folder:/?format=json").body; !strings.HasPrefix(got, "[\n{") ||
		!strings.HasSuffix(got, "}\n]\n") {
		t.Errorf("one row: %q", got)
	}
	if err := os.Mkdir(dir+"/empty", 0o755); err != nil {
		t.Fatal(err)
	}
	l.get("/empty/?format=json").want(t, 200, "[\n]\n")
	l.get("/empty/?format=text").want(t, 200, "")
}

// TestListingSorts: directories first, always; equal ones by name.
func TestListingSorts(t *testing.T) {
	dir := t.TempDir()
	for i, name := range []string{"b10", "B9", "a", "c", "b009"} {
		write(t, dir+"/"+name, strings.Repeat("x", []int{5, 5, 9, 1, 5}[i]))
		at := longAgo.Add(time.Duration([]int{3, 1, 1, 2, 3}[i]) * time.Second)
		if err := os.Chtimes(dir+"/"+name, at, at); err != nil {
			t.Fatal(err)
		}
	}
	for i, name := range []string{"d2", "d10"} {
		write(t, dir+"/"+name+"/x", "x")
		at := longAgo.Add(-time.Duration(i) * time.Second)
		if err := os.Chtimes(dir+"/"+name, at, at); err != nil {
			t.Fatal(err)
		}
	}
	l := listed(t, dir)
	for query, want := range map[string]string{
		"":                     "d2/ d10/ a B9 b009 b10 c",
		"sort=name&order=desc": "d10/ d2/ c b10 b009 B9 a",
		"order=desc":           "d10/ d2/ c b10 b009 B9 a",
		"sort=size":            "d2/ d10/ c B9 b009 b10 a",
		"sort=size&order=desc": "d2/ d10/ a B9 b009 b10 c",
		"sort=time&order=asc":  "d10/ d2/ a B9 c b009 b10",
		"sort=time&order=desc": "d2/ d10/ b009 b10 c a B9",
		"C=M&O=D&&=&x":         "d2/ d10/ a B9 b009 b10 c",
	} {
		r := l.get("/?" + query)
		var got []string
		for _, m := range linkPattern.FindAllStringSubmatch(r.body, -1) {
			got = append(got, m[1])
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %q, want %s", query, got, want)
		}
		if n := strings.Count(r.body, "aria-sort="); n != 1 {
			t.Errorf("%s: %d columns are said to be sorted", query, n)
		}
	}
}

// TestListingRefusesBadQueries says what is wrong, without the client's bytes.
func TestListingRefusesBadQueries(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/x", "x")
	l := listed(t, dir)
	for _, bad := range []string{"format=xml", "format=", "format", "sort=Name", "sort=%6eame", "order=up", "page=0",
		"page=-1", "page=1e3", "page=99999999999999999999", "page=1000001", "page=", "sort=size&page=<b>", "page=+1"} {
		r := l.get("/?" + bad)
		r.wantStatus(t, 400)
		if !strings.Contains(r.body, "want ") || strings.Contains(r.body, "<b>") {
			t.Errorf("%s: %s", bad, r.body)
		}
	}
	l.get("/?"+strings.Repeat("a=b&", 1500)).wantStatus(t, 200)
	l.get("/x?page=0").want(t, 200, "x")
}

// TestListingAccept (RFC 9110 section 12.5.1).
func TestListingAccept(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/x", "x")
	l := listed(t, dir)
	for fields, want := range map[string]string{
		"":                                "text/html",
		"Accept: */*":                     "text/html",
		"Accept:":                         "text/html",
		"Accept: image/png":               "text/html",
		"Accept: application/json":        "application/json",
		"Accept: APPLICATION/JSON":        "application/json",
		"Accept: application/*":           "application/json",
		"Accept: text/plain":              "text/plain",
		"Accept: text/*":                  "text/html",
		"Accept: text/*, text/html;q=0.1": "text/plain",
		"Accept: application/json, text/plain, */*":                               "application/json",
		"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8": "text/html",
		"Accept: text/html;q=0.5, application/json;q=0.501":                       "application/json",
		"Accept: text/html;q=0.5, application/json;q=0.5":                         "text/html",
		"Accept: text/html;q=0, */*":                                              "application/json",
		"Accept: application/json;q=0, text/plain;q=0.001":                        "text/plain",
		"Accept: application/json;q=2, text/plain;q=0.1":                          "text/plain",
		"Accept: application/json;q=x, text/plain;q=0.1":                          "text/plain",
		"Accept: application/json;q=0.1234, text/plain;q=0.1":                     "text/plain",
		"Accept: application/json;charset=utf-8;Q=0.2, text/plain ; q=0.1":        "application/json",
		"Accept: image/png;x=\"a, text/plain\";q=1, application/json;q=0.1":       "application/json",
		"Accept: image/png\r\nAccept: application/json":                           "application/json",
		"Accept: " + strings.Repeat(",", 9000) + "text/plain":                     "text/plain",
		"Accept: " + strings.Repeat("a/b,", 64) + "text/plain":                    "text/html",
		"Accept: \"": "text/html",
	} {
		if fields != "" {
			fields += "\r\n"
		}
		r := l.request("GET", "/", fields)
		if got, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); got != want || r.StatusCode != 200 {
			t.Errorf("%.80q: %d %s, want %s", fields, r.StatusCode, got, want)
		}
	}
	r := l.request("GET", "/?format=html", "Accept: application/json\r\n")
	if got := r.Header.Get("Content-Type"); !strings.HasPrefix(got, "text/html") {
		t.Errorf("the query comes first: %s", got)
	}
}

// TestListingTakesAnyAccept: whatever Accept and the query hold, the answer is a listing or a 400.
func TestListingTakesAnyAccept(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/x", "x")
	l := listed(t, dir)
	part := func(parts ...string) *rapid.Generator[[]string] {
		return rapid.SliceOfN(rapid.SampledFrom(parts), 0, 12)
	}
	rapid.Check(t, func(r *rapid.T) {
		accept := strings.Join(part("text/html", "text/plain", "application/json", "*/*", "text/*", "/", ",", ";", " ",
			"q=", "Q=0.5", "0", "1.000", "=", `"`, `\`, "\xff").Draw(r, "accept"), "")
		query := strings.Join(part("format=", "json", "text", "sort=", "size", "order=", "desc", "page=", "1", "9", "&",
			"=", "%00", "?", "+").Draw(r, "query"), "")
		got := l.request("GET", "/?"+query, "Accept: "+accept+"\r\n")
		switch kind, _, _ := strings.Cut(got.Header.Get("Content-Type"), ";"); {
		case got.StatusCode == 200 && (kind == "text/html" || kind == "application/json" || kind == "text/plain") &&
			strings.Contains(got.body, "x"):
		case (got.StatusCode == 400 || got.StatusCode == 404) && kind == "text/plain":
		default:
			r.Errorf("%q, %q: %d %s", query, accept, got.StatusCode, got.body)
		}
	})
}

// TestListingReadme: text below the rows, as far as it is served, and no more than is bounded.
func TestListingReadme(t *testing.T) {
	resolvers(t, func(t *testing.T, walks bool) {
		dir := t.TempDir()
		root := dir + "/root"
		write(t, dir+"/outside", "secret")
		cases := []struct {
			name string
			make func(at string)
			want string // the text of <pre>, "" for none
		}{
			{"md", func(at string) { write(t, at+"/README.md", "# <b>Title</b> & \"more\"\r\nnext\r\n") },
				"# &lt;b&gt;Title&lt;/b&gt; &amp; &#34;more&#34;\nnext\n"},
			{"first", func(at string) {
				write(t, at+"/README.txt", "txt")
				write(t, at+"/README.md", "md")
				write(t, at+"/README", "plain")
			}, "plain"},
			{"second", func(at string) { write(t, at+"/README.txt", "txt"); write(t, at+"/README.md", "md") }, "md"},
			{"bytes", func(at string) { write(t, at+"/README", "\uFEFFa\x00b\xffc\x1b[31m\td\re") },
				"a\uFFFDb\uFFFDc\uFFFD[31m\tde"},
			{"link", func(at string) { write(t, at+"/x", "linked"); symlink(t, "x", at+"/README") }, "linked"},
			{"outside", func(at string) { symlink(t, dir+"/outside", at+"/README") }, ""},
			{"fifo", func(at string) {
				write(t, at+"/x", "x")
				if err := unix.Mkfifo(at+"/README", 0o644); err != nil {
					t.Fatal(err)
				}
			}, ""},
			{"directory", func(at string) { write(t, at+"/README/x", "x") }, ""},
			{"empty", func(at string) { write(t, at+"/README", "") }, ""},
			{"hidden", func(at string) { write(t, at+"/README.txt", "hidden") }, ""},
			{"case", func(at string) { write(t, at+"/readme.md", "other") }, ""},
			{"large", func(at string) { write(t, at+"/README", strings.Repeat("x", listing.ReadmeMax-1)+"é<") },
				strings.Repeat("x", listing.ReadmeMax-1)},
			{"quotes", func(at string) { write(t, at+"/README", strings.Repeat("<", listing.ReadmeMax)) },
				strings.Repeat("&lt;", listing.ReadmeMax)},
		}
		for _, c := range cases {
			c.make(root + "/" + c.name)
		}
		opts := testOptions(root)
		opts.Listing = true
		opts.Hide = append(opts.Hide, "README.tx?", "!.")
		l := serve(t, opts, walks)
		for _, c := range cases {
			r := l.get("/" + c.name + "/")
			r.wantStatus(t, 200)
			_, text, found := strings.Cut(r.body, "<pre>\n")
			text, _, _ = strings.Cut(text, "</pre>")
			if found != (c.want != "") || strings.TrimSuffix(text, "\n") != strings.TrimSuffix(c.want, "\n") {
				t.Errorf("%s: %.200q, want %.200q", c.name, text, c.want)
			}
			if strings.Contains(r.body, "secret") || strings.Contains(r.body,
				"The beginning of") != (c.name == "large") {
				t.Errorf("%s: %.3000s", c.name, r.body)
			}
			if _, text, _ := strings.Cut(l.get("/"+c.name+"/?format=json").body, "["); strings.Contains(text,
				"linked") {
				t.Errorf("%s: the README is in the JSON", c.name)
			}
		}
	})
}

// TestListingCrumbs: each directory above is linked, relative to where the page is.
func TestListingCrumbs(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/a:b/<i>/c d/x", "x")
	deep := strings.Repeat("/d", 30)
	write(t, dir+deep+"/x", "x")
	l := listed(t, dir)
	crumbs := func(at string) (paths []string) {
		_, nav, _ := strings.Cut(l.get(at).body, "<nav class=\"p\"")
		nav, _, _ = strings.Cut(nav, "</nav>")
		base, err := url.Parse("http://a" + at)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`<li><a href="([^"]*)">([^<>]*)</a></li>`).FindAllStringSubmatch(nav, -1) {
			ref, err := base.Parse(m[1])
			if err != nil {
				t.Fatal(err)
			}
			paths = append(paths, ref.Path+" "+html.UnescapeString(m[2]))
		}
		return paths
	}
	if got, want := crumbs("/a:b/%3Ci%3E/c%20d/"), []string{"/ Home", "/a:b/ a:b", "/a:b/<i>/ <i>"}; !slices.Equal(got,
		want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got := crumbs("/"); len(got) != 0 {
		t.Errorf("the root: %q", got)
	}
	if got := crumbs(deep + "/"); len(got) != 16-1 || got[len(got)-1] != deep[2:]+"/ d" {
		t.Errorf("30 deep: %q", got)
	}
}

// TestListingAnswersAlike: an equal view is rendered once while it is fresh, and no view answers for another.
func TestListingAnswersAlike(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/x", "x")
	write(t, dir+"/index/index.html", "index")
	l := listed(t, dir)
	bodies := make(map[string]string)
	queries := []string{"", "?sort=name&order=desc", "?sort=size", "?sort=size&order=desc", "?sort=time",
		"?format=json", "?format=text", "?format=text&page=1"}
	for range 3 {
		for _, q := range queries {
			r := l.get("/" + q)
			if old, ok := bodies[q]; ok && old != r.body {
				t.Errorf("%s changed", q)
			}
			bodies[q] = r.body
		}
	}
	if l.jobs > len(queries)+2 {
		t.Errorf("%d jobs", l.jobs)
	}
	before := l.jobs
	l.request("GET", "/", "Cache-Control: no-cache\r\n").wantStatus(t, 200)
	if l.jobs == before {
		t.Error("a reload is answered from the cache")
	}
	l.get("/index/?format=json").want(t, 200, "index")
	for _, method := range []string{"POST", "DELETE"} {
		l.request(method, "/", "").wantStatus(t, 405)
	}
}
