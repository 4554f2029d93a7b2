package test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"testing"
)

// TestFolderRedirectFollowed: a folder without its slash, asked for by programs that take Location for a URL or a
// path and for nothing else; with curl and wget, which do.
func TestFolderRedirectFollowed(t *testing.T) {
	once(t)
	root, folder := t.TempDir(), t.TempDir()
	write(t, root, "a b/docs/index.html", []byte(hello))
	s := start(t, defaultVariant(), root)
	from := s.url + "a%20b/docs"
	target := filepath.Join(folder, "axel")
	for _, c := range [][]string{
		{"busybox", "wget", "-q", "-O", "-", from},
		{"lftp", "-c", "set net:max-retries 1; set net:timeout 20; cat " + from},
		{"axel", "-q", "-n", "1", "-o", target, from},
		{"perl", "-MHTTP::Tiny", "-e",
			`my $r = HTTP::Tiny->new(proxy => undef)->get(shift); print $r->{content}; exit !$r->{success}`, from},
		{"curl", "-s", "-S", "-L", "--noproxy", "*", from},
		{"wget", "-q", "--no-proxy", "-O", "-", from},
	} {
		t.Run(c[0], func(t *testing.T) {
			tool(t, c[0])
			got := run(t, "env", append([]string{"-u", "http_proxy"}, c...)...)
			if c[0] == "axel" {
				file, err := os.ReadFile(target)
				must(t, err)
				got = file
			}
			if string(got) != hello {
				t.Errorf("%q", got)
			}
		})
	}
}

// TestRelativeRedirects: behind a proxy that takes a prefix away a redirect keeps it only if it is relative.
func TestRelativeRedirects(t *testing.T) {
	root := t.TempDir()
	write(t, root, "sub/docs/index.html", []byte(hello))
	for _, c := range []struct {
		relative bool
		status   int
	}{{true, 200}, {false, 404}} {
		s := serveConfig(t, fmt.Sprintf(`access_log: {output: "off"}
sites: [{root: %s, relative_redirects: %t}]
`, root, c.relative))
		to, err := url.Parse(s.url)
		must(t, err)
		mux := http.NewServeMux()
		mux.Handle("/files/", http.StripPrefix("/files", httputil.NewSingleHostReverseProxy(to)))
		proxy := httptest.NewServer(mux)
		defer proxy.Close()
		got, err := proxy.Client().Get(proxy.URL + "/files/sub/docs")
		must(t, err)
		got.Body.Close()
		if got.StatusCode != c.status {
			t.Errorf("relative_redirects: %t: %s leads to %d, want %d", c.relative, got.Request.URL, got.StatusCode,
				c.status)
		}
	}
}
