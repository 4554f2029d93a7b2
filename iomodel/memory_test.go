//go:build darwin || dragonfly || freebsd || linux

package iomodel_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/iomodel"
)

// TestBudget: whoever sends heads by half, what is held of them is bounded in sum. Those go that hold
// most for longest; who has come last, and who holds little, gets an answer. All is counted, and given back.
func TestBudget(t *testing.T) {
	for _, c := range choices() {
		t.Run(c.String(), func(t *testing.T) { testBudget(t, c) })
	}
}

// halfHead is what a buffer of 32 KiB is kept for.
var halfHead = "GET /small HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("a", 30_000)

func testBudget(t *testing.T, c iomodel.Choice) {
	const limit, holders = 2 << 20, 80
	budget := new(conn.Budget)
	budget.SetLimit(limit)
	s := start(t, c.Model, func(o *iomodel.Options) { o.Budget, o.Trigger, o.Loops = budget, c.Trigger, 1 })
	little := s.dial(t)
	little.send("GET /small HT")
	var all []*client
	for range holders {
		a := s.dial(t)
		a.send(halfHead)
		all = append(all, a)
	}
	// A thread receives into memory of its own, of which there is as much as there are threads.
	least := uint64(holders - limit/(32<<10))
	if c.Threads {
		least = 0
	}
	eventually(t, func() error {
		count := s.Counters()
		used := budget.Used()
		if used > limit || count.Relieved < least || least > 0 && s.warned("connections hold too much") == 0 {
			return fmt.Errorf("%d bytes are held, %d connections were closed", used, count.Relieved)
		}
		return nil
	})
	little.send("TP/1.1\r\nHost: a\r\n\r\n")
	little.answer(200)
	last := s.dial(t)
	last.send(halfHead)
	last.send("\r\n\r\n")
	last.answer(200)
	for _, a := range append(all, little, last) {
		a.Close()
	}
	s.stop(patience)
	if used := budget.Used(); used != 0 {
		t.Errorf("%d bytes are counted after the end", used)
	}
}

// TestBudgetOfPipelines: what clients send ahead without reading an answer is bounded in sum too, also
// where a model reads it all. Others leave it to the kernel, which holds the clients back.
func TestBudgetOfPipelines(t *testing.T) {
	for _, c := range choices() {
		t.Run(c.String(), func(t *testing.T) { testBudgetOfPipelines(t, c) })
	}
}

func testBudgetOfPipelines(t *testing.T, c iomodel.Choice) {
	const limit, clients, each = 1 << 20, 20, 200 << 10
	budget := new(conn.Budget)
	budget.SetLimit(limit)
	s := start(t, c.Model, func(o *iomodel.Options) { o.Budget, o.Trigger, o.Loops = budget, c.Trigger, 1 })
	pipeline := strings.Repeat(request("/file"), each/len(request("/file")))
	var sending sync.WaitGroup
	for range clients {
		a := s.dial(t)
		sending.Go(func() { _, _ = a.Write([]byte(pipeline)) }) // it is closed meanwhile, or waits for room
	}
	eventually(t, func() error {
		if used, n := budget.Used(), s.Counters().Relieved; used > limit || n == 0 && c.Name == "netpoll" {
			return fmt.Errorf("%d bytes are held, %d connections were closed", used, n)
		}
		return nil
	})
	sending.Wait()
	s.dial(t).get("/small")
}
