//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package lab

import (
	"errors"
	"strings"
	"testing"

	"github.com/evhttpd/evhttpd/bench/chart"
	"github.com/evhttpd/evhttpd/bench/experiment"
	"github.com/evhttpd/evhttpd/bench/server"
)

func TestPickVariants(t *testing.T) {
	models := &server.Models{Models: []server.Model{{Name: "blocking", Available: true}, {Name: "epoll",
		Available: true}, {Name: "kqueue"}}}
	picked, err := pickVariants(models, []string{"blocking"})
	if err != nil || len(picked) != 1 || !picked[0].Threaded() {
		t.Errorf("picked: %v, %v", picked, err)
	}
	if _, err := pickVariants(models, []string{"kqueue"}); !errors.As(err, new(*experiment.OptionError)) {
		t.Errorf("a model that is not here: %v", err)
	}
}

// TestSlopeBearsAnOutlier: one wrong point of four does not change what a connection takes.
func TestSlopeBearsAnOutlier(t *testing.T) {
	points := []chart.Point{{X: 1, Y: 11}, {X: 6, Y: 16}, {X: 12, Y: 22}, {X: 18, Y: 28}}
	if got := fit(points); got != 1 {
		t.Errorf("slope %v", got)
	}
	points[1].Y = 90
	if got := fit(points); got < 0.9 || got > 1.1 {
		t.Errorf("slope %v with an outlier", got)
	}
	if got := fit(points[:1]); got != 0 {
		t.Errorf("slope %v of one point", got)
	}
}

func TestKernelMemory(t *testing.T) {
	const meminfo = "MemTotal:       24683388 kB\nMemAvailable:    1000 kB\nSlab:             100 kB\nSReclaimable:  " +
		"    60 kB\nKernelStack:       20 kB\nPageTables:         3 kB\nHugePages_Total:       0\n"
	if got := memoryNamed(meminfo, kernelMemory...); got != 123<<10 {
		t.Errorf("%d bytes", got)
	}
	if got := memoryNamed(meminfo, "MemAvailable"); got != 1000<<10 {
		t.Errorf("%v bytes available", got)
	}
	const slabinfo = "slabinfo - version: 2.1\n# name            <active_objs> <num_objs> <objsize> <objperslab> " +
		"<pagesperslab>\nTCP                 10     26   2432   13    8 : tunables    0    0    0 : slabdata      " +
		"2      2      0\n"
	if got := slabCaches(slabinfo); len(got) != 1 || got["TCP"] != 24320 {
		t.Errorf("%v", got)
	}
}

// TestColdRatio: of its own p99 alone, and not known without that.
func TestColdRatio(t *testing.T) {
	g := newColdGrid()
	g.Subjects = []experiment.Subject{{Name: "a"}, {Name: "b"}}
	g.Add(0, coldAlone, 0, map[string]float64{coldP99: 2})
	g.Add(0, coldBeside, 0, map[string]float64{coldP99: 5})
	g.Add(0, coldBeside, 1, map[string]float64{coldP99: 5})
	if a, b := coldRatio(g, 0), coldRatio(g, 1); a != 2.5 || b != 0 {
		t.Errorf("ratios %v, %v", a, b)
	}
	if svg := coldChart(g); !strings.Contains(svg, "<svg") || strings.Contains(svg, "NaN") {
		t.Errorf("chart: %s", svg)
	}
}

// TestPrice: what the server without something costs less, of what it costs with everything.
func TestPrice(t *testing.T) {
	g := &experiment.Grid{Points: []experiment.Point{{Name: "p"}}, Metrics: []experiment.Metric{{Key: "cpu"}},
		Subjects: []experiment.Subject{{Name: "on"}, {Name: "off"}}}
	for round, pair := range [][2]float64{{10, 9}, {20, 18}, {10, 8}} {
		g.Add(round, 0, 0, map[string]float64{"cpu": pair[0]})
		g.Add(round, 0, 1, map[string]float64{"cpu": pair[1]})
	}
	median, low, high, ok := price(g, 0, 1)
	if near := func(a, b float64) bool { return a-b < 1e-9 && b-a < 1e-9 }; !ok || !near(median, 0.1) ||
		!near(low, 0.1) || !near(high, 0.2) {
		t.Errorf("%v [%v %v], %v", median, low, high, ok)
	}
	if _, _, _, ok := price(g, 0, 0); ok {
		t.Error("there is a price of the baseline")
	}
}

// TestLaxParser: it finds what a file server needs in requests that are in order, and takes what the strict one
// refuses.
func TestLaxParser(t *testing.T) {
	var r laxRequest
	if !r.parse(browserRequest) || string(r.method) != "GET" || string(r.target) != "/small.html" ||
		string(r.host) != "www.example.org" ||
		string(r.connection) != "keep-alive" || !strings.HasPrefix(string(r.encodings), "gzip") || r.rangeField != nil {
		t.Errorf("%+v", r)
	}
	if !r.parse([]byte("GET / HTTP/1.1\r\nHost : a\r\n\r\n")) {
		t.Error("a space before the colon is not let pass")
	}
	if r.parse([]byte("GET / HTTP/1.1\r\nHost: a\r\n")) {
		t.Error("half a head is whole")
	}
}

func TestPriceConfig(t *testing.T) {
	on, off := priceConfig("/r", "/f", true, true, true), priceConfig("/r", "/f", false, false, false)
	if text := `"/f/access.log"`; !strings.Contains(on, text) || strings.Contains(off, text) {
		t.Errorf("%s: on %q, off %q", text, on, off)
	}
	for _, text := range []string{`"off"`, "valid: 1h", "requests: 0"} {
		if strings.Contains(on, text) || !strings.Contains(off, text) {
			t.Errorf("%s: on %q, off %q", text, on, off)
		}
	}
}

func TestNginxIsAskedWhatItCan(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := nginxPath(); err == nil {
		return // in /usr/sbin
	}
	if reason := nginxLacks(t.Context()); reason != "it is not installed" {
		t.Error(reason)
	}
}
