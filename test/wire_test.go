package test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// answer is one response as it came over the wire.
type answer struct {
	status int
	header http.Header
	length int64 // Content-Length; -1: none
	proto  string
	close  bool // the server said that it closes
	body   []byte
}

// wire reads the answers of one connection.
type wire struct {
	conn net.Conn
	in   *bufio.Reader
}

func newWire(c net.Conn) *wire { return &wire{c, bufio.NewReaderSize(c, 64<<10)} }

// next reads one whole answer to a request of that method.
func (w *wire) next(method string) (answer, error) {
	r, err := http.ReadResponse(w.in, &http.Request{Method: method})
	if err != nil {
		return answer{}, err
	}
	body, err := io.ReadAll(r.Body)
	return answer{r.StatusCode, r.Header, r.ContentLength, r.Proto, r.Close, body}, err
}

// ended checks that the connection ends here: in order, with no byte more and no reset.
func (w *wire) ended() error {
	rest, err := io.ReadAll(w.in)
	if err != nil {
		return fmt.Errorf("the connection did not end in order: %w", err)
	}
	if len(rest) > 0 {
		return fmt.Errorf("%d bytes after the last answer: %.80q", len(rest), rest)
	}
	return nil
}

// exchange sends raw bytes on a connection of its own and reads all that comes
// back until the server ends the connection; the client half-closes after its last byte.
func (s *server) exchange(t *testing.T, raw string) []byte {
	t.Helper()
	c := s.dial(t)
	defer c.Close()
	if _, err := io.WriteString(c, raw); err != nil {
		t.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c)
	if err != nil {
		t.Fatalf("after %d bytes: %v", len(got), err)
	}
	return got
}

// get asks for one path on a connection of its own.
func (s *server) get(t *testing.T, path string, fields ...string) answer {
	t.Helper()
	got, err := s.tryGet(path, fields...)
	if err != nil {
		t.Fatalf("GET %s: %v\n%s", path, err, s.stderr.String())
	}
	return got
}

// tryGet is get for goroutines and for servers that may be gone.
func (s *server) tryGet(path string, fields ...string) (answer, error) {
	w, err := s.open(request(path, append(fields, "Connection: close")...))
	if err != nil {
		return answer{}, err
	}
	defer w.conn.Close()
	got, err := w.next("GET")
	if err != nil {
		return got, err
	}
	return got, w.ended()
}

// open sends a request on a connection of its own, which the caller closes.
func (s *server) open(request string) (*wire, error) {
	c, err := net.DialTimeout("tcp", s.addr, patience)
	if err != nil {
		return nil, err
	}
	if err = c.SetDeadline(deadline()); err == nil {
		_, err = io.WriteString(c, request)
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return newWire(c), nil
}

// request is a GET of HTTP/1.1 with these fields.
func request(path string, fields ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "GET %s HTTP/1.1\r\nHost: x\r\n", path)
	for _, f := range fields {
		b.WriteString(f + "\r\n")
	}
	b.WriteString("\r\n")
	return b.String()
}

// parseAnswers reads all the answers to GET requests in raw.
func parseAnswers(raw []byte) ([]answer, error) {
	w := newWire(nil)
	w.in = bufio.NewReader(bytes.NewReader(raw))
	var all []answer
	for {
		if _, err := w.in.Peek(1); err == io.EOF {
			return all, nil
		}
		a, err := w.next("GET")
		if err != nil {
			return all, err
		}
		all = append(all, a)
	}
}

func TestParseAnswers(t *testing.T) {
	const raw = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 404 Not Found\r\nConnection: " +
		"close\r\nContent-Length: 0\r\n\r\n"
	got, err := parseAnswers([]byte(raw))
	if err != nil || len(got) != 2 || string(got[0].body) != "hi" || got[1].status != 404 || !got[1].close {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := parseAnswers([]byte(raw[:45])); err == nil {
		t.Error("a cut answer was taken for a whole one")
	}
}
