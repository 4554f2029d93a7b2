package test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// TestListen: every form of --listen is served, several at once.
func TestListen(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		root := t.TempDir()
		write(t, root, "a", []byte(hello))
		socket := socketPath(t)
		s := start(t, v, root, "--listen", "unix:"+socket) // a second --listen adds to the first
		if got := s.get(t, "/a"); string(got.body) != hello {
			t.Errorf("over TCP: %d %q", got.status, got.body)
		}
		if got := string(run(t, "curl", "-sS", "--max-time", "30", "--unix-socket", socket,
			"http://localhost/a")); got != hello {
			t.Errorf("over the Unix socket: %q", got)
		}
	})
}

// socketPath is the path of a Unix socket that is not there yet: at most 103
// bytes on the BSDs and macOS, so not beneath t.TempDir.
func socketPath(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "ev")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(folder) })
	return filepath.Join(folder, "s")
}

// overUnix gets /a over a Unix socket.
func overUnix(t *testing.T, path string) answer {
	t.Helper()
	c, err := net.DialTimeout("unix", path, patience)
	must(t, err)
	defer c.Close()
	must(t, c.SetDeadline(deadline()))
	_, err = io.WriteString(c, request("/a"))
	must(t, err)
	got, err := newWire(c).next("GET")
	must(t, err)
	return got
}

// TestListenUnix: the socket's file has its mode, takes the place of one that a
// dead server left, never of another file or of a live server's, and goes away
// with the server.
func TestListenUnix(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		root, path := t.TempDir(), socketPath(t)
		write(t, root, "a", []byte(hello))
		stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		must(t, err)
		stale.SetUnlinkOnClose(false)
		must(t, stale.Close())
		s := start(t, v, root, "--listen", "unix:"+path)
		info, err := os.Lstat(path)
		must(t, err)
		if got, want := info.Mode(), os.ModeSocket|0o660; got != want {
			t.Errorf("the socket's mode is %v, want %v", got, want)
		}
		eventually(t, says(s.stderr.String, "evhttpd: and at unix:"+path+"\n"))
		if got := overUnix(t, path); got.status != 200 || string(got.body) != hello {
			t.Errorf("%d %q", got.status, got.body)
		}
		s.stop(t)
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("after the end the socket's file is there: %v", err)
		}
	})
}

// TestListenUnixRefused: what is not a dead server's socket stays as it is.
func TestListenUnixRefused(t *testing.T) {
	root, path := t.TempDir(), socketPath(t)
	write(t, root, "a", []byte(hello))
	refused := func(want string) {
		t.Helper()
		code, stdout, stderr := command(t, "serve", root, "--listen", "unix:"+path)
		if begin := "evhttpd: listen unix:" + path + ": "; code != 1 || stdout != "" ||
			strings.Count(stderr, "\n") != 1 ||
			!strings.HasPrefix(stderr, begin) || !strings.Contains(stderr, want) {
			t.Errorf("exit code %d, %q on stdout, on stderr\n%swant 1 and one line: %s...%s", code, stdout, stderr,
				begin, want)
		}
	}
	must(t, os.WriteFile(path, []byte(hello), 0o600))
	refused("is no socket")
	if text, err := os.ReadFile(path); err != nil || string(text) != hello {
		t.Errorf("the file in the way is %q now, %v", text, err)
	}
	must(t, os.Remove(path))
	start(t, variants()[0], root, "--listen", "unix:"+path)
	refused("another process listens there")
	if got := overUnix(t, path); got.status != 200 || string(got.body) != hello {
		t.Errorf("the owner answers %d %q afterwards", got.status, got.body)
	}
}

// TestUnixSocketMadeAgain: a Unix socket whose file was removed is there again after a reload or an
// upgrade, of which nothing in the configuration has changed; the control plane's too.
func TestUnixSocketMadeAgain(t *testing.T) {
	root, served, plane := t.TempDir(), socketPath(t), socketPath(t)
	write(t, root, "a", []byte(hello))
	yaml := strings.Replace(yamlOf(root, "admin: {listen: [\"unix:"+plane+"\"]}"), `"127.0.0.1:0"`,
		`"127.0.0.1:0", "unix:`+served+`"`, 1)
	o := operate(t, yaml)
	for _, step := range []struct {
		name string
		do   func()
	}{{"reload", func() { o.reload(yaml) }}, {"upgrade", o.upgrade}} {
		must(t, os.Remove(served))
		must(t, os.Remove(plane))
		step.do()
		if got := overUnix(t, served); got.status != 200 || string(got.body) != hello {
			t.Errorf("after a %s: %d %q", step.name, got.status, got.body)
		}
		if code, _, stderr := command(t, "healthcheck", "--config", o.config); code != 0 {
			t.Errorf("the control plane after a %s: exit code %d, %s", step.name, code, stderr)
		}
	}
	o.end()
	for _, path := range []string{served, plane} {
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is there after the end: %v", path, err)
		}
	}
}

// TestPortOfAnotherServer: an address that a reload adds is refused if another server has it, though both let sockets
// share their ports.
func TestPortOfAnotherServer(t *testing.T) {
	if !hasAddress(t, "127.0.0.2") {
		return // only Linux has all of 127.0.0.0/8
	}
	root := t.TempDir()
	write(t, root, "a", []byte(hello))
	good := yamlOf(root)
	o := operate(t, good)
	_, port, err := net.SplitHostPort(o.addr)
	must(t, err)
	second := net.JoinHostPort("127.0.0.2", port)
	other := launch(t, testkit.Command(binary, "serve", root, "--listen", second, "--access-log", "off"))
	defer other.stop(t)
	if line := o.refuse(strings.Replace(good, `"127.0.0.1:0"`, `"127.0.0.1:0", "`+second+`"`,
		1)); !strings.Contains(line, "another process has this port") {
		t.Error(line)
	}
}

// says checks for a part of a text that grows.
func says(text func() string, part string) func() error {
	return func() error {
		if all := text(); !strings.Contains(all, part) {
			return fmt.Errorf("%q is missing in\n%s", part, all)
		}
		return nil
	}
}

// TestListenAny: a port alone, or with the unspecified address of IPv6, is IPv4 and IPv6, and the start-up lines name
// what other machines can use, and how it is served.
func TestListenAny(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		root, log := t.TempDir(), filepath.Join(t.TempDir(), "access.log")
		write(t, root, "a", []byte(hello))
		listen := map[bool]string{true: ":0", false: "[::]:0"}[v.Loops()]
		s := launch(t, testkit.Command(binary, "serve", root, "--listen", listen, "--io-model", v.Model, "--trigger",
			v.Trigger,
			"--loops", "2", "--access-log", log))
		defer s.stop(t)
		host, port, err := net.SplitHostPort(s.addr)
		must(t, err)
		if host != "localhost" {
			t.Errorf("the address of every interface is called %q", host)
		}
		summary := "evhttpd: listing on, " + v.Model
		if v.Trigger != "auto" {
			summary += " " + v.Trigger
		}
		if v.Loops() {
			summary += ", 2 loops"
		}
		eventually(t, says(s.stderr.String, "access log "+log)) // the end of the last line
		said := s.stderr.String()
		if !strings.Contains(said, summary+", ") {
			t.Errorf("%q is missing in\n%s", summary, said)
		}
		hosts := []string{"127.0.0.1"}
		if hasAddress(t, "::1") {
			hosts = append(hosts, "::1")
		}
		others := regexp.MustCompile(`(?m)^evhttpd: from other machines http://(\S+)/$`).FindAllStringSubmatch(said, -1)
		if inContainer() { // which other machines do not reach so
			if len(others) > 0 {
				t.Errorf("in a container %q is said", others)
			}
		} else if want := worldAddress(t); want != "" &&
			!strings.Contains(said, "from other machines http://"+net.JoinHostPort(want, port)+"/\n") {
			t.Errorf("other machines reach %s, which is missing in\n%s", want, said)
		}
		for _, other := range others {
			host, itsPort, err := net.SplitHostPort(other[1])
			if err != nil || itsPort != port {
				t.Errorf("%q is not on port %s", other[0], port)
				continue
			}
			hosts = append(hosts, host)
		}
		for _, host := range hosts {
			s.addr = net.JoinHostPort(host, port)
			if got := s.get(t, "/a"); string(got.body) != hello {
				t.Errorf("%s: %d %q", host, got.status, got.body)
			}
		}
	})
}

// inContainer reports whether the tests run in a container.
func inContainer() bool {
	for _, mark := range []string{"/.dockerenv", "/run/.containerenv", "/run/systemd/container"} {
		if _, err := os.Stat(mark); err == nil {
			return true
		}
	}
	return os.Getpid() == 1 || os.Getenv("container") != "" || os.Getenv("KUBERNETES_SERVICE_HOST") != ""
}

// TestListenInContainer: a container's address is not told to other machines, which do not reach it.
func TestListenInContainer(t *testing.T) {
	cmd := testkit.Command(binary, "serve", t.TempDir(), "--listen", ":0", "--access-log", "off")
	cmd.Env = append(os.Environ(), "container=oci")
	s := launch(t, cmd)
	s.stop(t)
	if said := s.stderr.String(); strings.Contains(said, "from other machines") {
		t.Error(said)
	}
}

// hasAddress reports whether a server could listen on host here.
func hasAddress(t *testing.T, host string) bool {
	t.Helper()
	probe, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Logf("this machine has no %s: %v", host, err)
		return false
	}
	must(t, probe.Close())
	return true
}

// worldAddress is the IPv4 address of this machine for others, empty without a route to them.
func worldAddress(t *testing.T) string {
	t.Helper()
	c, err := net.Dial("udp4", "198.51.100.1:9") // documentation's (RFC 5737); nothing is sent
	if err != nil {
		t.Logf("no route to other machines: %v", err)
		return ""
	}
	defer c.Close()
	if ip := c.LocalAddr().(*net.UDPAddr).IP; ip.IsGlobalUnicast() {
		return ip.String()
	}
	return ""
}

// TestAcceptModes: with several loops on one port, each way to accept serves everybody.
func TestAcceptModes(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		root := t.TempDir()
		write(t, root, "a", []byte(hello))
		for _, accept := range []string{"reuseport", "shared"} {
			t.Run(accept, func(t *testing.T) {
				s := start(t, v, root, "--loops", "2", "--accept", accept)
				for range 100 {
					if got := s.get(t, "/a"); got.status != 200 || string(got.body) != hello {
						t.Fatalf("%d %q", got.status, got.body)
					}
				}
			})
		}
	})
}
