//go:build unix

package reactor

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/conn"
)

// What a TCP client sees of each timeout. That each timer fires at all is
// TestEveryTimerFires's, over Unix sockets.

const (
	// briefly is the timeout that fires; all others are those of testConfig, which never do.
	briefly = 50 * time.Millisecond
	// trickle is how long a client pauses after each byte of a request. A byte of
	// content is worth 2 ms (500 a second), so this is too slow a body.
	trickle = briefly / 5
	// steady is the timeout that must not fire, since its client makes progress
	// every few pauses.
	steady = 20 * briefly
	pause  = steady / 100
	// pauses is how many a slow client makes: in total half as much again as the timeout.
	pauses = int(3 * steady / pause / 2)
)

// timeouts is a table of what ends a request or a connection that takes too
// long, and of what does not (RFC 9112 section 9.5).
var timeouts = []struct {
	name   string
	config func(c *conn.Config)
	act    func(s *server, c *client)
}{
	{"first byte: closed without a word", func(c *conn.Config) { c.FirstByte = briefly },
		func(_ *server, c *client) { c.expectEnd(false) }},
	{"head: 408", func(c *conn.Config) { c.Head = briefly },
		func(_ *server, c *client) {
			c.send("GET /small HTTP/1.1\r\nHo").expectTimeout("timeouts.head")
		}},
	{"head behind a whole request: 200, 408", func(c *conn.Config) { c.Head = briefly },
		func(_ *server, c *client) {
			c.send(get("/small") + "G").expect(200)
			c.expectTimeout("timeouts.head")
		}},
	{"trickled request line: 408", func(c *conn.Config) { c.Head = briefly },
		func(_ *server, c *client) { c.trickle("GET /", "x").expectTimeout("timeouts.head") }},
	{"trickled fields: 408", func(c *conn.Config) { c.Head = briefly },
		func(_ *server, c *client) {
			c.send("GET /small HTTP/1.1\r\nHost: h\r\n").trickle("", "X: y\r\n").expectTimeout("timeouts.head")
		}},
	{"trickled head on a used connection: 408", func(c *conn.Config) { c.Head = briefly },
		func(_ *server, c *client) {
			c.send(get("/small")).expect(200)
			c.trickle("GET /", "x").expectTimeout("timeouts.head")
		}},
	{"body: 408", func(c *conn.Config) { c.Body = briefly },
		func(_ *server, c *client) { c.send(withBody("Content-Length: 2") + "x").expectTimeout("timeouts.body") }},
	{"chunked body: 408", func(c *conn.Config) { c.Body = briefly },
		func(_ *server, c *client) {
			c.send(withBody("Transfer-Encoding: chunked") + "1\r\nx\r\n").expectTimeout("timeouts.body")
		}},
	{"trickled body: 408", func(c *conn.Config) { c.Body = briefly },
		func(_ *server, c *client) {
			c.send(withBody("Content-Length: 60000")).trickle("", "x").expectTimeout("timeouts.body")
		}},
	{"trickled chunks: 408", func(c *conn.Config) { c.Body = briefly },
		func(_ *server, c *client) {
			c.send(withBody("Transfer-Encoding: chunked")).trickle("", "1\r\nx\r\n").expectTimeout("timeouts.body")
		}},
	{"idle: closed without a word", func(c *conn.Config) { c.KeepAlive = briefly },
		func(_ *server, c *client) {
			if a := c.send(get("/small")).expect(200); a.close {
				c.t.Error("the answer announces a close")
			}
			c.expectEnd(false)
		}},
	{"deferred: 503", func(c *conn.Config) { c.Deferred = briefly },
		func(_ *server, c *client) {
			a := c.send(get("/defer/1")).expect(503)
			if a.fields.Get("Retry-After") == "" || !strings.Contains(a.text, "timeouts.deferred") {
				c.t.Errorf("503 is %v, %q", a.fields, a.text)
			}
			c.send(get("/small")).expect(200)
		}},
	{"bytes that nobody reads: closed", func(c *conn.Config) { c.Send = briefly }, unread(get("/huge"))},
	{"a file that nobody reads: closed", func(c *conn.Config) { c.Send = briefly }, unread(get("/file"))},
	{"a file that nobody reads, requests behind: closed", func(c *conn.Config) { c.Send = briefly },
		unread(get("/file") + get("/small"))},
	// The socket is writable again after each step.
	{"a file read in large steps: whole", func(c *conn.Config) { c.Send = steady }, readSlowly("/file", 256<<10)},
	// It is not within the timeout: what the client acknowledges is all the progress there is.
	{"a file read in small steps: whole", func(c *conn.Config) { c.Send = steady }, readSlowly("/file", 16<<10)},
	{"bytes read in small steps: whole", func(c *conn.Config) { c.Send = steady }, readSlowly("/huge", 16<<10)},
}

func TestTimeouts(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		for _, tt := range timeouts {
			t.Run(tt.name, func(t *testing.T) {
				if !restless(v.backend) {
					t.Parallel()
				}
				release := make(chan struct{})
				defer close(release)
				s := start(t, v, withConfig(tt.config), withAnswers(func(a *answers) {
					a.job = func(string) conn.Result { <-release; return find("late") }
				}))
				c := s.dial()
				tt.act(s, c)
				c.Close()
				s.empty()
				// The server goes on.
				next := s.dial()
				next.send(getClose("/small")).expect(200)
				next.expectEnd(false)
				s.empty()
			})
		}
	})
}

func withBody(framing string) string {
	return "GET /small HTTP/1.1\r\nHost: h\r\n" + framing + "\r\n\r\n"
}

// expectTimeout reads a 408 that names the timeout, and the end behind it (RFC 9110
// section 15.5.9).
func (c *client) expectTimeout(reason string) {
	c.t.Helper()
	a := c.expect(408)
	if _, err := http.ParseTime(a.fields.Get("Date")); err != nil {
		c.t.Errorf("408 has no Date: %v", err)
	}
	if !a.close {
		c.t.Error("408 does not announce the close")
	}
	if !strings.Contains(a.text, reason) {
		c.t.Errorf("408 says %q, not %s", a.text, reason)
	}
	c.expectEnd(false)
}

// trickle sends first, then again on and on, byte by byte, until something can be read.
func (c *client) trickle(first, again string) *client {
	c.t.Helper()
	text := first + again
	for began := time.Now(); ; text = text[1:] {
		if text == "" {
			text = again
		}
		c.send(text[:1])
		must(c.t, c.SetReadDeadline(time.Now().Add(trickle)))
		_, err := c.r.Peek(1)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			must(c.t, err)
			must(c.t, c.SetReadDeadline(time.Now().Add(patience)))
			return c
		}
		if time.Since(began) > patience {
			c.t.Fatal("each byte gave the request more time")
		}
	}
}

// unread sends requests, of which the first has a large answer, and reads
// nothing before the server has closed the connection.
func unread(requests string) func(s *server, c *client) {
	return func(s *server, c *client) {
		c.send(requests)
		s.until("the request is served", func(*Loop) bool { return s.answers.served.Load() == 1 })
		s.empty()
		n, err := io.Copy(io.Discard, c.r)
		if err != nil && !errors.Is(err, unix.ECONNRESET) {
			c.t.Errorf("the connection ended with %v", err)
		}
		if n >= int64(len(huge)) {
			c.t.Errorf("%d bytes came", n)
		}
	}
}

// readSlowly reads a large answer, its first parts in steps of that many bytes.
func readSlowly(path string, step int) func(s *server, c *client) {
	return func(_ *server, c *client) {
		// A window is opened again only once much of the buffer is free: a small one is acknowledged often.
		must(c.t, c.Conn.(*net.TCPConn).SetReadBuffer(64<<10))
		c.r = bufio.NewReaderSize(&slowReader{c.Conn, step, pauses}, step)
		if a := c.send(get(path)).expect(200); a.body != int64(len(huge)) {
			c.t.Errorf("%d bytes came", a.body)
		}
	}
}

// slowReader pauses before each of its first reads.
type slowReader struct {
	from   io.Reader
	step   int // bytes read after a pause
	pauses int // left
}

func (r *slowReader) Read(p []byte) (int, error) {
	if r.pauses > 0 {
		r.pauses--
		time.Sleep(pause) // the slowness itself: nothing is waited for
		p = p[:min(len(p), r.step)]
	}
	return r.from.Read(p)
}
