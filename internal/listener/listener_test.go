package listener

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/internal/config"
)

// TestListenAll: sockets whose address stays are the same ones, an address
// under another name too; more are added and none taken away; an error leaves
// everything as it was.
func TestListenAll(t *testing.T) {
	cfg := config.Default()
	parse := func(texts ...string) {
		cfg.Listen = nil
		for _, text := range texts {
			a, err := config.ParseAddress(text)
			if err != nil {
				t.Fatal(err)
			}
			cfg.Listen = append(cfg.Listen, a)
		}
	}
	open := func(l *Listener) (n int) {
		for _, fd := range l.sockets {
			if listening, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err == nil &&
				listening == 1 {
				n++
			}
		}
		return n
	}
	path := filepath.Join(t.TempDir(), "socket")
	parse("127.0.0.1:0", "unix:"+path)
	first, err := Open(&cfg, cfg.Listen, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	byNumber := first[0].addr.String()
	parse(byNumber)
	second, err := Open(&cfg, cfg.Listen, 3, first)
	if err != nil {
		t.Fatal(err)
	}
	want := 1
	if reusePort != 0 {
		want = 3
	}
	if len(second) != 1 || second[0].sockets[0] != first[0].sockets[0] || len(second[0].sockets) != want ||
		open(second[0]) != want {
		t.Errorf("%+v became %+v", first[0], second[0])
	}
	if g := Gone(first, second); len(g) != 1 || g[0].unix != path {
		t.Errorf("gone: %+v", g)
	}
	parse(byNumber, "127.0.0.1:0", "systemd:nothing")
	if _, err := Open(&cfg, cfg.Listen, 3, second); err == nil || !strings.Contains(err.Error(), "systemd:nothing") {
		t.Error(err)
	}
	parse(byNumber, byNumber)
	if _, err := Open(&cfg, cfg.Listen, 3, second); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Error(err)
	}
	third, err := Open(&cfg, cfg.Listen, 1, second)
	if err == nil {
		t.Errorf("%+v", third)
	}
	if open(second[0]) != want || open(first[1]) != 1 {
		t.Error("an error has closed what was open")
	}
	if err := Close(first, second, true); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); err == nil {
		t.Error("the Unix socket's file is there")
	}
	if err := Close(second, nil, true); err != nil {
		t.Error(err)
	}
}

// TestPassed: the variables of sd_listen_fds(3) that are for another process, or wrong.
func TestPassed(t *testing.T) {
	pid := "1"
	if got, err := ofSystemd(pid, "1", "web"); got != nil || err != nil {
		t.Errorf("another process's: %v, %v", got, err)
	}
	if _, err := ofSystemd(strconv.Itoa(os.Getpid()), "x", ""); err == nil ||
		!strings.Contains(err.Error(), "LISTEN_FDS") {
		t.Error(err)
	}
}

// TestShare: every socket is accepted from by somebody, and with as many as
// loops each loop has one alone.
func TestShare(t *testing.T) {
	for _, c := range []struct {
		sockets, loops int
		shared         bool
	}{{1, 1, false}, {1, 3, false}, {3, 3, false}, {3, 2, false}, {2, 4, false}, {3, 2, true}, {3, 1, false}} {
		l := &Listener{}
		for i := range c.sockets {
			l.sockets = append(l.sockets, 100+i)
		}
		users := make(map[int]int)
		shared := make(map[int]bool)
		for i, list := range Share([]*Listener{l}, c.loops, c.shared) {
			if len(list) == 0 {
				t.Errorf("%+v: loop %d has nothing", c, i)
			}
			for _, li := range list {
				users[li.FD]++
				shared[li.FD] = shared[li.FD] || li.Shared
			}
		}
		for _, fd := range l.sockets {
			if users[fd] == 0 || users[fd] > 1 && !shared[fd] {
				t.Errorf("%+v: socket %d has %d loops, shared %v", c, fd, users[fd], shared[fd])
			}
		}
	}
}

// addresses parses what listen may say.
func addresses(t *testing.T, texts ...string) (all []config.Address) {
	t.Helper()
	for _, text := range texts {
		a, err := config.ParseAddress(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, a)
	}
	return all
}

// openTogether has four servers open the same addresses at once, and returns what each has got.
func openTogether(cfg *config.Config, addresses []config.Address, sockets int) (results [4][]*Listener) {
	var starts sync.WaitGroup
	begin := make(chan struct{})
	for i := range results {
		starts.Go(func() {
			<-begin
			results[i], _ = Open(cfg, addresses, sockets, nil)
		})
	}
	close(begin)
	starts.Wait()
	return results
}

// opened opens listeners until the test ends.
func opened(t *testing.T, sockets int, old []*Listener, texts ...string) ([]*Listener, error) {
	t.Helper()
	cfg := config.Default()
	cfg.DeferAccept = false // a connection is there without a byte of its client
	all, err := Open(&cfg, addresses(t, texts...), sockets, old)
	t.Cleanup(func() { Close(all, old, true) })
	return all, err
}

// mustOpen is opened for what can be.
func mustOpen(t *testing.T, sockets int, old []*Listener, texts ...string) []*Listener {
	t.Helper()
	all, err := opened(t, sockets, old, texts...)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestPortIsTakenAlone: of several servers that start in the same moment at most one has the port.
func TestPortIsTakenAlone(t *testing.T) {
	cfg := config.Default()
	served := 0
	for range 100 {
		free, err := Open(&cfg, addresses(t, "127.0.0.1:0"), 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		address := addresses(t, free[0].addr.String())
		if err := Close(free, nil, true); err != nil {
			t.Fatal(err)
		}
		has := 0
		for _, all := range openTogether(&cfg, address, 2) {
			has += len(all)
			if err := Close(all, nil, true); err != nil {
				t.Error(err)
			}
		}
		if served += has; has > 1 {
			t.Fatalf("%d servers have %s", has, address)
		}
	}
	if served == 0 {
		t.Error("no server has ever had the port")
	}
}

// TestUnixIsTakenAlone: of several servers that find the same stale socket one makes it anew, and its file is there.
func TestUnixIsTakenAlone(t *testing.T) {
	cfg := config.Default()
	for range 50 {
		path := filepath.Join(t.TempDir(), "s")
		stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		stale.SetUnlinkOnClose(false)
		stale.Close()
		address := addresses(t, "unix:"+path)
		results := openTogether(&cfg, address, 1)
		has := 0
		for _, all := range results {
			has += len(all)
			if !Reachable(all) {
				t.Error("a server listens where no client comes")
			}
		}
		if has != 1 {
			t.Errorf("%d servers have the socket", has)
		}
		for _, all := range results {
			if err := Close(all, nil, true); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestPortOfAnother: an address that a reload adds is another server's, though its port is ours at another address.
func TestPortOfAnother(t *testing.T) {
	ours := mustOpen(t, 2, nil, "127.0.0.1:0")
	first := ours[0].addr
	second := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), first.Port()).String()
	if !SharesPorts() {
		t.Log("nothing is shared here, and only one address of loopback may be there")
		return
	}
	mustOpen(t, 2, nil, second)
	if all, err := opened(t, 2, ours, first.String(), second); err == nil ||
		!strings.Contains(err.Error(), "another process has this port") {
		t.Errorf("%v, %v", all, err)
	}
}

// TestWideAddressOfAnother: an address that overlaps with ours, and with another server's too, is not
// joined: the kernel would let both have a part of it.
func TestWideAddressOfAnother(t *testing.T) {
	ours := mustOpen(t, 1, nil, "127.0.0.1:0")
	port := ours[0].addr.Port()
	every, narrow := fmt.Sprintf("[::]:%d", port), fmt.Sprintf("127.0.0.2:%d", port)
	if runtime.GOOS != "linux" {
		t.Log("nothing is joined here")
		return
	}
	other := mustOpen(t, 1, nil, narrow)
	if all, err := opened(t, 1, ours, every); err == nil ||
		!strings.Contains(err.Error(), "another process has this port") {
		t.Errorf("%v, %v", all, err)
	}
	if err := Close(other, nil, true); err != nil {
		t.Error(err)
	}
	mustOpen(t, 1, ours, every)
}

// TestPortOfOurs: what overlaps with an address of ours is no other server's.
func TestPortOfOurs(t *testing.T) {
	if !SharesPorts() {
		t.Log("an address that overlaps with another is refused here")
		return
	}
	ours := mustOpen(t, 1, nil, "127.0.0.1:0")
	port := ours[0].addr.Port()
	wide := mustOpen(t, 1, ours, fmt.Sprintf("0.0.0.0:%d", port))
	if err := Close(ours, wide, true); err != nil {
		t.Error(err)
	}
	both := mustOpen(t, 1, wide, fmt.Sprintf("0.0.0.0:%d", port), fmt.Sprintf("127.0.0.1:%d", port))
	if len(both) != 2 {
		t.Errorf("%+v", both)
	}
	if all, err := opened(t, 1, both, fmt.Sprintf("localhost:%d", port),
		fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
		t.Errorf("twice the same: %+v", all)
	}
}

// TestSocketsShare: each socket of an address gets a part of its connections.
func TestSocketsShare(t *testing.T) {
	l := mustOpen(t, 3, nil, "127.0.0.1:0")[0]
	want := 3
	if !SharesPorts() {
		want = 1
	}
	if len(l.sockets) != want {
		t.Fatalf("%d sockets", len(l.sockets))
	}
	for range 100 {
		c, err := net.Dial("tcp", l.addr.String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	for _, fd := range l.sockets {
		if n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 10_000); n != 1 {
			t.Errorf("socket %d of %v has none of 100 connections: %v", fd, l.sockets, err)
		}
	}
}

// TestEveryAddress: the unspecified address of IPv6 is one socket, and IPv4's too.
func TestEveryAddress(t *testing.T) {
	for _, text := range []string{"[::]:0", "[0::0]:0", ":0"} {
		all := mustOpen(t, 1, nil, text)
		if len(all) != 1 {
			t.Errorf("%s: %d listeners", text, len(all))
		}
		hosts := []string{"127.0.0.1"}
		if all[0].addr.Addr().Is6() {
			hosts = append(hosts, "::1")
		}
		for _, host := range hosts {
			c, err := net.Dial("tcp", net.JoinHostPort(host, strconv.Itoa(int(all[0].addr.Port()))))
			if err != nil {
				t.Errorf("%s: %v", text, err)
				continue
			}
			c.Close()
		}
	}
	if all := mustOpen(t, 1, nil, "0.0.0.0:0"); len(all) != 1 || all[0].addr.Addr() != netip.IPv4Unspecified() {
		t.Errorf("%+v", all)
	}
}

// TestZone: an address of one interface alone has several sockets too, and is kept under another spelling of its
// zone.
func TestZone(t *testing.T) {
	if _, err := opened(t, 1, nil, "[fe80::1%nosuch]:0"); err == nil ||
		!strings.Contains(err.Error(), `this machine has no interface "nosuch"`) {
		t.Error(err)
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, ifi := range interfaces {
		all, err := ifi.Addrs()
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range all {
			ip, ok := netip.AddrFromSlice(a.(*net.IPNet).IP)
			if !ok || !ip.Is6() || !ip.IsLinkLocalUnicast() {
				continue
			}
			first := mustOpen(t, 3, nil, fmt.Sprintf("[%s%%%s]:0", ip, ifi.Name))
			want := netip.AddrPortFrom(ip.WithZone(ifi.Name), first[0].addr.Port())
			if first[0].addr != want {
				t.Errorf("it listens on %s, not on %s", first[0].addr, want)
			}
			if url := first[0].url(); url != fmt.Sprintf("http://[%s%%25%s]:%d/", ip, ifi.Name, want.Port()) {
				t.Error(url)
			}
			again := mustOpen(t, 3, first, fmt.Sprintf("[%s%%%d]:%d", ip, ifi.Index, want.Port()))
			if again[0].sockets[0] != first[0].sockets[0] {
				t.Errorf("%s became %s", first[0].addr, again[0].addr)
			}
		}
	}
}

// TestUnixMadeAgain: a Unix socket whose file was removed is made again, here and by the process
// to which it is passed on; one that another server has put in its place is that server's.
func TestUnixMadeAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	first := mustOpen(t, 1, nil, "unix:"+path)
	if again := mustOpen(t, 1, first, "unix:"+path); again[0].sockets[0] != first[0].sockets[0] {
		t.Error("it is another one though its file is there")
	}
	if variable, _, err := PassOn(first); err != nil || strings.Contains(variable, "lost") {
		t.Error(variable, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if Reachable(first) {
		t.Error("it can be reached without its file")
	}
	if variable, _, err := PassOn(first); err != nil || !strings.Contains(variable, `"lost":true`) {
		t.Error(variable, err)
	}
	second := mustOpen(t, 1, first, "unix:"+path)
	if second[0].sockets[0] == first[0].sockets[0] || !Reachable(second) {
		t.Error("it was not made again")
	}
	if all, err := opened(t, 1, first, "unix:"+path); err == nil ||
		!strings.Contains(err.Error(), "another process listens there") {
		t.Errorf("%+v, %v", all, err)
	}
	passed := &Listener{sockets: first[0].sockets}
	if err := passed.learn(true); err != nil || passed.reachable() {
		t.Errorf("%+v, %v", passed, err)
	}
	if err := passed.RemoveFile(); err != nil || !Reachable(second) {
		t.Errorf("another server's file was removed: %v", err)
	}
}
