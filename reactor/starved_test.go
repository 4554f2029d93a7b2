//go:build unix

package reactor

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/internal/testkit"
	"github.com/evhttpd/evhttpd/model"
	"github.com/evhttpd/evhttpd/poller"
	"github.com/evhttpd/evhttpd/workers"
)

// starvedEnv makes the test's program a server that runs out of descriptors
// (serveStarved): the limit is the process's, and the clients need theirs.
// Its value is "backend trigger listener", the last a descriptor's number.
const starvedEnv = "EVHTTPD_TEST_STARVED"

// spare is how many connections the server has descriptors for.
const spare = 3

// startStarved starts a process that serves the listener of s, and returns what gives it an order and waits for its
// reply. It ends with the test.
func startStarved(t *testing.T, s *server, v variant) (order func(string) string) {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	cmd := testkit.Command(exe)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d", starvedEnv, v.backend.Name, v.trigger))
	listener, err := unix.Dup(s.fds[0])
	must(t, err)
	f := os.NewFile(uintptr(listener), "listener")
	cmd.ExtraFiles = []*os.File{f}
	cmd.Stderr = os.Stderr
	orders, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	must(t, f.Close())
	t.Cleanup(func() {
		orders.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	replies := bufio.NewScanner(out)
	return func(what string) string {
		t.Helper()
		fmt.Fprintln(orders, what)
		if !replies.Scan() {
			t.Fatal("the server has ended")
		}
		return replies.Text()
	}
}

// TestOutOfDescriptors: with none left a newcomer takes the place of the oldest
// idle connection. With none idle those who are there are served on, one newcomer
// gets a 503 by means of the reserve, the loop does not spin, and with
// descriptors back the others who waited are served.
func TestOutOfDescriptors(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		s := prepare(t, v, 1) // for its listener and clients only
		s.loops[0].end(nil)
		order := startStarved(t, s, v)
		if got := order("hoard"); got != "hoarded" {
			t.Fatal(got)
		}
		var there []*client
		for range spare {
			c := s.dial().send(get("/small"))
			c.expect(200)
			there = append(there, c)
		}
		newcomer := s.dial().send(get("/small"))
		newcomer.expect(200)
		there[0].expectEnd(false)
		there[0] = newcomer
		for _, c := range there {
			c.send("GET /small HTTP/1.1\r\n")
		}
		if got := order("rest"); got != "rested" { // these are read
			t.Error(got)
		}
		refused := s.dial().send(get("/small"))
		if a := refused.expect(503); !a.close {
			t.Error("a refused connection stays open")
		}
		waiting := []*client{s.dial().send(get("/small")), s.dial().send(get("/small"))}
		if got := order("rest"); got != "rested" {
			t.Error(got)
		}
		for _, c := range there {
			c.send("Host: h\r\n\r\nGET /small HTTP/1.1\r\n").expect(200)
		}
		refused.Close()
		if got := order("free"); got != "freed" {
			t.Fatal(got)
		}
		served := 0
		for _, c := range waiting {
			a, err := c.read()
			must(t, err)
			if a.status == 200 {
				served++
			} else if a.status != 503 { // it came while the reserve was there again
				t.Errorf("status %d", a.status)
			}
		}
		s.dial().send(get("/small")).expect(200)
		for _, c := range there {
			c.send("Host: h\r\n\r\n").expect(200)
		}
		if got := order("rest"); got != "rested" {
			t.Error(got)
		}
	})
}

// serveStarved is the server of TestOutOfDescriptors: it takes orders on
// standard input until its end.
func serveStarved() int {
	var name string
	var trigger poller.Trigger
	fmt.Sscan(os.Getenv(starvedEnv), &name, &trigger)
	const listener = 3 // the first of exec.Cmd's ExtraFiles
	backend, ok := poller.Lookup(name)
	if !ok {
		return 2
	}
	var pollers []*counted
	pool := workers.NewPool(1)
	a := new(answers)
	r, err := New(1, Options{Backend: count(backend, &pollers), Trigger: trigger, Options: model.Options{
		Config: testConfig(), Pool: pool, NewHandler: func() conn.Handler { return a }}})
	if err == nil {
		err = r.Serve([][]model.Listener{{{FD: listener}}})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var hoard []int
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		switch strings.TrimSpace(in.Text()) {
		case "hoard":
			// On the loop, so that it does not give up its reserve meanwhile.
			done := make(chan error)
			r.loops[0].post(func(*Loop) {
				taken, err := takeAll()
				for range min(spare, len(taken)) {
					unix.Close(taken[len(taken)-1])
					taken = taken[:len(taken)-1]
				}
				hoard = taken
				done <- err
			})
			if err := <-done; err != nil {
				fmt.Println(err)
				continue
			}
			fmt.Println("hoarded")
		case "free":
			for _, fd := range hoard {
				unix.Close(fd)
			}
			fmt.Println("freed")
		case "rest":
			fmt.Println(rests(pollers[0]))
		}
	}
	r.Drain(0)
	if e := r.Wait(); e.Err != nil {
		fmt.Fprintln(os.Stderr, e.Err)
		return 1
	}
	pool.Close()
	return 0
}

// takeAll lowers the limit of descriptors and takes all that there are.
func takeAll() (taken []int, err error) {
	limit := unix.Rlimit{}
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return nil, err
	}
	limit.Cur = 100
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return nil, err
	}
	for {
		fd, err := unix.Dup(0)
		if err == unix.EMFILE {
			return taken, nil
		}
		if err != nil {
			return taken, err
		}
		taken = append(taken, fd)
	}
}

// rests waits until a wait of the loop lasts as long as it may. Every pause of
// accepting, doubling from backoffMin, may end a few waits before.
func rests(p *counted) string {
	if p.restless { // it has looked at everything that was there a few rounds ago
		deadline := time.Now().Add(patience)
		for waits := p.waits.Load(); p.waits.Load() < waits+quietWaits; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				return "the loop does not wait"
			}
		}
		return "rested"
	}
	waits, slept := p.waits.Load(), p.slept.Load()
	for deadline := time.Now().Add(patience); p.slept.Load() < slept+3; time.Sleep(time.Millisecond) {
		if n := p.waits.Load() - waits; n > 3*quietWaits {
			return fmt.Sprintf("the loop does not rest: %d waits", n)
		}
		if time.Now().After(deadline) {
			return "the loop does not wait"
		}
	}
	return "rested"
}
