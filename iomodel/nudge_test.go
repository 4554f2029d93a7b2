//go:build darwin || dragonfly || freebsd || linux

package iomodel

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/http1"
	"github.com/evhttpd/evhttpd/internal/testkit"
	"github.com/evhttpd/evhttpd/model"
)

// someLimits are wide enough for any request here.
var someLimits = http1.Limits{RequestLine: 8 << 10, Head: 32 << 10, Fields: 100}

// serveFunc answers as the function does.
type serveFunc func(req *http1.Request, out *conn.Output)

func (f serveFunc) Serve(req *http1.Request, _ []byte, out *conn.Output) { f(req, out) }

// TestUpdateWithinATurn: a reload that comes while a connection has its turn holds for it when the turn is over,
// though it is idle from then on.
func TestUpdateWithinATurn(t *testing.T) {
	for _, m := range []Model{goroutine(), netpollModel()} {
		t.Run(m.Name, func(t *testing.T) { testUpdateWithinATurn(t, m) })
	}
}

func testUpdateWithinATurn(t *testing.T, m Model) {
	config := &conn.Config{Limits: someLimits, Clients: new(conn.Clients)}
	limited := *config
	limited.ConnectionsPerClient = 1
	var server atomic.Pointer[ownedServer]
	updated := make(chan struct{})
	handler := serveFunc(func(_ *http1.Request, out *conn.Output) {
		c := server.Load()
		go func() {
			c.Update(model.Settings{Config: &limited})
			close(updated)
		}()
		for !nudged(c) {
			time.Sleep(time.Millisecond)
		}
		out.Fail(404, "", "")
	})
	s, c := serve(t, m, config, handler)
	server.Store(ownedServerOf(s))
	if _, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if r, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || r.StatusCode != 404 {
		t.Fatal(r, err)
	}
	<-updated
	testkit.Until(t, "the connection is not counted for its client", func() bool { return config.Clients.Len() == 1 })
}

// TestHandoverWithinATurn: whoever asks when the server has begun to hand over is told that the answer is the last
// of its connection, also where an earlier request's turn goes on with it.
func TestHandoverWithinATurn(t *testing.T) {
	const request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	var server atomic.Pointer[ownedServer]
	handed, asked := make(chan struct{}), 0
	handler := serveFunc(func(_ *http1.Request, out *conn.Output) {
		if asked++; asked == 1 {
			server.Load().Handover(func(model.Handed) bool { return false })
			close(handed)
			for !arrived(server.Load(), len(request)) {
				time.Sleep(time.Millisecond)
			}
		}
		out.Fail(404, "", "")
	})
	s, c := serve(t, netpollModel(), &conn.Config{Limits: someLimits}, handler)
	server.Store(ownedServerOf(s))
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := c.Write([]byte(request))
	must(err)
	<-handed
	_, err = c.Write([]byte(request))
	must(err)
	in := bufio.NewReader(c)
	for i, last := range []bool{false, true} {
		r, err := http.ReadResponse(in, nil)
		must(err)
		_, err = io.Copy(io.Discard, r.Body)
		must(err)
		if r.Close != last {
			t.Errorf("answer %d is the last: %v", i+1, r.Close)
		}
	}
}

// arrived reports whether netpoll has so many bytes of the only connection that were not taken.
func arrived(c *ownedServer, size int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range c.conns {
		return k.transport.(*netpollTransport).in.Len() >= size
	}
	return false
}

// serve runs a server of the model until the test ends, and opens a connection to it.
func serve(t *testing.T, m Model, config *conn.Config, handler conn.Handler) (Server, net.Conn) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	must(err)
	t.Cleanup(func() { must(unix.Close(fd)) })
	must(unix.SetNonblock(fd, true))
	must(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	must(unix.Listen(fd, 16))
	at, err := unix.Getsockname(fd)
	must(err)
	s, err := m.New(Options{Loops: 1, Threads: 4, Options: model.Options{
		Config: config, NewHandler: func() conn.Handler { return handler },
	}})
	must(err)
	must(s.Serve([][]model.Listener{{{FD: fd}}}))
	t.Cleanup(func() {
		s.Drain(0)
		s.Wait()
	})
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", at.(*unix.SockaddrInet4).Port))
	must(err)
	t.Cleanup(func() { c.Close() })
	return s, c
}

// ownedServerOf is what a server of a connection a goroutine, or thread, stands on.
func ownedServerOf(s Server) *ownedServer {
	switch s := s.(type) {
	case *blockingServer:
		return s.ownedServer
	case *goroutineServer:
		return s.ownedServer
	case *netpollServer:
		return s.ownedServer
	}
	return nil
}

// nudged reports whether the only connection has been nudged.
func nudged(c *ownedServer) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range c.conns {
		return len(k.wakeup) > 0
	}
	return false
}
