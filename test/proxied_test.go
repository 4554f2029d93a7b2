package test

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// proxyV1 is a PROXY header of version 1 of a client at that address.
func proxyV1(client string) string {
	return "PROXY TCP4 " + client + " 198.51.100.1 51234 80\r\n"
}

// proxyV2 is a PROXY header of version 2, of a client at 192.0.2.200.
const (
	proxySignature = "\r\n\r\n\x00\r\nQUIT\n"
	proxyV2        = proxySignature + "\x21\x11\x00\x0f\xc0\x00\x02\xc8\xc6\x33\x64\x01\xc8\x22\x00\x50\x04\x00\x00"
	proxyLocal     = proxySignature + "\x20\x00\x00\x00"
)

// withFile runs the server with a configuration file of those lines, beside the flags, and with an access log.
func withFile(t *testing.T, v variant, root string, lines ...string) (s *server, log string) {
	t.Helper()
	folder := t.TempDir()
	write(t, folder, "evhttpd.yaml", []byte(strings.Join(lines, "\n")+"\n"))
	log = filepath.Join(folder, "access.log")
	return start(t, v, root, "--config", filepath.Join(folder, "evhttpd.yaml"), "--access-log", log), log
}

// logged waits until the access log has exactly one line a client and status, in any order.
func logged(t *testing.T, log string, want ...string) {
	t.Helper()
	want = slices.Sorted(slices.Values(want))
	eventually(t, func() error {
		text, err := os.ReadFile(log)
		if err != nil {
			return err
		}
		var got []string
		for line := range strings.Lines(string(text)) {
			words := strings.Fields(line)
			status := words[len(words)-1]
			if _, rest, ok := strings.Cut(line, `" `); ok {
				status, _, _ = strings.Cut(rest, " ")
			}
			got = append(got, words[0]+" "+status)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			return fmt.Errorf("the log has %q, want %q:\n%s", got, want, tail(string(text)))
		}
		return nil
	})
}

// from connects from a local address of its own, which makes it another client than 127.0.0.1.
func from(t *testing.T, local, addr string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(local)}, Timeout: patience}
	c, err := d.Dial("tcp", addr)
	if err != nil {
		t.Log(err)
		testkit.Skip(t, "connections from "+local)
	}
	t.Cleanup(func() { c.Close() })
	must(t, c.SetDeadline(deadline()))
	return c
}

// TestProxyProtocol: a header of a proxy comes in any pieces, with the request or before it;
// the log has the client's address. One that is cut off anywhere, or missing, serves nobody and
// what is a health check leaves no line.
func TestProxyProtocol(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		root := t.TempDir()
		write(t, root, "hello.txt", []byte(hello))
		s, log := withFile(t, v, root, "proxy_protocol: [127.0.0.1]")
		var want []string
		ask := func(status int, client string, pieces ...string) {
			t.Helper()
			c := s.dial(t)
			defer c.Close()
			send(c, pieces)
			a, err := newWire(c).next("GET")
			if err != nil || a.status != status {
				t.Fatalf("%q: status %d, %v", pieces, a.status, err)
			}
			want = append(want, fmt.Sprintf("%s %d", client, status))
		}
		ask(200, "192.0.2.1", proxyV1("192.0.2.1")+ok11)
		ask(200, "192.0.2.200", proxyV2+ok11)
		ask(200, "127.0.0.1", proxyLocal+ok11)
		ask(200, "127.0.0.1", "PROXY UNKNOWN\r\n"+ok11)
		ask(200, "2001:db8::7", "PROXY TCP6 2001:db8::7 2001:db8::8 1 2\r\n", ok11)
		ask(200, "192.0.2.2", strings.Split(proxyV1("192.0.2.2")+ok11, "")...)
		ask(400, "127.0.0.1", ok11)
		ask(400, "127.0.0.1", "PROXY TCP4 here there 1 2\r\n"+ok11)
		for _, header := range []string{proxyV1("192.0.2.3"), proxyV2} {
			client := map[bool]string{true: "192.0.2.3", false: "192.0.2.200"}[header[0] == 'P']
			for at := range header {
				ask(200, client, header[:at], header[at:]+ok11)
				cut := s.dial(t) // as health checks are, and scanners
				send(cut, []string{header[:at]})
				must(t, cut.Close())
			}
		}
		logged(t, log, want...)
		other := from(t, "127.0.0.2", s.addr)
		send(other, []string{proxyV1("192.0.2.4") + ok11})
		a, err := newWire(other).next("GET")
		if err != nil || a.status != 400 || !strings.Contains(string(a.body), "proxy_protocol") {
			t.Errorf("a header of somebody else: status %d %q, %v", a.status, a.body, err)
		}
		other = from(t, "127.0.0.2", s.addr)
		send(other, []string{ok11})
		if a, err := newWire(other).next("GET"); err != nil || a.status != 200 {
			t.Errorf("without a header, from somebody else: status %d, %v", a.status, err)
		}
		logged(t, log, append(want, "127.0.0.2 400", "127.0.0.2 200")...)
		if text := s.stderr.String(); strings.Contains(text, "WARN") || strings.Contains(text, `"warn"`) {
			t.Error("health checks make noise:", text)
		}
	})
}

// statusOf asks on a connection and returns the answer's status; 0: none came.
func statusOf(c net.Conn, requests string) int {
	send(c, []string{requests})
	a, err := newWire(c).next("GET")
	if err != nil {
		return 0
	}
	return a.status
}

// TestConnectionsPerClient: a client that has as many connections as it may gets 503 on the next. Others do not,
// and a reload raises the limit.
func TestConnectionsPerClient(t *testing.T) {
	twoVariants(t, func(t *testing.T, v variant) {
		root, _ := site(t)
		yaml := func(limit int) string {
			return yamlOf(root, fmt.Sprintf("limits: {connections_per_client: %d}", limit),
				"io_model: "+v.Model, "trigger: "+v.Trigger, "loops: 2")
		}
		o := operate(t, yaml(0))
		get := request("/small")
		held := []net.Conn{o.dial(t), o.dial(t)}
		for _, c := range held {
			if status := statusOf(c, get); status != 200 {
				t.Fatal("without a limit:", status)
			}
		}
		// refuses waits for a limit that is in force: connections that are open when it
		// comes are counted when the loops have looked at them, or their next turn begins.
		refuses := func() {
			t.Helper()
			eventually(t, func() error {
				c := o.dial(t)
				defer c.Close()
				if status := statusOf(c, get); status != 503 {
					return fmt.Errorf("one more: %d", status)
				}
				return nil
			})
		}
		o.reload(yaml(2))
		refuses()
		if status := statusOf(from(t, "127.0.0.2", o.addr), get); status != 200 {
			t.Error("another client:", status)
		}
		for _, c := range held {
			if status := statusOf(c, get); status != 200 {
				t.Error("one that is open:", status)
			}
		}
		o.reload(yaml(3))
		eventually(t, func() error { // those that were refused are gone, or going
			c := o.dial(t)
			if status := statusOf(c, get); status != 200 {
				c.Close()
				return fmt.Errorf("with a higher limit: %d", status)
			}
			return nil
		})
		refuses()
		held[0].Close()
		eventually(t, func() error {
			c := o.dial(t)
			defer c.Close()
			if status := statusOf(c, get); status != 200 {
				return fmt.Errorf("when one is gone: %d", status)
			}
			return nil
		})
	})
}

// TestCurlProxyProtocol: what curl sends is a header, too.
func TestCurlProxyProtocol(t *testing.T) {
	tool(t, "curl")
	if help, err := testkit.Command("curl", "--help", "all").Output(); err != nil ||
		!strings.Contains(string(help), "--haproxy-protocol") {
		testkit.Skip(t, "a curl with --haproxy-protocol")
	} else if strings.Contains(string(help), "--haproxy-clientip") {
		curlProxied(t, "192.0.2.77", "--haproxy-clientip", "192.0.2.77")
	}
	curlProxied(t, "127.0.0.1", "--haproxy-protocol")
}

func curlProxied(t *testing.T, client string, flags ...string) {
	root := t.TempDir()
	write(t, root, "hello.txt", []byte(hello))
	s, log := withFile(t, variants()[0], root, "proxy_protocol: [127.0.0.0/8]")
	if _, body := s.curl(t, "/hello.txt", flags...); body != hello {
		t.Errorf("curl %v got %q", flags, body)
	}
	logged(t, log, client+" 200")
}

// TestHealthcheckBehindProxy: where connections to the server's own address must begin with a PROXY header, the
// subcommand sends one, if it reads the same configuration.
func TestHealthcheckBehindProxy(t *testing.T) {
	folder := t.TempDir()
	write(t, folder, "evhttpd.yaml", []byte("proxy_protocol: [127.0.0.0/8]\n"))
	file := filepath.Join(folder, "evhttpd.yaml")
	s := start(t, variants()[0], folder, "--config", file)
	code, said, complaint := command(t, "healthcheck", "--config", file, "--listen", s.addr)
	if want := "OPTIONS * at " + s.addr + ": 204 No Content\n"; code != 0 || said != want || complaint != "" {
		t.Errorf("exit %d, %q, %q; want %q", code, said, complaint, want)
	}
	if code, said, _ := command(t, "healthcheck", "--listen", s.addr); !strings.Contains(said, "400") {
		t.Errorf("without the configuration: exit %d, %q", code, said)
	}
}

// haproxyConfig has a client of HAProxy reach the server in three ways: by the PROXY
// protocol's two versions, from 127.0.0.2, and as a proxy of requests, from 127.0.0.3. Each is checked all the time.
const haproxyConfig = `
global
    stats socket %[1]s/admin.sock mode 600
defaults
    timeout connect 10s
    timeout client 30s
    timeout server 30s
    default-server check inter 50ms
listen v1
    mode tcp
    bind 127.0.0.1:%[3]d
    server s %[2]s send-proxy source 127.0.0.2
listen v2
    mode tcp
    bind 127.0.0.1:%[4]d
    server s %[2]s send-proxy-v2 proxy-v2-options crc32c,ssl,unique-id source 127.0.0.2
listen http
    mode http
    option forwardfor
    bind 127.0.0.1:%[5]d
    server s %[2]s source 127.0.0.3
`

// TestHAProxy: behind the proxy that has invented the protocol, the log has the clients'
// addresses, and its health checks leave nothing there.
func TestHAProxy(t *testing.T) {
	if testkit.Race {
		t.Skip("once is enough: the headers' own tests run here")
	}
	program := tool(t, "haproxy")
	root := t.TempDir()
	write(t, root, "hello.txt", []byte(hello))
	s, log := withFile(t, variants()[0], root, "proxy_protocol: [127.0.0.2]", "trusted_proxies: [127.0.0.3]")
	folder, err := os.MkdirTemp("", "haproxy") // a socket's path is short
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(folder) })
	ports, taken := make([]any, 3), make([]net.Listener, 3)
	for i := range ports { // all are taken before the first is given back: no two are the same
		taken[i], err = net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		ports[i] = taken[i].Addr().(*net.TCPAddr).Port
	}
	for _, l := range taken {
		must(t, l.Close())
	}
	write(t, folder, "haproxy.cfg", fmt.Appendf(nil, haproxyConfig, append([]any{folder, s.addr}, ports...)...))
	cmd := testkit.Command(program, "-db", "-f", filepath.Join(folder, "haproxy.cfg"))
	var said transcript
	cmd.Stdout, cmd.Stderr = &said, &said
	must(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	eventually(t, func() error { // every server has been checked, and answers
		c, err := net.Dial("unix", filepath.Join(folder, "admin.sock"))
		if err != nil {
			return fmt.Errorf("%w\n%s", err, said.String())
		}
		defer c.Close()
		must(t, c.SetDeadline(deadline()))
		send(c, []string{"show stat\n"})
		text, err := io.ReadAll(c)
		if n := strings.Count(string(text), ",L4OK,"); n != len(ports) {
			return fmt.Errorf("%d of %d servers are found well, %v\n%s", n, len(ports), err, text)
		}
		return nil
	})
	var want []string
	for i, port := range ports {
		local := fmt.Sprintf("127.0.0.%d", 20+i)
		for range 3 {
			c := from(t, local, fmt.Sprintf("127.0.0.1:%d", port))
			for range 2 {
				if status := statusOf(c, ok11); status != 200 {
					t.Errorf("through port %d: %d\n%s", port, status, said.String())
				}
				want = append(want, local+" 200")
			}
			c.Close()
		}
	}
	logged(t, log, want...)
}

// TestTrustedProxies: X-Forwarded-For names the client if a trusted proxy sends it, or if it comes over the Unix
// socket. A reload changes who is trusted.
func TestTrustedProxies(t *testing.T) {
	twoVariants(t, func(t *testing.T, v variant) {
		root := t.TempDir()
		write(t, root, "hello.txt", []byte(hello))
		write(t, root, "inner.txt", []byte(hello))
		folder := t.TempDir()
		log, socket := filepath.Join(folder, "access.log"), socketPath(t)
		yaml := func(proxies string) string {
			return fmt.Sprintf("listen: [\"127.0.0.1:0\", \"unix:%s\"]\naccess_log: {output: %q}\ntrusted_proxies: "+
				"%s\nio_model: %s\ntrigger: %s\nsites: [{root: %q, paths: [{match: /inner.txt, allow: "+
				"[192.0.2.7]}]}]\n",
				socket, log, proxies, v.Model, v.Trigger, root)
		}
		o := operate(t, yaml("[]"))
		unix, err := net.Dial("unix", socket)
		must(t, err)
		defer unix.Close()
		must(t, unix.SetDeadline(deadline()))
		direct, other := o.dial(t), from(t, "127.0.0.2", o.addr)
		var want []string
		ask := func(c net.Conn, client string, values ...string) {
			t.Helper()
			fields := ""
			for _, value := range values {
				fields += "X-Forwarded-For: " + value + "\r\n"
			}
			if status := statusOf(c, "GET /hello.txt HTTP/1.1\r\nHost: x\r\n"+fields+"\r\n"); status != 200 {
				t.Errorf("%q: %d", values, status)
			}
			want = append(want, client+" 200")
		}
		ask(direct, "127.0.0.1", "192.0.2.1")
		ask(unix, "-", "192.0.2.1")
		o.reload(yaml("[127.0.0.1, 10.0.0.0/8]"))
		ask(direct, "192.0.2.1", "192.0.2.1")
		ask(direct, "192.0.2.2", "198.51.100.1", "192.0.2.2, 10.1.2.3")
		ask(direct, "127.0.0.1")
		ask(direct, "127.0.0.1", "unknown")
		ask(direct, "2001:db8::7", "[2001:db8::7]:4711")
		ask(other, "127.0.0.2", "192.0.2.1")
		ask(unix, "192.0.2.3", "192.0.2.3")
		ask(unix, "-")
		// Whose request it is decides who may have it.
		for _, c := range []struct {
			c      net.Conn
			values string
			status int
		}{
			{direct, "192.0.2.7", 200}, {direct, "192.0.2.7, 10.1.2.3", 200}, {direct, "192.0.2.7, 198.51.100.1", 403},
			{direct, "junk", 403}, {other, "192.0.2.7", 403}, {unix, "192.0.2.7", 200}, {unix, "junk", 403},
		} {
			if status := statusOf(c.c, "GET /inner.txt HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: "+c.values+
				"\r\n\r\n"); status != c.status {
				t.Errorf("%q may have what is for 192.0.2.7: %d, want %d", c.values, status, c.status)
			}
		}
		want = append(want, "192.0.2.7 200", "192.0.2.7 200", "198.51.100.1 403", "127.0.0.1 403", "127.0.0.2 403",
			"192.0.2.7 200", "- 403")
		o.reload(yaml("[127.0.0.2]"))
		ask(direct, "127.0.0.1", "192.0.2.1")
		ask(other, "192.0.2.1", "192.0.2.1")
		logged(t, log, want...)
	})
}
