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

// lookedAt serves a directory of n names and counts how often one was looked at.
func lookedAt(t *testing.T, n int) (l *loop, looks *atomic.Int64) {
	looks = new(atomic.Int64)
	opts := testOptions(many(t, n))
	opts.Listing = true
	opts.Shows = func(string, bool) bool { looks.Add(1); return true }
	return serve(t, opts, false), looks
}

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

// TestDirectoryIsReadOnceForAll: whatever pages, orders and formats of it are asked for at a time.
func TestDirectoryIsReadOnceForAll(t *testing.T) {
	const names, workers = 3000, 8
	l, looks := lookedAt(t, names)
	mono := l.local.Clock.Mono
	var all sync.WaitGroup
	for i := range workers {
		q := query(t, fmt.Sprintf("format=%s&sort=%s&page=%d", []string{"html", "json", "text"}[i%3], []string{"name", "size", "time"}[i%3], 1+i%3))
		j := &listJob{site: l.site, path: "/", query: q, mono: mono, asked: time.Now()}
		j.oldest = mono - l.site.valid + 1
		all.Go(func() { j.Run(wanted{}).Release() })
	}
	all.Wait()
	if n := looks.Load(); n != names {
		t.Errorf("%d looks at %d names", n, names)
	}
}

// TestReadingBegunTooEarly: who asks for what is new has no reading that was begun before he asked.
func TestReadingBegunTooEarly(t *testing.T) {
	l, looks := lookedAt(t, 100)
	mono := l.local.Clock.Mono
	for range 2 {
		j := &listJob{site: l.site, path: "/", query: listing.Query{Format: listing.FormatJSON}, mono: mono, asked: time.Now(), oldest: mono + 1}
		j.Run(wanted{}).Release()
	}
	// Of a job that has waited for a worker, the directory is read when it runs: later ones may have that.
	j := &listJob{site: l.site, mono: mono, asked: time.Now().Add(-time.Minute)}
	if now := j.now(); now < mono+int64(time.Minute-batchMax) {
		t.Errorf("a job that has waited a minute thinks that only %v have passed", time.Duration(now-mono))
	}
	if n := looks.Load(); n != 200 {
		t.Errorf("%d looks at 100 names for two who wanted what is new", n)
	}
}

// gone is the Demand of a job that nobody waits for after some looks.
type gone struct{ after atomic.Int64 }

func (g *gone) Wanted() bool { return g.after.Add(-1) >= 0 }

// TestUnwantedListingEnds within the directory, and who waits for its reading reads it himself.
func TestUnwantedListingEnds(t *testing.T) {
	const names = 3000
	l, looks := lookedAt(t, names)
	mono := l.local.Clock.Mono
	job := func() *listJob {
		return &listJob{site: l.site, path: "/", query: listing.Query{Format: listing.FormatJSON}, mono: mono, asked: time.Now(), oldest: mono - l.site.valid + 1}
	}
	g := &gone{}
	g.after.Store(100)
	result := job().Run(g)
	if n := looks.Load(); n > 200 {
		t.Errorf("%d looks for nobody", n)
	}
	if e, ok := result.(*entry); !ok || e.status != 503 || !e.transient {
		t.Error("the result may be cached, or is a listing")
	}
	result.Release()
	result = job().Run(wanted{})
	if l, ok := result.(*listResult); !ok || l.dir == nil || looks.Load() < names {
		t.Error("the next one has no listing")
	}
	result.Release()
	var _ conn.Demand = g
}
