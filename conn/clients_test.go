package conn

import (
	"net/netip"
	"strings"
	"testing"
)

func addrOf(s string) Addr { return AddrFrom(netip.AddrPortFrom(netip.MustParseAddr(s), 4000)) }

// limited is what connections are started with of which a client may have so many.
func limited(tb testing.TB, perClient int) *rig {
	cfg := proxyConfig()
	cfg.ConnectionsPerClient, cfg.Clients = perClient, new(Clients)
	cfg.Trusted = NewNetworks([]netip.Prefix{netip.MustParsePrefix("172.16.0.0/12")})
	return newRig(tb, cfg)
}

// open starts a connection of that peer and has it ask. It returns the status, 0 for none.
func open(r *rig, peer Addr, in string) (c *Conn, status string) {
	r.t, r.started = newScript(r.tb, in), false
	c = new(Conn)
	c.Start(r.l, peer, false)
	dismissed := c.Dismissed()
	want := c.Step(r.t, r.l)
	if len(r.t.out) == 0 {
		if want != WantClose && in != "" || dismissed && want != WantClose {
			r.tb.Fatalf("no answer, and it wants %v", want)
		}
		return c, ""
	}
	return c, string(r.t.out[len("HTTP/1.1 "):][:3])
}

// TestConnectionsPerClient: the next one after the limit is answered 503, and
// after as many more, one is closed at once; what ends makes room.
func TestConnectionsPerClient(t *testing.T) {
	r := limited(t, 2)
	var all []*Conn
	for i := range 2 + refusedMin + 2 {
		want := "200"
		switch {
		case i >= 2+refusedMin:
			want = ""
		case i >= 2:
			want = "503"
		}
		c, got := open(r, addrOf("192.0.2.1"), get("/a"))
		if got != want {
			t.Fatalf("connection %d: %q, want %q", i, got, want)
		}
		if want == "503" && !strings.Contains(string(r.t.out), "limits.connections_per_client") {
			t.Errorf("no reason in %q", r.t.out)
		}
		all = append(all, c)
	}
	if _, got := open(r, addrOf("192.0.2.2"), get("/a")); got != "200" {
		t.Error("another client gets", got)
	}
	if n := r.l.Counters.RefusedClient; n != refusedMin+2 {
		t.Error("counted", n)
	}
	all[0].Release(r.l)
	if _, got := open(r, addrOf("192.0.2.1"), get("/a")); got != "200" {
		t.Error("after the end of one:", got)
	}
	for _, c := range all[1:] {
		c.Release(r.l)
		c.Release(r.l) // no harm is done
	}
	if n := r.l.Config.Clients.Len(); n != 2 {
		t.Error("clients:", n)
	}
}

// TestClientOfAddress: an IPv6 /64 is one client, an IPv4 address is one however it is written.
func TestClientOfAddress(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"192.0.2.1", "192.0.2.1", true},
		{"192.0.2.1", "::ffff:192.0.2.1", true},
		{"192.0.2.1", "192.0.2.2", false},
		{"2001:db8:1:2::1", "2001:db8:1:2:ffff::", true},
		{"2001:db8:1:2::1", "2001:db8:1:3::1", false},
		{"::1", "127.0.0.1", false},
		{"::1", "::ffff:0.0.0.1", false},
	} {
		if same := addrOf(c.a).Client() == addrOf(c.b).Client(); same != c.same {
			t.Errorf("%s and %s are one client: %v", c.a, c.b, same)
		}
	}
}

// TestProxiesAreNoClients: neither a trusted proxy's connections are counted, nor those
// of a Unix socket, nor a balancer's own; those that it brings count as their clients'.
func TestProxiesAreNoClients(t *testing.T) {
	r := limited(t, 1)
	header := proxyCases[0].in
	for _, c := range []struct {
		name, in, second string
		peer             Addr
	}{
		{"trusted", get("/a"), "200", addrOf("172.16.3.4")},
		{"a Unix socket", get("/a"), "200", Addr{}},
		{"LOCAL", binaryHeader(0, 0) + get("/a"), "200", balancer},
		{"before the header", "", "", balancer},
		{"proxied", header + get("/a"), "503", balancer},
		{"of the same client, directly", get("/a"), "503", AddrFrom(source)},
		{"brought for a trusted proxy", "PROXY TCP4 172.16.3.4 198.51.100.1 51234 80\r\n" + get("/a"), "200", balancer},
	} {
		open(r, c.peer, c.in)
		if _, got := open(r, c.peer, c.in); got != c.second {
			t.Errorf("%s: the second one gets %q, want %q", c.name, got, c.second)
		}
	}
	if n := r.l.Config.Clients.Len(); n != 1 {
		t.Error("clients:", n)
	}
}

// TestLimitChanges: connections that began without a limit are counted when there is one,
// none of them is cut off, and what was counted ends whatever the limit is then.
func TestLimitChanges(t *testing.T) {
	r := limited(t, 0)
	peer := addrOf("192.0.2.1")
	var all []*Conn
	for range 3 {
		c, _ := open(r, peer, get("/a"))
		all = append(all, c)
	}
	waits, _ := open(r, balancer, "")
	r.l.Config.ConnectionsPerClient = 2
	for _, c := range append(all, waits) {
		c.CountClient(r.l)
		c.CountClient(r.l)
	}
	if all[2].refused() || all[2].closing {
		t.Error("one that was open is cut off")
	}
	if _, got := open(r, peer, get("/a")); got != "503" {
		t.Error("one more gets", got)
	}
	moved := *all[0]
	moved.Move(r.l)
	moved.UncountClient(r.l.Config)
	r.l.Config.ConnectionsPerClient = 0
	free, got := open(r, peer, get("/a"))
	if got != "200" {
		t.Error("without a limit:", got)
	}
	for _, c := range append(all[1:], waits, free) {
		c.Release(r.l)
	}
	sh := r.l.Config.Clients.shard(peer.Client())
	if tally := sh.clients[peer.Client()]; tally.served != 0 || tally.refused != 1 {
		t.Errorf("left: %+v", tally)
	}
}

func TestNetworks(t *testing.T) {
	n := NewNetworks(
		[]netip.Prefix{
			netip.MustParsePrefix("10.0.0.0/8"),
			netip.MustParsePrefix("::ffff:192.0.2.0/120"),
			netip.MustParsePrefix("2001:db8::/32"),
		},
	)
	for ip, want := range map[string]bool{
		"10.1.2.3": true, "::ffff:10.1.2.3": true, "11.0.0.1": false, "192.0.2.9": true, "192.0.3.9": false,
		"2001:db8::1": true, "2001:db9::1": false, "::1": false,
	} {
		if got := n.Contains(addrOf(ip)); got != want {
			t.Errorf("%s: %v", ip, got)
		}
	}
	if n.Contains(Addr{}) || Networks(nil).Contains(addrOf("10.0.0.1")) {
		t.Error("what has no address is in a network")
	}
}
