package conn

import (
	"errors"
	"sync"

	"github.com/evhttpd/evhttpd/http1"
	"github.com/evhttpd/evhttpd/sendfile"
)

// defersMax bounds how often one request may be put off before its answer.
const defersMax = 4

// errDeferred ends a deferral whose result did not come in time.
var errDeferred = errors.New("conn: deferred work took too long")

// pending is what a connection knows of a request that it cannot finish at
// once: its body is to be read, or work is to be waited for. Few connections
// have one at a time, so it is pooled and a Conn stays small.
type pending struct {
	body     http1.Body
	reading  bool  // the body is not at its end
	read     bool  // it is
	head     int   // bytes of the head, which stays in front of what is received
	consumed int64 // bytes of the body with its framing
	began    int64 // Clock.Mono when the body began

	job      Job    // not taken yet
	client   Client // whom it is for
	asked    int64  // Clock.Mono when it was given
	defers   uint8
	warming  bool   // the job reads a part of the file that is being sent
	doubtful bool   // the peer has closed its side while the job is waited for
	result   Result // of the last job
	err      error  // instead of a result
}

var pendings = sync.Pool{New: func() any { return new(pending) }}

// ensurePending returns the connection's pending, a new one if it has none.
func (c *Conn) ensurePending() *pending {
	if c.pending == nil {
		c.pending = pendings.Get().(*pending)
	}
	return c.pending
}

// freePending frees the connection's pending and what it holds.
func (c *Conn) freePending() {
	p := c.pending
	if p == nil {
		return
	}
	p.releaseResult()
	if warm, ok := p.job.(*warmJob); ok {
		warm.Release()
	}
	*p = pending{}
	pendings.Put(p)
	c.pending = nil
}

func (p *pending) releaseResult() {
	if p.result != nil {
		p.result.Release()
		p.result = nil
	}
}

// postpone has the connection wait for job, for as long as Config.Deferred.
func (c *Conn) postpone(w *Workspace, job Job, client Addr, warming bool) {
	p := c.ensurePending()
	p.job, p.client, p.asked, p.warming, p.doubtful = job, client.Client(), w.Clock.Mono, warming, false
	c.ticket++
	c.phase = NumPhases // a timer of its own for each job
}

// jobDue reports whether there is work that nobody has taken.
func (c *Conn) jobDue() bool { return c.pending != nil && c.pending.job != nil }

// TakeJob returns the work that a connection in WantDeferred waits for. ticket
// goes back to Resume. must: an answer that has begun depends on it, so that
// it is not to be refused for a full queue; there is at most one a connection.
// Such a job is its own Result: who does not run it releases it.
func (c *Conn) TakeJob() (job Job, ticket uint32, must bool) {
	job, c.pending.job = c.pending.job, nil
	return job, c.ticket, c.pending.warming
}

// JobClient is whom the job is for that TakeJob has given.
func (c *Conn) JobClient() Client { return c.pending.client }

// Awaits reports whether the connection waits for a job that was taken, and which: one that
// ends, or is told by Expire to wait no more, has nobody to wait for it.
func (c *Conn) Awaits() (ticket uint32, yes bool) {
	return c.ticket, c.want == WantDeferred && !c.jobDue()
}

// Doubtful reports whether the peer of a connection that awaits a job has closed its side, so that it may
// not wait for it any more.
func (c *Conn) Doubtful() bool { return c.pending != nil && c.pending.doubtful }

// Resume hands over the result of a job, or why there is none, with the
// reference that belongs to it. It reports whether the connection waited for
// it; if not, the result is still the caller's. Step is to follow.
func (c *Conn) Resume(ticket uint32, result Result, err error) bool {
	if c.want != WantDeferred || ticket != c.ticket {
		return false
	}
	c.want = WantYield
	p := c.pending
	if !p.warming {
		p.result, p.err = result, err
		return true
	}
	if err == nil {
		err = result.(*warmJob).err
		result.Release()
	}
	c.out.warmed(err)
	c.freePending()
	return true
}

// warmJob reads a part of a file into memory.
type warmJob struct {
	file   *sendfile.File
	off, n int64
	err    error
}

// Key is nil: two connections seldom wait for the same part of a file, and
// the second one's read finds the pages there.
func (j *warmJob) Key() any { return nil }

// Class is that of files.
func (j *warmJob) Class() JobClass { return JobFile }

// Run reads the part; the job is its own result.
func (j *warmJob) Run(Demand) Result {
	j.err = j.file.Warm(j.off, j.n)
	return j
}

// Retain is never called: a job without a key is not joined.
func (j *warmJob) Retain() { panic("conn: a warm job was joined") }

// Release lets go of the file.
func (j *warmJob) Release() { j.file.Release() }
