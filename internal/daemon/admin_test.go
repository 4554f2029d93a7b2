package daemon

import (
	"testing"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/iomodel"
)

// numbered is a server that has counted so many requests.
type numbered struct {
	iomodel.Server
	counters conn.Counters
}

func (n *numbered) Counters() conn.Counters { return n.counters }

// What servers counted that are gone stays in the sums; what they were does not.
func TestCountersOutliveTheirServers(t *testing.T) {
	var c models
	old := &runningModel{server: &numbered{counters: conn.Counters{Requests: [6]uint64{2: 7}, Loops: 2, Silent: 1,
		Unknown: conn.SetOf(conn.CallRecv)}}}
	now := &runningModel{server: &numbered{counters: conn.Counters{Requests: [6]uint64{2: 5}, Loops: 3}}}
	c.add(old)
	c.add(now)
	if sum := c.counters(); sum.Requests[2] != 12 || sum.Loops != 5 || !sum.Unknown.Has(conn.CallRecv) {
		t.Errorf("both: %+v", sum)
	}
	if c.remove(old); len(c.list()) != 1 {
		t.Errorf("%d are left", len(c.list()))
	}
	if sum := c.counters(); sum.Requests[2] != 12 || sum.Loops != 3 || sum.Silent != 0 || sum.Unknown != 0 {
		t.Errorf("after the first has ended: %+v", sum)
	}
}
