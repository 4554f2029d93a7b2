package daemon

import (
	"os"
	"strings"
	"testing"

	"github.com/evhttpd/evhttpd/conn"
)

func TestLab(t *testing.T) {
	for _, c := range []struct {
		value string
		batch int // its sign
		lab   bool
	}{{"accept-batch=10", 1, false}, {"accept-batch=0", -1, false}, {"workers=0", 0, true}, {"accept-batch=1,workers=0", 1, true}} {
		t.Setenv(labVariable, c.value)
		l, err := readLab()
		if err != nil {
			t.Errorf("%s: %v", c.value, err)
			continue
		}
		if (l.acceptBatch > 0) != (c.batch > 0) || (l.acceptBatch < 0) != (c.batch < 0) {
			t.Errorf("%s: AcceptBatch %d", c.value, l.acceptBatch)
		}
		if sends := l.conn(new(conn.Config)).SendCold; sends != c.lab || (l.workers(16) == 0) != c.lab {
			t.Errorf("%s: %d workers, SendCold %v", c.value, l.workers(16), sends)
		}
		if _, left := os.LookupEnv(labVariable); left {
			t.Errorf("%s is left for others", c.value)
		}
	}
	for _, value := range []string{"", "workers=1", "accept-batch", "accept-batch=-1", "cold=1", "workers=0,"} {
		t.Setenv(labVariable, value)
		if _, err := readLab(); err == nil || !strings.Contains(err.Error(), "accept-batch=NUMBER") {
			t.Errorf("%q: %v", value, err)
		}
	}
}
