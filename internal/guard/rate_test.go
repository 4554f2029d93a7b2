package guard

import (
	"encoding/binary"
	"math"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/http1"
)

const second = int64(time.Second)

// newLimiter returns a limiter that knows no time but that of the requests.
func newLimiter(r Rate) *Limiter {
	l := NewLimiter(r)
	if l != nil {
		l.now = func() int64 { return math.MinInt64 }
	}
	return l
}

// TestLimiterGoesByTheClockOfNoBatch: a client that keeps to its rate is never refused, though the batches of the loops
// that answer it began at any time before its requests came.
func TestLimiterGoesByTheClockOfNoBatch(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		l := NewLimiter(Rate{Count: 100, Per: time.Second, Burst: rapid.IntRange(1, 3).Draw(r, "burst")})
		now := second
		l.now = func() int64 { return now }
		for _, late := range rapid.SliceOfN(rapid.Int64Range(0, 3*l.interval), 2, 50).Draw(r, "batches") {
			if wait := l.take(address("192.0.2.1"), now-late); wait != 0 {
				r.Fatalf("to wait %v in a batch that began %v ago", time.Duration(wait), time.Duration(late))
			}
			now += l.interval
		}
	})
}

func TestLimiterAllowsTheBurstThenTheRate(t *testing.T) {
	l := newLimiter(Rate{Count: 50, Per: time.Second, Burst: 100})
	client := address("192.0.2.1")
	now := 7 * second
	for i := range 100 {
		if wait := l.take(client, now); wait != 0 {
			t.Fatalf("request %d of the burst is to wait %v", i+1, time.Duration(wait))
		}
	}
	if wait := l.take(client, now); wait != second/50 {
		t.Fatalf("past the burst: wait %v, want 20ms", time.Duration(wait))
	}
	allowed := 0
	for end := now + 10*second; now < end; now += second / 1000 {
		if l.take(client, now) == 0 {
			allowed++
		}
	}
	if allowed != 499 { // the first room is there after 20 ms
		t.Errorf("%d requests in 10 s, want 499", allowed)
	}
	now += 3 * second // empty again, and no more than the burst for that
	allowed = 0
	for l.take(client, now) == 0 {
		allowed++
	}
	if allowed != 100 {
		t.Errorf("a burst of %d after a pause, want 100", allowed)
	}
}

func TestLimiterClients(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"192.0.2.1", "192.0.2.2", false},
		{"192.0.2.1", "::ffff:192.0.2.1", true},
		{"2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", true},
		{"2001:db8::1", "2001:db8:0:1::1", false},
		{"192.0.2.1", "::1", false},
	} {
		l := newLimiter(Rate{Count: 1, Per: time.Hour, Burst: 1})
		if wait := l.take(address(c.a), second); wait != 0 {
			t.Fatal("the first request is to wait", wait)
		}
		if limited := l.take(address(c.b), second) != 0; limited != c.same {
			t.Errorf("%s after %s: limited %v", c.b, c.a, limited)
		}
	}
	l := newLimiter(Rate{Count: 1, Per: time.Hour, Burst: 1})
	for range 10 {
		if l.take(netip.Addr{}, second) != 0 {
			t.Error("a client at a Unix socket is limited")
		}
	}
	if newLimiter(Rate{}) != nil {
		t.Error("no rate is a limit")
	}
}

// Extreme rates neither overflow nor divide by nothing, and a refusal names a time to come back.
func TestLimiterExtremes(t *testing.T) {
	for _, r := range []Rate{
		{Count: math.MaxInt32, Per: time.Second, Burst: math.MaxInt32},
		{Count: math.MaxInt32, Per: time.Second},
		{Count: 1, Per: time.Hour, Burst: math.MaxInt32},
		{Count: 1, Per: time.Hour, Burst: 1},
		{Count: 7, Per: time.Minute, Burst: 3},
	} {
		l := newLimiter(r)
		for i := range 200_000 {
			wait := l.take(address("192.0.2.1"), 0)
			if wait < 0 || wait > l.interval {
				t.Fatalf("%+v: request %d is to wait %d", r, i, wait)
			}
			if field := l.retry[seconds(wait)]; wait > 0 && field == "Retry-After: 0\r\n" {
				t.Fatalf("%+v: %q", r, field)
			}
		}
		if l.take(address("192.0.2.1"), -second) < 0 {
			t.Errorf("%+v: a clock that goes back gives credit", r)
		}
	}
	l := newLimiter(Rate{Count: 1, Per: time.Hour, Burst: 1})
	l.take(address("192.0.2.1"), 0)
	if got := l.retry[seconds(l.take(address("192.0.2.1"), second/2))]; got != "Retry-After: 3600\r\n" {
		t.Error(got)
	}
}

// In any window the limiter lets pass no more than the burst and what the rate adds in it.
func TestLimiterNeverExceedsItsRate(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		rate := Rate{
			Count: rapid.IntRange(1, 100).Draw(r, "count"),
			Per:   rapid.SampledFrom([]time.Duration{time.Second, time.Minute, time.Hour}).Draw(r, "per"),
			Burst: rapid.IntRange(1, 20).Draw(r, "burst"),
		}
		l := newLimiter(rate)
		now := int64(0)
		var passed []int64
		for _, gap := range rapid.SliceOfN(rapid.Int64Range(0, 2*l.interval), 1, 100).Draw(r, "gaps") {
			now += gap
			wait := l.take(address("192.0.2.1"), now)
			if wait == 0 {
				passed = append(passed, now)
			} else if probe := l.take(address("192.0.2.1"), now+wait-1); probe == 0 {
				r.Fatal("there was room before the time it named")
			}
		}
		for i := range passed {
			for j := i; j < len(passed); j++ {
				if most := int64(rate.Burst) + (passed[j]-passed[i])/l.interval; int64(j-i+1) > most {
					r.Fatalf("%d passed in %d ns, at most %d may", j-i+1, passed[j]-passed[i], most)
				}
			}
		}
	})
}

// nth is an IPv6 client of its own for each n.
func nth(n int) netip.Addr {
	var b [16]byte
	b[0] = 0x20
	binary.BigEndian.PutUint32(b[4:], uint32(n))
	return netip.AddrFrom16(b)
}

// A client with a full bucket is not forgotten because many others come and go: their buckets are emptier than its
// own.
func TestLimiterFloodOfClientsDoesNotResetAFullBucket(t *testing.T) {
	l := newLimiter(Rate{Count: 10, Per: time.Minute, Burst: 5})
	attacker := address("192.0.2.1")
	now := second
	for l.take(attacker, now) == 0 {
	}
	for i := range 4 * rateShards * rateSets * rateWays {
		if wait := l.take(nth(i), now); wait != 0 {
			t.Fatalf("new client %d is to wait %v", i, time.Duration(wait))
		}
	}
	if l.take(attacker, now) == 0 {
		t.Error("the flood has emptied the bucket")
	}
	// The flood has not locked out whoever comes new.
	if wait := l.take(address("198.51.100.1"), now); wait != 0 {
		t.Error("a newcomer is to wait", wait)
	}
}

func TestLimiterAtOnce(t *testing.T) {
	l := newLimiter(Rate{Count: 1, Per: time.Hour, Burst: 1000})
	var allowed atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 1000 {
				if l.take(address("192.0.2.1"), second) == 0 {
					allowed.Add(1)
				}
			}
		})
	}
	if wg.Wait(); allowed.Load() != 1000 {
		t.Errorf("%d were allowed, want 1000", allowed.Load())
	}
}

func TestLimiterAllocatesNothing(t *testing.T) {
	l := newLimiter(Rate{Count: 50, Per: time.Second, Burst: 100})
	i := 0
	if n := testing.AllocsPerRun(1000, func() { l.take(address6, int64(i)); l.take(nth(i), int64(i)); i++ }); n != 0 {
		t.Errorf("%v allocations a request", n)
	}
}

var address6 = netip.MustParseAddr("2001:db8::1")

func BenchmarkLimiter(b *testing.B) {
	l := newLimiter(Rate{Count: 50, Per: time.Second, Burst: 100})
	i := 0
	for b.Loop() {
		l.take(address6, int64(i)*1000)
		i++
	}
}

func TestLimiterAnswers(t *testing.T) {
	var limiter *Limiter
	d := newDoor(t, func(_ *http1.Request, _ []byte, out *conn.Output) (Refusal, bool) {
		return Refusal{}, limiter.Check(out)
	})
	limiter = newLimiter(Rate{Count: 6, Per: time.Minute, Burst: 2})
	for i, want := range []int{200, 200, 429, 429} {
		r := d.ask("GET", "")
		if r.StatusCode != want {
			t.Errorf("request %d: %d, want %d", i+1, r.StatusCode, want)
		}
		if text := body(r); want == 429 &&
			(r.Header.Get("Retry-After") != "10" || !strings.Contains(text, "limits.requests_per_client")) {
			t.Errorf("Retry-After %q, %s", r.Header.Get("Retry-After"), text)
		}
	}
	d.advance(9 * time.Second)
	if r := d.ask("GET", ""); r.StatusCode != 429 || r.Header.Get("Retry-After") != "1" {
		t.Errorf("a second early: %d, Retry-After %q", r.StatusCode, r.Header.Get("Retry-After"))
	}
	d.advance(time.Second)
	if r := d.ask("GET", ""); r.StatusCode != 200 {
		t.Errorf("in time: %d", r.StatusCode)
	}
	d.addr = peer("192.0.2.2")
	if r := d.ask("GET", ""); r.StatusCode != 200 {
		t.Errorf("another client: %d", r.StatusCode)
	}
	const raw = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	if n := d.allocations(raw); n != 0 { // refused
		t.Errorf("%v allocations for each 429", n)
	}
	limiter = newLimiter(Rate{Count: 1 << 30, Per: time.Second, Burst: 1 << 30})
	if n := d.allocations(raw); n != 0 {
		t.Errorf("%v allocations a request", n)
	}
	limiter = nil
	if r := d.ask("GET", ""); r.StatusCode != 200 {
		t.Errorf("without a limit: %d", r.StatusCode)
	}
}
