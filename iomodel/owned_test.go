//go:build darwin || dragonfly || freebsd || linux

package iomodel_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/iomodel"
	"github.com/evhttpd/evhttpd/model"
	"github.com/evhttpd/evhttpd/poller"
)

// TestKeepAliveAndPipelining, RFC 9112 section 9.3: requests that come one by
// one, all at once, and byte by byte are answered in order on one connection.
func TestKeepAliveAndPipelining(t *testing.T) {
	eachOwned(t, func(t *testing.T, m iomodel.Model) {
		s := start(t, m)
		c := s.dial(t)
		for range 10 {
			if got, last := c.get("/small"); string(got) != "ok\n" || last {
				t.Fatalf("got %q, last: %v", got, last)
			}
		}
		const requests = 500
		var all strings.Builder
		for i := range requests {
			all.WriteString(request(fmt.Sprintf("/range/%d/10", i*1000)))
		}
		go io.WriteString(c, all.String())
		for i := range requests {
			if got, _ := c.answer(200); !bytes.Equal(got, body[i*1000:i*1000+10]) {
				t.Fatalf("answer %d is not that of its request", i)
			}
		}
		for _, b := range []byte(request("/small")) {
			c.send(string(b))
		}
		c.answer(200)
		c.send("GET /small HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n" + strings.Repeat("x", 60000))
		c.answer(200)
		if n := s.log.n.Load(); n != 10+requests+2 {
			t.Errorf("%d lines in the access log", n)
		}
	})
}

// TestRangesOfOneFile: 64 clients that read different ranges of one file get each its own.
func TestRangesOfOneFile(t *testing.T) {
	eachOwned(t, func(t *testing.T, m iomodel.Model) {
		s := start(t, m)
		var wg sync.WaitGroup
		for i := range 64 {
			c := s.dial(t)
			must(t, c.SetReadBuffer(64<<10)) // so that they take turns
			wg.Go(func() {
				from, n := i*200_003, 500_000+i*1001
				c.send(request(fmt.Sprintf("/range/%d/%d", from, n)))
				r, err := http.ReadResponse(c.r, nil)
				if err != nil {
					t.Error(err)
					return
				}
				hash := sha256.New()
				if _, err := io.Copy(hash, r.Body); err != nil ||
					[32]byte(hash.Sum(nil)) != sha256.Sum256(body[from:from+n]) {
					t.Errorf("client %d, bytes %d to %d: not these bytes of the file, %v", i, from, from+n, err)
				}
			})
		}
		wg.Wait()
	})
}

// TestHalfClosed, RFC 9112 section 9.6: a client that has closed its sending
// side is answered in full, however much that is and whatever it waits for.
func TestHalfClosed(t *testing.T) {
	eachOwned(t, func(t *testing.T, m iomodel.Model) {
		s := start(t, m)
		for _, path := range []string{"/small", "/file", "/shared", "/defer"} {
			c := s.dial(t)
			must(t, c.SetReadBuffer(16<<10))
			c.send(strings.Repeat(request("/small"), 3) + request(path))
			must(t, c.CloseWrite())
			for range 3 {
				c.answer(200)
			}
			if got, _ := c.answer(200); path != "/small" && path != "/defer" && !bytes.Equal(got, body) {
				t.Errorf("%s: %d bytes, not those of the file", path, len(got))
			}
			c.end()
		}
		eventually(t, func() error { return none(s.Open()) })
	})
}

func none(open int) error {
	if open != 0 {
		return fmt.Errorf("%d connections are open", open)
	}
	return nil
}

// TestSlowReader: who does not read holds up nobody else, costs no CPU, and gets all in the end.
func TestSlowReader(t *testing.T) {
	eachOwned(t, func(t *testing.T, m iomodel.Model) {
		s := start(t, m)
		var slow []*client
		for _, path := range []string{"/file", "/shared", "/file"} {
			c := s.dial(t)
			must(t, c.SetReadBuffer(16<<10))
			c.send(request(path))
			_, err := c.r.Peek(1)
			must(t, err)
			slow = append(slow, c)
		}
		c := s.dial(t)
		before := cpu(t)
		for range 20 {
			c.get("/small")
			time.Sleep(10 * time.Millisecond) // the others' time to spin
		}
		if used := cpu(t) - before; used > 150*time.Millisecond {
			t.Errorf("%v of CPU in a time of 200 ms", used)
		}
		for _, c := range slow {
			if got, _ := c.answer(200); !bytes.Equal(got, body) {
				t.Errorf("%d bytes, not those of the file", len(got))
			}
		}
	})
}

// cpu is what the process has used so far.
func cpu(t testing.TB) time.Duration {
	var u unix.Rusage
	must(t, unix.Getrusage(unix.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// readSlowly takes a long answer with such a pause behind each read.
func readSlowly(t *testing.T, s *server, pause time.Duration) {
	t.Helper()
	c := s.dial(t)
	must(t, c.SetReadBuffer(64<<10))
	c.send(request("/range/0/4000000"))
	var got []byte
	for began, p := time.Now(), make([]byte, 256<<10); len(got) < 4_000_000; {
		n, err := c.Read(p)
		got = append(got, p[:n]...)
		if err != nil {
			t.Fatalf("cut after %d bytes and %v: %v", len(got), time.Since(began), err)
		}
		time.Sleep(pause)
	}
}

// TestTimeouts: each phase ends when its time is up, and no other with it.
func TestTimeouts(t *testing.T) {
	const soon = 150 * time.Millisecond
	eachOwned(t, func(t *testing.T, m iomodel.Model) {
		for _, c := range []struct {
			name   string
			set    func(c *conn.Config)
			send   string // after a whole request
			status int    // 0: closed silently
		}{
			{"keep-alive", func(c *conn.Config) { c.KeepAlive = soon }, "", 0},
			{"head", func(c *conn.Config) { c.Head = soon }, "GET /small HT", 408},
			{"body", func(c *conn.Config) { c.Body = soon },
				"GET /small HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx", 408},
			{"deferred", func(c *conn.Config) { c.Deferred = soon }, request("/defer"), 503},
			{"source", func(c *conn.Config) { c.Send = soon }, request("/source"), 0},
		} {
			if c.name == "deferred" && m.Name == "blocking" {
				continue // jobs run in place
			}
			t.Run(c.name, func(t *testing.T) {
				s := start(t, m, withConfig(c.set))
				release := make(chan struct{})
				defer close(release)
				late := func() string { <-release; return "late" }
				s.result.Store(&late)
				k := s.dial(t)
				k.get("/small")
				k.send(c.send)
				if c.status != 0 {
					k.answer(c.status)
				} else if c.name == "source" {
					_, err := http.ReadResponse(k.r, nil)
					must(t, err)
				}
				if c.name != "deferred" {
					k.end()
					k.Close()
					eventually(t, func() error { return none(s.Open()) })
				}
			})
		}
		t.Run("first byte", func(t *testing.T) {
			t.Parallel() // it waits most of its time
			s := start(t, m, withConfig(func(c *conn.Config) { c.FirstByte = soon }))
			s.dial(t).end()
		})
		t.Run("sending", func(t *testing.T) {
			t.Parallel() // it waits most of its time
			s := start(t, m, withConfig(func(c *conn.Config) { c.Send = soon }))
			for _, path := range []string{"/file", "/shared"} {
				c := s.dial(t)
				must(t, c.SetReadBuffer(16<<10))
				c.send(request(path))
				eventually(t, func() error { // it is given up while nothing is read
					if s.log.n.Load() == 0 || s.Open() > 0 {
						return errors.New("a client that does not read is not given up")
					}
					return nil
				})
				if n, err := io.Copy(io.Discard, c); err == nil && n >= int64(len(body)) {
					t.Error("it got everything")
				}
				s.log.n.Store(0)
			}
		})
		t.Run("sending slowly", func(t *testing.T) { // is no reason to be cut
			t.Parallel() // it waits most of its time
			readSlowly(t, start(t, m, withConfig(func(c *conn.Config) { c.Send = 10 * soon })), soon/2)
		})
	})
}

// TestDrain: what waits in the queue is served, each answer is the last, what
// is idle is closed at the end and counted apart from what is cut.
func TestDrain(t *testing.T) {
	const drain = 2 * time.Second
	eachOwned(t, func(t *testing.T, m iomodel.Model) {
		s := start(t, m)
		idle, asks, loads := s.dial(t), s.dial(t), s.dial(t)
		idle.get("/small")
		asks.get("/small")
		must(t, loads.SetReadBuffer(16<<10))
		loads.send(request("/file"))
		_, err := loads.r.Peek(1)
		must(t, err)
		finishes := s.dial(t)
		must(t, finishes.SetReadBuffer(16<<10))
		finishes.send(request("/shared"))
		_, err = finishes.r.Peek(1)
		must(t, err)
		var late []*client
		for range 20 { // some of them are not accepted yet
			late = append(late, s.dial(t))
		}
		s.Drain(drain)
		for _, c := range late {
			if _, last := c.get("/small"); !last {
				t.Error("an answer does not say that it is the last")
			}
			c.end()
		}
		if _, last := asks.get("/small"); !last {
			t.Error("an answer does not say that it is the last")
		}
		asks.end()
		for _, c := range append(late, asks) { // else they linger
			c.Close()
		}
		if got, _ := finishes.answer(200); !bytes.Equal(got, body) {
			t.Error("a download was not finished")
		}
		finishes.Close()
		ended := s.stop(drain) // no sooner
		if ended.Idle != 1 || ended.Cut != 1 || ended.Err != nil {
			t.Errorf("%d idle, %d cut, %v; want 1, 1", ended.Idle, ended.Cut, ended.Err)
		}
		if s.log.ended.Load() == 0 {
			t.Error("the access log was not told of the end")
		}
	})
}

// TestDrainUnderLoad: no request is lost whose answer did not say that it was the last.
func TestDrainUnderLoad(t *testing.T) {
	eachOwned(t, func(t *testing.T, m iomodel.Model) {
		s := start(t, m)
		var wg sync.WaitGroup
		began := make(chan struct{}, 16)
		for range 16 {
			c := s.dial(t)
			wg.Go(func() {
				for n := 0; ; n++ {
					if _, last := c.get("/range/7/70000"); last {
						return
					}
					if n == 10 {
						began <- struct{}{}
					}
				}
			})
		}
		for range 16 {
			<-began
		}
		s.Drain(patience)
		wg.Wait()
	})
}

// TestConnectionsLimit: past limits.connections the one idle for longest goes
// first, and when there is none the new one gets 503.
func TestConnectionsLimit(t *testing.T) {
	eachOwned(t, func(t *testing.T, m iomodel.Model) {
		s := start(t, m, func(o *iomodel.Options) { o.Connections = 3 })
		oldest, older, young := s.dial(t), s.dial(t), s.dial(t)
		for _, c := range []*client{young, oldest, older, young} {
			c.get("/small")
		}
		fourth := s.dial(t)
		fourth.get("/small")
		oldest.end()
		older.get("/small")
		young.get("/small")

		for _, c := range []*client{older, young, fourth} { // all are busy
			must(t, c.SetReadBuffer(16<<10))
			c.send(request("/file"))
			_, err := c.r.Peek(1)
			must(t, err)
		}
		fifth := s.dial(t)
		fifth.send(request("/small"))
		if _, last := fifth.answer(503); !last {
			t.Error("the refusal does not say that it is the last answer")
		}
		fifth.end()
		for _, c := range []*client{older, young, fourth} {
			if got, _ := c.answer(200); !bytes.Equal(got, body) {
				t.Error("a download was disturbed")
			}
		}
		if s.warned("too many connections") == 0 {
			t.Error("nothing was said")
		}
	})
}

// TestThreadsTaken: while all threads are, answers say that they are the last,
// those who wait get a turn, and who is idle is closed for them.
func TestThreadsTaken(t *testing.T) {
	eachOwned(t, func(t *testing.T, m iomodel.Model) {
		if !m.Threads {
			return // a turn is all that it gives out
		}
		s := start(t, m, func(o *iomodel.Options) { o.Threads = 2 })
		first := s.dial(t)
		if _, last := first.get("/small"); last {
			t.Error("there is a thread left, and still it is the last answer")
		}
		busy := s.dial(t)
		must(t, busy.SetReadBuffer(16<<10))
		busy.send(request("/file"))
		_, err := busy.r.Peek(1)
		must(t, err)
		if _, last := first.get("/small"); !last {
			t.Error("all threads are taken, and it is not the last answer")
		}
		first.end()
		first.Close()
		var wg sync.WaitGroup
		for range 20 { // each waits for those before it
			c := s.dial(t)
			wg.Go(func() {
				if _, last := c.get("/small"); !last {
					t.Error("all threads are taken, and it is not the last answer")
				}
				c.Close()
			})
		}
		wg.Wait()
		if got, _ := busy.answer(200); !bytes.Equal(got, body) {
			t.Error("the download was disturbed")
		}
		busy.Close() // else it lingers
		var idle *client
		eventually(t, func() error {
			idle = s.dial(t)
			if _, last := idle.get("/small"); last {
				idle.Close()
				return errors.New("each answer is the last, though the threads are free again")
			}
			return nil
		})
		s.dial(t).get("/small") // and it lingers
		s.dial(t).get("/small")
		idle.end()
		if n := s.warned("all threads are taken"); n == 0 {
			t.Error("nothing was said")
		}
	})
}

// TestThreadsBounds: Go ends a program with 10,000 threads.
func TestThreadsBounds(t *testing.T) {
	m, err := iomodel.Resolve("blocking", iomodel.Auto)
	must(t, err)
	for _, threads := range []int{0, -1, 8193} {
		if _, err := m.Start(iomodel.Options{Threads: threads}); err == nil || !strings.Contains(err.Error(), "8192") {
			t.Errorf("%d threads: %v", threads, err)
		}
	}
	if got := m.MaxProcs(&iomodel.Options{Loops: 1, Threads: 7}); got != 8 {
		t.Errorf("GOMAXPROCS is %d for 7 threads", got)
	}
}

// TestDeferral: a job's result comes back to its request; others are answered meanwhile.
func TestDeferral(t *testing.T) {
	eachOwned(t, func(t *testing.T, m iomodel.Model) {
		s := start(t, m)
		release := make(chan struct{})
		wait := func() string { <-release; return "late" }
		s.result.Store(&wait)
		c, other := s.dial(t), s.dial(t)
		c.send(request("/small") + request("/defer") + request("/small"))
		c.answer(200)
		eventually(t, func() error {
			if s.jobs.Load() == 0 {
				return errors.New("the job does not run")
			}
			return nil
		})
		other.get("/small")
		close(release)
		if got, _ := c.answer(200); string(got) != "late" {
			t.Errorf("got %q", got)
		}
		c.answer(200)
	})
}

// TestSource: what a source gives arrives when it is there; a client that goes
// away, and the server's end, close it.
func TestSource(t *testing.T) {
	eachOwned(t, func(t *testing.T, m iomodel.Model) {
		s := start(t, m)
		c := s.dial(t)
		c.send(request("/source"))
		r, err := http.ReadResponse(c.r, nil)
		must(t, err)
		for i := range 50 {
			s.source <- body[i*1000 : i*1000+1000]
			p := make([]byte, 1000)
			if _, err := io.ReadFull(r.Body, p); err != nil || !bytes.Equal(p, body[i*1000:i*1000+1000]) {
				t.Fatalf("part %d: %v", i, err)
			}
		}
		if ended := s.stop(0); ended.Cut != 1 {
			t.Errorf("%+v", ended)
		}
	})
}

// TestAlone: a request that comes by itself is known as such, and those that
// come with others are not.
func TestAlone(t *testing.T) {
	eachOwned(t, func(t *testing.T, m iomodel.Model) {
		s := start(t, m)
		c := s.dial(t)
		// Not each of them does: the next may be there before the server sleeps.
		for n := 1; s.alone.Load() < 3; n++ {
			if n > 1000 {
				t.Fatalf("%d of %d requests came alone", s.alone.Load(), n)
			}
			c.get("/small")
		}
		s.alone.Store(0)
		c.send(strings.Repeat(request("/small"), 20))
		for range 20 {
			c.answer(200)
		}
		if got := s.alone.Load(); got > 3 { // but what was read together
			t.Errorf("%d of 20 pipelined requests came alone", got)
		}
	})
}

// TestClientThatSendsAndNeverReads: what it sends ahead does not fill the
// memory, and others are served.
func TestClientThatSendsAndNeverReads(t *testing.T) {
	eachOwned(t, func(t *testing.T, m iomodel.Model) {
		s := start(t, m)
		c := s.dial(t)
		must(t, c.SetReadBuffer(16<<10))
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		must(t, c.SetWriteDeadline(time.Now().Add(2*time.Second)))
		block := []byte(strings.Repeat(request("/range/0/1000"), 10_000))
		sent := 0
		for sent < 200<<20 {
			n, err := c.Write(block)
			sent += n
			if err != nil {
				break // held back, or closed
			}
		}
		if sent >= 200<<20 {
			t.Error("all of 200 MiB was taken")
		}
		// netpoll reads on until it is looked at, and gives back what it read when
		// the connection has been closed for it.
		eventually(t, func() error {
			runtime.GC()
			runtime.ReadMemStats(&after)
			if grown := int64(after.HeapInuse) - int64(before.HeapInuse); grown > 100<<20 {
				return fmt.Errorf("%d MiB of memory are in use for it", grown>>20)
			}
			return nil
		})
		s.dial(t).get("/small")
	})
}

// TestOutOfDescriptors: one client is told, accepting goes on when there are
// descriptors again, and it does not spin until then.
func TestOutOfDescriptors(t *testing.T) {
	eachOwned(t, func(t *testing.T, m iomodel.Model) {
		s := start(t, m)
		s.dial(t).get("/small")
		addr, err := unix.Getsockname(s.fd)
		must(t, err)
		var fds []int
		for range 20 { // more than are refused while the test is slow to look
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
			must(t, err)
			fds = append(fds, fd)
			t.Cleanup(func() { unix.Close(fd) })
		}
		restore := exhaust(t)
		defer restore()
		for _, fd := range fds {
			must(t, unix.Connect(fd, addr))
			_, err := unix.Write(fd, []byte("GET /small HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))
			must(t, err)
		}
		eventually(t, func() error {
			if s.warned("out of descriptors") < 3 {
				return errors.New("accepting does not pause")
			}
			return nil
		})
		if n := s.warned("out of descriptors"); n > 1000 {
			t.Errorf("accepting was tried %d times", n)
		}
		restore()
		var refused, served int
		for _, fd := range fds {
			switch got := readAll(t, fd); {
			case strings.HasPrefix(got, "HTTP/1.1 200 "):
				served++
			case strings.HasPrefix(got, "HTTP/1.1 503 "):
				refused++
			}
		}
		if served+refused != len(fds) || served == 0 {
			t.Errorf("%d served, %d refused of %d", served, refused, len(fds))
		}
	})
}

// TestBrokenListener: one from which nothing can ever be accepted neither keeps the server busy nor holds up the
// other, and is counted as one that rests.
func TestBrokenListener(t *testing.T) {
	for _, c := range choices() {
		t.Run(c.String(), func(t *testing.T) {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0) // it does not listen: EINVAL
			must(t, err)
			t.Cleanup(func() { must(t, unix.Close(fd)) })
			must(t, unix.SetNonblock(fd, true))
			r := begin(t, c, func(o *iomodel.Options) { o.Loops = 1 })
			all := lists(c.Model, &r.opts, r.fd)
			all[0] = append([]model.Listener{{FD: fd}}, all[0]...)
			must(t, r.SetListeners(all))
			eventually(t, func() error {
				if n := r.Counters().Resting; n != 1 {
					return fmt.Errorf("%d listeners rest", n)
				}
				return nil
			})
			for range 20 {
				client := r.dial(t)
				client.get("/small")
				must(t, client.Close())
			}
			if r.warned("accepting fails") == 0 {
				t.Error("nothing is said")
			}
			if n := r.Counters().AcceptErrors; n > 100 {
				t.Errorf("accepting failed %d times", n)
			}
		})
	}
}

// exhaust leaves the process no descriptor, until restore.
func exhaust(t testing.TB) (restore func()) {
	t.Helper()
	var limit unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	lowest, err := unix.Dup(0)
	must(t, err)
	must(t, unix.Close(lowest))
	low := limit
	set(&low.Cur, lowest)
	must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &low))
	return sync.OnceFunc(func() { must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)) })
}

// set is for fields whose type is another on each system.
func set[T int64 | uint64](field *T, n int) { *field = T(n) }

// readAll reads from a socket to its end.
func readAll(t testing.TB, fd int) string {
	t.Helper()
	timeout := unix.NsecToTimeval(int64(patience))
	must(t, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout))
	var all []byte
	for p := make([]byte, 4096); ; {
		n, err := unix.Read(fd, p)
		if err == unix.EINTR {
			continue
		}
		must(t, err)
		if n == 0 {
			return string(all)
		}
		all = append(all, p[:n]...)
	}
}

// TestNoServerWithAnError: a model that cannot be opened, here for want of descriptors, returns an error and no
// server: a nil pointer in a Server would pass for one.
func TestNoServerWithAnError(t *testing.T) {
	for _, m := range iomodel.Models() {
		if m.Probe() != nil {
			continue
		}
		t.Run(m.Name, func(t *testing.T) {
			defer exhaust(t)()
			o := iomodel.Options{Loops: 2, Threads: 2}
			o.Trigger, o.Config = m.Triggers&poller.Level, &conn.Config{}
			if o.Trigger == 0 {
				o.Trigger = m.Triggers
			}
			o.NewHandler = func() conn.Handler { return nil }
			if s, err := m.New(o); err != nil && s != nil {
				t.Errorf("a server of %T with the error %v", s, err)
			}
		})
	}
}
