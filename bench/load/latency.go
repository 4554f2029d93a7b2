package load

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Histograms count nanoseconds from 1 µs, in steps of 512 ns and then of a
// thousandth of the value, up to an hour: an open loop's requests wait as long as the server stands still.
const (
	latencyMin    = int64(time.Microsecond)
	latencyMax    = int64(time.Hour)
	latencyDigits = 3
)

// Latency is a distribution of times. Values beyond an hour count as an hour.
type Latency struct {
	Count                          int64
	Mean, P50, P90, P99, P999, Max time.Duration
	Histogram                      *hdrhistogram.Histogram `json:"-"` // in nanoseconds
}

func newLatency() Latency {
	return Latency{Histogram: hdrhistogram.New(latencyMin, latencyMax, latencyDigits)}
}

// record adds one time in nanoseconds.
func (l *Latency) record(nanos int64) {
	// No error is left: the value is within the histogram's range.
	_ = l.Histogram.RecordValue(min(max(nanos, 0), latencyMax))
}

// sum takes the percentiles from the histogram.
func (l *Latency) sum() {
	h := l.Histogram
	if l.Count = h.TotalCount(); l.Count == 0 {
		return // the library would give the empty histogram half a microsecond
	}
	l.Mean = time.Duration(h.Mean())
	l.P50 = time.Duration(h.ValueAtPercentile(50))
	l.P90 = time.Duration(h.ValueAtPercentile(90))
	l.P99 = time.Duration(h.ValueAtPercentile(99))
	l.P999 = time.Duration(h.ValueAtPercentile(99.9))
	l.Max = time.Duration(h.Max())
}
