package test

import (
	"archive/zip"
	"bytes"
	"fmt"
	"html"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// browserAccept is what a browser sends when somebody follows a link.
const browserAccept = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"

// mirrored is how many files the folders of these tests have: more than a page of a listing.
const mirrored = 1201

var mirrorTime = time.Date(2024, 5, 17, 12, 30, 0, 0, time.UTC)

// mirror makes two folders of the same files, with the same times: what is served, and a copy of it that has one file
// more (extra) and one less (lost).
func mirror(t *testing.T) (root, target string) {
	t.Helper()
	root, target = t.TempDir(), t.TempDir()
	for i := range mirrored {
		name := fmt.Sprintf("file-%04d.bin", i)
		put(t, root, name, "same")
		if i != mirrored-1 {
			put(t, target, name, "same")
		}
	}
	for _, name := range mirrorNames {
		put(t, root, name, "odd")
	}
	put(t, target, "extra", "nobody serves this")
	return root, target
}

// mirrorNames are written in the page, in the link and in the file system in three ways.
var mirrorNames = []string{"a b", "100%", "a+b;c", "it's", "x&y", "ümlaut", "sub/deep/file", "read me.txt"}

func put(t *testing.T, folder, name, content string) {
	t.Helper()
	write(t, folder, name, []byte(content))
	must(t, os.Chtimes(filepath.Join(folder, name), mirrorTime, mirrorTime))
}

// wantMirrored compares the copy with what was served.
func wantMirrored(t *testing.T, root, target string) {
	t.Helper()
	for i := range mirrored {
		if _, err := os.Stat(fmt.Sprintf("%s/file-%04d.bin", target, i)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range mirrorNames {
		if got, err := os.ReadFile(filepath.Join(target, name)); err != nil || string(got) != "odd" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if _, err := os.Stat(target + "/extra"); err == nil {
		t.Error("what nobody serves is still there: the listing was not believed")
	}
}

// TestRcloneSyncs: rclone finds all names in one listing; with fewer it removes the others, and says nothing.
func TestRcloneSyncs(t *testing.T) {
	once(t)
	tool(t, "rclone")
	root, target := mirror(t)
	s := start(t, variants()[0], root, "--listing", "on")
	run(t, "rclone", "--config", filepath.Join(t.TempDir(), "none"), "--http-url", s.url, "--checkers", "16",
		"sync", ":http:", target)
	wantMirrored(t, root, target)
}

// TestLftpMirrors: as rclone; lftp reads sizes and times from the page too.
func TestLftpMirrors(t *testing.T) {
	once(t)
	tool(t, "lftp")
	root, target := mirror(t)
	s := start(t, variants()[0], root, "--listing", "on")
	run(t, "lftp", "--norc", "-c", "set http:proxy ''; set net:max-retries 1; set net:timeout 30; "+
		"mirror --delete --parallel=4 "+s.url+" "+target)
	wantMirrored(t, root, target)
}

// TestPipFindsLinks: pip installs the last wheel of a long folder.
func TestPipFindsLinks(t *testing.T) {
	once(t)
	root, target := t.TempDir(), t.TempDir()
	for i := 1; i < mirrored; i++ {
		write(t, root, fmt.Sprintf("few-1.%04d-py3-none-any.whl", i), nil)
	}
	last := fmt.Sprintf("few-1.%d-py3-none-any.whl", mirrored)
	write(t, root, last, wheel(t, "few", fmt.Sprintf("1.%d", mirrored)))
	if err := testkit.Command(tool(t, "python3"), "-c", "import pip").Run(); err != nil {
		testkit.Skip(t, "Python's pip")
	}
	s := start(t, variants()[0], root, "--listing", "on")
	run(t, "python3", "-m", "pip", "--isolated", "--disable-pip-version-check", "--no-cache-dir", "download",
		"--proxy", "", "--retries", "0", "--no-index", "--no-deps", "--find-links", s.url, "--dest", target, "few")
	if _, err := os.Stat(filepath.Join(target, last)); err != nil {
		t.Error(err)
	}
}

// wheel is a package of Python that is nothing but its name (PEP 427).
func wheel(t *testing.T, name, version string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	info := name + "-" + version + ".dist-info/"
	for file, content := range map[string]string{
		info + "METADATA": "Metadata-Version: 2.1\nName: " + name + "\nVersion: " + version + "\n",
		info + "WHEEL":    "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
		info + "RECORD":   "",
	} {
		w, err := z.Create(file)
		must(t, err)
		_, err = w.Write([]byte(content))
		must(t, err)
	}
	must(t, z.Close())
	return b.Bytes()
}

// TestWgetMirrorsLongFolders: wget -r has what is on the second page of a browser's listing.
func TestWgetMirrorsLongFolders(t *testing.T) {
	once(t)
	root, target := mirror(t)
	must(t, os.RemoveAll(target))
	s := start(t, variants()[0], root, "--listing", "on")
	run(t, "wget", "-q", "-r", "-np", "-nH", "--no-proxy", "--tries=1", "--timeout=30", "--reject-regex", `\?sort=`,
		"-P", target, s.url)
	wantMirrored(t, root, target)
}

// kodiItem is what Kodi takes out of a listing (xbmc/filesystem/HTTPDirectory.cpp of 21.0).
type kodiItem struct {
	name, link, changed string
	folder              bool
	size                float64
}

var (
	kodiAnchor = regexp.MustCompile(`(?i)<a href="([^"]*)"[^>]*>\s*(.*?)\s*</a>(.+?)(?:<a|</tr|$)`)
	kodiTime   = regexp.MustCompile(`([0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2})`)
	kodiSize   = regexp.MustCompile(`> *([0-9.]+) *(B|K|M|G| )(?:iB)?</td>`)
	kodiScale  = map[string]float64{"": 1, " ": 1, "B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
)

// kodi reads a listing as Kodi does: an item is a link whose text, without a slash at its end, is what its
// reference says decoded, or "./" and that for a name with a colon.
func kodi(t *testing.T, page string) map[string]kodiItem {
	t.Helper()
	items := make(map[string]kodiItem)
	for _, m := range kodiAnchor.FindAllStringSubmatch(page, -1) {
		name := strings.TrimSuffix(html.UnescapeString(strings.TrimSpace(m[2])), "/")
		link, _, _ := strings.Cut(html.UnescapeString(strings.TrimPrefix(m[1], "/")), "?")
		link, _, _ = strings.Cut(link, "#")
		decoded, err := url.PathUnescape(strings.TrimSuffix(link, "/"))
		must(t, err)
		if decoded == ".." || decoded == "" || decoded != name && (!strings.Contains(name, ":") ||
			decoded != "./"+name) {
			continue
		}
		item := kodiItem{name: name, link: link, folder: strings.HasSuffix(link, "/"), size: -1}
		if at := kodiTime.FindStringSubmatch(m[3]); at != nil {
			item.changed = at[1]
		}
		if size := kodiSize.FindStringSubmatch(m[3]); size != nil && !item.folder {
			n, err := strconv.ParseFloat(size[1], 64)
			must(t, err)
			item.size = n * kodiScale[strings.ToUpper(size[2])]
		}
		if _, twice := items[name]; twice {
			t.Errorf("%q is listed twice", name)
		}
		items[name] = item
	}
	return items
}

// TestKodiReadsListings: every name of a folder is an item, with its size and time, and nothing else of the page is.
func TestKodiReadsListings(t *testing.T) {
	root := t.TempDir()
	sizes := map[string]int{
		"film.mkv": 3 << 20, "short": 5, "empty": 0, "a b": 1023, "a:b": 1024, "x&y <z>": 10_000, "it's \"q\"": 1,
		"100%": 2, "ümlaut": 3, "plus+semi;": 4, "README": 100 << 10,
	}
	for name, size := range sizes {
		put(t, root, "dir/"+name, strings.Repeat("x", size))
	}
	put(t, root, "dir/sub/x", "x")
	must(t, os.Chtimes(root+"/dir/sub", mirrorTime, mirrorTime))
	s := start(t, variants()[0], root, "--listing", "on")
	got := s.get(t, "/dir/")
	items := kodi(t, string(got.body))
	if len(items) != len(sizes)+1 || !items["sub"].folder {
		t.Errorf("%d items, want %d: %v", len(items), len(sizes)+1, items)
	}
	for name, size := range sizes {
		item, ok := items[name]
		want := float64(size)
		if !ok || item.folder || item.size < want*0.94 || item.size > want*1.06 ||
			item.changed != mirrorTime.Format("2006-01-02 15:04") {
			t.Errorf("%q of %d bytes: %+v", name, size, item)
		}
	}
}

// TestPagesAreForBrowsers: who gets a page of a listing, and who all of it. That Accept decides is said in each answer.
func TestPagesAreForBrowsers(t *testing.T) {
	root := t.TempDir()
	for i := range mirrored {
		write(t, root, fmt.Sprintf("file-%04d", i), nil)
	}
	s := start(t, variants()[0], root, "--listing", "on")
	const all, page, rest = mirrored, 1000, mirrored - 1000
	for _, c := range []struct {
		who, accept, path string
		rows              int
	}{
		{"Chrome", browserAccept + ",application/signed-exchange;v=b3;q=0.7", "/", page},
		{"Firefox, Safari", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "/", page},
		{"a browser that sorts", browserAccept, "/?sort=size&order=desc", page},
		{"a browser's second page", browserAccept, "/?page=2", rest},
		{"rclone: none", "", "/", all},
		{"wget, lftp, curl, Kodi", "*/*", "/", all},
		{"pip until 22.1", "text/html", "/", all},
		{"pip", "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01",
			"/", all},
		{"who has no XHTML", "text/html, application/xhtml+xml;q=0, */*;q=0.1", "/", all},
		{"by page", "*/*", "/?page=1", page},
		{"by page, the second", "", "/?page=2", rest},
	} {
		var fields []string
		if c.accept != "" {
			fields = []string{"Accept: " + c.accept}
		}
		got := s.get(t, c.path, fields...)
		rows := strings.Count(string(got.body), "\n<tr><th scope=\"row\">")
		if got.status != 200 || rows != c.rows || got.header.Get("Vary") != "Accept" {
			t.Errorf("%s: %d, %d rows, want %d; %v", c.who, got.status, rows, c.rows, got.header)
		}
		if pages := strings.Contains(string(got.body), `aria-label="Pages"`); pages != (c.rows != all) {
			t.Errorf("%s: links to pages: %t", c.who, pages)
		}
	}
}
