package test

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestRateWithinLimits: clients that wait after each answer for as long as one request takes up are never refused,
// on several loops that other clients keep busy.
func TestRateWithinLimits(t *testing.T) {
	const clients, requests, interval = 20, 100, 10 * time.Millisecond
	root := t.TempDir()
	write(t, root, "small", []byte("small"))
	s := startControlled(t, defaultVariant(), root, "limits: {requests_per_client: \"100/s burst 1\"}\n", "--loops",
		"2")
	var stop atomic.Bool
	var noise sync.WaitGroup
	for i := range 8 {
		noise.Go(func() {
			for !stop.Load() {
				w, err := s.from(200+i, request("/small"))
				if err != nil {
					t.Error(err)
					return
				}
				_, err = w.next("GET")
				w.conn.Close()
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	var all sync.WaitGroup
	var refused atomic.Int64
	for i := range clients {
		all.Go(func() {
			for range requests {
				w, err := s.from(2+i, request("/small"))
				if err != nil {
					t.Error(err)
					return
				}
				got, err := w.next("GET")
				w.conn.Close()
				switch {
				case err != nil:
					t.Error(err)
					return
				case got.status == 429:
					refused.Add(1)
				}
				time.Sleep(interval)
			}
		})
	}
	all.Wait()
	stop.Store(true)
	noise.Wait()
	if n := refused.Load(); n > 0 {
		t.Errorf("%d of %d were refused", n, clients*requests)
	}
}

// from sends a request from 127.0.0.n on a connection of its own, which the caller closes.
func (s *server) from(n int, request string) (*wire, error) {
	d := net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(n))}}
	c, err := d.Dial("tcp", s.addr)
	if err != nil {
		return nil, err
	}
	if err = c.SetDeadline(deadline()); err == nil {
		_, err = fmt.Fprint(c, request)
	}
	return newWire(c), err
}
