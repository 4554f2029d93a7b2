package load

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func loopback(port uint16) Addr {
	return TCP(netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port))
}

// addrOf is where a listener of this process listens.
func addrOf(l net.Listener) Addr {
	if unix, ok := l.Addr().(*net.UnixAddr); ok {
		return Unix(unix.Name)
	}
	return TCP(l.Addr().(*net.TCPAddr).AddrPort())
}

// server is a raw server: serve is called for each connection, on a goroutine
// of its own, and owns it.
func server(t *testing.T, serve func(c *peer)) Addr {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, listener, serve)
	return addrOf(listener)
}

// serveOn is server over a listener, which it owns.
func serveOn(t *testing.T, listener net.Listener, serve func(c *peer)) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(&peer{streamConn: c.(streamConn), in: bufio.NewReader(c), t: t})
			}()
		}
	}()
	t.Cleanup(func() {
		if err := listener.Close(); err != nil {
			t.Error(err)
		}
		<-done
	})
}

// streamConn is a connection of either kind.
type streamConn interface {
	net.Conn
	CloseWrite() error
}

// peer is the server's end of one connection.
type peer struct {
	streamConn
	in *bufio.Reader
	t  *testing.T
}

// request reads one request head; false: the client has gone.
func (p *peer) request() (string, bool) {
	var head strings.Builder
	for {
		line, err := p.in.ReadString('\n')
		if err != nil {
			return "", false
		}
		head.WriteString(line)
		if line == "\r\n" {
			return head.String(), true
		}
	}
}

// write reports whether the client is still there.
func (p *peer) write(text string) bool {
	_, err := p.Write([]byte(text))
	return err == nil
}

// reset has the connection end by a reset when it is closed.
func (p *peer) reset() { _ = p.streamConn.(*net.TCPConn).SetLinger(0) }

// linger ends the stream and waits until the client has too, so that no reset overtakes what was sent.
func (p *peer) linger() {
	if p.CloseWrite() == nil {
		_, _ = io.Copy(io.Discard, p.in)
	}
}

// each answers every request of the connection with what answer says.
func each(answer func(n int) string) func(*peer) {
	return func(p *peer) {
		for n := 0; ; n++ {
			if _, ok := p.request(); !ok || !p.write(answer(n)) {
				return
			}
		}
	}
}

const okAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

var okTarget = Target{Path: "/hello", Body: []byte("hello")}

// quick completes options whose roles have a number of requests: there is time in
// plenty for them, and no run takes it.
func quick(o Options) Options {
	o.Duration = time.Minute
	o.CheckEvery = cmp.Or(o.CheckEvery, 1)
	return o
}

// mustRun runs o and checks what holds for every run.
func mustRun(t *testing.T, o Options) *Result {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errors.New("the run has not ended"))
	defer cancel()
	r, err := Run(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	for i := range r.Roles {
		c := &r.Roles[i].Counts
		wrong := c.Failures[WrongStatus] + c.Failures[WrongLength] + c.Failures[WrongContent]
		if c.Requests != c.Answered+wrong+c.Lost+c.Unanswered {
			t.Errorf("role %s: requests are missing: %+v", r.Roles[i].Name, *c)
		}
		for f, n := range c.Failures {
			if (n > 0) != (r.Roles[i].First[f] != "") {
				t.Errorf("role %s: %d times %v, described as %q", r.Roles[i].Name, n, Failure(f), r.Roles[i].First[f])
			}
		}
	}
	return r
}
