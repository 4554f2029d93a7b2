package guard

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/http1"
)

var testProxies = conn.NewNetworks([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("fd00::/8")})

// requestWith is a parsed request that has those values of X-Forwarded-For, a line each.
func requestWith(t testing.TB, values ...string) (*http1.Request, []byte) {
	t.Helper()
	text := "GET / HTTP/1.1\r\nHost: a\r\nX-Other: 192.0.2.99\r\n"
	for _, v := range values {
		text += "X-Forwarded-For: " + v + "\r\nX-Other: 192.0.2.99\r\n"
	}
	buf, req := []byte(text+"\r\n"), new(http1.Request)
	if http1.Parse(buf, 0, &http1.Limits{}, req) != http1.Complete {
		t.Fatal(&req.Err)
	}
	return req, buf
}

// TestForwardedFor: the rightmost address that is no proxy of ours is the client, over several lines; junk and a
// chain without end stop at the last good one.
func TestForwardedFor(t *testing.T) {
	for _, c := range []struct {
		name   string
		values []string
		want   string // "": none
	}{
		{"one", []string{"192.0.2.1"}, "192.0.2.1:0"},
		{"what a stranger claims does not count", []string{"198.51.100.1, 192.0.2.1"}, "192.0.2.1:0"},
		{"through two of ours", []string{"198.51.100.1, 192.0.2.1, 10.1.1.1, 10.2.2.2"}, "192.0.2.1:0"},
		{"over lines", []string{"198.51.100.1", "192.0.2.1, 10.1.1.1", "10.2.2.2"}, "192.0.2.1:0"},
		{"no space, and tabs", []string{"192.0.2.1,\t10.1.1.1\t,10.1.1.2"}, "192.0.2.1:0"},
		{"empty elements", []string{",", " , 192.0.2.1, ,10.1.1.1,", ""}, "192.0.2.1:0"},
		{"all are ours: the first", []string{"10.3.3.3, 10.1.1.1"}, "10.3.3.3:0"},
		{"nothing", []string{""}, ""},
		{"a port", []string{"192.0.2.1:4711"}, "192.0.2.1:4711"},
		{"a port of ours", []string{"192.0.2.1:4711, 10.0.0.1:80"}, "192.0.2.1:4711"},
		{"IPv6", []string{"2001:db8::1"}, "[2001:db8::1]:0"},
		{"IPv6 in brackets", []string{"[2001:db8::1]"}, "[2001:db8::1]:0"},
		{"IPv6 with a port", []string{"[2001:db8::1]:4711, [fd00::1]:80, fd00::2"}, "[2001:db8::1]:4711"},
		{"mapped", []string{"192.0.2.1, ::ffff:10.0.0.1"}, "192.0.2.1:0"},
		{"the longest", []string{"[0000:0000:0000:0000:0000:ffff:192.100.100.100]:65535"}, "192.100.100.100:65535"},

		{"junk at the right", []string{"192.0.2.1, unknown"}, ""},
		{"junk behind one of ours", []string{"192.0.2.1, _hidden, 10.1.1.1"}, "10.1.1.1:0"},
		{"a name", []string{"client.example"}, ""},
		{"a zone", []string{"fe80::1%eth0"}, ""},
		{"an open bracket", []string{"[2001:db8::1"}, ""},
		{"empty brackets", []string{"[]"}, ""},
		{"IPv4 in brackets", []string{"[192.0.2.1]:80"}, ""},
		{"something behind the brackets", []string{"[2001:db8::1]80"}, ""},
		{"an empty port", []string{"192.0.2.1:"}, ""},
		{"a port too large", []string{"192.0.2.1:65536"}, ""},
		{"a signed port", []string{"192.0.2.1:+80"}, ""},
		{"quotes", []string{`"192.0.2.1"`}, ""},
		{"two addresses without a comma", []string{"192.0.2.1 192.0.2.2"}, ""},
		{"bytes that are no text", []string{"192.0.2.1, \xff\xfe"}, ""},
		{"too long", []string{strings.Repeat("0", 60) + "1"}, ""},
		{"a colon alone", []string{":"}, ""},
		{"a chain of a thousand", []string{"192.0.2.1" + strings.Repeat(",10.1.1.1", 1000)}, "10.1.1.1:0"},
		{"a hundred lines", strings.Split("192.0.2.1"+strings.Repeat(" 10.1.1.1", 99), " "), "10.1.1.1:0"},
		{"empty elements without end", []string{"192.0.2.1" + strings.Repeat(",", 1000)}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			req, buf := requestWith(t, c.values...)
			got, ok := forwardedFor(testProxies, req, buf)
			if ok != (c.want != "") || ok && got.AddrPort().String() != c.want {
				t.Errorf("got %v, %v, want %q", got.AddrPort(), ok, c.want)
			}
		})
	}
}

// FuzzForwardedFor: whatever stands there, the answer is an address that stands there.
func FuzzForwardedFor(f *testing.F) {
	for _, seed := range []string{"192.0.2.1, 10.0.0.1:80", "[2001:db8::1]:80,fd00::1", "unknown", ",,", "[", "]:1",
		"1.2.3.4:"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		buf, req := []byte("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: "+value+"\r\n\r\n"), new(http1.Request)
		if http1.Parse(buf, 0, &http1.Limits{}, req) != http1.Complete {
			return
		}
		got, ok := forwardedFor(testProxies, req, buf)
		if !ok {
			return
		}
		for _, word := range strings.Split(value, ",") {
			if word = strings.Trim(word, " \t"); word == "" {
				continue
			}
			if at, good := parseForwarded([]byte(word)); good && conn.AddrFrom(at) == got {
				return
			}
		}
		t.Fatalf("%q: %v", value, got.AddrPort())
	})
}

// TestForwardedAllocatesNothing: behind a proxy every request has the field.
func TestForwardedAllocatesNothing(t *testing.T) {
	req, buf := requestWith(t, "198.51.100.1, [2001:db8::1]:4711, 10.0.0.1")
	if n := testing.AllocsPerRun(100, func() { forwardedFor(testProxies, req, buf) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
