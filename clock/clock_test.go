package clock

import (
	"testing"
	"time"
)

func TestNow(t *testing.T) {
	before := time.Now()
	a, b := Now(), Now()
	if a.Mono <= 0 || b.Mono < a.Mono {
		t.Errorf("from %d to %d", a.Mono, b.Mono)
	}
	if a.Wall < before.UnixNano() || a.Wall > time.Now().UnixNano() {
		t.Errorf("the wall clock says %d", a.Wall)
	}
}
