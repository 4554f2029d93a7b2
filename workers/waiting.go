package workers

import "github.com/evhttpd/evhttpd/conn"

// Waiting is a connection for which the pool does a job, and to whom the result goes, with which token.
type Waiting struct {
	Conn  *conn.Conn
	To    Receiver
	Token uint64
}

// SubmitFor has the pool do the job that the connection waits for, unless it has that already. If the pool refuses,
// the connection has been told and it reports false.
func (p *Pool) SubmitFor(w Waiting, count *conn.Counters) bool {
	job, ticket, must := w.Conn.TakeJob()
	if job == nil {
		return true
	}
	err := p.Submit(job, must, w.Conn.JobClient(), w.To, w.Token, ticket)
	count.JobsSubmitted++
	if err == nil {
		return true
	}
	count.JobsRefused++
	w.Conn.Resume(ticket, nil, err)
	conn.DropJob(job, must)
	return false
}

// Review takes back the job of that ticket, which the connection waited for before its timer ran out, if it
// does not any more, and notes where it may not.
func (p *Pool) Review(w Waiting, ticket uint32, count *conn.Counters) {
	switch now, waits := w.Conn.Awaits(); {
	case !waits || now != ticket:
		p.leaveFor(w, ticket, count)
	case w.Conn.Doubtful():
		p.Doubt(w.To, w.Token, ticket)
	}
}

// LeaveFor takes back the job of a connection that ends, if it waits for one.
func (p *Pool) LeaveFor(w Waiting, count *conn.Counters) {
	if ticket, waits := w.Conn.Awaits(); waits {
		p.leaveFor(w, ticket, count)
	}
}

func (p *Pool) leaveFor(w Waiting, ticket uint32, count *conn.Counters) {
	if p.Leave(w.To, w.Token, ticket) {
		count.JobsDone++
		count.JobsDropped++
	}
}
