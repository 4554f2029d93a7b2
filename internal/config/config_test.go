package config

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/evhttpd/evhttpd/internal/accesslog"
	"github.com/evhttpd/evhttpd/internal/guard"
	"github.com/evhttpd/evhttpd/internal/site"
	"github.com/evhttpd/evhttpd/internal/static"
)

// equal compares configurations; no list is like an empty one.
var equal = cmp.Options{cmpopts.EquateComparable(netip.Prefix{}), cmpopts.EquateEmpty()}

// write puts a configuration file into a folder of its own, beside a folder www and a file of passwords, secret, and
// returns its name. The working directory is that folder, so that errors have short names.
func write(t *testing.T, text string) string {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := os.Mkdir("www", 0o700); err != nil {
		t.Fatal(err)
	}
	const users = "alice:$2a$04$BE.YA9GXVbZ3Ln/HiBi4L.Rv1BRMQOGppHTf91nQk/b1NUNnfeRcu\n"
	for name, content := range map[string]string{"f.yaml": text, "secret": users} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return "f.yaml"
}

// sources are those of a file and arguments of the form name=value.
func sources(file string, flags ...string) *Sources {
	s := &Sources{Flags: make(map[string][]string)}
	if file != "" {
		s.Flags["config"] = []string{file}
	}
	for _, f := range flags {
		name, value, _ := strings.Cut(f, "=")
		s.Flags[name] = append(s.Flags[name], value)
	}
	return s
}

// TestDocumentedIsDefault: the file that is printed as the defaults is read as them, and says every key.
func TestDocumentedIsDefault(t *testing.T) {
	p := &problems{bad: make(map[string]bool)}
	r := &reader{problems: p, file: "evhttpd.yaml", origins: make(origins)}
	var got Config
	r.read([]byte(Documented), &got)
	if err := p.err(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Default(), got, equal); diff != "" {
		t.Errorf("not the defaults (-want +got):\n%s", diff)
	}
	visit("", reflect.ValueOf(got), func(path string, _ reflect.Value) {
		if _, said := r.origins[path]; !said {
			t.Errorf("%s is not in it", path)
		}
	})
	// The keys of what is empty by default stand in comments.
	for path := range kinds {
		name := path[strings.LastIndexByte(path, '.')+1:]
		if !strings.Contains(Documented, name+":") && !strings.Contains(Documented, name+",") {
			t.Errorf("%s is not explained", path)
		}
	}
}

// TestDefaultsFromNothing: without a file, flags and variables the defaults hold, with the listing, as whoever runs
// it in a folder wants.
func TestDefaultsFromNothing(t *testing.T) {
	got, err := sources("").Load()
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Sites[0].Listing = true
	if diff := cmp.Diff(&want, got, equal); diff != "" {
		t.Error(diff)
	}
	s := sources(write(t, "loops: auto\n"))
	s.Root = new("www")
	if got, err = s.Load(); err != nil || got.Sites[0].Listing {
		t.Errorf("with a file: %v, and the listing is on", err)
	}
}

// TestEveryFieldHasAKind: a field without a row would be read as a section.
func TestEveryFieldHasAKind(t *testing.T) {
	var found []string
	var walk func(path string, of reflect.Type)
	walk = func(path string, of reflect.Type) {
		for i, key := range keysOf(of) {
			each, inner := join(path, key), of.Field(i).Type
			if k, ok := kinds[each]; ok {
				found = append(found, each)
				if (inner.Kind() == reflect.Map) != (k.key != nil) {
					t.Errorf("%s: a map has a kind of key, nothing else has", each)
				}
				continue
			}
			if inner.Kind() == reflect.Slice {
				each, inner = each+"[]", inner.Elem()
			}
			if inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			if inner.Kind() != reflect.Struct || key == "" {
				t.Errorf("%s has no row in kinds", each)
				continue
			}
			walk(each, inner)
		}
	}
	walk("", reflect.TypeFor[Config]())
	for path := range kinds {
		if !slices.Contains(found, path) {
			t.Errorf("the row %s of kinds is no field", path)
		}
	}
	for _, path := range required {
		if !slices.Contains(found, path) && elements[path] == nil && elements[path+"[]"] == nil {
			t.Errorf("the required %s is no key", path)
		}
	}
	for _, f := range Flags() {
		if !slices.Contains(found, row(f.Key)) {
			t.Errorf("--%s is for %s, which is no key", f.Name, f.Key)
		}
		if f.Name == "port" || f.Name == "host" || strings.HasPrefix(f.Name, "service-") {
			t.Errorf("Kubernetes sets the variable of a flag --%s", f.Name)
		}
	}
}

// whole says something of every key.
const whole = `
listen: [127.0.0.1:80, 8081, "[::1]:82", example.org:83, "unix:run/s.sock", systemd:web]
backlog: 128
defer_accept: false
unix_mode: 0600
server_header: ""
io_model: poll
trigger: level
loops: 3
accept: shared
threads: 10
workers: 4
turn: {requests: 0, bytes: 1MiB}
limits:
  connections: 1000
  requests_per_connection: 7
  request_line: 4096
  head: 16 KiB
  fields: 50
  body: 0
  output: 64KiB
timeouts:
  first_byte: 1s
  head: 2s
  body: 3s
  send: 1m30s
  keep_alive: 0
  deferred: 500ms
  connection: 24h
  drain_delay: 5s
  drain: 0s
cache: {memory: 1GiB, file: 0, descriptors: 10, valid: 0s}
log: {output: logs/events, level: debug, format: json}
access_log:
  output: syslog:unix:log
  format: json
admin: {listen: ["127.0.0.1:9180"], pprof: true}
sites:
  - root: www
    index: [a.html, b.html]
    listing: true
    hide: []
`

// TestEveryKey: what each key says is what is in the struct, and paths begin at the file's folder.
func TestEveryKey(t *testing.T) {
	write(t, whole)
	folder, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(os.TempDir())
	got, err := sources(filepath.Join(folder, "f.yaml")).Load()
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		Listen: []Address{{Host: "127.0.0.1", Port: 80}, {Port: 8081}, {Host: "::1", Port: 82},
			{Host: "example.org", Port: 83},
			{Unix: folder + "/run/s.sock"}, {Systemd: "web"}},
		Backlog: 128, UnixMode: 0o600, IOModel: "poll", Trigger: "level", Loops: 3, Accept: "shared", Threads: 10,
		Workers: 4,
		Turn:    Turn{Bytes: MiB},
		Limits: Limits{Connections: 1000, RequestsPerConnection: 7, RequestLine: 4096, Head: 16 * KiB, Fields: 50,
			Ranges: 256, Output: 64 * KiB},
		Timeouts: Timeouts{FirstByte: time.Second, Head: 2 * time.Second, Body: 3 * time.Second, Send: 90 * time.Second,
			Deferred: 500 * time.Millisecond, Connection: 24 * time.Hour, DrainDelay: 5 * time.Second},
		Cache:     Cache{Memory: GiB, Descriptors: 10},
		Log:       Log{Output: folder + "/logs/events", Level: "debug", Format: "json"},
		AccessLog: AccessLog{Output: "syslog:unix:" + folder + "/log", Format: accesslog.JSON},
		Admin:     Admin{Listen: []Address{{Host: "127.0.0.1", Port: 9180}}, Pprof: true},
		Sites: []site.Site{{Hosts: []string{"*"}, Root: folder + "/www", Index: []string{"a.html", "b.html"},
			Listing: true, Hide: []string{},
			Precompressed: []string{"br", "zst", "gz"}}},
	}
	if diff := cmp.Diff(&want, got, equal); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestKeysOfSites: the keys of sites, clients and proxies are read whole.
func TestKeysOfSites(t *testing.T) {
	got, err := sources(write(t, `
proxy_protocol: [10.0.0.0/8, 192.0.2.7]
trusted_proxies: ["2001:db8::/32"]
limits: {connections_per_client: 5, requests_per_client: 50/s burst 100, ranges: 3}
sites:
  - hosts: [Example.ORG, "*.example.org", "[2001:DB8::1]"]
    root: www
    symlinks: follow
    etag: content
    types: {.wasm: application/wasm, .txt: text/plain; charset=utf-8}
    precompressed: []
    compress: [zstd, gzip]
    try_files: [$path, $path.html, /x]
    fallback: /index.html
    error_pages: {404: /404.html, 503: /busy.html}
    redirects:
      - {from: /old/**, to: /new/$1}
      - {from: /a/*/b, to: "https://example.com/$1", status: 308}
    paths:
      - match: /private/**
        auth: {realm: Staff, htpasswd: secret}
        allow: [10.0.0.0/8]
        deny: [10.1.0.0/16]
        listing: false
        hide: []
      - match: /**
        headers: {X-A: "1", X-Content-Type-Options: ""}
        etag: off
        symlinks: deny
        cors: {origins: [https://example.org], headers: [X-B], credentials: true}
  - root: www
`)).Load()
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	network := netip.MustParsePrefix
	want.ProxyProtocol = []netip.Prefix{network("10.0.0.0/8"), network("192.0.2.7/32")}
	want.TrustedProxies = []netip.Prefix{network("2001:db8::/32")}
	want.Limits.ConnectionsPerClient, want.Limits.Ranges = 5, 3
	want.Limits.RequestsPerClient = guard.Rate{Count: 50, Per: time.Second, Burst: 100}
	off := false
	plain := Default().Sites[0]
	plain.Root = "www"
	want.Sites = []site.Site{{
		Hosts: []string{"example.org", "*.example.org", "[2001:db8::1]"}, Root: "www", Index: plain.Index,
		Hide:  plain.Hide,
		Links: static.LinksFollow, ETag: static.ETagContent,
		Types:    map[string]string{".wasm": "application/wasm", ".txt": "text/plain; charset=utf-8"},
		Compress: []string{"zstd", "gzip"}, TryFiles: []string{"$path", "$path.html", "/x"}, Fallback: "/index.html",
		ErrorPages: map[int]string{404: "/404.html", 503: "/busy.html"},
		Redirects: []site.Redirect{
			{From: "/old/**", To: "/new/$1", Status: 301}, {From: "/a/*/b", To: "https://example.com/$1", Status: 308},
		},
		Rules: []site.Rule{
			{Match: "/private/**", Auth: &guard.Auth{Realm: "Staff", Htpasswd: "secret"},
				Allow: []netip.Prefix{network("10.0.0.0/8")},
				Deny:  []netip.Prefix{network("10.1.0.0/16")}, Listing: &off, Hide: []string{}},
			{Match: "/**", Headers: map[string]string{"X-A": "1", "X-Content-Type-Options": ""},
				ETag: new(static.ETagOff), Links: new(static.LinksDeny),
				CORS: &guard.CORS{Origins: []string{"https://example.org"}, Methods: []string{"GET", "HEAD"},
					Headers:     []string{"X-B"},
					Credentials: true, MaxAge: 10 * time.Minute}},
		},
	}, plain}
	if diff := cmp.Diff(&want, got, equal); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got.Sites[0].Rules[0].Hide == nil || got.Sites[0].Rules[1].Hide != nil {
		t.Error("hide: [] hides nothing, no hide says nothing: they are not told apart")
	}
}

// TestPrecedence: a flag beats its variable, that the file, that the default.
func TestPrecedence(t *testing.T) {
	file := write(t, "io_model: poll\ntrigger: edge\nloops: 2\naccept: shared\n")
	s := sources(file, "io-model=select", "turn-bytes=1KiB")
	s.Root = new("www")
	s.Environ = []string{"EVHTTPD_IO_MODEL=spin", "EVHTTPD_TRIGGER=level", "EVHTTPD_THREADS=9", "EVHTTPD_LOOPS=",
		"EVHTTPD_PORT=tcp://10.0.0.1:80", "EVHTTPD_SERVICE_HOST=10.0.0.1", "EVHTTPD_ROOT=/", "XEVHTTPD_ACCEPT=no"}
	e, err := s.Effective()
	if err != nil {
		t.Fatal(err)
	}
	c := e.Config
	if c.IOModel != "select" || c.Trigger != "level" || c.Loops != 2 || c.Accept != "shared" || c.Threads != 9 ||
		c.Turn.Bytes != KiB {
		t.Errorf("%+v", c)
	}
	for path, want := range map[string]string{
		"io_model": "flag --io-model", "trigger": "variable EVHTTPD_TRIGGER", "loops": "f.yaml:3", "accept": "f.yaml:4",
		"threads": "variable EVHTTPD_THREADS", "turn.bytes": "flag --turn-bytes", "turn.requests": "default",
		"sites[0].root": "ROOT",
	} {
		if got := e.origins.of(path).String(); got != want {
			t.Errorf("%s comes from %q, want %q", path, got, want)
		}
	}
}

// TestConfigVariable: the file can be named by a variable too; a flag beats it.
func TestConfigVariable(t *testing.T) {
	file := write(t, "loops: 5\n")
	s := &Sources{Environ: []string{"EVHTTPD_CONFIG=" + file}, Root: new("www")}
	if c, err := s.Load(); err != nil || c.Loops != 5 || s.File() != file {
		t.Errorf("%+v, %v", c, err)
	}
	s.Flags = map[string][]string{"config": {"none.yaml"}}
	if _, err := s.Load(); err == nil || err.Error() != "none.yaml: cannot be read: no such file or directory" {
		t.Error(err)
	}
	s.Flags["config"] = []string{""}
	if _, err := s.Load(); err == nil || err.Error() != `--config "": want the name of a YAML file` {
		t.Error(err)
	}
}

// TestListFlags: a list may be typed with commas, or in several flags, and hide may be empty.
func TestListFlags(t *testing.T) {
	root := t.TempDir()
	s := sources("", "listen=:1,:2", "listen=unix:s", "hide=")
	s.Root = &root
	c, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	want := []Address{{Port: 1}, {Port: 2}, {Unix: "s"}}
	if !slices.Equal(c.Listen, want) || len(c.Sites[0].Hide) != 0 || c.Sites[0].Root != root {
		t.Errorf("%+v", c)
	}
}

// TestReadAgain: the same sources see what has changed in the file, and Diff says what.
func TestReadAgain(t *testing.T) {
	file := write(t, "loops: 2\nlimits: {head: 16KiB}\nsites: [{root: .}]\n")
	s := sources(file, "accept=shared")
	old, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file,
		[]byte("io_model: poll\nlimits: {head: 64KiB}\nadmin: {listen: [9180]}\nsites: [{root: www}]\n"),
		0o600); err != nil {
		t.Fatal(err)
	}
	changed, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"io_model: auto → poll", "loops: 2 → auto", "limits.head: 16KiB → 64KiB",
		`admin.listen: [] → [":9180"]`, `sites[0].root: "." → www`}
	if got := Diff(old, changed); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got := Diff(changed, changed); got != nil {
		t.Errorf("of the same: %q", got)
	}
	two := *changed
	two.Sites = append(slices.Clone(two.Sites), Default().Sites[0])
	if got := Diff(changed, &two); !slices.Contains(got, `sites[1].root: nothing → "."`) {
		t.Errorf("of another site: %q", got)
	}
	if got := Diff(&two, changed); !slices.Contains(got, `sites[1].root: "." → nothing`) {
		t.Errorf("of one site less: %q", got)
	}
}

// TestEffectiveIsAFile: what is printed can be used, and means the same from any folder.
func TestEffectiveIsAFile(t *testing.T) {
	for name, text := range map[string]string{"defaults": "sites: [{root: .}]\n", "whole": whole,
		"documented": Documented} {
		t.Run(name, func(t *testing.T) {
			e, err := sources(write(t, text), "loops=7").Effective()
			if err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			if n, err := e.WriteTo(&out); err != nil || n != int64(out.Len()) {
				t.Fatal(n, err)
			}
			other := filepath.Join(t.TempDir(), "other.yaml")
			if err := os.WriteFile(other, []byte(out.String()), 0o600); err != nil {
				t.Fatal(err)
			}
			again, err := sources(other).Effective()
			if err != nil {
				t.Fatalf("%v\n%s", err, out.String())
			}
			var twice strings.Builder
			if _, err := again.WriteTo(&twice); err != nil {
				t.Fatal(err)
			}
			if a, b := withoutComments(out.String()), withoutComments(twice.String()); a != b {
				t.Errorf("it is\n%s\nand read again\n%s", a, b)
			}
			if !strings.Contains(out.String(), "# flag --loops\n") {
				t.Error("--loops is not named as an origin")
			}
			for i, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
				if !strings.HasSuffix(line, ":") && !strings.Contains(line, " # ") {
					t.Errorf("line %d does not say where its value comes from: %s", i+1, line)
				}
			}
		})
	}
}

func withoutComments(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		before, _, _ := strings.Cut(line, " # ")
		b.WriteString(strings.TrimSpace(before) + "\n")
	}
	return b.String()
}

// TestManyProblems: nothing is reported twice, and everything is in the order of the file.
func TestManyProblems(t *testing.T) {
	var text strings.Builder
	var want []string
	for i := range 100 {
		fmt.Fprintf(&text, "key%d!: 1\n", i)
		want = append(want, fmt.Sprintf("f.yaml:%d:1: \"key%d!\" is no key here", i+1, i))
	}
	_, err := sources(write(t, text.String())).Load()
	if err == nil {
		t.Fatal("no error")
	}
	if lines := strings.Split(err.Error(), "\n"); !slices.EqualFunc(lines, want, strings.HasPrefix) {
		t.Error(err)
	}
}
