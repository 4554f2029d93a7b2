package test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// accessVariants are the models under test: one hands passwords to the pool, the other compares them on its own
// threads.
var accessVariants = []string{"epoll", "blocking"}

const accessYAML = `
listen: [127.0.0.1:0]
io_model: %s
threads: 16
access_log: {output: access.log, format: json}
limits: {requests_per_client: "%s"}
sites:
  - root: www
    error_pages: {403: /403.html}
    paths:
      - match: /private/**
        auth: {realm: Staff, htpasswd: htpasswd}
        cors: {origins: ["https://app.example"], credentials: true, methods: [GET], headers: [X-A]}
      - match: /open/**
        cors: {origins: ["*"]}
      - match: /lan/**
        allow: [127.0.0.0/8]
        deny: [127.0.0.2]
      - match: /elsewhere/**
        allow: [192.0.2.1]
`

// guarded runs a server with a site of which some parts are for certain users and addresses only.
func guarded(t *testing.T, model, rate string, users map[string]string) *operated {
	t.Helper()
	if model == "epoll" && variants()[0].Model == "kqueue" {
		model = "kqueue"
	}
	folder := t.TempDir()
	for _, name := range []string{"private", "open", "lan", "elsewhere"} {
		write(t, folder, "www/"+name+"/secret.txt", []byte("the secret of "+name))
	}
	write(t, folder, "www/403.html", []byte("<p>not for you"))
	writeUsers(t, folder, users)
	o := &operated{t: t, binary: filepath.Join(folder, "evhttpd"), config: filepath.Join(folder, "evhttpd.yaml")}
	must(t, os.Symlink(binary, o.binary))
	o.write(fmt.Sprintf(accessYAML, model, rate))
	o.server = launch(t, testkit.Command(o.binary, "serve", "--config", o.config))
	o.pid = o.cmd.Process.Pid
	t.Cleanup(o.end)
	return o
}

// writeUsers replaces the file of passwords by a rename.
func writeUsers(t *testing.T, folder string, users map[string]string) {
	t.Helper()
	var text strings.Builder
	for name, password := range users {
		hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
		must(t, err)
		fmt.Fprintf(&text, "%s:%s\n", name, hash)
	}
	file := filepath.Join(folder, "htpasswd")
	must(t, os.WriteFile(file+".new", []byte(text.String()), 0o600))
	must(t, os.Rename(file+".new", file))
}

// status asks with curl and returns the status.
func (o *operated) status(path string, flags ...string) string {
	o.t.Helper()
	head, body := o.curl(o.t, path, flags...)
	if strings.Contains(body, "the secret") != strings.HasPrefix(head, "HTTP/1.1 200 ") {
		o.t.Errorf("%s %q: %s\n%s", path, flags, head, body)
	}
	return strings.Fields(head)[1]
}

func TestPasswordsWithCurl(t *testing.T) {
	for _, model := range accessVariants {
		t.Run(model, func(t *testing.T) {
			t.Parallel()
			o := guarded(t, model, "", map[string]string{"alice": "pass word", "José": "ünïcode:x"})
			for _, path := range []string{ // each of them is the same file, or none
				"private/secret.txt", "/private//secret.txt", "%70rivate/secret.txt", "open/../private/secret.txt",
				"private%2Fsecret.txt", "./private/./secret.txt",
				"private/secret.txt/", "private/secret.txt?x", "private/none", "private/",
				"private/%2e%2e/private/secret.txt",
			} {
				head, body := o.curl(t, path, "--path-as-is")
				if !strings.HasPrefix(head, "HTTP/1.1 401 ") || !strings.Contains(head, "\r\nWWW-Authenticate: Basic "+
					"realm=\"Staff\", charset=\"UTF-8\"\r\n") || strings.Contains(body, "secret of") {
					t.Errorf("%s: %s\n%s", path, head, body)
				}
			}
			for _, c := range []struct{ user, status string }{
				{"alice:pass word", "200"}, {"José:ünïcode:x", "200"}, {"alice:pass", "401"},
				{"nobody:pass word", "401"}, {":", "401"},
				{strings.Repeat("x", 6000) + ":y", "401"},
			} {
				for range 2 {
					if got := o.status("private/secret.txt", "-u", c.user); got != c.status {
						t.Errorf("%.40s: %s, want %s", c.user, got, c.status)
					}
				}
			}
			if got := o.status("private/secret.txt", "-u", "alice:pass word", "-H",
				"Authorization: Basic eDp5"); got != "400" && got != "401" {
				t.Errorf("two Authorization fields: %s", got)
			}
			o.wantUser("alice")
			o.changePasswords()
		})
	}
}

// wantUser waits for an access line that names the user.
func (o *operated) wantUser(name string) {
	o.t.Helper()
	eventually(o.t, func() error {
		text, err := os.ReadFile(filepath.Join(filepath.Dir(o.config), "access.log"))
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(text)) {
			var said struct {
				User   *string
				Status int
			}
			if err := json.Unmarshal([]byte(line), &said); err != nil {
				return err
			}
			if said.User != nil && *said.User == name && said.Status == 200 {
				return nil
			}
			if said.User != nil && said.Status != 200 {
				return fmt.Errorf("who was refused has a name: %s", line)
			}
		}
		return fmt.Errorf("no line is %s's: %s", name, text)
	})
}

// changePasswords replaces the file of passwords while the server runs, at last by one that is wrong.
func (o *operated) changePasswords() {
	t, folder := o.t, filepath.Dir(o.config)
	becomes := func(user, status string) {
		t.Helper()
		eventually(t, func() error {
			if got := o.status("private/secret.txt", "-u", user); got != status {
				return fmt.Errorf("%s: %s, want %s", user, got, status)
			}
			return nil
		})
	}
	writeUsers(t, folder, map[string]string{"bob": "b"})
	becomes("bob:b", "200")
	becomes("alice:pass word", "401")
	write(t, folder, "htpasswd", []byte("bob:$apr1$lZL6V/ci$eIMz/iKDkbtys/uU7LEK00\n"))
	eventually(t, func() error {
		if got := o.status("private/secret.txt", "-u", "bob:b"); got != "200" {
			t.Errorf("with a bad file: %s", got)
		}
		if said := o.stderr.String(); !strings.Contains(said,
			"the htpasswd file cannot be used, the users that were read last stay: line 1: ") {
			return fmt.Errorf("no event says so: %s", tail(said))
		}
		return nil
	})
	if why := o.refuse(fmt.Sprintf(accessYAML, "auto", "")); !strings.Contains(why, "auth.htpasswd") ||
		!strings.Contains(why, "htpasswd -B") {
		t.Errorf("the reload says %s", why)
	}
	if got := o.status("private/secret.txt", "-u", "bob:b"); got != "200" {
		t.Errorf("after a refused reload: %s", got)
	}
}

// TestPasswordsOfHtpasswd: the server takes the file that Apache's htpasswd makes, and a reload reads it at once.
func TestPasswordsOfHtpasswd(t *testing.T) {
	if testkit.Race {
		t.Skip("once is enough")
	}
	program := tool(t, "htpasswd")
	o := guarded(t, "epoll", "", map[string]string{"alice": "a"})
	file := filepath.Join(filepath.Dir(o.config), "htpasswd")
	run(t, program, "-B", "-b", file, "carol", "c")
	o.told(syscall.SIGHUP, " reloaded ")
	if carol, alice := o.status("private/secret.txt", "-u", "carol:c"), o.status("private/secret.txt", "-u",
		"alice:a"); carol != "200" || alice != "200" {
		t.Errorf("carol %s, alice %s", carol, alice)
	}
	run(t, program, "-b", file, "dave", "d") // MD5
	code, _, stderr := command(t, "check", "--config", o.config)
	if want := `line 3: "dave" has an MD5 hash ($apr1$), and only bcrypt is taken`; code != 2 ||
		!strings.Contains(stderr, want) {
		t.Errorf("check ends with %d and says %s", code, stderr)
	}
}

func TestCORSWithCurl(t *testing.T) {
	o := guarded(t, "epoll", "", map[string]string{"alice": "a"})
	for _, c := range []struct {
		name, path, origin string
		flags              []string
		status             string
		with, without      []string
	}{
		{"preflight, without a password", "private/secret.txt", "https://app.example", []string{"-X", "OPTIONS", "-H",
			"Access-Control-Request-Method: GET", "-H", "Access-Control-Request-Headers: authorization, x-a"}, "204",
			[]string{"Access-Control-Allow-Origin: https://app.example", "Access-Control-Allow-Credentials: true",
				"Access-Control-Allow-Methods: GET", "Access-Control-Allow-Headers: X-A, Range, If-Range, If-Match, " +
					"If-None-Match, If-Modified-Since, If-Unmodified-Since", "Access-Control-Max-Age: 600",
				"Vary: Origin"}, []string{"Content-Length"}},
		{"a stranger's preflight", "private/secret.txt", "https://evil.example", []string{"-X", "OPTIONS", "-H",
			"Access-Control-Request-Method: GET"}, "204", []string{"Vary: Origin"}, []string{"Access-Control-Allow"}},
		{"a refusal", "private/secret.txt", "https://app.example", nil, "401",
			[]string{"Access-Control-Allow-Origin: https://app.example", "WWW-Authenticate: Basic"}, nil},
		{"a file", "private/secret.txt", "https://app.example", []string{"-u", "alice:a"}, "200",
			[]string{"Access-Control-Allow-Origin: https://app.example", "Access-Control-Expose-Headers: ",
				"Vary: Origin", "ETag: "}, nil},
		{"a file for a stranger", "private/secret.txt", "null", []string{"-u", "alice:a"}, "200",
			[]string{"Vary: Origin"}, []string{"Access-Control-Allow"}},
		{"open to all", "open/secret.txt", "null", nil, "200", []string{"Access-Control-Allow-Origin: *"},
			[]string{"Vary: Origin"}},
		{"no such file", "open/none", "https://a.example", nil, "404", []string{"Access-Control-Allow-Origin: *"}, nil},
		{"no CORS there", "lan/secret.txt", "https://a.example", nil, "200", nil,
			[]string{"Access-Control", "Vary: Origin"}},
		{"no preflight there", "lan/secret.txt", "https://a.example",
			[]string{"-X", "OPTIONS", "-H", "Access-Control-Request-Method: GET"}, "204",
			[]string{"Allow: GET, HEAD, OPTIONS"}, []string{"Access-Control"}},
	} {
		head, _ := o.curl(t, c.path, append(c.flags, "-H", "Origin: "+c.origin)...)
		if !strings.HasPrefix(head, "HTTP/1.1 "+c.status+" ") {
			t.Errorf("%s: want %s, got\n%s", c.name, c.status, head)
		}
		for _, want := range c.with {
			if !strings.Contains(head, "\r\n"+want) {
				t.Errorf("%s: no %q in\n%s", c.name, want, head)
			}
		}
		for _, not := range c.without {
			if strings.Contains(head, not) {
				t.Errorf("%s: %q is in\n%s", c.name, not, head)
			}
		}
	}
}

func TestAddressesWithCurl(t *testing.T) {
	for _, model := range accessVariants {
		t.Run(model, func(t *testing.T) {
			t.Parallel()
			o := guarded(t, model, "", map[string]string{"alice": "a"})
			if got := o.status("lan/secret.txt"); got != "200" {
				t.Errorf("allowed: %s", got)
			}
			head, body := o.curl(t, "elsewhere/secret.txt")
			if !strings.HasPrefix(head, "HTTP/1.1 403 ") || body != "<p>not for you" {
				t.Errorf("from elsewhere:\n%s\n%s", head, body)
			}
			if variants()[0].Model == "kqueue" {
				return // 127.0.0.2 is no address of the loopback interface there
			}
			if got := o.status("lan/secret.txt", "--interface", "127.0.0.2"); got != "403" {
				t.Errorf("denied: %s", got)
			}
		})
	}
}

// TestRateWithCurl: what a client has used of its rate is kept by a reload that keeps the rate.
func TestRateWithCurl(t *testing.T) {
	for _, model := range accessVariants {
		t.Run(model, func(t *testing.T) {
			t.Parallel()
			o := guarded(t, model, "1/h burst 3", map[string]string{"alice": "a"})
			for i, want := range []string{"200", "200", "200", "429", "429"} {
				if got := o.status("open/secret.txt"); got != want {
					t.Errorf("request %d: %s, want %s", i+1, got, want)
				}
			}
			head, _ := o.curl(t, "open/secret.txt")
			if !strings.Contains(head, "\r\nRetry-After: 3") { // 3,600 s and less
				t.Errorf("no Retry-After:\n%s", head)
			}
			o.reload(strings.Replace(fmt.Sprintf(accessYAML, model, "1/h burst 3"), "realm: Staff", "realm: Others", 1))
			if got := o.status("open/secret.txt"); got != "429" {
				t.Errorf("after a reload: %s", got)
			}
			if variants()[0].Model != "kqueue" {
				if got := o.status("open/secret.txt", "--interface", "127.0.0.2"); got != "200" {
					t.Errorf("another client: %s", got)
				}
			}
			o.reload(fmt.Sprintf(accessYAML, model, ""))
			if got := o.status("open/secret.txt"); got != "200" {
				t.Errorf("without a rate: %s", got)
			}
		})
	}
}
