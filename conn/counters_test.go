package conn

import (
	"math"
	"reflect"
	"testing"
	"time"
)

// A bucket's bound belongs to it, and each duration to one bucket.
func TestHistogramBuckets(t *testing.T) {
	for i := range HistogramBuckets - 1 {
		bound := int64(HistogramBound(i))
		for _, c := range []struct {
			nanos int64
			want  int
		}{{bound, i}, {bound + 1, i + 1}} {
			var h Histogram
			h.Observe(3, c.nanos)
			if h.Buckets[c.want] != 3 || h.Count() != 3 || h.Sum != 3*uint64(c.nanos) {
				t.Errorf("%d ns: %+v, want bucket %d", c.nanos, h, c.want)
			}
		}
	}
	var h Histogram
	h.Observe(1, 0)
	h.Observe(1, -5)
	h.Observe(1, math.MaxInt64)
	if h.Buckets[0] != 2 || h.Buckets[HistogramBuckets-1] != 1 || h.Sum != math.MaxInt64 {
		t.Errorf("the ends: %+v", h)
	}
	if HistogramBound(HistogramBuckets-1) != math.MaxInt64 {
		t.Error("the last bucket has a bound")
	}
}

// A counter that Add forgets would be missing from every sum of loops.
func TestCountersAddSumsEveryField(t *testing.T) {
	var a, b Counters
	next := uint64(0)
	number(reflect.ValueOf(&a).Elem(), &next)
	number(reflect.ValueOf(&b).Elem(), &next)
	sum := a
	sum.Add(&b)
	compare(t, "Counters", reflect.ValueOf(sum), reflect.ValueOf(a), reflect.ValueOf(b))
}

func number(v reflect.Value, next *uint64) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			number(v.Field(i), next)
		}
	case reflect.Array:
		for i := range v.Len() {
			number(v.Index(i), next)
		}
	case reflect.Int64:
		*next++
		v.SetInt(int64(*next))
	default:
		*next++
		v.SetUint(*next)
	}
}

func compare(t *testing.T, name string, sum, a, b reflect.Value) {
	t.Helper()
	switch sum.Kind() {
	case reflect.Struct:
		for i := range sum.NumField() {
			compare(t, name+"."+sum.Type().Field(i).Name, sum.Field(i), a.Field(i), b.Field(i))
		}
	case reflect.Array:
		for i := range sum.Len() {
			compare(t, name+"[]", sum.Index(i), a.Index(i), b.Index(i))
		}
	case reflect.Int64:
		if sum.Int() != a.Int()+b.Int() {
			t.Errorf("%s: %d and %d make %d", name, a.Int(), b.Int(), sum.Int())
		}
	case reflect.Uint16: // a set
		if sum.Uint() != a.Uint()|b.Uint() {
			t.Errorf("%s: %b and %b make %b", name, a.Uint(), b.Uint(), sum.Uint())
		}
	default:
		if sum.Uint() != a.Uint()+b.Uint() {
			t.Errorf("%s: %d and %d make %d", name, a.Uint(), b.Uint(), sum.Uint())
		}
	}
}

func TestNamesOfCallsAndPhases(t *testing.T) {
	seen := map[string]bool{}
	for c := range NumCalls {
		seen[c.String()] = true
	}
	for p := range NumPhases {
		seen[p.String()] = true
	}
	if len(seen) != int(NumCalls)+int(NumPhases) || seen[""] {
		t.Errorf("names: %v", seen)
	}
}

// Whatever a peer sends and however it is cut, each answer is counted once and
// each byte as what it was.
func TestStepCounts(t *testing.T) {
	for i := range scenarios {
		s := &scenarios[i]
		r := s.play(t, []string{s.send}, nil)
		c := &r.l.Counters
		var want [6]uint64
		for _, answer := range s.want {
			want[answer[0]-'0']++
		}
		if s.broken { // its last answer began, and was cut short
			want[2] = c.Requests[2]
		}
		if c.Requests != want {
			t.Errorf("%s: answers by class are counted as %v, want %v", s.name, c.Requests, want)
		}
		if sent := c.SentCopied + c.SentMemory + c.SentFile; sent != uint64(len(r.t.out)) {
			t.Errorf("%s: %d bytes are counted, %d were sent", s.name, sent, len(r.t.out))
		}
		r.release()
	}
}

// The time of an answer that a batch begins and ends is the batch's; of one that
// takes longer it is what the clocks of its batches say.
func TestLatencyIsCountedOnce(t *testing.T) {
	r := newRig(t, testConfig())
	r.start(newScript(t, get("/a"), get("/a")))
	r.run()
	if n := r.l.Counters.Latency.Count(); n != 0 {
		t.Error("counted before the batch has ended:", n)
	}
	r.l.Settle(r.l.Clock.Mono + 5000)
	r.l.Settle(r.l.Clock.Mono + 9000)
	if h := r.l.Counters.Latency; h.Count() != 2 || h.Sum != 10_000 {
		t.Errorf("two answers of 5 us: %+v", h)
	}
	r.t.input, r.t.room = [][]byte{[]byte(get("/file"))}, 0
	r.run()
	r.sleep(5 * time.Second)
	r.t.room = -1
	r.run()
	r.l.Settle(r.l.Clock.Mono + 1)
	if h := r.l.Counters.Latency; h.Count() != 3 || h.Sum != 5e9+10_000 {
		t.Errorf("and one of 5 s: %+v", h)
	}
	r.release()
}
