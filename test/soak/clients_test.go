package soak

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// patience is how long a byte is waited for.
	patience = time.Minute
	// reportsMax is how many faults of a kind are told whole.
	reportsMax = 8
)

// crowd is clients that check every answer.
type crowd struct {
	addr    string
	checker *checker
	world   *world
	seed    uint64
	every   time.Duration // between two sessions' requests; 0: as fast as they can

	announces bool // faults are told at once

	paused  sync.RWMutex // held for writing while nobody may have a connection
	pausing atomic.Bool  // sessions are to end
	stop    atomic.Bool
	all     sync.WaitGroup
	checked atomic.Int64
	bytes   atomic.Int64
	left    atomic.Int64 // answers that the client did not wait for
	counts  [verdicts]atomic.Int64
	kinds   [600]atomic.Int64 // by status

	mu      sync.Mutex
	reports []string
}

// begin starts that many clients; every eighth reads slowly.
func (c *crowd) begin(clients int) {
	for i := range clients {
		c.all.Go(func() {
			r := rand.New(rand.NewPCG(c.seed, uint64(i)))
			k := &client{crowd: c, random: r, known: make(map[*target]known), slow: i%8 == 7}
			k.in.in = bufio.NewReaderSize(nil, 64<<10)
			if k.slow {
				k.in.pace = func() { time.Sleep(time.Duration(r.IntN(20)) * time.Millisecond) }
			}
			for !c.stop.Load() {
				c.paused.RLock()
				k.session()
				c.paused.RUnlock()
			}
		})
	}
}

// pause has no client have a connection until resume is called.
func (c *crowd) pause() (resume func()) {
	c.pausing.Store(true)
	c.paused.Lock()
	c.pausing.Store(false)
	return c.paused.Unlock
}

// fault counts what is not right, and tells of it.
func (c *crowd) fault(q *request, a *answer, f *fault) {
	n := c.counts[f.verdict].Add(1)
	if f.verdict == inFlight || f.verdict == cut {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if n <= reportsMax {
		text := fmt.Sprintf("%v: %s\n  %v sent %v, received %v\n  %d %s, %d bytes, %q, coding %q",
			f.verdict, f.text, q, q.sent, a.received, a.status, a.tag, a.length, a.contentRange, a.coding)
		if c.reports = append(c.reports, text); c.announces {
			fmt.Println(text)
		}
	}
}

// String is the request as its report has it.
func (q *request) String() string { return fmt.Sprintf("%q", q.appendTo(nil)) }

// client is one of the crowd.
type client struct {
	*crowd
	random *rand.Rand
	known  map[*target]known
	slow   bool
	in     reader
}

// session makes requests on one connection.
func (k *client) session() {
	conn, err := net.DialTimeout("tcp", k.addr, patience)
	if err != nil {
		k.fault(k.next(), &answer{}, &fault{lost, err.Error()})
		time.Sleep(time.Second)
		return
	}
	defer conn.Close()
	if k.slow {
		_ = conn.(*net.TCPConn).SetReadBuffer(16 << 10)
	}
	k.in.in.Reset(conn)
	for n := 1 + k.random.IntN(300); n > 0 && !k.stop.Load() && !k.pausing.Load(); {
		batch := 1
		if k.random.IntN(8) == 0 {
			batch = min(n, 2+k.random.IntN(12))
		}
		n -= batch
		if k.every > 0 {
			time.Sleep(k.every * time.Duration(batch))
		}
		if !k.exchange(conn, batch, n == 0) {
			return
		}
	}
}

// next makes up a request.
func (k *client) next() *request {
	t := k.world.pick(k.random)
	if k.slow {
		t = k.world.targets[k.random.IntN(len(k.world.targets))] // the large ones as often
	}
	if known, ok := k.known[t]; ok {
		return draw(k.random, t, &known)
	}
	return draw(k.random, t, nil)
}

// exchange makes so many requests at once and checks the answers. It reports whether the connection can have more.
func (k *client) exchange(conn net.Conn, batch int, last bool) bool {
	var out []byte
	asked := make([]*request, batch)
	for i := range asked {
		asked[i] = k.next()
		asked[i].close = last && i == batch-1
		out = asked[i].appendTo(out)
	}
	leaves := k.random.IntN(200) == 0
	_ = conn.SetDeadline(time.Now().Add(patience)) // fails only for a connection that is closed
	sent := k.world.since()
	if _, err := conn.Write(out); err != nil {
		k.fault(asked[0], &answer{}, &fault{lost, err.Error()})
		return false
	}
	if leaves {
		n, _ := conn.Read(make([]byte, 1+k.random.IntN(1<<14)))
		k.left.Add(int64(batch))
		return n < 0
	}
	for _, q := range asked {
		q.sent = sent
		if k.slow {
			_ = conn.SetDeadline(time.Now().Add(patience))
		}
		a, ok := k.receive(q)
		if !ok || a.close { // what was asked behind an answer that says so is not answered
			return false
		}
		if q.close {
			k.fault(q, &a, &fault{wrong, "no Connection: close"})
			return false
		}
	}
	return true
}

// receive reads an answer and checks it. It reports whether the connection goes on.
func (k *client) receive(q *request) (a answer, ok bool) {
	a, err := k.in.head()
	if err != nil {
		a.received = k.world.since()
		k.fault(q, &a, &fault{lost, err.Error()})
		return a, false
	}
	if a.hasBody(q) {
		err = k.in.readBody(&a)
	}
	a.received = k.world.since()
	k.kinds[min(max(a.status, 0), 599)].Add(1)
	k.bytes.Add(int64(len(a.body)))
	f := k.checker.check(q, &a, err)
	k.checked.Add(1)
	if f != nil {
		k.fault(q, &a, f)
		return a, err == nil
	}
	k.counts[right].Add(1)
	if a.tag != "" && a.status == 200 && a.coding == "" {
		k.known[q.target] = known{a.tag, a.modified, a.length}
	}
	return a, true
}
