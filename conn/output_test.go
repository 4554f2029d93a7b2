package conn

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/evhttpd/evhttpd/http1"
)

func TestAddr(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.1:80": "192.0.2.1:80", "[2001:db8::1]:65535": "[2001:db8::1]:65535",
		"[::ffff:192.0.2.1]:1": "192.0.2.1:1",
		"0.0.0.0:0":            "0.0.0.0:0",
	} {
		if got := AddrFrom(netip.MustParseAddrPort(in)).AddrPort().String(); got != want {
			t.Errorf("%s became %s, want %s", in, got, want)
		}
	}
	if AddrFrom(netip.AddrPort{}) != (Addr{}) || (Addr{}).AddrPort().IsValid() {
		t.Error("no address became one")
	}
}

type handlerFunc func(req *http1.Request, buf []byte, out *Output)

func (f handlerFunc) Serve(req *http1.Request, buf []byte, out *Output) { f(req, buf, out) }

type wakes map[uint64]int

func (w wakes) Wake(token uint64) { w[token]++ }

func TestHandlerSeesItsConnection(t *testing.T) {
	r := newRig(t, testConfig())
	w := wakes{}
	r.l.Waker, r.l.Token = w, 7
	peer := AddrFrom(netip.MustParseAddrPort("192.0.2.1:80"))
	r.l.Handler = handlerFunc(func(_ *http1.Request, _ []byte, out *Output) {
		if out.Remote() != peer || out.Clock() != r.l.Clock || out.Result() != nil {
			t.Error("it sees", out.Remote(), out.Clock(), out.Result())
		}
		waker, token := out.Waker()
		waker.Wake(token)
		r.text(out, "seen")
	})
	r.t, r.started = newScript(t, get("/")), true
	r.c.Start(r.l, peer, false)
	r.run()
	if w[7] != 1 || r.c.Remote() != peer || r.c.Requests() != 1 || r.l.access.Remote != peer {
		t.Error("woken", w, "remote", r.c.Remote(), "requests", r.c.Requests())
	}
	r.release()
}

// TestSetClient: the client behind a proxy is that of one request, in what the
// handler sees and in the log, also when the request is put off in between.
func TestSetClient(t *testing.T) {
	r := newRig(t, testConfig())
	peer := AddrFrom(netip.MustParseAddrPort("192.0.2.1:80"))
	client := AddrFrom(netip.MustParseAddrPort("198.51.100.7:0"))
	var seen []Addr
	r.l.Handler = handlerFunc(func(req *http1.Request, buf []byte, out *Output) {
		seen = append(seen, out.Remote())
		if string(req.Path.In(buf)) == "/direct" {
			r.text(out, "direct")
			return
		}
		out.SetClient(client)
		seen = append(seen, out.Remote())
		if out.Result() == nil {
			out.Defer(&countedJob{&r.result})
			return
		}
		r.text(out, "behind")
	})
	r.t, r.started = newScript(t, get("/behind")), true
	r.c.Start(r.l, peer, false)
	r.run()
	if want := []Addr{peer, client, peer, client}; !slices.Equal(seen, want) || r.l.access.Remote != client {
		t.Errorf("it sees %v, logged %v", seen, r.l.access.Remote)
	}
	r.t.input = [][]byte{[]byte(get("/direct"))}
	r.run()
	if seen[4] != peer || r.l.access.Remote != peer || r.c.Remote() != peer {
		t.Errorf("then it sees %v, logged %v", seen[4:], r.l.access.Remote)
	}
	r.t.input = [][]byte{[]byte("bad\n")}
	r.run()
	if r.l.access.Remote != peer {
		t.Error("of a bad request, logged", r.l.access.Remote)
	}
	r.release()
}

// The access line of the next request on a connection does not name the user of the one before.
func TestUserIsOfOneRequest(t *testing.T) {
	r := newRig(t, testConfig())
	var users []string
	r.l.Handler = handlerFunc(func(_ *http1.Request, _ []byte, out *Output) {
		if users = append(users, string(r.l.access.User)); len(users) == 1 {
			out.SetUser([]byte("alice"))
		}
		r.text(out, "seen")
	})
	r.start(newScript(t, get("/"), get("/")))
	r.run()
	users = append(users, string(r.l.access.User))
	if want := []string{"", "alice", ""}; !slices.Equal(users, want) {
		t.Errorf("got %q, want %q", users, want)
	}
	r.release()
}

// A handler that answers and puts off is wrong: half an answer would stand in the queue.
func TestDeferAfterHeadPanics(t *testing.T) {
	r := newRig(t, testConfig())
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	r.l.Handler = handlerFunc(func(_ *http1.Request, _ []byte, out *Output) {
		r.text(out, "an answer")
		out.Defer(&countedJob{&r.result})
	})
	r.start(newScript(t, get("/")))
	r.step()
}

func TestServerField(t *testing.T) {
	for _, server := range []string{"", "name"} {
		cfg := testConfig()
		cfg.Server = server
		r := newRig(t, cfg)
		r.start(newScript(t, "\n"))
		r.run()
		fields := replies(t, r.t.out)[0].fields
		if strings.Contains(fields, "\r\nServer: "+server+"\r\n") != (server != "") ||
			strings.Contains(fields, "Server: \r\n") {
			t.Errorf("server %q: %q", server, fields)
		}
		r.release()
	}
}
