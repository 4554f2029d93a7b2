package conn

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evhttpd/evhttpd/http1"
)

// What a connection holds between two Steps is counted, and taken back when it is given up. That
// it is the same is checked after every step of every other test here; these are its kinds.
func TestHeldIsCounted(t *testing.T) {
	for _, tt := range []struct {
		name  string
		setup func(r *rig) *script
		least int64
	}{
		{"half a head", func(r *rig) *script { return newScript(r.tb, "GET /"+strings.Repeat("a", 3000)) }, 3000},
		{"the head of a body", func(r *rig) *script {
			return newScript(r.tb, post("", "Content-Length: 5", "X: "+strings.Repeat("a", 3000)))
		}, 3000},
		{"half a PROXY header", func(r *rig) *script {
			r.l.Config.Proxies = NewNetworks([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")})
			return newScript(r.tb, "PROXY TCP4 192.0.2.1")
		}, 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, testConfig())
			s := tt.setup(r)
			r.t, r.started = s, true
			r.c.Start(r.l, AddrFrom(netip.MustParseAddrPort("10.0.0.1:1")), false)
			r.run()
			held, since := r.c.Held()
			if held < tt.least {
				t.Errorf("holds %d bytes, want at least %d", held, tt.least)
			}
			if since != r.l.Clock.Mono {
				t.Errorf("since %d, want %d", since, r.l.Clock.Mono)
			}
			r.release()
			r.l.Tell()
			if used := r.budget.Used(); used != 0 {
				t.Errorf("%d bytes are counted of a connection that has ended", used)
			}
		})
	}
}

// bodies answers each request with the same large body by reference.
type bodies struct{ body []byte }

func (h *bodies) Serve(_ *http1.Request, _ []byte, out *Output) {
	out.Head(200, []byte("Content-Length: 60000\r\n"))
	out.Shared(h.body)
}

// A body that several unsent answers refer to is in memory once, whoever has it in a cache.
func TestSharedBodiesAreCountedOnce(t *testing.T) {
	var budget Budget
	w := NewWorkspace(testConfig(), &bodies{make([]byte, 60000)}, nil)
	w.Share = budget.Join(func() {})
	var conns [3]Conn
	for i := range conns {
		stuck := newScript(t, benchRequest)
		stuck.room = 0
		conns[i].Start(w, Addr{}, false)
		if want := conns[i].Step(stuck, w); want != WantWrite {
			t.Fatal("wants", want)
		}
		if held, _ := conns[i].Held(); held < 60000 {
			t.Errorf("an answer of 60,000 bytes holds %d", held)
		}
	}
	w.Tell()
	if used := budget.Used(); used < 60000 || used > 2*60000 {
		t.Errorf("%d bytes are counted of one body", used)
	}
	for i := range conns {
		conns[i].Release(w)
	}
	w.Tell()
	if used := budget.Used(); used != 0 {
		t.Errorf("%d bytes are left", used)
	}
}

// The largest share is asked, once until it has looked.
func TestBudgetAsksTheLargest(t *testing.T) {
	var budget Budget
	var asked []string
	small := budget.Join(func() { asked = append(asked, "small") })
	large := budget.Join(func() { asked = append(asked, "large") })
	budget.SetLimit(1000)
	large.Add(700)
	small.Add(300)
	if asked != nil {
		t.Error("asked within the limit:", asked)
	}
	small.Add(100)
	small.Add(100)
	if !slices.Equal(asked, []string{"large"}) {
		t.Fatal("asked", asked)
	}
	// Down to a part below the limit, but not below an equal part of it.
	low := int64(1000 - 1000/reliefPart)
	if n := large.Excess(); n != min(1200-low, 700-low/2) {
		t.Error("large has an excess of", n)
	}
	if n := small.Excess(); n > 500-low/2 {
		t.Error("small is to give up", n)
	}
	large.Relieved()
	if !slices.Equal(asked, []string{"large", "large"}) {
		t.Error("asked", asked, "though the limit is exceeded still")
	}
	large.Leave()
	if budget.Used() != 500 {
		t.Error("used", budget.Used(), "when the large share has left")
	}
	if n := small.Excess(); n != 0 {
		t.Error("an excess of", n, "within the limit")
	}
	budget.SetLimit(400)
	if asked[len(asked)-1] != "small" {
		t.Error("a lower limit asks nobody:", asked)
	}
	budget.SetLimit(0)
	small.Add(1 << 40)
	if n := small.Excess(); n != 0 {
		t.Error("an excess of", n, "without a limit")
	}
}

// Those go first that hold most for longest; who has just come, or makes progress, stays.
func TestHoldersInOrder(t *testing.T) {
	const s = int64(time.Second)
	all := []Holder{
		{1, 1000, 90 * s},
		{2, 1000, 10 * s},
		{3, 64000, 99 * s},
		{4, 64000, 20 * s},
		{5, 512, 0},
		{6, 512, 100*s - 1},
		{7, 1000, 100 * s},
	}
	SortHolders(all, 100*s)
	var order []uint64
	for _, h := range all {
		order = append(order, h.Token)
	}
	if want := []uint64{4, 3, 2, 5, 1, 7, 6}; !slices.Equal(order, want) {
		t.Error(order, "want", want)
	}
}

func TestRelieve(t *testing.T) {
	var budget Budget
	w := NewWorkspace(testConfig(), newSmall(), nil)
	w.Clock.Mono = 1000
	w.Share = budget.Join(func() {})
	budget.SetLimit(100 << 10)
	held := map[uint64]int64{1: 32 << 10, 2: 32 << 10, 3: 512, 4: 32 << 10, 5: 32 << 10}
	var holders []Holder
	for token, bytes := range held {
		w.Hold(int(bytes))
		holders = append(holders, Holder{Token: token, Bytes: bytes, Since: int64(token)})
	}
	n := w.Relieve(func() []Holder { return holders }, func(h Holder) {
		w.Hold(-int(h.Bytes))
		delete(held, h.Token)
	})
	if n != 2 || held[1] != 0 || held[2] != 0 || held[3] == 0 {
		t.Error("closed", n, "and left", held)
	}
	if n := w.Relieve(func() []Holder { return holders }, func(Holder) { t.Error("closed within the limit") }); n != 0 {
		t.Error("closed", n)
	}
}
