package config

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/evhttpd/evhttpd/iomodel"
)

// TestMistakes: what is wrong is said with its place and what would be right, all of it at once. The file's name is
// left out below.
func TestMistakes(t *testing.T) {
	keys := strings.Join(keysOf(reflect.TypeFor[Config]()), ", ")
	const site = "sites:\n  - root: www\n    " // what follows is in line 3 from column 5
	for _, c := range []struct{ name, text, want string }{
		{"unknown key", "listn: [80]", `1:1: "listn" is no key here: did you mean listen?`},
		{"unknown key of a section", "limits:\n  heads: 1", `2:3: "heads" is no key of limits: did you mean head?`},
		{"dashes", "io-model: epoll", `1:1: "io-model" is no key here: did you mean io_model?`},
		{"a key of another section", "keep_alive: 5s",
			`1:1: "keep_alive" is no key here: did you mean timeouts.keep_alive?`},
		{"a key of a site", "root: www", `1:1: "root" is no key here: did you mean sites[].root?`},
		{"nothing near", "turn: {x: 1}", `1:8: "x" is no key of turn: want one of requests, bytes`},
		{"a line in a key", `"a` + `\n` + `b": 1`,
			`1:1: "a\nb" is no key here: want one of ` + keys},
		{"twice", "loops: 1\nbacklog: 9\nloops: 2",
			`3:1: loops is here a second time: it stands in line 1 already, keep one of them`},
		{"twice in a section", "cache: {file: 1, file: 2}",
			`1:18: cache.file is here a second time: it stands in line 1 already, keep one of them`},
		{"a key that is a list", "[a]: 1", `1:4: is no YAML: found an invalid key for this map`},

		{"no YAML", "loops: [1", `1:8: is no YAML: sequence end token ']' not found`},
		{"an address in no quotes", "listen: [[::1]:80]", `1:15: is no YAML: ',' or ']' must be specified`},
		{"tabs", "cache:\n\tfile: 1", "2:1: is no YAML: found character '\t' that cannot start any token"},
		{"no mapping", "evhttpd",
			`1:1: the configuration is the text "evhttpd": want keys and values, of ` + keys},
		{"two documents", "loops: 1\n---\nloops: 2",
			`3:6: a second document begins here: a configuration is one; remove the --- or what follows`},
		{"no UTF-8", "loops: \xff", ` is not UTF-8 text`},
		{"deep", "a: " + strings.Repeat("[", 100),
			`1:36: values are within each other more than 32 deep: nothing here is`},
		{"a tag", "loops: !!int 5", `1:8: loops has the tag !!int: remove it, the key says what it is`},
		{"no anchor", "loops: *n", `1:8: loops is *n, but no value before it is marked &n`},
		{"an anchor of itself", "turn: &t {requests: *t}",
			`1:21: turn.requests is keys and values: want a number from 0 (no limit) to 2147483647`},
		{"a merge of a word", "turn: {<<: 5}",
			`1:12: turn: << takes keys and values from a mapping, not from the number 5`},

		{"a word for a list", "listen: 8080", `1:9: listen is the number 8080: want a list: [8080]`},
		{"text for a list", site + "index: index.html",
			`3:12: sites[0].index is the text "index.html": want a list: [index.html]`},
		{"nothing for a list", site + "hide:", `3:11: sites[0].hide is empty: want a list such as [".*"]`},
		{"an empty list", "listen: []", `1:9: listen is empty: want at least one, such as [":8080"]`},
		{"a list for a word", "loops: [1]", `1:8: loops is a list: want auto or a number from 1 to 1024`},
		{"nothing", "loops:", `1:8: loops is empty: want auto or a number from 1 to 1024`},
		{"a number in quotes", `backlog: "64"`, `1:10: backlog is the text "64": want it without the quotes: 64`},
		{"a number for text", "server_header: 42", `1:16: server_header is the number 42: want text, in quotes: "42"`},
		{"a fraction", "backlog: 1.5", `1:10: backlog "1.5": want a number from 1 to 2147483647`},
		{"a huge number", "backlog: 99999999999999999999",
			`1:10: backlog "99999999999999999999": want a number from 1 to 2147483647`},
		{"on", site + "listing: on", `3:14: sites[0].listing is the text "on": want true or false`},
		{"false", site + "etag: false", `3:11: sites[0].etag is false: want mtime, content, off`},
		{"true for a duration", "timeouts: {head: true}",
			`1:18: timeouts.head is true: want a duration such as 500ms, 30s or 1h, or 0s`},
		{"a word for a section", "limits: none",
			`1:9: limits is the text "none": want keys and values, of connections, connections_per_client, ` +
				`requests_per_client, requests_per_connection, request_line, head, fields, body, ranges, output, ` +
				`buffers`},
		{"a section for a word", "log: {level: {a: b}}",
			`1:14: log.level is keys and values: want debug, info, warn, error`},
		{"sites is no list", "sites: {root: www}",
			`1:8: sites is keys and values: want a list of keys and values, each beginning with "- "`},
		{"no sites", "sites: []", `1:8: sites is empty: want at least one site, or leave the key out`},
		{"a site that is a word", "sites: [www]",
			`1:9: sites[0] is the text "www": want keys and values, of hosts, root, index, listing, hide, ` +
				`symlinks, etag, types, precompressed, compress, try_files, fallback, error_pages, redirects, ` +
				`relative_redirects, paths`},
		{"an empty site", "sites:\n  -",
			`2:5: sites[0] is empty: want keys and values, of hosts, root, index, listing, hide, symlinks, ` +
				`etag, types, precompressed, compress, try_files, fallback, error_pages, redirects, ` +
				`relative_redirects, paths`},
		{"types is no mapping", site + "types: [.a]",
			`3:12: sites[0].types is a list: want keys and values such as {.wasm: application/wasm}`},

		{"no address", "listen: [nowhere]",
			`1:10: listen[0] "nowhere": the port is not a number from 0 to 65535: want host:port, [v6]:port, a ` +
				`port, unix:PATH or systemd:NAME`},
		{"an address twice", "listen: [80, \":80\"]",
			`1:14: listen[1] ":80" is in the list a second time: it is element 0 already, keep one of them`},
		{"a model's trigger", "trigger: sideways", `1:10: trigger "sideways": want auto, edge, level`},
		{"too many loops", "loops: 2000", `1:8: loops "2000": want auto or a number from 1 to 1024`},
		{"mode", "unix_mode: rw", `1:12: unix_mode "rw": want permissions in octal, such as "0660"`},
		{"bits", "trusted_proxies: [10.1.2.3/8]",
			`1:19: trusted_proxies[0] "10.1.2.3/8": the address has bits beyond the 8 of the network: want 10.0.0.0/8`},
		{"no network", "proxy_protocol: [lan]",
			`1:18: proxy_protocol[0] "lan": want a network such as 10.0.0.0/8 or 2001:db8::/32, or an address`},
		{"a size without its i", "cache: {memory: 64MB}",
			`1:17: cache.memory "64MB": want bytes or a whole number of KiB, MiB or GiB, such as 256KiB, or 0 ` +
				`for no limit`},
		{"a size out of bounds", "limits: {head: 0}", `1:16: limits.head "0": want 1KiB to 1MiB`},
		{"no unit", "timeouts: {head: 30}",
			`1:18: timeouts.head "30": want a duration such as 500ms, 30s or 1h, or 0s`},
		{"days", "timeouts: {head: 1d}", `1:18: timeouts.head "1d": want a duration such as 500ms, 30s or 1h, or 0s`},
		{"years", "timeouts: {head: 9999h}", `1:18: timeouts.head "9999h": want at most 8760h`},
		{"negative", "cache: {valid: -1s}", `1:16: cache.valid "-1s": want a duration such as 500ms, 30s or 1h, or 0s`},
		{"rate", "limits: {requests_per_client: 50/d}",
			`1:31: limits.requests_per_client "50/d": want a number per s, m or h and what may come at once, ` +
				`such as "50/s burst 100", or "" for no limit`},
		{"control characters", `server_header: "a\r\nb: c"`,
			`1:16: server_header "a\r\nb: c": want text without control characters, and no space at either end`},
		{"events to -", `log: {output: "-"}`,
			`1:15: log.output "-": want stderr, stdout or a file (a file of that name is ./-)`},
		{"access lines to stdout", "access_log: {output: stdout}",
			`1:22: access_log.output "stdout": want off, - (stdout), a file, syslog:udp://HOST:PORT or ` +
				`syslog:unix:PATH (a file of that name is ./stdout)`},
		{"syslog by TCP", "access_log: {output: \"syslog:tcp://a:1\"}",
			`1:22: access_log.output "syslog:tcp://a:1": want syslog:udp://HOST:514 or syslog:unix:/dev/log`},

		{"an empty file", "",
			` is empty: was it cut off while it was written? "evhttpd config --defaults" prints all that it can say`},
		{"a file of comments", "# sites:\n#  - root: www\n---\n",
			` is empty: was it cut off while it was written? "evhttpd config --defaults" prints all that it can say`},
		{"a file without sites", "loops: 1\n",
			` says nothing of what is to be served: add sites, such as sites: [{root: /srv/www}], or give ROOT ` +
				`on the command line`},
		{"a section without keys", "{}",
			` says nothing of what is to be served: add sites, such as sites: [{root: /srv/www}], or give ROOT ` +
				`on the command line`},
		{"sites that say nothing", "sites:\n",
			`1:8: sites is empty: want a list of keys and values, each beginning with "- "`},
		{"no root", "sites:\n  - listing: true", `2:5: sites[0] has no root: add one, such as root: /srv/www`},
		{"a root that is not there", "sites: [{root: none}]",
			`1:16: sites[0].root "none": there is no such directory to serve`},
		{"a root that is a file", "sites: [{root: f.yaml}]",
			`1:16: sites[0].root "f.yaml": is a file, not a directory; to serve it, give its directory`},
		{"home", "sites: [{root: ~/www}]", `1:16: sites[0].root "~/www": only shells know ~: write the whole path`},
		{"a host with its port", site + "hosts: [example.org:80]",
			`3:13: sites[0].hosts[0] "example.org:80": a host has no port: want example.org`},
		{"no host", site + "hosts: [a b]",
			`3:13: sites[0].hosts[0] "a b": want a host such as example.org, *.example.org, [2001:db8::1], or * ` +
				`for any; other scripts in punycode (xn--...)`},
		{"a host twice", site + "hosts: [a, b]\n  - root: www\n    hosts: [b]",
			`5:13: sites[1].hosts[0] "b": is never reached: sites[0].hosts[1] in line 3 comes first and matches ` +
				`it; put this site before it, or remove one of them`},
		{"two sites for all", "sites:\n  - root: www\n  - root: www",
			`3:5: sites[1].hosts[0] "*": is never reached: the default of sites[0].hosts[0] comes first and ` +
				`matches it; put this site before it, or remove one of them`},
		{"hide a path", site + "hide: [a/b]",
			`3:12: sites[0].hide[0] "a/b": is no pattern for one name: write it like ".*" or "!.well-known"`},
		{"an index in a folder", site + "index: [a/b]",
			`3:13: sites[0].index[0] "a/b": want the name of a file, without a slash`},
		{"a coding twice", site + "compress: [gzip, gzip]",
			`3:22: sites[0].compress[1] "gzip" is in the list a second time: it is element 0 already, keep one ` +
				`of them`},
		{"types", site + "types: {wasm: nothing}",
			`3:13: sites[0].types key "wasm": want a file name's extension, such as .wasm
3:19: sites[0].types[wasm] "nothing": want a media type such as application/wasm`},
		{"error pages", site + "error_pages: {200: /a, 404: b}",
			`3:19: sites[0].error_pages key "200": want a status from 400 to 599
3:33: sites[0].error_pages[404] "b": want a path of the site that begins with /, such as /404.html`},
		{"fallback", site + "fallback: index.html",
			`3:15: sites[0].fallback "index.html": want a path of the site that begins with /, such as ` +
				`/index.html, or "" for none`},
		{"try_files", site + "try_files: [$uri]",
			`3:17: sites[0].try_files[0] "$uri": want $path, $path with an ending such as $path.html, or a path ` +
				`of the site that begins with /`},
		{"a redirect without its goal", site + "redirects: [{from: /a}]",
			`3:18: sites[0].redirects[0] has no to: add one, such as to: /new/$1`},
		{"a redirect in a circle", site + "redirects: [{from: /a, to: /a}]",
			`3:32: sites[0].redirects[0].to "/a": is where it comes from: a client would go around in circles`},
		{"a wildcard that is not there", site + "redirects: [{from: /a/*, to: /$2}]",
			`3:34: sites[0].redirects[0].to "/$2": there is no $2: sites[0].redirects[0].from in line 3 has 1 ` +
				`wildcards, counted from $1`},
		{"a redirect's status", site + "redirects: [{from: /a, to: /b, status: 200}]",
			`3:44: sites[0].redirects[0].status "200": want one of 301, 302, 303, 307, 308`},
		{"a rule without a pattern", site + "paths: [{listing: true}]",
			`3:14: sites[0].paths[0] has no match: add one, such as match: /assets/**`},
		{"a rule of nothing", site + "paths: [{match: /a}]",
			`3:21: sites[0].paths[0].match "/a": nothing is said of these paths: add headers, listing, allow or ` +
				`another key`},
		{"an encoded pattern", site + "paths: [{match: /%70rivate/**, listing: true}]",
			`3:21: sites[0].paths[0].match "/%70rivate/**": is not how a path is spelled when it is matched, ` +
				`which is decoded, without //, . and ..: write it as "/private/**"`},
		{"a pattern with two slashes", site + "paths: [{match: /a//**, listing: true}]",
			`3:21: sites[0].paths[0].match "/a//**": is not how a path is spelled when it is matched, which is ` +
				`decoded, without //, . and ..: write it as "/a/**"`},
		{"a redirect from dots", site + "redirects: [{from: /a/../b/., to: /c}]",
			`3:24: sites[0].redirects[0].from "/a/../b/.": is not how a path is spelled when it is matched, ` +
				`which is decoded, without //, . and ..: write it as "/b/"`},
		{"a field of the server's own", site + "paths: [{match: /a, headers: {date: x}}]",
			`3:35: sites[0].paths[0].headers key "date": is a field that the server makes itself: leave it out`},
		{"a field twice", site + "paths: [{match: /a, headers: {X-a: x, x-A: y}}]",
			`3:43: sites[0].paths[0].headers[x-A] "x-A": is the same field as "X-a": keep one of them`},
		{"nobody allowed", site + "paths: [{match: /a, allow: []}]",
			`3:32: sites[0].paths[0].allow is empty: want at least one, such as [10.0.0.0/8]`},
		{"allowed and denied", site + "paths: [{match: /a, allow: [10.0.0.1], deny: [10.0.0.1/32]}]",
			`3:51: sites[0].paths[0].deny[0] "10.0.0.1/32": is allowed too (sites[0].paths[0].allow in line 3): ` +
				`remove one of them`},
		{"auth without a file", site + "paths: [{match: /a, auth: {realm: x}}]",
			`3:32: sites[0].paths[0].auth has no htpasswd: add one, such as htpasswd: /etc/evhttpd/htpasswd`},
		{"credentials for all", site + "paths: [{match: /a, cors: {origins: [\"*\"], credentials: true}}]",
			`3:61: sites[0].paths[0].cors.credentials true: not with the origin *, which browsers refuse ` +
				`together (Fetch, section 3.3.5): name the origins`},
		{"an origin with a path", site + "paths: [{match: /a, cors: {origins: [\"https://a/b\"]}}]",
			`3:42: sites[0].paths[0].cors.origins[0] "https://a/b": want an origin such as https://example.org, ` +
				`without a path and in punycode, or *`},
		{"an origin in another script", site +
			"paths: [{match: /a, cors: {origins: [\"https://bücher.example\"]}}]",
			`3:42: sites[0].paths[0].cors.origins[0] "https://bücher.example": want an origin such as ` +
				`https://example.org, without a path and in punycode, or *`},
		{"any field with credentials", site +
			"paths: [{match: /a, cors: {origins: [\"https://a\"], credentials: true, headers: [\"*\"]}}]",
			`3:85: sites[0].paths[0].cors.headers[0] "*": is no wildcard with credentials (Fetch, section ` +
				`3.3.5): name the fields`},

		{"a line longer than a head", "limits: {request_line: 64KiB}",
			`1:24: limits.request_line "64KiB": is more than the whole that it is a part of: want at most 32KiB ` +
				`(the default of limits.head)`},
		{"a head shorter than a line", "limits:\n  head: 4KiB",
			`2:9: limits.head "4KiB": is less than its part limits.request_line: want at least 8KiB, or set that too`},
		{"a file larger than its cache", "cache: {memory: 1MiB, file: 2MiB}",
			`1:29: cache.file "2MiB": is more than the whole that it is a part of: want at most 1MiB ` +
				`(cache.memory in line 1)`},
		{"one address for all", "listen: [80]\nadmin: {listen: [80]}",
			`2:18: admin.listen[0] ":80": clients are served there (listen[0] in line 1): want an address of its own`},
		{"one file for all", "log: {output: l}\naccess_log: {output: ./l}",
			`1:15: log.output "l": access lines are written there (access_log.output in line 2): want a file of ` +
				`its own`},

		{"all at once", "loops: 0\nlistn: 1\nsites:\n  - root: none\n    etag: x\n    hide: [/]",
			`1:8: loops "0": want auto or a number from 1 to 1024
2:1: "listn" is no key here: did you mean listen?
4:11: sites[0].root "none": there is no such directory to serve
5:11: sites[0].etag "x": want mtime, content, off
6:12: sites[0].hide[0] "/": is no pattern for one name: write it like ".*" or "!.well-known"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := sources(write(t, c.text)).Load()
			if err == nil {
				t.Fatalf("%q is taken", c.text)
			}
			want := "f.yaml:" + strings.ReplaceAll(c.want, "\n", "\nf.yaml:")
			if err.Error() != want {
				t.Errorf("%s\ngot  %s\nwant %s", c.text, err, want)
			}
			if wrong := (*Error)(nil); !errors.As(err, &wrong) || len(wrong.Problems) != strings.Count(want, "\n")+1 {
				t.Errorf("%T", err)
			}
		})
	}
}

// TestFlagMistakes: the flags and variables, and what they contradict.
func TestFlagMistakes(t *testing.T) {
	file := write(t, "loops: 0\n\nsites:\n  - root: www\n")
	s := sources(file, "listing=on", "hide=x", "threads=9000", "turn-bytes=1K")
	s.Environ = []string{"EVHTTPD_BACKLOG=0", "EVHTTPD_LISTEN=:x,:80,80", "EVHTTPD_LISTING=off"}
	s.Root = new(string)
	*s.Root = "www"
	_, err := s.Load()
	const want = `f.yaml:1:8: loops "0": want auto or a number from 1 to 1024
EVHTTPD_LISTEN ":x": the port is not a number from 0 to 65535: want host:port, [v6]:port, a port, ` +
		`unix:PATH or systemd:NAME
EVHTTPD_LISTEN "80": is there a second time: once is enough
--threads "9000": want a number from 1 to 8192
EVHTTPD_LISTING "off": f.yaml has sites in line 3: say it there, or leave sites out
--listing "on": f.yaml has sites in line 3: say it there, or leave sites out
--hide "x": f.yaml has sites in line 3: say it there, or leave sites out
--turn-bytes "1K": want bytes or a whole number of KiB, MiB or GiB, such as 256KiB, or 0 for no limit
ROOT "www": f.yaml has sites in line 3: say root there, or leave sites out`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

// TestRootMistakes: a ROOT that cannot be served.
func TestRootMistakes(t *testing.T) {
	write(t, "")
	for root, want := range map[string]string{
		"":       `ROOT is empty: give the directory to serve, . for the current one`,
		"none":   `ROOT "none": there is no such directory; did you mean "evhttpd bench"?`,
		"./none": `ROOT "./none": there is no such directory to serve`,
		"f.yaml": `ROOT "f.yaml": is a file, not a directory; to serve it, give its directory`,
	} {
		s := &Sources{Root: &root, Subcommand: func(string) string { return "bench" }}
		if _, err := s.Load(); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

// TestModelMistakes: iomodel says what its models cannot do, with the model's place.
func TestModelMistakes(t *testing.T) {
	_, reason := iomodel.Resolve("select", "edge")
	_, err := sources(write(t, "trigger: edge\nio_model: select\nsites: [{root: www}]\n")).Load()
	if reason == nil || err == nil || err.Error() != "f.yaml:2:11: io_model "+reason.Error() {
		t.Error(err)
	}
}

// TestHtpasswdMistakes: guard says what is wrong in them, with the place that names the file.
func TestHtpasswdMistakes(t *testing.T) {
	const rule = "  - {root: www, hosts: [%s], paths: [{match: /**, auth: {realm: x, htpasswd: %s}}]}\n"
	s := sources(write(t, "sites:\n"+fmt.Sprintf(rule, "a", "secret")+fmt.Sprintf(rule, "b", "p")))
	if err := os.WriteFile("p", []byte("# staff\n\nbob"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load(); err == nil ||
		!strings.HasPrefix(err.Error(), `f.yaml:3:77: sites[1].paths[0].auth.htpasswd "p": line 3: has no colon`) {
		t.Error(err)
	}
}

// TestUnreadable: the file itself.
func TestUnreadable(t *testing.T) {
	write(t, "")
	if err := os.WriteFile("large", make([]byte, fileMax+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		"none":  "none: cannot be read: no such file or directory",
		"www":   "www: cannot be read: is a directory",
		"large": "large: is larger than 1MiB: is it a configuration?",
	} {
		if _, err := sources(file).Load(); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

// TestMerge: anchors, aliases and << are YAML's way to say a thing once.
func TestMerge(t *testing.T) {
	got, err := sources(write(t,
		"limits: &l {head: 16KiB, fields: 7}\nturn: {<<: {requests: 1, bytes: 2}, requests: &n 3}\nthreads: "+
			"*n\nsites: [{root: www}]\n")).Load()
	if err != nil || got.Turn != (Turn{3, 2}) || got.Threads != 3 {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestAliasBomb: a short file cannot make a long configuration.
func TestAliasBomb(t *testing.T) {
	text := "sites:\n  - &s\n    root: www\n    hide: [" + strings.Repeat("x, ", 1000) + "]\n" +
		strings.Repeat("  - *s\n", 1000)
	_, err := sources(write(t, text)).Load()
	if err == nil || !strings.Contains(err.Error(), "more than 200000 values: are there aliases of aliases?") {
		t.Errorf("%.200s", err)
	}
}

// FuzzLoad: nothing panics or hangs, and what is taken is written as a file that means the same.
func FuzzLoad(f *testing.F) {
	f.Add(Documented)
	f.Add(whole)
	f.Add("sites:\n  - &s {root: www, paths: [{match: /a, headers: {X: y}}]}\n  - *s\n")
	f.Add("limits: {<<: [{head: 1KiB}], requests_per_client: 5/m}\n? [a]\n: |\n  x\n")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 4*KiB {
			return // the parser's time grows with the square
		}
		load := func(text string) (*Effective, error) {
			e := &Effective{Config: Default(), origins: make(origins)}
			e.Config.Sites[0].Root = "/x" // whole, as what is written
			p := &problems{bad: make(map[string]bool)}
			r := &reader{problems: p, file: "f.yaml", origins: e.origins, move: relativeTo("/x")}
			r.read([]byte(text), &e.Config)
			c := &checker{e, p}
			c.sizes()
			c.addresses()
			c.logs()
			c.hosts()
			for i := range e.Config.Sites {
				c.site(fmt.Sprintf("sites[%d]", i), &e.Config.Sites[i])
			}
			return e, p.err()
		}
		e, err := load(text)
		if err != nil {
			for line := range strings.SplitSeq(err.Error(), "\n") {
				if !strings.HasPrefix(line, "f.yaml:") {
					t.Errorf("a line without its place: %q of %q", line, text)
				}
			}
			return
		}
		var out strings.Builder
		if _, err := e.WriteTo(&out); err != nil {
			t.Fatal(err)
		}
		again, err := load(out.String())
		if err != nil {
			t.Fatalf("%q was taken and became\n%s\n%v", text, out.String(), err)
		}
		if diff := Diff(&e.Config, &again.Config); len(diff) > 0 {
			t.Errorf("%q became %q", text, diff)
		}
	})
}
