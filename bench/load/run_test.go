package load

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// files is a net/http server of bodies by path.
func files(t *testing.T, bodies map[string]string) (addr Addr, hits map[string]*atomic.Int64) {
	t.Helper()
	hits = make(map[string]*atomic.Int64)
	for path := range bodies {
		hits[path] = new(atomic.Int64)
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, ok := bodies[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		hits[r.URL.Path].Add(1)
		http.ServeContent(w, r, "x.bin", time.Time{}, strings.NewReader(body))
	}))
	t.Cleanup(s.Close)
	return addrOf(s.Listener), hits
}

// TestEveryKindOfRole against net/http: all requests made, all answers right.
func TestEveryKindOfRole(t *testing.T) {
	small, large := strings.Repeat("s", 1024), strings.Repeat("0123456789abcdef", 1<<16)
	addr, hits := files(t, map[string]string{"/small": small, "/large": large})
	page, download := Target{Path: "/small", Body: []byte(small)}, Target{Path: "/large", Body: []byte(large)}
	for _, c := range []struct {
		name string
		role Role
	}{
		{"closed loop", Role{Connections: 7, Requests: 500, Targets: []Target{page}}},
		{"HEAD", Role{Connections: 2, Requests: 50, Targets: []Target{{Path: "/small", Method: "HEAD", Length: 1024}}}},
		{"404", Role{Connections: 2, Requests: 50, Targets: []Target{{Path: "/none", Status: 404, Length: AnyLength}}}},
		{"pipelined", Role{Connections: 3, Pipeline: 16, Requests: 500, Targets: []Target{page}}},
		{"pipelined deeper than the sockets' buffers", Role{Connections: 1, Pipeline: 4096, Requests: 5000,
			Targets: []Target{page}}},
		{"a connection a request", Role{Connections: 5, CloseEach: true, Requests: 200, Targets: []Target{page}}},
		{"open loop", Role{Connections: 5, Rate: 5000, Requests: 500, Targets: []Target{page}}},
		{"open loop, pipelined", Role{Connections: 3, Pipeline: 4, Rate: 5000, Requests: 500, Targets: []Target{page}}},
		{"open loop, a connection a request", Role{Connections: 5, Rate: 2000, CloseEach: true, Requests: 200,
			Targets: []Target{page}}},
		{"downloads", Role{Connections: 2, Requests: 20, Targets: []Target{download}}},
		{"a mix", Role{Connections: 4, Requests: 50, Targets: []Target{page, download}}},
		{"a small receive buffer", Role{Connections: 2, RecvBuffer: 4096, Requests: 20, Targets: []Target{page}}},
	} {
		for _, loops := range []int{1, 3} {
			before := hits["/small"].Load() + hits["/large"].Load()
			c.role.Name, c.role.Addr = c.name, addr
			r := mustRun(t, quick(Options{Roles: []Role{c.role}, Loops: loops})).Roles[0]
			if r.Failed() != 0 || r.Answered != c.role.Requests || r.Completed != r.Answered ||
				r.Latency.Count != r.Answered || r.Unsent != 0 {
				t.Errorf("%s, %d loops: %+v, %d latencies, %q", c.name, loops, r.Counts, r.Latency.Count, r.First)
			}
			if body := c.role.Targets[0].Body; body != nil && r.Compared != r.Answered {
				t.Errorf("%s: %d of %d contents were compared", c.name, r.Compared, r.Answered)
			}
			served := hits["/small"].Load() + hits["/large"].Load() - before
			if c.name != "404" && served != c.role.Requests {
				t.Errorf("%s: the server saw %d requests, not %d", c.name, served, c.role.Requests)
			}
			if c.role.CloseEach != (r.Opened >= c.role.Requests) {
				t.Errorf("%s: %d connections opened", c.name, r.Opened)
			}
		}
	}
}

// TestGreet: every connection is served once before the first request is due, beside those that are asked for.
func TestGreet(t *testing.T) {
	const connections, requests = 5, 20
	body := "small"
	addr, hits := files(t, map[string]string{"/small": body})
	for _, rate := range []float64{0, 5000} {
		before := hits["/small"].Load()
		r := mustRun(t, quick(Options{Roles: []Role{{Addr: addr, Connections: connections, Rate: rate,
			Requests: requests, Greet: true,
			Targets: []Target{{Path: "/small", Body: []byte(body)}}}}})).Roles[0]
		if r.Failed() != 0 || r.Served != connections || r.Answered != connections+requests ||
			r.Completed != requests || r.Latency.Count != requests {
			t.Errorf("rate %v: %+v, %d latencies, %q", rate, r.Counts, r.Latency.Count, r.First)
		}
		if n := hits["/small"].Load() - before; n != connections+requests {
			t.Errorf("rate %v: the server saw %d requests", rate, n)
		}
	}
}

// TestRolesAreCountedApart runs a greedy client, a download, a slow reader, idle
// connections and small clients at once, for a time.
func TestRolesAreCountedApart(t *testing.T) {
	small, large := strings.Repeat("s", 1024), strings.Repeat("0123456789abcdef", 1<<18)
	addr, _ := files(t, map[string]string{"/small": small, "/large": large})
	page, download := Target{Path: "/small", Body: []byte(small)}, Target{Path: "/large", Body: []byte(large)}
	var begun, ended atomic.Int32
	r := mustRun(t, Options{
		Duration: time.Second, WarmUp: 50 * time.Millisecond, Loops: 2,
		OnBegin: func() { begun.Add(1) },
		OnEnd:   func() { ended.Add(begun.Load()) },
		Roles: []Role{
			{Name: "greedy", Addr: addr, Connections: 1, Pipeline: 100, Targets: []Target{page}},
			{Name: "download", Addr: addr, Connections: 1, Targets: []Target{download}},
			{Name: "slow", Addr: addr, Connections: 2, ReadRate: 64 << 10, RecvBuffer: 8192,
				Targets: []Target{download}},
			{Name: "small", Addr: addr, Connections: 16, Targets: []Target{page}},
			{Name: "idle", Addr: addr, Connections: 200, Idle: true, Targets: []Target{page}},
			{Name: "silent", Addr: addr, Connections: 20, Idle: true},
		},
	})
	opened := map[string]int64{"greedy": 1, "download": 1, "slow": 2, "small": 16, "idle": 200, "silent": 20}
	for i := range r.Roles {
		role := &r.Roles[i]
		if role.Failed() != 0 || role.Opened != opened[role.Name] {
			t.Errorf("%s: %+v %q", role.Name, role.Counts, role.First)
		}
		switch role.Name {
		case "slow": // 4 MiB at 64 KiB/s is not there yet
			if role.Answered != 0 || role.Unanswered != 2 || role.Bytes == 0 {
				t.Errorf("slow: %+v", role.Counts)
			}
		case "idle":
			if role.Answered != 200 || role.Served != 200 {
				t.Errorf("idle: %+v", role.Counts)
			}
		case "download": // how many there is time for depends on the machine
			if role.Requests == 0 || role.Bytes == 0 {
				t.Errorf("download: %+v", role.Counts)
			}
		case "silent":
			if role.Requests != 0 {
				t.Errorf("silent: %+v", role.Counts)
			}
		default:
			if role.Completed == 0 || role.Latency.Count == 0 || role.Latency.P50 <= 0 ||
				role.Latency.Max < role.Latency.P999 {
				t.Errorf("%s: %+v %+v", role.Name, role.Counts, role.Latency)
			}
		}
	}
	if r.Window != time.Second || begun.Load() != 1 || ended.Load() != 1 {
		t.Errorf("a window of %v, begun %d times, ended %d times", r.Window, begun.Load(), ended.Load())
	}
	for _, l := range r.Loops {
		if l.Known != (runtime.GOOS == "linux") || l.Known && l.CPU <= 0 {
			t.Errorf("the client's own CPU: %+v", l)
		}
	}
}

// TestReadRateIsAnUpperBound: 11 portions of a twentieth of a second's bytes have 10 pauses between them.
func TestReadRateIsAnUpperBound(t *testing.T) {
	const rate = 64 << 10
	body := strings.Repeat("x", rate/20*10)
	addr, _ := files(t, map[string]string{"/": body})
	r := mustRun(t, quick(Options{Roles: []Role{{Addr: addr, Connections: 1, Requests: 1, ReadRate: rate,
		Targets: []Target{{Body: []byte(body)}}}}})).Roles[0]
	if r.Answered != 1 || r.Latency.Max < 500*time.Millisecond {
		t.Errorf("%d bytes (and a head) at %d bytes/s within %v: %+v", len(body), rate, r.Latency.Max, r.Counts)
	}
}

// TestAnswersByteByByte: each byte of an answer is a send of its own (TCP_NODELAY is Go's default).
func TestAnswersByteByByte(t *testing.T) {
	addr := server(t, func(p *peer) {
		for {
			if _, ok := p.request(); !ok {
				return
			}
			for i := range len(okAnswer) {
				if !p.write(okAnswer[i : i+1]) {
					return
				}
			}
		}
	})
	for _, pipeline := range []int{1, 7} {
		r := mustRun(t, quick(Options{Roles: []Role{{Addr: addr, Connections: 2, Pipeline: pipeline, Requests: 100,
			Targets: []Target{okTarget}}}})).Roles[0]
		if r.Answered != 100 || r.Compared != 100 || r.Failed() != 0 {
			t.Errorf("pipeline %d: %+v %q", pipeline, r.Counts, r.First)
		}
	}
}

// TestWeightsAndSeed: targets come as often as they weigh, and the same seed asks for the same.
func TestWeightsAndSeed(t *testing.T) {
	const requests = 4000
	asked := func(seed uint64) (heavy int64) {
		addr, hits := files(t, map[string]string{"/heavy": "h", "/light": "l"})
		r := mustRun(t, quick(Options{Seed: seed, Roles: []Role{{Addr: addr, Connections: 1, Pipeline: 50,
			Requests: requests,
			Targets: []Target{{Path: "/heavy", Body: []byte("h"), Weight: 3}, {Path: "/light",
				Body: []byte("l")}}}}})).Roles[0]
		if r.Answered != requests {
			t.Fatalf("%+v %q", r.Counts, r.First)
		}
		return hits["/heavy"].Load()
	}
	first, again, other := asked(1), asked(1), asked(2)
	if first != again || first == other && first == asked(3) {
		t.Errorf("seeds 1, 1 and 2 asked for %d, %d and %d", first, again, other)
	}
	if first < requests*70/100 || first > requests*80/100 { // 75 %; 5 % is seven standard deviations
		t.Errorf("%d of %d, at a weight of 3 to 1", first, requests)
	}
}

// TestNoAllocationForARequest compares a run with one that has ten times the requests.
func TestNoAllocationForARequest(t *testing.T) {
	answer := []byte(okAnswer)
	addr := server(t, func(p *peer) {
		request := make([]byte, 4096) // one request of a client that does not pipeline comes in one piece
		for {
			if _, err := p.Read(request); err != nil {
				return
			}
			if _, err := p.Write(answer); err != nil {
				return
			}
		}
	})
	allocated := func(requests int64, rate float64) int64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r := mustRun(t, quick(Options{Roles: []Role{{Addr: addr, Connections: 4, Rate: rate, Requests: requests,
			Targets: []Target{okTarget}}}}))
		runtime.ReadMemStats(&after)
		if r.Roles[0].Answered != requests {
			t.Fatalf("%+v", r.Roles[0].Counts)
		}
		return int64(after.Mallocs - before.Mallocs)
	}
	for _, rate := range []float64{0, 50000} {
		allocated(1000, rate)
		if few, many := allocated(1000, rate), allocated(10000, rate); many-few > 900 {
			t.Errorf("rate %v: 9,000 more requests allocated %d more times", rate, many-few)
		}
	}
}

// TestContextEndsARun that would last for a minute, and nothing is left behind.
func TestContextEndsARun(t *testing.T) {
	addr := server(t, each(func(int) string { return okAnswer }))
	gone := errors.New("the operator has gone home")
	before := descriptors(t)
	for _, o := range []Options{
		{Roles: []Role{{Addr: addr, Connections: 4, Targets: []Target{okTarget}}}},
		{Roles: []Role{{Addr: addr, Connections: 4, Rate: 100, Targets: []Target{okTarget}}}},
		{Roles: []Role{{Addr: addr, Connections: 4, Idle: true, Targets: []Target{okTarget}}}},
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		o.OnBegin = func() { cancel(gone) }
		r, err := Run(ctx, quick(o))
		if !errors.Is(err, gone) || r == nil || r.Roles[0].Opened != 4 {
			t.Errorf("error %v, result %+v", err, r)
		}
		cancel(nil)
	}
	// The servers' ends close when their goroutines see the client's.
	for deadline := time.Now().Add(10 * time.Second); descriptors(t) > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d descriptors, %d before", descriptors(t), before)
		}
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/dev/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// TestOptionsAreChecked before a socket is opened.
func TestOptionsAreChecked(t *testing.T) {
	good := Role{Addr: loopback(1), Connections: 1, Targets: []Target{okTarget}}
	role := func(change func(*Role)) Options {
		r := good
		change(&r)
		return quick(Options{Roles: []Role{r}})
	}
	target := func(bad Target) Options { return role(func(r *Role) { r.Targets = []Target{bad} }) }
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{Duration: time.Second}, "no roles"},
		{Options{Roles: []Role{good}}, "Duration"},
		{Options{Roles: []Role{good}, Duration: 1, WarmUp: -1}, "WarmUp"},
		{Options{Roles: []Role{good}, Duration: 1, Timeout: time.Hour}, "Timeout"},
		{Options{Roles: []Role{good}, Duration: 1, Loops: -1}, "loops"},
		{role(func(r *Role) { r.Addr = Addr{} }), "address"},
		{role(func(r *Role) { r.Connections = 0 }), "connections"},
		{role(func(r *Role) { r.Connections = connectionsMax + 1 }), "at most"},
		{role(func(r *Role) { r.Pipeline = pipelineMax + 1 }), "pipeline"},
		{role(func(r *Role) { r.Rate = -1 }), "rate"},
		{role(func(r *Role) { r.ReadRate = -1 }), "negative"},
		{role(func(r *Role) { r.CloseEach, r.Pipeline = true, 2 }), "CloseEach"},
		{role(func(r *Role) { r.Idle, r.Rate = true, 2 }), "Idle"},
		{role(func(r *Role) { r.Targets = nil }), "no targets"},
		{role(func(r *Role) { r.Rate = 1e-6 }), "rate"},
		{role(func(r *Role) {
			r.Pipeline, r.Connections, r.Targets = 4096, 512, []Target{{Method: "PUT", Content: make([]byte, 32<<10)}}
		}), "MiB"},
		{role(func(r *Role) { r.Targets = slices.Repeat([]Target{{Content: make([]byte, ContentMax)}}, 17) }),
			"17 targets"},
		{target(Target{Method: "GET /"}), "method"},
		{target(Target{Method: "CONNECT"}), "tunnel"},
		{target(Target{Status: -3}), "status"},
		{target(Target{Fields: []string{"host: other"}}), "itself"},
		{target(Target{Fields: []string{"Content-Length: 4"}}), "itself"},
		{target(Target{Method: "PUT", Content: make([]byte, ContentMax+1)}), "content"},
		{target(Target{Path: "/a b"}), "percent-encode"},
		{target(Target{Path: "/\r\nX: y"}), "percent-encode"},
		{target(Target{Host: "a\r\nX: y"}), "field"},
		{target(Target{Fields: []string{"no colon"}}), "field"},
		{target(Target{Weight: -1}), "weight"},
		{target(Target{Length: -2}), "length"},
		{target(Target{Length: 4, Body: []byte("hello")}), "length 4"},
		{target(Target{Path: "/" + strings.Repeat("a", headSentMax)}), "bytes"},
	} {
		if _, err := Run(t.Context(), c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v does not say %q", err, c.want)
		}
	}
}
