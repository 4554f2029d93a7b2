package workers

import (
	"sync/atomic"
	"testing"
	"time"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// found is a result that knows whether it was released by all.
type found struct {
	body string
	refs atomic.Int64
}

func find(body string) *found {
	f := &found{body: body}
	f.refs.Store(1)
	return f
}

func (f *found) Retain()  { f.refs.Add(1) }
func (f *found) Release() { f.refs.Add(-1) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
