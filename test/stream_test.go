package test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// TestWholeFiles: files of sizes around every bound in the server arrive whole.
func TestWholeFiles(t *testing.T) {
	const kib = 1 << 10
	sizes := []int{0, 1, 1000, 4 * kib, 64*kib - 1, 64 * kib, 64*kib + 1, 128 * kib, 256*kib - 1, 256 * kib, 256*kib +
		1, 4096 * kib}
	eachVariant(t, func(t *testing.T, v variant) {
		root := t.TempDir()
		for i, size := range sizes {
			write(t, root, fmt.Sprint(size), pattern(size, byte(i)))
		}
		s := start(t, v, root)
		c := s.dial(t)
		w := newWire(c)
		for range 2 { // the second time from what is cached
			for i, size := range sizes {
				if _, err := io.WriteString(c, request(fmt.Sprintf("/%d", size))); err != nil {
					t.Fatal(err)
				}
				got, err := w.next("GET")
				if err != nil || got.status != 200 || got.length != int64(size) ||
					sha256.Sum256(got.body) != sha256.Sum256(pattern(size, byte(i))) {
					t.Errorf("%d bytes: status %d, %d of %d bytes, %v", size, got.status, len(got.body), got.length,
						err)
				}
			}
		}
	})
}

// TestRangesOfOneFile: 64 clients at a time read different ranges of one file,
// which must not move each other's position.
func TestRangesOfOneFile(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		root := t.TempDir()
		content := pattern(4<<20, 12)
		write(t, root, "large", content)
		s := start(t, v, root)
		requests := 6 // of a client
		if testkit.Race {
			requests = 2
		}
		var clients sync.WaitGroup
		for client := range 64 {
			clients.Go(func() {
				random := rand.New(rand.NewPCG(1, uint64(client)))
				for range requests {
					first := random.IntN(len(content))
					last := min(first+random.IntN(1<<20), len(content)-1)
					got, err := s.tryGet("/large", fmt.Sprintf("Range: bytes=%d-%d", first, last))
					if err != nil || got.status != 206 || !bytes.Equal(got.body, content[first:last+1]) {
						t.Errorf("bytes %d-%d: status %d, %d bytes, %v", first, last, got.status, len(got.body), err)
						return
					}
				}
			})
		}
		clients.Wait()
	})
}

// TestPipelining: a thousand requests in one write are answered in order (RFC
// 9112 section 9.3.2), to a client that half-closes after them (section 9.6).
func TestPipelining(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		root := t.TempDir()
		for i := range 10 {
			write(t, root, fmt.Sprint(i), pattern(100+i*1000, byte(i)))
		}
		write(t, root, "10", pattern(300_000, 10))
		s := start(t, v, root)
		const requests = 1000
		var all strings.Builder
		file := func(i int) int {
			if i%100 == 99 {
				return 10 // one among a hundred does not fit into memory
			}
			return i % 10
		}
		for i := range requests {
			all.WriteString(request(fmt.Sprintf("/%d", file(i))))
		}
		answers, err := parseAnswers(s.exchange(t, all.String()))
		if err != nil || len(answers) != requests {
			t.Fatalf("%d answers, %v", len(answers), err)
		}
		for i, a := range answers {
			size := 100 + file(i)*1000
			if file(i) == 10 {
				size = 300_000
			}
			if a.status != 200 || !bytes.Equal(a.body, pattern(size, byte(file(i)))) {
				t.Fatalf("answer %d: status %d, %d bytes", i, a.status, len(a.body))
			}
		}
	})
}

// TestHalfClose: a client that shuts down its writing side gets its whole
// answer, however large, and then the end of the stream (RFC 9112 section 9.6).
func TestHalfClose(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		root := t.TempDir()
		content := pattern(slowBytes, 13)
		write(t, root, "large", content)
		write(t, root, "small", []byte(hello))
		s := start(t, v, root)
		answers, err := parseAnswers(s.exchange(t, request("/large")+request("/small")))
		if err != nil || len(answers) != 2 || !bytes.Equal(answers[0].body, content) ||
			string(answers[1].body) != hello {
			t.Errorf("%d answers, %v", len(answers), err)
		}
		if got := s.exchange(t, ""); len(got) != 0 {
			t.Errorf("to a client that asked nothing: %q", got)
		}
		if got := s.exchange(t, "GET /small HTT"); len(got) != 0 && !bytes.HasPrefix(got, []byte("HTTP/1.1 400 ")) {
			t.Errorf("to a cut request: %q", got)
		}
	})
}

// TestSlowReader: a client that pipelines without reading is held back, not
// buffered, while others are served; once it reads it gets everything.
func TestSlowReader(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		root := t.TempDir()
		content := pattern(60_000, 14)
		write(t, root, "medium", content)
		write(t, root, "small", []byte(hello))
		s := start(t, v, root, "--loops", "1")
		const requests = 2000 // 120 MB of answers
		c := s.dial(t)
		if err := c.SetReadBuffer(32 << 10); err != nil {
			t.Fatal(err)
		}
		go func() {
			for range requests {
				if _, err := io.WriteString(c, request("/medium")); err != nil {
					return // the reader below says what is missing
				}
			}
			c.CloseWrite()
		}()
		w := newWire(c)
		for i := range requests {
			if i%500 == 0 {
				if got := s.get(t, "/small"); string(got.body) != hello {
					t.Errorf("another client gets %d %q", got.status, got.body)
				}
			}
			got, err := w.next("GET")
			if err != nil || !bytes.Equal(got.body, content) {
				t.Fatalf("answer %d: status %d, %d bytes, %v", i, got.status, len(got.body), err)
			}
		}
		if err := w.ended(); err != nil {
			t.Error(err)
		}
	})
}

// TestPersistence: which answers leave the connection open (RFC 9112 section 9.3).
func TestPersistence(t *testing.T) {
	for _, c := range []struct {
		name, version, connection string
		open                      bool
	}{
		{"1.1", "HTTP/1.1", "", true},
		{"1.1 with close", "HTTP/1.1", "close", false},
		{"1.1 with close in a list", "HTTP/1.1", "foo, Close", false},
		{"1.1 with keep-alive", "HTTP/1.1", "keep-alive", true},
		{"1.0", "HTTP/1.0", "", false},
		{"1.0 with keep-alive", "HTTP/1.0", "Keep-Alive", true},
		{"1.0 with both", "HTTP/1.0", "keep-alive, close", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachVariant(t, func(t *testing.T, v variant) {
				root := t.TempDir()
				write(t, root, "a", []byte(hello))
				s := start(t, v, root)
				ask := head("GET /a "+c.version, "Host: x")
				if c.connection != "" {
					ask = head("GET /a "+c.version, "Host: x", "Connection: "+c.connection)
				}
				conn := s.dial(t)
				w := newWire(conn)
				for range 3 {
					if _, err := io.WriteString(conn, ask); err != nil {
						t.Fatal(err)
					}
					got, err := w.next("GET")
					if err != nil || got.status != 200 || string(got.body) != hello || got.close == c.open {
						t.Fatalf("status %d, close %v, %v", got.status, got.close, err)
					}
					if !c.open {
						if err := w.ended(); err != nil {
							t.Error(err)
						}
						return
					}
				}
			})
		})
	}
}

// TestConnectionLimit: at 90 % of RLIMIT_NOFILE the oldest idle connection
// makes room for a new one, so that new clients are always served.
func TestConnectionLimit(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		root := t.TempDir()
		write(t, root, "a", []byte(hello))
		s := startLimited(t, v, root, 256)
		s.settle(t, "/a") // a file that is cached is not opened for each request
		var first net.Conn
		for i := range 400 {
			c := s.dial(t)
			if first == nil {
				first = c
			}
			if _, err := io.WriteString(c, request("/a")); err != nil {
				t.Fatal(err)
			}
			if got, err := newWire(c).next("GET"); err != nil || got.status != 200 {
				t.Fatalf("client %d: status %d, %v\n%s", i, got.status, err, s.stderr.String())
			}
		}
		if err := newWire(first).ended(); err != nil {
			t.Errorf("the oldest idle connection: %v", err)
		}
	})
}

// TestOutOfDescriptors: connections in the middle of a request are not closed for newcomers. One past the limit
// gets a 503 or the close. When they are gone, everybody is served again.
func TestOutOfDescriptors(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		root := t.TempDir()
		write(t, root, "a", []byte(hello))
		s := startLimited(t, v, root, 64)
		s.settle(t, "/a")
		var busy []net.Conn
		for range 100 {
			c := s.dial(t)
			if _, err := io.WriteString(c, "GET /a HTTP/1.1\r\nHost"); err != nil {
				t.Fatal(err)
			}
			busy = append(busy, c)
		}
		served := 0
		for _, c := range busy {
			if _, err := io.WriteString(c, ": x\r\nConnection: close\r\n\r\n"); err != nil {
				continue // refused already
			}
			got, err := newWire(c).next("GET")
			switch {
			case err == nil && got.status == 200:
				served++
			case err == nil && got.status != 503:
				t.Errorf("status %d", got.status)
			}
			c.Close()
		}
		if served < 16 {
			t.Errorf("%d of %d were served", served, len(busy))
		}
		for range 100 {
			if got := s.get(t, "/a"); got.status != 200 {
				t.Fatalf("afterwards: status %d %s", got.status, got.body)
			}
		}
	})
}

// startLimited starts a server that may open so many descriptors.
func startLimited(t *testing.T, v variant, root string, descriptors int) *server {
	t.Helper()
	script := fmt.Sprintf(`ulimit -S -n %d && ulimit -H -n %d && exec "$@"`, descriptors, descriptors)
	s := launch(t, testkit.Command("sh", "-c", script, "sh", binary, "serve", root, "--listen", "127.0.0.1:0",
		"--io-model", v.Model, "--trigger", v.Trigger, "--access-log", "off", "--loops", "1"))
	t.Cleanup(func() { s.stop(t) })
	return s
}

// TestResets: clients that go away in the middle of anything leave nothing behind.
func TestResets(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Log("the server's descriptors are counted on Linux alone")
	}
	eachVariant(t, func(t *testing.T, v variant) {
		root := t.TempDir()
		write(t, root, "large", pattern(4<<20, 15))
		write(t, root, "small", []byte(hello))
		s := start(t, v, root)
		idle := s.warm(t, "/large", "/small")
		var clients sync.WaitGroup
		for client := range 16 {
			clients.Go(func() {
				for _, ask := range []string{"", "GET /sm", request("/small"), request("/large"),
					strings.Repeat(request("/small"), 100), strings.Repeat(request("/large"), 3)} {
					if err := s.leave(ask, client%2 == 0); err != nil {
						t.Error(err)
					}
				}
			})
		}
		clients.Wait()
		s.waitDescriptors(t, idle)
		if got := s.get(t, "/small"); string(got.body) != hello {
			t.Errorf("afterwards: %d %q", got.status, got.body)
		}
	})
}

// leave sends the bytes, may read a little, and resets the connection.
func (s *server) leave(ask string, read bool) error {
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := errors.Join(c.SetDeadline(deadline()), c.(*net.TCPConn).SetLinger(0)); err != nil {
		return err
	}
	if _, err := io.WriteString(c, ask); err != nil {
		return err
	}
	if read && strings.HasSuffix(ask, "\r\n\r\n") {
		_, err = io.ReadFull(c, make([]byte, 100))
	}
	return err
}
