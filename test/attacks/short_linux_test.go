package attacks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

const (
	// descriptorsMax is RLIMIT_NOFILE of an attacked server: one kind comes to its limit of connections.
	descriptorsMax = 1024
	// slack is how many more descriptors than before an attack may be open after it: the connections of the
	// well-behaved client and of who asks the control plane.
	slack = 8
	// answersMin is how many requests of each kind the well-behaved client makes during an attack, at least.
	answersMin  = 4
	aloneMin    = 150 * ms
	togetherMin = 2 * time.Second
	memoryMin   = 15 * time.Second
)

// aloneSetups are a model of readiness, the one of completion and one without loops.
var aloneSetups = []setup{
	{model: "epoll", deferAccept: true, descriptors: descriptorsMax},
	{model: "io_uring", deferAccept: false, descriptors: descriptorsMax},
	{model: "goroutine", deferAccept: true, descriptors: descriptorsMax},
}

// TestEachAlone: whatever one kind of attack does, others get right answers meanwhile, and the server is as it was when
// it is over.
func TestEachAlone(t *testing.T) {
	if testkit.Race {
		t.Skip("TestAllAtOnce is the round under the race detector")
	}
	for _, o := range testkit.Chosen(t, aloneSetups) {
		t.Run(o.model, func(t *testing.T) {
			t.Parallel()
			usable(t, o.model)
			s := start(t, o)
			p, stop := s.visited()
			defer stop()
			for i, k := range kinds {
				p.mark(k.name)
				s.attacked(t, p, aloneMin, 1, i)
			}
		})
	}
}

// TestAllAtOnce: the same under all kinds together, for each class of models; TestMemory does so with the default one.
// Not with blocking, which serves no more clients at a time than it has threads.
func TestAllAtOnce(t *testing.T) {
	models := []string{"io_uring", "goroutine", "netpoll"}
	if testkit.Race {
		models = []string{"epoll"}
	}
	for _, model := range testkit.Chosen(t, models) {
		t.Run(model, func(t *testing.T) {
			t.Parallel()
			usable(t, model)
			s := start(t, setup{model: model, deferAccept: true, descriptors: descriptorsMax})
			p, stop := s.visited()
			defer stop()
			p.mark("all")
			s.attacked(t, p, togetherMin, 1, every()...)
		})
	}
}

// patiently repeats check until it returns nil. Each look costs the server a scrape, so they are not many; and the
// machine has forty attacks on several servers to get on with.
func patiently(t *testing.T, check func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(6 * testkit.Patience); time.Now().Before(end); time.Sleep(50 * ms) {
		if err = check(); err == nil {
			return
		}
	}
	t.Fatal(err)
}

// usable skips a test of a model that this machine does not let programs use.
func usable(t *testing.T, model string) {
	t.Helper()
	out, err := testkit.Command(program, "models", "--json").Output()
	must(t, err)
	var said struct {
		Models []struct{ Name, Reason string }
	}
	must(t, json.Unmarshal(out, &said))
	for _, m := range said.Models {
		if m.Name == model && m.Reason != "" {
			t.Log(m.Reason)
			testkit.Skip(t, model)
		}
	}
}

// every is the numbers of all kinds.
func every() (all []int) {
	for i := range kinds {
		all = append(all, i)
	}
	return all
}

// visited begins the visits of the well-behaved client.
func (s *server) visited() (p *probe, stop func()) {
	p = newProbe(s.addr)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { p.run(ctx) })
	return p, func() {
		cancel()
		running.Wait()
	}
}

// attacked attacks the server by those kinds at once, for least and until each has been named by the server and the
// well-behaved client has been answered. Then it checks what must hold.
func (s *server) attacked(t *testing.T, p *probe, least time.Duration, scale int, numbers ...int) {
	t.Helper()
	before, err := s.metrics()
	must(t, err)
	open, err := s.openDescriptors()
	must(t, err)
	visits, _ := p.answered()
	wave := s.attack(scale, numbers...)
	named := make(map[string]bool)
	began := time.Now()
	patiently(t, func() error {
		got, wrong := p.answered()
		if len(wrong) > 0 {
			return nil
		}
		now, err := s.metrics()
		if err != nil {
			return err
		}
		for _, a := range wave.attackers {
			if now[a.sign] > before[a.sign] || a.sign == "" || s.hides(a.sign) {
				named[a.sign] = true
			} else if !named[a.sign] {
				return fmt.Errorf("%s: %s is not above %v", a.name, a.sign, before[a.sign])
			}
			if err := a.missing(); err != nil {
				return fmt.Errorf("%s: %w", a.name, err)
			}
		}
		if time.Since(began) < least || got < visits+answersMin {
			return fmt.Errorf("the well-behaved client has %d answers, %d before", got, visits)
		}
		return nil
	})
	if err := wave.stop(); err != nil {
		t.Error(err)
	}
	if _, wrong := p.answered(); len(wrong) > 0 {
		t.Fatalf("the well-behaved client: %q", wrong)
	}
	s.settled(t, open)
}

// hides reports whether the kernel keeps what that counts from the server: silent connections are accepted with their
// first bytes, or a second later.
func (s *server) hides(sign string) bool { return s.deferAccept && sign == silent }

// settled waits until the server is as it was: ready, with as many descriptors.
func (s *server) settled(t *testing.T, open int) {
	t.Helper()
	patiently(t, func() error {
		now, err := s.openDescriptors()
		if err == nil && now > open+slack {
			err = fmt.Errorf("%d descriptors are open, %d were before", now, open)
		}
		status, body, err2 := s.ask("/readyz")
		if err2 == nil && status != 200 {
			err2 = fmt.Errorf("/readyz: %d: %s", status, body)
		}
		return errors.Join(err, err2)
	})
}
