package conn

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
)

const proxyBinary = "\r\n\r\n\x00\r\nQUIT\n"

// binaryHeader is a PROXY header of version 2 by the book.
func binaryHeader(command, family byte, rest ...byte) string {
	h := append([]byte(proxyBinary), 0x20|command, family)
	return string(append(binary.BigEndian.AppendUint16(h, uint16(len(rest))), rest...))
}

var (
	four   = []byte{192, 0, 2, 1, 198, 51, 100, 1, 0xC8, 0x22, 0, 80} // 192.0.2.1:51234 to 198.51.100.1:80
	source = netip.MustParseAddrPort("192.0.2.1:51234")
	six    = func() []byte {
		a, b := netip.MustParseAddr("2001:db8::7").As16(), netip.MustParseAddr("2001:db8::8").As16()
		return append(append(append([]byte{}, a[:]...), b[:]...), 0xC8, 0x22, 0, 80)
	}()
)

// proxyCase is a header and what it says: an address, "" if none, or what is wrong.
type proxyCase struct{ name, in, from, bad string }

// proxyCases are some of each kind; the parser's own tests have the others.
var proxyCases = []proxyCase{
	{name: "TCP4", in: "PROXY TCP4 192.0.2.1 198.51.100.1 51234 80\r\n", from: "192.0.2.1:51234"},
	{name: "TCP6", in: "PROXY TCP6 2001:db8::7 2001:db8::8 51234 80\r\n", from: "[2001:db8::7]:51234"},
	{name: "TCP6, mapped", in: "PROXY TCP6 ::ffff:192.0.2.1 ::ffff:192.0.2.2 51234 80\r\n", from: "192.0.2.1:51234"},
	{name: "UNKNOWN", in: "PROXY UNKNOWN\r\n"},
	{
		name: "the longest",
		in: "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 " +
			"65535\r\n",
	},
	{name: "port 0", in: "PROXY TCP4 192.0.2.1 198.51.100.1 0 0\r\n", from: "192.0.2.1:0"},

	{
		name: "a request",
		in:   "GET / HTTP/1.1\r\n\r\n",
		bad: "no PROXY protocol header, with which connections from this network begin at byte 0 (PROXY protocol " +
			"section 2; see proxy_protocol)",
	},
	{name: "a TLS handshake", in: "\x16\x03\x01", bad: "no PROXY protocol header"},
	{name: "another method with P", in: "PUT / HTTP/1.1\r\n\r\n", bad: "no PROXY protocol header"},
	{name: "an empty line", in: "\r\nGET / HTTP/1.1\r\n\r\n", bad: "no PROXY protocol header"},
	{name: "over 107 bytes", in: "PROXY UNKNOWN " + strings.Repeat("a", 92) + "\r\n", bad: "version 1"},
	{
		name: "LF alone",
		in:   "PROXY TCP4 192.0.2.1 198.51.100.1 1 80\n",
		bad:  "version 1 at byte 38 (PROXY protocol section 2.1)",
	},
	{name: "another family", in: "PROXY UDP4 192.0.2.1 198.51.100.1 1 80\r\n", bad: "version 1 at byte 6"},

	{name: "v2 over IPv4", in: binaryHeader(1, 0x11, four...), from: "192.0.2.1:51234"},
	{name: "v2 over IPv6", in: binaryHeader(1, 0x21, six...), from: "[2001:db8::7]:51234"},
	{name: "v2 from a Unix socket", in: binaryHeader(1, 0x31, make([]byte, 216)...)},
	{name: "v2 unspecified", in: binaryHeader(1, 0)},
	{name: "v2 LOCAL, with addresses that do not count", in: binaryHeader(0, 0x11, four...)},
	{
		name: "v2 of 4096 bytes",
		in: binaryHeader(
			1,
			0x11,
			append(append([]byte{}, four...), append([]byte{4, 0x0F, 0xE1}, make([]byte, 4096-31)...)...)...),
		from: "192.0.2.1:51234",
	},

	{name: "v2, another signature", in: "\r\n\r\n\x00\r\nQUIX\n!\x11\x00\x00", bad: "no PROXY protocol header"},
	{name: "v2, another command", in: proxyBinary + "\x22", bad: "version 2 at byte 12 (PROXY protocol section 2.2)"},
	{name: "v2, another family", in: binaryHeader(1, 0x41, four...), bad: "version 2"},
	{name: "v2 over 4096 bytes", in: proxyBinary + "!\x11\x0F\xF1", bad: "4096 bytes"},
	{
		name: "v2, a TLV beyond the end",
		in:   binaryHeader(1, 0x11, append(append([]byte{}, four...), 4, 0, 2, 0)...),
		bad:  "version 2",
	},
	{
		name: "v2, a wrong checksum",
		in:   binaryHeader(1, 0x11, append(append([]byte{}, four...), 3, 0, 4, 1, 2, 3, 4)...),
		bad:  "checksum of the PROXY protocol header at byte 31 (PROXY protocol section 2.2.3)",
	},
}

var balancer = AddrFrom(netip.MustParseAddrPort("10.0.0.9:4242"))

func proxyConfig() *Config {
	cfg := testConfig()
	cfg.Proxies = NewNetworks([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")})
	return cfg
}

// TestProxiedConnection: whatever pieces a header and the requests behind it arrive
// in, they are answered, and the log names the client.
func TestProxiedConnection(t *testing.T) {
	for _, c := range proxyCases {
		if len(c.in) > 300 {
			c.in = c.in[:300] // enough of it
			c.bad = "-"       // it is cut off
		}
		sent := c.in + get("/a") + get("/b")
		for at := range len(c.in) + 1 {
			pieces := []string{sent[:at], sent[at:]}
			if at == len(c.in) {
				pieces = strings.Split(sent, "") // byte by byte
			}
			r := newRig(t, proxyConfig())
			r.t, r.started = newScript(t, pieces...), true
			r.c.Start(r.l, balancer, false)
			if phase, _ := r.c.Phase(); phase != PhaseFirstByte || !r.c.Idle() {
				t.Fatal("a new connection is in phase", phase)
			}
			r.run()
			who := balancer.AddrPort()
			switch out := string(r.t.out); {
			case c.bad == "-":
			case c.bad != "":
				if !strings.HasPrefix(out, "HTTP/1.1 400 ") || !strings.Contains(out, c.bad) ||
					strings.Contains(out, "200 OK") ||
					r.served > 0 {
					t.Fatalf("%s, split at %d: %q", c.name, at, out)
				}
			default:
				if c.from != "" {
					who = netip.MustParseAddrPort(c.from)
				}
				if strings.Count(out, "200 OK") != 2 || r.served != 2 {
					t.Fatalf("%s, split at %d: %q", c.name, at, out)
				}
			}
			if got := r.c.Remote().AddrPort(); c.bad != "-" && got != who {
				t.Fatalf("%s, split at %d: the client is %v, want %v", c.name, at, got, who)
			}
			r.release()
		}
	}
}

// TestProxyHeaderFromOthers: who is not in the networks must not have one, and
// is told so.
func TestProxyHeaderFromOthers(t *testing.T) {
	for _, in := range []string{proxyCases[0].in, binaryHeader(1, 0x11, four...), "PROXY UNKNOWN\r\n"} {
		r := newRig(t, proxyConfig())
		r.t, r.started = newScript(t, in+get("/a")), true
		r.c.Start(r.l, AddrFrom(source), false)
		r.run()
		if out := string(r.t.out); !strings.HasPrefix(out, "HTTP/1.1 400 ") ||
			!strings.Contains(out, "proxy_protocol") ||
			r.served > 0 {
			t.Errorf("%q: %q", in, out)
		}
		r.release()
	}
}

// TestProxyTimers: a header has no time of its own: with the request's first byte it
// has to come within Config.FirstByte, and it ends in silence; the head's time begins behind it.
func TestProxyTimers(t *testing.T) {
	r := newRig(t, proxyConfig())
	r.t, r.started = newScript(t, proxyCases[0].in[:20]), true
	r.c.Start(r.l, balancer, false)
	began := r.l.Clock.Mono
	at := func(phase Phase, since int64) {
		t.Helper()
		r.l.Clock.Mono += 1e9
		r.step()
		if p, s := r.c.Phase(); p != phase || s != since {
			t.Fatalf("phase %v since %d, want %v since %d", p, s, phase, since)
		}
	}
	at(PhaseFirstByte, began)
	if r.c.Movable() {
		t.Error("half a header can be moved")
	}
	r.t.input = [][]byte{[]byte(proxyCases[0].in[20:])}
	at(PhaseFirstByte, began)
	if !r.c.Movable() || r.c.in != nil {
		t.Error("a connection behind its header holds memory")
	}
	r.t.input = [][]byte{[]byte("GET")}
	at(PhaseHead, r.l.Clock.Mono+1e9)
	r.release()

	r = newRig(t, proxyConfig())
	r.t, r.started = newScript(t, proxyBinary[:3]), true
	r.c.Start(r.l, balancer, false)
	r.step()
	if want := r.expire(); want != WantClose || len(r.t.out) > 0 {
		t.Errorf("half a header in time: %v, %q", want, r.t.out)
	}
	r.release()
}

// TestProxyHealthChecks: a balancer that connects and closes, or says LOCAL and
// closes, gets no answer and leaves no line.
func TestProxyHealthChecks(t *testing.T) {
	for _, in := range []string{"", "PROXY", binaryHeader(0, 0), "PROXY UNKNOWN\r\n"} {
		r := newRig(t, proxyConfig())
		r.t, r.started = newScript(t, in), true
		r.t.eof = true
		r.c.Start(r.l, balancer, false)
		if want := r.run(); want != WantClose || len(r.t.out) > 0 || len(r.log.lines) > 0 {
			t.Errorf("%q: wants %v, got %q, logged %q", in, want, r.t.out, r.log.lines)
		}
	}
}
