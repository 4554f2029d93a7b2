//go:build unix

package reactor

import (
	"io"
	"testing"

	"github.com/evhttpd/evhttpd/conn"
)

// A loop that is stuck is silent, counts as it did last, and is asked once however
// often somebody wants to know; when it goes on it answers.
func TestCountersOfAStuckLoop(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		stuck, release := make(chan struct{}), make(chan struct{})
		s := start(t, v, withAnswers(func(a *answers) {
			a.onServe = func(path string, _ *conn.Output) {
				if path == "/stuck" {
					close(stuck)
					<-release
				}
			}
		}))
		c := s.dial()
		_, err := io.WriteString(c, "GET /small HTTP/1.1\r\nHost: a\r\n\r\nGET /stuck HTTP/1.1\r\nHost: a\r\n\r\n")
		must(t, err)
		<-stuck
		for range 2 {
			if got := s.Counters(); got.Silent != 1 || got.Loops != 1 || got.Requests != [6]uint64{} {
				t.Errorf("%d of %d loops are silent, and have counted %v", got.Silent, got.Loops, got.Requests)
			}
		}
		close(release)
		<-s.loops[0].requestCounters() // that, too, is answered
		s.until("the request is counted", func(l *Loop) bool {
			return l.local.Counters.Requests == [6]uint64{2: 1, 4: 1}
		})
		if got := s.Counters(); got.Silent != 0 || got.Requests != [6]uint64{2: 1, 4: 1} {
			t.Errorf("%d loops are silent, and have counted %v", got.Silent, got.Requests)
		}
	})
}
