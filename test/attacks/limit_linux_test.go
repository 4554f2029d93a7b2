package attacks

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// TestHalfRequestsToTheLimit: connections that never send a whole request, as many as there may be, do not lock others
// out: the oldest of them makes room. It is waited for until they are old enough; without that, others would be
// refused until the timeouts, which are long here.
func TestHalfRequestsToTheLimit(t *testing.T) {
	const limit = 8
	models := []string{"epoll", "io_uring", "goroutine", "netpoll", "blocking"}
	if testkit.Race {
		models = []string{"epoll", "goroutine"}
	}
	for _, model := range models {
		for name, begin := range map[string]string{
			"heads":  "GET /small HTTP/1.1\r\nHost: a\r\n",
			"bodies": "POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n",
		} {
			t.Run(model+" "+name, func(t *testing.T) {
				t.Parallel()
				usable(t, model)
				s := start(t, setup{model: model, descriptors: descriptorsMax,
					more: fmt.Sprintf("  connections: %d\ntimeouts: {head: 10m, body: 10m}", limit)})
				a := newAttacker(context.Background(), s, 0)
				for range limit {
					w := a.dial()
					if w == nil {
						t.Fatal("not connected")
					}
					defer w.end()
					w.say(begin)
				}
				phase := map[string]string{"heads": heads, "bodies": bodies}[name]
				patiently(t, func() error {
					if now, err := s.metrics(); err != nil || now[phase] < limit {
						return fmt.Errorf("%v connections are in %s, %v", now[phase], name, err)
					}
					return nil
				})
				patiently(t, func() error { return s.served("/small", "") })
			})
		}
	}
}

// served asks for that once, as the well-behaved client, on a connection that it closes.
func (s *server) served(target, fields string) error {
	c, err := dialerFrom(probeAddr).Dial("tcp", s.addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := io.WriteString(c, get(target, fields+"Connection: close\r\n")); err != nil {
		return err
	}
	answer, err := io.ReadAll(c)
	if err == nil && !strings.HasPrefix(string(answer), "HTTP/1.1 200 ") {
		err = fmt.Errorf("answered %.200q", answer)
	}
	return err
}
