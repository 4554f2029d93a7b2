package conn_test

import (
	"fmt"
	"io"
	"strings"

	"github.com/evhttpd/evhttpd/clock"
	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/http1"
	"github.com/evhttpd/evhttpd/sendfile"
)

// script is a Transport without a socket: its peer sends the pieces, one for each
// Recv, and takes everything. Between two pieces there is nothing to receive.
type script struct {
	pieces []string
	sent   strings.Builder
	paused bool
}

func (s *script) Recv(p []byte) (int, error) {
	if s.paused = !s.paused; !s.paused {
		return 0, conn.ErrAgain
	}
	if len(s.pieces) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.pieces[0])
	s.pieces = s.pieces[1:]
	return n, nil
}

func (s *script) Send(head, body []byte, _ bool) (int, error) {
	s.sent.Write(head)
	s.sent.Write(body)
	return len(head) + len(body), nil
}

func (*script) SendFile(*sendfile.File, int64, int64) (int64, error) { return 0, io.ErrUnexpectedEOF }
func (*script) Resident(*sendfile.File, int64, int64) bool           { return true }
func (*script) CloseWrite() error                                    { return nil }
func (*script) Unacked() int                                         { return -1 }
func (*script) Hangup() (half, all bool)                             { return false, false }

// greeter answers every request with the path that it asks for.
type greeter struct{}

func (greeter) Serve(req *http1.Request, buf []byte, out *conn.Output) {
	body := fmt.Appendf(nil, "this is %s\n", req.Path.In(buf))
	out.Head(200, fmt.Appendf(nil, "Content-Length: %d\r\n", len(body)))
	out.Bytes(body)
}

// A connection over a scripted transport: it is stepped until it is to be closed. A
// request that arrives in two pieces is answered when the second one is there.
func Example() {
	w := conn.NewWorkspace(&conn.Config{
		Server: "example", Limits: http1.Limits{RequestLine: 8 << 10, Head: 32 << 10, Fields: 100},
	}, greeter{}, nil)
	w.Clock = clock.Time{Mono: 1, Wall: 784111777e9}
	t := &script{
		pieces: []string{"GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HT",
			"TP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"},
	}

	var c conn.Conn
	c.Start(w, conn.Addr{}, false)
	steps := 1
	for c.Step(t, w) != conn.WantClose {
		steps++ // a loop would wait for an event here, for at most Config.Timeout of c.Phase()
	}
	c.Release(w)
	fmt.Printf("%d answers in %d steps:\n%s", c.Requests(), steps, strings.ReplaceAll(t.sent.String(), "\r\n", "\n"))
	// Output:
	// 2 answers in 2 steps:
	// HTTP/1.1 200 OK
	// Content-Length: 11
	// Server: example
	// Date: Sun, 06 Nov 1994 08:49:37 GMT
	//
	// this is /a
	// HTTP/1.1 200 OK
	// Content-Length: 11
	// Server: example
	// Date: Sun, 06 Nov 1994 08:49:37 GMT
	// Connection: close
	//
	// this is /b
}
