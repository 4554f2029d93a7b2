package test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// outsideText stands in everything that lies outside the root, and in none of its answers.
const outsideText = "outside-the-root"

// leaked reports what must never be in an answer.
func leaked(a answer) bool {
	return bytes.Contains(a.body, []byte(outsideText)) || bytes.Contains(a.body, []byte("root:x:0:0"))
}

// climbs are the ways to write "the directory above" that clients and servers are known to have taken for it, with
// the status of each before "/secret" (RFC 3986 section 6.2.2).
var climbs = map[string]int{
	"..": 400, "%2e%2e": 400, "%2E%2e": 400, ".%2e": 400, "%2e.": 400, "./..": 400, "%2e/%2e%2e": 400,
	"sub/../..": 400, "sub/%2e%2e/%2e%2e": 400, "sub%2f..%2f..": 400, "sub//..//..": 400, "sub/./.././..": 400,
	"..%2f": 400, "..%2F..": 400, "%2f..": 400, "/..": 400, "//..%2f/": 400, "none/../..": 400, "hello.txt/../..": 400,
	// What is decoded once more elsewhere is a name here.
	"%252e%252e": 404, "%25252e%25252e": 404, "..%252f": 404, "%%32%65": 400, "%u002e%u002e": 400, "%u2216": 400,
	"&#46;&#46;": 400,
	// A backslash is a byte of a name.
	`..\`: 404, `..\..`: 404, "..%5c": 404, "..%5C..%5C": 404, `\..`: 404, "%5c..": 404, `sub\..\..`: 404, `C:\`: 404,
	"C:": 404, `\\x\share`: 404,
	// Overlong and other encodings of dot and slash are bytes of a name (RFC 3629 section 10).
	"%c0%ae%c0%ae": 404, "\xc0\xae\xc0\xae": 404, "%c0%2e%c0%2e": 404, "%e0%80%ae%e0%80%ae": 404,
	"%f0%80%80%ae%f0%80%80%ae":       404,
	"%f8%80%80%80%ae%f8%80%80%80%ae": 404, "..%c0%af": 404, "..%e0%80%af": 404, "..%c1%9c": 404,
	"%ef%bc%8e%ef%bc%8e": 404, "%e2%80%a5": 404, "..%ef%bc%8f": 404, "%2b.%2b.": 404,
	// So are more dots, parameters, spaces and what else some cut off (RFC 3986 section 3.3).
	"...": 404, "....": 404, "....//....": 404, "..;": 404, "..;x=y": 404, ";/..": 404, "sub;..": 404,
	"sub;a=b/..;c/..;d": 404, "%2e%2e;": 404,
	"..%20": 404, "%20..": 404, "..%09": 404, "..%0a": 404, "..%0d%0a": 404, ".. .": 400, "..~": 404, "..:$DATA": 404,
	"..%3f": 404, "..%23": 404, "..*": 404, "~": 404, "~root": 404,
	// A NUL ends a name in C.
	"..%00": 400, "%00..": 400, ".%00.": 400, "..%00/": 400, "hello.txt%00/..": 400, "\x00..": 400,
	// Without its slash it is no path, with two it is no host.
	"/x/../..": 400, "/..//..//": 400, "/127.0.0.1/..": 404,
}

// TestTraversalOverTheWire has each climb in origin and in absolute form, in front of what is there.
func TestTraversalOverTheWire(t *testing.T) {
	eachResolver(t, func(t *testing.T, serve func(*testing.T, string, ...string) *server) {
		root := climbable(t)
		serve(t, root, "--listing", "on").climb(t, root)
	})
	// A site whose paths are looked at by rules, tried in several places, and whose links are all followed.
	t.Run("rules", func(t *testing.T) {
		t.Parallel()
		root := climbable(t)
		must(t, os.Remove(filepath.Join(root, "outside")))
		s := serveConfig(t, `access_log: {output: "off"}
sites:
  - root: `+root+`
    listing: true
    symlinks: follow
    try_files: [$path, $path.html, /none/$path]
    error_pages: {403: /hello.txt}
    redirects: [{from: "/moved/**", to: "/$1"}]
    paths: [{match: "/secret", headers: {X-Rule: secret}}, {match: "/sub/**", symlinks: deny}]
`)
		s.climb(t, root)
		for _, rest := range []string{"/example.org/", "%2fexample.org", "%2F%2fexample.org/x", `\example.org`,
			"%5c%5cexample.org", "//example.org/%2e%2e", "https://example.org/",
			"%0d%0aX-Injected:%20yes", "%0aX-Injected: yes", "\xff%ff", "%09/example.org", "a?//example.org",
			"%3f//example.org", "%23", "x:y", "%25"} {
			got, err := s.tryAsk("GET", "/moved/"+rest, "x")
			to, bad := url.Parse(got.header.Get("Location"))
			if err != nil && !strings.Contains(rest, " ") || got.status == 301 && (bad != nil || to.Host != "" ||
				to.Scheme != "" || !strings.HasPrefix(to.Path, "/") || strings.HasPrefix(to.Path, "//")) ||
				got.status != 301 && got.status != 400 || got.header.Get("X-Injected") != "" {
				t.Errorf("a redirect of %q: %d %q, %v", rest, got.status, got.header, err)
			}
		}
	})
}

// climbable is a root beside files that are not to be reached from it.
func climbable(t *testing.T) string {
	t.Helper()
	root := rawSite(t)
	for _, name := range []string{"secret", "secret.html", "site-other/secret", "etc/passwd"} {
		write(t, filepath.Dir(root), name, []byte(outsideText))
	}
	return root
}

// climb asks for each climb, in front of what is there.
func (s *server) climb(t *testing.T, root string) {
	t.Helper()
	targets := map[string]int{
		"/" + strings.Repeat("../", 2000) + "etc/passwd": 400, "/" + strings.Repeat("%2e%2e/", 1000) +
			"etc/passwd": 400,
		"/" + strings.Repeat("sub/../", 1000) + "../secret": 400, filepath.Dir(root) + "/secret": 404,
		"/site-other/secret": 404, "/../site-other/secret": 400,
		"file:///etc/passwd": 400, "http://x" + filepath.Dir(root) + "/secret": 404, "http://../secret": 400,
		"http://x/..?/../": 400,
		"../secret":        400, "secret": 400, "./secret": 400, "/?/../secret": 200, "/?path=../secret": 200,
		"/hello.txt?../../secret": 200,
		"/outside":                404, "/outside/": 404, "/sub/../outside": 404,
	}
	for climb, status := range climbs {
		targets["/"+climb+"/secret"] = status
		if !strings.Contains(climb, ".. .") {
			targets["http://x/"+climb+"/secret"] = status
		}
	}
	for target, status := range targets {
		for _, method := range []string{"GET", "HEAD"} {
			got, err := s.tryAsk(method, target, "x", "X-Original-URL: /../secret", "X-Rewrite-URL: /../secret",
				"Referer: http://x/../secret", "Cookie: a=../secret")
			if err != nil || got.status != status || leaked(got) {
				t.Errorf("%s %.80q: %d %.200q, %v, want %d", method, target, got.status, got.body, err, status)
			}
		}
	}
}

// raced counts the answers of a race by what they were, and says when the names are to be swapped.
type raced struct {
	inside, listed, moved, missing, busy atomic.Int64

	swapped int
	due     chan struct{}
}

// answersASwap is how many answers there are to each exchange of the two names: renaming without a
// pause would make the kernel's own lookups wait for one another.
const answersASwap = 5

// TestLinkSwapped exchanges a folder for a link that leads out of the root, and back, while what is
// beneath that name is asked for 100,000 times: nothing of what is outside is ever served.
func TestLinkSwapped(t *testing.T) {
	requests := 100_000
	if raceServer() {
		requests = 10_000
	}
	const clients, depth = 4, 50
	eachResolver(t, func(t *testing.T, serve func(*testing.T, string, ...string) *server) {
		parent := t.TempDir()
		root := filepath.Join(parent, "root")
		write(t, root, "folder/sub/file", []byte(hello))
		write(t, parent, "outside/sub/file", []byte(outsideText))
		write(t, parent, "outside/sub/"+outsideText, nil)
		must(t, os.Symlink("../outside", filepath.Join(root, "link")))
		must(t, os.Symlink("folder/sub/../sub", filepath.Join(root, "through")))
		s := serve(t, root, "--listing", "on", "--cache-valid", "0s")
		var batch strings.Builder
		files, others := []string{"/folder/sub/file", "/link/sub/file", "/through/file"},
			[]string{"/folder/sub/?format=text", "/link/sub"}
		for i := range depth {
			path := files[i%len(files)]
			if i%10 == 9 {
				path = others[i/10%len(others)]
			}
			batch.WriteString(request(path))
		}
		count := raced{due: make(chan struct{}, 1)}
		var swapper, all sync.WaitGroup
		swapper.Go(func() { count.swap(t, filepath.Join(root, "folder"), filepath.Join(root, "link")) })
		for range clients {
			all.Go(func() {
				if err := s.race(batch.String(), depth, requests/clients/depth, &count); err != nil {
					t.Errorf("%v\n%s", err, s.stderr.String())
				}
			})
		}
		all.Wait()
		close(count.due)
		swapper.Wait()
		if count.inside.Load() == 0 || count.missing.Load() == 0 || count.listed.Load() == 0 ||
			count.moved.Load() == 0 || count.swapped < requests/100 {
			t.Errorf("no race: %+v", &count)
		}
		t.Logf("%d of %d requests found the file, the names were swapped %d times", count.inside.Load(), requests,
			count.swapped)
	})
}

// swap exchanges two names whenever that is due, until due is closed.
func (r *raced) swap(t *testing.T, a, b string) {
	for range r.due {
		if err := unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE); err != nil {
			t.Errorf("rename: %v", err)
			return
		}
		r.swapped++
	}
}

// race sends the batch, of depth requests, so many times on one connection.
func (s *server) race(batch string, depth, times int, count *raced) error {
	c, err := net.DialTimeout("tcp", s.addr, patience)
	if err != nil {
		return err
	}
	defer c.Close()
	w := newWire(c)
	for range times {
		if err := c.SetDeadline(deadline()); err != nil {
			return err
		}
		if _, err := io.WriteString(c, batch); err != nil {
			return err
		}
		for i := range depth {
			got, err := w.next("GET")
			if i%answersASwap == 0 {
				select {
				case count.due <- struct{}{}:
				default: // the last is not done yet
				}
			}
			switch {
			case err != nil:
				return err
			case leaked(got):
				return fmt.Errorf("%d %v %q", got.status, got.header, got.body)
			case got.status == 200 && string(got.body) == hello:
				count.inside.Add(1)
			case got.status == 200 && bytes.HasPrefix(got.body, []byte("file\t")):
				count.listed.Add(1)
			case got.status == 301 && strings.HasSuffix(got.header.Get("Location"), "/sub/"):
				count.moved.Add(1)
			case got.status == 404:
				count.missing.Add(1)
			case got.status == 503 && got.header.Get("Retry-After") != "":
				count.busy.Add(1)
			default:
				return fmt.Errorf("%d %v %q", got.status, got.header, got.body)
			}
		}
	}
	return nil
}

// TestWhatIsNoFile: FIFOs, sockets and devices in the root, by their own names, by links, and in
// place of a file that was served before: 404 at once, and nothing of theirs is opened or listed.
func TestWhatIsNoFile(t *testing.T) {
	eachResolver(t, func(t *testing.T, serve func(*testing.T, string, ...string) *server) {
		root := t.TempDir()
		write(t, root, "file", []byte(hello))
		write(t, root, "large", pattern(300_000, 1))
		must(t, unix.Mkfifo(filepath.Join(root, "fifo"), 0o666))
		must(t, os.Symlink("fifo", filepath.Join(root, "to-fifo")))
		must(t, os.Symlink("/dev/zero", filepath.Join(root, "to-zero")))
		must(t, os.Symlink("/proc/self/fd/0", filepath.Join(root, "to-stdin")))
		// The path of a Unix socket is short, so it is bound from within.
		socket, err := net.Listen("unix", socketName(t, root))
		must(t, err)
		defer socket.Close()
		names := []string{"fifo", "to-fifo", "to-zero", "to-stdin", "socket"}
		for name, device := range map[string]uint64{"zero": unix.Mkdev(1, 5), "full": unix.Mkdev(1, 7),
			"tty": unix.Mkdev(5, 0)} {
			if unix.Mknod(filepath.Join(root, name), unix.S_IFCHR|0o666, int(device)) == nil { // which needs root
				names = append(names, name)
			}
		}
		s := serve(t, root, "--listing", "on")
		s.settle(t, "/file")
		s.settle(t, "/large")
		idle, _ := s.descriptors(t)
		for range 20 {
			for _, name := range names {
				for _, path := range []string{"/" + name, "/" + name + "/", "/" + name + "/x"} {
					if got := s.get(t, path, "Range: bytes=0-9"); got.status != 404 || len(got.body) > 100 {
						t.Errorf("%s: %d %.100q", path, got.status, got.body)
					}
				}
			}
		}
		if page := string(s.get(t, "/?format=text").body); page == "" || strings.Count(page, "\n") != 2 {
			t.Errorf("listed: %q", page)
		}
		for _, name := range []string{"file", "large"} {
			must(t, unix.Mkfifo(filepath.Join(root, ".fifo"), 0o666))
			must(t, os.Rename(filepath.Join(root, ".fifo"), filepath.Join(root, name)))
			eventually(t, func() error {
				if got, err := s.tryGet("/" + name); err != nil || got.status != 404 {
					return fmt.Errorf("%s is a FIFO now: %d, %v", name, got.status, err)
				}
				return nil
			})
		}
		s.waitDescriptors(t, idle)
	})
}

// socketName is a path to root/socket that is short enough for bind(2).
func socketName(t *testing.T, root string) string {
	t.Helper()
	link, err := os.MkdirTemp("", "s")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(link) })
	must(t, os.Symlink(root, filepath.Join(link, "r")))
	return filepath.Join(link, "r", "socket")
}

// TestWholeMachine serves / to nobody but itself: whatever a kernel has there, no request
// hangs, and none gets more than its Content-Length says.
func TestWholeMachine(t *testing.T) {
	for _, etag := range []string{"mtime", "content"} {
		t.Run(etag, func(t *testing.T) {
			t.Parallel()
			s := serveConfig(t, `{access_log: {output: "off"}, sites: [{root: /, listing: true, hide: [], etag: `+etag+
				`}]}`)
			for path, want := range map[string][]int{
				"/dev/zero": {404}, "/dev/null": {404}, "/dev/random": {404}, "/dev/tty": {404}, "/dev/ptmx": {404},
				"/dev/full": {404}, "/dev/stdin": {404},
				// RESOLVE_NO_MAGICLINKS: what these lead to is not what their text says.
				"/proc/self/root/etc/passwd": {404}, "/proc/self/exe": {404}, "/proc/self/fd/0": {404},
				"/proc/self/cwd/": {404}, "/proc/thread-self/root/": {404},
				// Files without a size, some of which wait when they are read.
				"/proc/kmsg": {200, 403, 404}, "/proc/self/environ": {200, 403}, "/proc/self/mem": {200, 403},
				"/proc/self/pagemap": {200, 403},
				"/proc/self/":        {200}, "/dev/": {200}, "/sys/": {200, 404},
				// 4,096 bytes by its size, fewer when it is read.
				"/sys/kernel/uevent_seqnum": {200, 404}, "/proc/sys/kernel/hostname": {200},
			} {
				got, err := s.tryGet(path)
				ok := false
				for _, status := range want {
					ok = ok || got.status == status
				}
				if err != nil || !ok || strings.HasPrefix(path, "/proc/self/e") && len(got.body) > 0 &&
					got.status == 200 {
					t.Errorf("%s: %d %.100q, %v, want %d", path, got.status, got.body, err, want)
				}
			}
		})
	}
}
