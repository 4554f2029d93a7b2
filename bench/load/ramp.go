package load

// rampBurst is how many connections of a loop are being opened at a time before the start: within the shortest usual
// accept queue (SOMAXCONN was 128).
const rampBurst = 100

// ramp opens the connections that are to be there when the first request is due.
type ramp struct {
	begun    int  // connections that it has begun with
	settling int  // of them, those of which it is not known yet what becomes of them
	over     bool // all have been tried, which the run has been told
}

// populate makes the loop's share of every role's connections.
func (l *loop) populate() {
	total := 0
	for i := range l.run.opts.Roles {
		count, first := l.portion(i)
		total += count
		if count > 0 {
			l.groups = append(l.groups, newGroup(&l.run.opts.Roles[i], &l.run.opts, l.index, first, count))
		} else { // results are merged by position
			l.groups = append(l.groups, group{Role: &l.run.opts.Roles[i], result: newRoleResult("")})
		}
	}
	l.connections = make([]connection, 0, total)
	for i := range l.groups {
		g := &l.groups[i]
		count, _ := l.portion(i)
		flights := make([]request, count*g.Pipeline)
		for n := range count {
			c := connection{group: g, fd: -1, index: uint32(len(l.connections)), generation: 1}
			c.flight.ring = flights[n*g.Pipeline : (n+1)*g.Pipeline]
			l.connections = append(l.connections, c)
		}
		l.exact = l.exact || g.openLoop()
	}
}

// portion is how many of a role's connections the loop has, and how many the loops before it.
func (l *loop) portion(role int) (count, first int) {
	connections, loops := l.run.opts.Roles[role].Connections, l.run.opts.Loops
	first = connections * l.index / loops
	return connections*(l.index+1)/loops - first, first
}

// openMore opens connections, a few at a time, and reports when all have been tried.
func (l *loop) openMore() {
	r := &l.ramp
	for ; r.begun < len(l.connections) && r.settling < rampBurst && l.now < l.window.until; r.begun++ {
		c := &l.connections[r.begun]
		if c.group.CloseEach || c.state != vacant {
			continue
		}
		c.settling = true
		r.settling++
		l.connect(c, nil)
	}
	if !r.over && r.begun == len(l.connections) && r.settling == 0 {
		r.over = true
		l.run.ready <- struct{}{}
	}
}

// settle is called when it is known what became of a connection that the ramp waits for.
func (r *ramp) settle(c *connection) {
	if c.settling {
		c.settling = false
		r.settling--
	}
}
