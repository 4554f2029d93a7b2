// Package soak runs the server for long under clients that check every answer, while everything changes that may change
// at a server: files, the root, the configuration, the program. Each 32 bytes of a body say of which file, version and
// offset they are, and the entity tag says of which version the whole is.
//
// Ordinarily it runs for seconds; under the race detector and with EVHTTPD_TEST=all for a minute; by "make soak" for
// SOAK_ANSWERS answers.
package soak

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

const (
	// clockMax is by how much an answer may be older than cache.valid: a loop reads its clock once a batch.
	clockMax = 500 * time.Millisecond
	// rootMax is how old a look at the root's path may be (rootOverdue of internal/static).
	rootMax = 2 * time.Second
)

var program string

func TestMain(m *testing.M) {
	testkit.Main(os.Stderr, "soak", func(folder string) (int, error) {
		if program = os.Getenv("SOAK_BINARY"); program != "" {
			return m.Run(), nil
		}
		program = filepath.Join(folder, "program")
		var flags []string
		switch {
		case testkit.Race:
			flags = []string{"-race"} // and with it checkptr, which checks what is made of unsafe.Pointer
		case os.Getenv("SOAK_ANSWERS") != "":
			// netpoll keeps pointers in the 12 bytes of an epoll_event, which are not aligned (poll_default_linux.go).
			flags = []string{"-gcflags=all=-d=checkptr", "-gcflags=github.com/cloudwego/netpoll=-d=checkptr=0"}
		}
		if err := testkit.Build(program, nil, flags...); err != nil {
			return 1, err
		}
		return m.Run(), nil
	})
}

// plan is how long a run is, and how hard.
type plan struct {
	answers   int64         // 0: as many as there are in time
	time      time.Duration // after which it ends in any case; 0: it takes as long as it takes
	clients   int
	pause     time.Duration // of each client for each request
	reload    time.Duration // between two reloads
	upgrades  int
	changes   int // of files, a second
	levels    bool
	announces bool
	seed      uint64
}

// planned reads the plan from the environment.
func planned(t *testing.T) plan {
	number := func(name string, otherwise int64) int64 {
		text := os.Getenv(name)
		if text == "" {
			return otherwise
		}
		n, err := strconv.ParseInt(text, 10, 64)
		testkit.Must(t, err)
		return n
	}
	p := plan{clients: 8, pause: 20 * time.Millisecond, reload: 300 * time.Millisecond, changes: 20, upgrades: 1}
	p.seed = uint64(number("SOAK_SEED", time.Now().UnixNano()))
	p.time = 4 * time.Second
	if testkit.Race && testkit.All() {
		p.time, p.reload, p.upgrades, p.levels = time.Minute, time.Second, 3, true
	}
	if p.answers = number("SOAK_ANSWERS", 0); p.answers > 0 {
		p.time = time.Duration(number("SOAK_SECONDS", 0)) * time.Second
		p.clients, p.pause, p.reload, p.changes = 32, 0, 3*time.Second, 40
		p.upgrades, p.levels, p.announces = int(number("SOAK_UPGRADES", 20)), true, true
	}
	return p
}

// run is a soak under way.
type run struct {
	plan
	t      *testing.T
	world  *world
	crowd  *crowd
	server *server
	worst  atomic.Int64 // by how much a sleep was last too long, at most: how late the machine lets anybody run

	reloads, upgraded int
	sinceUpgrade      int // reloads
	before, after     level
	hasBefore         bool
}

// TestSoak is the soak.
func TestSoak(t *testing.T) {
	if runtime.GOOS != "linux" {
		testkit.Skip(t, "Linux")
	}
	r := &run{plan: planned(t), t: t}
	t.Logf("SOAK_SEED=%d", r.seed)
	folder := filepath.Join(os.Getenv(testkit.RunEnv), "world")
	testkit.Must(t, os.Mkdir(folder, 0o755))
	var err error
	r.world, err = newWorld(folder)
	testkit.Must(t, err)
	r.server, err = startServer(program, folder, testkit.Variants()[0])
	testkit.Must(t, err)
	check := &checker{world: r.world, valid: valid + clockMax, roots: rootMax + valid + clockMax, late: r.late}
	r.crowd = &crowd{addr: r.server.addr, checker: check, world: r.world, seed: r.seed, every: r.pause,
		announces: r.announces}
	stop := make(chan struct{})
	changed := make(chan error, 1)
	go func() { changed <- r.world.keepChanging(rand.New(rand.NewPCG(r.seed, 1<<32)), r.changes, stop) }()
	go r.watchClock(stop)
	r.crowd.begin(r.clients)
	err = r.operate()
	close(stop)
	testkit.Must(t, <-changed)
	resume := r.crowd.pause()
	if r.hasBefore && err == nil {
		r.after = r.settled(&r.before)
	}
	r.crowd.stop.Store(true)
	resume()
	r.crowd.all.Wait()
	if err != nil {
		t.Error(err)
	}
	if err := r.server.stop(); err != nil {
		t.Errorf("%v\n%s", err, r.server.tail())
	}
	r.report()
}

// late is by how much the machine lately let somebody wait who was to run.
func (r *run) late() time.Duration { return 2 * time.Duration(r.worst.Load()) }

// watchClock measures that: the worst of the last seconds, which fades.
func (r *run) watchClock(stop <-chan struct{}) {
	const nap = 10 * time.Millisecond
	for {
		began := time.Now()
		select {
		case <-stop:
			return
		case <-time.After(nap):
		}
		faded := r.worst.Load() - r.worst.Load()/500
		r.worst.Store(max(faded, int64(time.Since(began)-nap)))
	}
}

// progress is how much of the plan is done, of 1.
func (r *run) progress() float64 {
	var done float64
	if r.answers > 0 {
		done = float64(r.crowd.checked.Load()) / float64(r.answers)
	}
	if r.time > 0 {
		done = max(done, float64(r.world.since())/float64(r.time))
	}
	return done
}

// operate reloads and upgrades the server until the plan is done. Upgrades are in its first half: what a process leaks
// is seen in the second.
func (r *run) operate() error {
	all := r.available()
	tick := time.NewTicker(r.reload)
	defer tick.Stop()
	told := time.Now()
	for r.progress() < 1 {
		<-tick.C
		r.reloads, r.sinceUpgrade = r.reloads+1, r.sinceUpgrade+1
		if err := r.server.reload(all[r.reloads%len(all)], 1+r.reloads%2); err != nil {
			return err
		}
		if r.upgraded < r.upgrades && r.progress()*2*float64(r.upgrades+1) > float64(r.upgraded+1) {
			if err := r.server.upgrade(); err != nil {
				return err
			}
			r.upgraded, r.sinceUpgrade = r.upgraded+1, 0
		}
		if r.levels && !r.hasBefore && r.progress() > 0.55 && r.sinceUpgrade > len(all) {
			resume := r.crowd.pause()
			r.before, r.hasBefore = r.settled(nil), true
			resume()
		}
		if r.announces && time.Since(told) > 15*time.Second {
			told = time.Now()
			fmt.Printf("%8.0f s %10d answers, %d reloads, %d upgrades, %d faults\n", r.world.since().Seconds(),
				r.crowd.checked.Load(), r.reloads, r.upgraded, r.faults())
		}
	}
	return nil
}

// available are the variants that this machine has.
func (r *run) available() (all []testkit.Variant) {
	out, err := testkit.Command(program, "models", "--json").Output()
	testkit.Must(r.t, err)
	for _, v := range testkit.Variants() {
		if v.Model != "io_uring" || !strings.Contains(string(out), `"reason":"io_uring`) {
			all = append(all, v)
		}
	}
	return all
}

// faults is the number of answers that no server may give.
func (r *run) faults() (n int64) {
	for v := range verdicts {
		if v != right && v != inFlight && v != cut {
			n += r.crowd.counts[v].Load()
		}
	}
	return n
}

// settled is what the server holds, driven as it was at first, when it has come to rest: down to what it held before,
// if that is known.
func (r *run) settled(before *level) level {
	if err := r.server.reload(testkit.Variants()[0], 1); err != nil {
		r.t.Error(err)
		return level{}
	}
	var last level
	quiet := 0
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		l, err := r.server.levels()
		if err != nil {
			r.t.Error(err)
			return level{}
		}
		if quiet++; l.descriptors != last.descriptors || l.goroutines != last.goroutines {
			quiet = 0
		}
		last = l
		if quiet >= 5 && (before == nil || l.descriptors <= before.descriptors && l.goroutines <= before.goroutines) {
			break
		}
	}
	return last
}

// report says what has been.
func (r *run) report() {
	t, c := r.t, r.crowd
	var b strings.Builder
	line := func(what string, n any) { fmt.Fprintf(&b, "| %s | %v |\n", what, n) }
	fmt.Fprintf(&b, "\n| what | how many |\n|---|---:|\n")
	line("answers checked", c.checked.Load())
	for status := range c.kinds {
		if n := c.kinds[status].Load(); n > 0 {
			line(fmt.Sprintf("– %d", status), n)
		}
	}
	line("bytes checked", c.bytes.Load())
	line("requests that the client did not wait for", c.left.Load())
	for h := renamed; h < habits; h++ {
		line(fmt.Sprintf("changes of files: %v", h), r.world.changes[h].Load())
	}
	line("swaps of the root's link", r.world.swaps.Load())
	line("reloads", r.reloads)
	line("upgrades", r.upgraded)
	for v := range verdicts {
		line(v.String(), c.counts[v].Load())
	}
	if r.hasBefore {
		both := func(before, after int64) string { return fmt.Sprintf("%d, %d", before, after) }
		line("descriptors after the warm-up and at the end", both(r.before.descriptors, r.after.descriptors))
		line("goroutines", both(r.before.goroutines, r.after.goroutines))
		line("resident memory in MiB", both(r.before.memory>>20, r.after.memory>>20))
	}
	line("seconds", int(r.world.since().Seconds()))
	if r.announces {
		fmt.Print(b.String())
	} else {
		t.Log(b.String())
	}
	r.judge()
}

// judge fails the test for what may not be.
func (r *run) judge() {
	t, c := r.t, r.crowd
	for _, text := range c.reports {
		t.Error(text)
	}
	if n := r.faults(); n > 0 {
		t.Errorf("%d faults; SOAK_SEED=%d\n%s", n, r.seed, r.server.tail())
	}
	if c.counts[right].Load() == 0 {
		t.Error("no answer was right")
	}
	if r.hasBefore && (r.after.descriptors > r.before.descriptors || r.after.goroutines > r.before.goroutines ||
		r.after.memory > r.before.memory+r.before.memory/4+32<<20) {
		t.Errorf("the server holds %+v at the end, and %+v after the warm-up", r.after, r.before)
	}
}
