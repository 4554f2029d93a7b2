package static

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/http1"
	"github.com/evhttpd/evhttpd/internal/listing"
)

// query is what a request with that query asks to see.
func query(t *testing.T, text string) listing.Query {
	t.Helper()
	head := []byte("GET /?" + text + " HTTP/1.1\r\nHost: a\r\n\r\n")
	var req http1.Request
	http1.Parse(head, 0, &http1.Limits{RequestLine: 8 << 10, Head: 8 << 10, Fields: 10}, &req)
	q, reason := listing.ParseQuery(&req, head)
	if reason != "" {
		t.Fatal(reason)
	}
	return q
}

// TestListingsOfOneReading: whatever pages, orders and formats of a directory are asked for at a time, it is read once.
func TestListingsOfOneReading(t *testing.T) {
	const names, workers = 20_000, 8
	l := listed(t, many(t, names))
	mono := l.local.Clock.Mono
	dirs := make(chan *listing.Directory, workers)
	var all sync.WaitGroup
	for i := range workers {
		q := query(t, fmt.Sprintf("format=%s&sort=%s", []string{"json", "text"}[i%2],
			[]string{"name", "size", "time"}[i%3]))
		j := &listJob{site: l.site, path: "/", query: q, mono: mono, asked: l.site.now()}
		j.oldest = mono - l.site.valid + 1
		all.Go(func() {
			result := j.Run(wanted{}).(*listResult)
			dirs <- result.dir
			result.Release()
		})
	}
	all.Wait()
	first := <-dirs
	for range workers - 1 {
		if dir := <-dirs; dir == nil || dir != first {
			t.Error("the directory was read again")
		}
	}
}

// TestListJobThatHasWaited for a worker: the directory is read when the job runs, and later requests may have that.
func TestListJobThatHasWaited(t *testing.T) {
	const mono = 1e12
	l := listed(t, t.TempDir())
	j := &listJob{site: l.site, mono: mono, asked: l.site.now().Add(-time.Minute)}
	if now := j.now(); now < mono+int64(time.Minute-batchMax) {
		t.Errorf("a job that has waited a minute thinks that only %v have passed", time.Duration(now-mono))
	}
}

// gone is the Demand of a job that nobody waits for after some looks.
type gone struct{ after atomic.Int64 }

func (g *gone) Wanted() bool { return g.after.Add(-1) >= 0 }

// TestUnwantedListingEnds within the directory, and the next job reads it to its end.
func TestUnwantedListingEnds(t *testing.T) {
	const names = 3000
	l := listed(t, many(t, names))
	mono := l.local.Clock.Mono
	job := func() *listJob {
		return &listJob{site: l.site, path: "/", query: listing.Query{Format: listing.FormatJSON}, mono: mono,
			asked: l.site.now(), oldest: mono - l.site.valid + 1}
	}
	g := &gone{}
	g.after.Store(100)
	result := job().Run(g)
	if asked := 100 - g.after.Load(); asked > 200 { // once after each name
		t.Errorf("%d looks for nobody", asked)
	}
	if r, ok := result.(*searchResult); !ok || r.entries[0].status != 503 || !r.entries[0].transient {
		t.Error("the result may be cached, or is a listing")
	}
	result.Release()
	result = job().Run(wanted{})
	if l, ok := result.(*listResult); !ok || l.dir == nil || l.dir.Len() != names {
		t.Error("the next one has no listing")
	}
	result.Release()
	var _ conn.Demand = g
}
