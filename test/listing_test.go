package test

import (
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// TestListing: a folder without an index is listed if that is on, and its names are text and never markup.
func TestListing(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		root := t.TempDir()
		names := []string{`a"b<script>.txt`, "new\nline", "percent%41", "javascript:alert(1)", "ümlaut", "sub/x",
			".hidden", "a&amp;b"}
		for _, name := range names {
			write(t, root, name, []byte(name))
		}
		off := start(t, v, root, "--listing", "off")
		if got := off.get(t, "/"); got.status != 403 && got.status != 404 ||
			strings.Contains(string(got.body), "percent") {
			t.Errorf("with the listing off: %d %s", got.status, got.body)
		}
		on := start(t, v, root, "--listing", "on")
		got := on.get(t, "/")
		page := string(got.body)
		if got.status != 200 || !strings.HasPrefix(got.header.Get("Content-Type"), "text/html") {
			t.Errorf("status %d, %v", got.status, got.header)
		}
		for _, never := range []string{"<script>.txt", ".hidden", `href="javascript:`, "new\nline"} {
			if strings.Contains(page, never) {
				t.Errorf("%q stands in the page:\n%s", never, page)
			}
		}
		targets := links(t, page)
		for _, name := range names {
			if name == ".hidden" {
				continue
			}
			target, linked := targets["/"+name]
			if name == "sub/x" { // a folder is linked with its slash
				target, linked = "/sub/x", targets["/sub/"] != ""
			}
			if !linked {
				t.Errorf("no link of the page leads to %q: %q", name, targets)
			} else if got := on.get(t, target); got.status != 200 || string(got.body) != name {
				t.Errorf("%s leads to %d %q, not to %q", target, got.status, got.body, name)
			}
		}
	})
}

var href = regexp.MustCompile(`href="([^"]*)"`)

// links returns the links of the page at /: the path to ask for, by the decoded one.
func links(t *testing.T, page string) map[string]string {
	t.Helper()
	found := make(map[string]string)
	base := &url.URL{Scheme: "http", Host: "x", Path: "/"}
	for _, m := range href.FindAllStringSubmatch(page, -1) {
		u, err := base.Parse(html.UnescapeString(m[1]))
		if err != nil {
			t.Errorf("a link that is no reference: %v", err)
		} else if u.Host == "x" {
			found[u.Path] = u.EscapedPath()
		}
	}
	return found
}

// manyNames is a folder of 100,000 files in memory, made once for all models.
var manyNames = sync.OnceValues(func() (string, error) {
	root := testkit.Shared(os.Getenv(testkit.RunEnv))
	if err := os.MkdirAll(root+"/many", 0o755); err != nil {
		return root, err
	}
	for i := range manyFiles {
		f, err := os.Create(fmt.Sprintf("%s/many/file-%06d.txt", root, i))
		if err != nil {
			return root, err
		}
		if err := f.Close(); err != nil {
			return root, err
		}
	}
	return root, os.WriteFile(root+"/small.txt", []byte(hello), 0o644)
})

const manyFiles = 100_000

// TestListingOfManyNames: a folder of 100,000 files is sent to clients who do not read, in bounded
// memory and beside others on the same loop; those who read get it whole.
func TestListingOfManyNames(t *testing.T) {
	testkit.Device(t, "/dev/shm")
	root, err := manyNames()
	t.Cleanup(func() {
		os.RemoveAll(root)
		manyNames = func() (string, error) { return "", errors.New("removed") }
	})
	must(t, err)
	eachVariant(t, func(t *testing.T, v variant) {
		s := start(t, v, root, "--listing", "on", "--loops", "1")
		s.get(t, "/small.txt")
		idle, _ := s.descriptors(t)
		// Each answer is 11 MB, more than the sockets take of it.
		var slow []*wire
		clients := 40
		if testkit.Race || v != variants()[0] {
			clients = 8 // as many ways to ask, in a fifth of the time
		}
		for i := range clients {
			c := s.dial(t)
			must(t, c.SetReadBuffer(64<<10))
			path := fmt.Sprintf("/many/?format=json&sort=%s&order=%s", []string{"name", "size", "time"}[i%3],
				[]string{"asc", "desc"}[i%2])
			_, err := io.WriteString(c, request(path, "Connection: close"))
			must(t, err)
			w := newWire(c)
			if _, err := w.in.Peek(1000); err != nil {
				t.Fatalf("client %d: %v", i, err)
			}
			slow = append(slow, w)
		}
		if got := s.get(t, "/small.txt"); got.status != 200 || string(got.body) != hello {
			t.Errorf("beside slow clients: %d %q", got.status, got.body)
		}
		page := s.get(t, "/many/?page=100&sort=name&order=desc")
		if targets := links(t, string(page.body)); page.status != 200 || targets["/file-000000.txt"] == "" ||
			targets["/file-000999.txt"] == "" || targets["/file-001000.txt"] != "" {
			t.Errorf("the last page: %d, %d links", page.status, len(targets))
		}
		if peak, ok := s.peakMemory(t); ok && !testkit.Race && peak > 256<<20 {
			t.Errorf("the server took %d MiB; whole answers to all would be 440", peak>>20)
		}
		for _, w := range slow[:2] {
			must(t, w.conn.SetDeadline(deadline())) // the dial's is as old as all that was asked since
			got, err := w.next("GET")
			var rows []struct{ Name string }
			if err == nil {
				err = json.Unmarshal(got.body, &rows)
			}
			if err != nil || len(rows) != manyFiles {
				t.Errorf("%d rows, %v", len(rows), err)
			}
		}
		for _, w := range slow {
			w.conn.Close()
		}
		s.waitDescriptors(t, idle+2)
		if got := s.get(t, "/many/?format=text"); strings.Count(string(got.body), "\n") != manyFiles {
			t.Errorf("after all: %d of %d bytes", got.status, len(got.body))
		}
	})
}

// peakMemory is the most memory the server has had resident, in bytes.
func (s *server) peakMemory(t *testing.T) (bytes int64, ok bool) {
	t.Helper()
	if runtime.GOOS != "linux" {
		return 0, false
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	must(t, err)
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	if m == nil {
		t.Fatalf("no VmHWM in %s", status)
	}
	n, err := strconv.ParseInt(string(m[1]), 10, 64)
	must(t, err)
	return n << 10, true
}

// TestListingParsedByPython: the scripts of those who used python3 -m http.server find every file by its href.
func TestListingParsedByPython(t *testing.T) {
	const script = `
import html.parser, json, sys, urllib.parse, urllib.request
class Links(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.found, self.open, self.tables = [], [], 0
    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "a":
            self.found.append(attrs["href"])
        self.tables += tag == "table"
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)
    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag
base = sys.argv[1]
names = json.loads(sys.argv[2])
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
page = Links()
page.feed(opener.open(base, timeout=30).read().decode("utf-8"))
page.close()
assert page.tables == 1 and not page.open, page.open
for name in names:
    quoted = urllib.parse.quote(name)
    hits = [h for h in page.found if urllib.parse.unquote(h) in (name, "./" + name)]
    assert len(hits) == 1, (name, page.found)
    if not name.endswith("/"):
        body = opener.open(urllib.parse.urljoin(base, hits[0]), timeout=30).read().decode("utf-8")
        assert body == name, (name, body)
    if ":" not in name and quoted.isascii() and "%" not in quoted:
        assert name in page.found, (name, page.found)
print(len(page.found))
`
	names := []string{"plain.txt", "a b", "a:b", "what?", "#1", "50%", "%41", "<b>bold</b>"[:7], `"q"`, "it's",
		"a&amp;b", "new\nline", "ünï", "dir/"}
	eachVariant(t, func(t *testing.T, v variant) {
		root := t.TempDir()
		for _, name := range names {
			if folder, ok := strings.CutSuffix(name, "/"); ok {
				write(t, root, folder+"/x", nil)
			} else {
				write(t, root, name, []byte(name))
			}
		}
		s := start(t, v, root, "--listing", "on")
		list, err := json.Marshal(names)
		must(t, err)
		if got, want := string(run(t, "python3", "-c", script, s.url, string(list))),
			fmt.Sprintln(len(names)+3); got != want {
			t.Errorf("%q links, want %q: the files and three columns", got, want)
		}
	})
}

// TestWgetMirrors: wget -r fetches a tree by its listings.
func TestWgetMirrors(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		root, target := t.TempDir(), t.TempDir()
		files := []string{"a.txt", "b c.txt", "x/y:z/deep.txt", "x/100%.txt", "x/README.md", "q?.txt"}
		for _, name := range files {
			write(t, root, name, []byte(name))
		}
		s := start(t, v, root, "--listing", "on")
		run(t, "wget", "-q", "-r", "-np", "-nH", "--no-proxy", "--tries=1", "--timeout=30", "-P", target, s.url)
		for _, name := range files {
			if got, err := os.ReadFile(filepath.Join(target, name)); err != nil || string(got) != name {
				t.Errorf("%s: %q, %v", name, got, err)
			}
		}
	})
}
