package conn

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/evhttpd/evhttpd/http1"
)

// eager is a tap that has all its bytes at once.
type eager struct{ tap }

func (s *eager) Next(p []byte) (int, error) {
	s.parked = true
	return s.tap.Next(p)
}

// TestStream: a body of known length announces it; any other is chunked, and for
// HTTP/1.0 ends with the connection (RFC 9112 section 6.3).
func TestStream(t *testing.T) {
	parts := []string{"abc", pattern(40 << 10), pattern(16 << 10), "e"}
	whole := strings.Join(parts, "")
	for _, c := range []struct {
		name, send string
		length     int64
		status     int
		coding     []string
		announced  int64
		body       string
		close      bool
	}{
		{"unknown, HTTP/1.1", get("/"), -1, 200, []string{"chunked"}, -1, whole, false},
		{"unknown, HTTP/1.0", request("GET", "/", "1.0", "", "Connection: keep-alive"), -1, 200, nil, -1, whole, true},
		{"known", get("/"), int64(len(whole)), 200, nil, int64(len(whole)), whole, false},
		{
			"known, HTTP/1.0", request("GET", "/", "1.0", "", "Connection: keep-alive"), int64(len(whole)), 200, nil,
			int64(len(whole)), whole, false,
		},
		{"more than was announced", get("/"), 1000, 200, nil, 1000, whole[:1000], false},
		{"nothing, as announced", get("/"), 0, 200, nil, 0, "", false},
		{"HEAD, unknown", request("HEAD", "/", "1.1", ""), -1, 200, []string{"chunked"}, -1, "", false},
		{"HEAD, known", request("HEAD", "/", "1.1", ""), 7, 200, nil, 7, "", false},
		{"204", get("/"), -1, 204, nil, 0, "", false},
		{"304", get("/"), 7, 304, nil, 0, "", false},
	} {
		for name, room := range map[string]int{"whole": -1, "by the byte": 1, "by 1,000": 1000} {
			t.Run(c.name+", "+name, func(t *testing.T) {
				r := newRig(t, testConfig())
				late := true
				r.l.Handler = handlerFunc(func(req *http1.Request, _ []byte, out *Output) {
					src := tap{rig: r, parts: slices.Clone(parts), end: io.EOF}
					r.taps++
					late = !late
					if late {
						out.Stream(c.status, []byte("A: b\r\n"), c.length, &src)
					} else {
						out.Stream(c.status, []byte("A: b\r\n"), c.length, &eager{src})
					}
				})
				r.start(newScript(t, c.send+c.send))
				for r.t.room = room; r.started && r.run() == WantWrite; {
					r.t.room = room
				}
				in := bufio.NewReader(bytes.NewReader(r.t.out))
				for i := range 2 {
					a, err := http.ReadResponse(in, &http.Request{Method: strings.Fields(c.send)[0]})
					if c.close && i == 1 {
						if err != io.ErrUnexpectedEOF {
							t.Error("an answer behind the last one", err)
						}
						break
					}
					if err != nil {
						t.Fatal(err)
					}
					body, err := io.ReadAll(a.Body)
					if err != nil || string(body) != c.body {
						t.Errorf("a body of %d bytes and %v, want %d", len(body), err, len(c.body))
					}
					if !slices.Equal(a.TransferEncoding, c.coding) || a.ContentLength != c.announced ||
						a.Close != c.close ||
						a.Header.Get("A") != "b" {
						t.Errorf("coding %q, length %d, close %v, fields %v", a.TransferEncoding, a.ContentLength,
							a.Close, a.Header)
					}
				}
				if in.Buffered() > 0 {
					t.Errorf("%d bytes more", in.Buffered())
				}
				r.release()
			})
		}
	}
}

// The end of a chunked body leaves with its last bytes if it is known by then.
func TestStreamEndsWithItsLastBytes(t *testing.T) {
	r := newRig(t, testConfig())
	r.l.Handler = handlerFunc(func(_ *http1.Request, _ []byte, out *Output) {
		r.taps++
		out.Stream(200, nil, -1, &eager{tap{rig: r, parts: []string{"one", "two"}, end: io.EOF}})
	})
	r.start(newScript(t, get("/")))
	r.run()
	if _, body, _ := strings.Cut(string(r.t.out), "\r\n\r\n"); body != "0006\r\nonetwo\r\n0\r\n\r\n" || r.t.sends != 2 {
		t.Errorf("body %q in %d sends", body, r.t.sends)
	}
	if want := []string{fmt.Sprintf("/ 200 %d", len("0006\r\nonetwo\r\n0\r\n\r\n"))}; !slices.Equal(r.log.lines, want) {
		t.Errorf("logged %q, want %q", r.log.lines, want)
	}
	r.release()
}

// A body that ends too early ends the connection, since the client would take the next answer for the rest of it.
func TestStreamCutShort(t *testing.T) {
	for name, c := range map[string]struct {
		length int64
		end    error
	}{"shorter than announced": {10, io.EOF}, "an error": {-1, syscall.EIO}} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, testConfig())
			r.l.Handler = handlerFunc(func(_ *http1.Request, _ []byte, out *Output) {
				r.taps++
				out.Stream(200, nil, c.length, &tap{rig: r, parts: []string{"one"}, end: c.end})
			})
			r.start(newScript(t, get("/")+get("/")))
			if want := r.run(); want != WantClose || strings.Count(string(r.t.out), "HTTP/1.1") != 1 ||
				bytes.Contains(r.t.out, []byte(chunkLast)) {
				t.Errorf("it wants %v after %q", want, r.t.out)
			}
			r.release()
		})
	}
}
