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
	body      http1.Body
	inBody    bool  // the body is being read
	bodyDone  bool  // the body has been read
	head      int   // bytes of the head, which stays in front of what is received
	consumed  int64 // bytes of the body with its framing
	bodyBegan int64 // Clock.Mono when the body began

	job      Job    // the job that was not taken yet
	client   Client // the client that the job is for
	askedAt  int64  // Clock.Mono when the job was given
	defers   uint8  // how often the request was put off
	warming  bool   // the job reads a part of the file that is being sent
	doubtful bool   // the peer has closed its side while the job is waited for
	result   Result // what the last job has found
	err      error  // why there is no result
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
	p.job, p.client, p.askedAt, p.warming, p.doubtful = job, client.Client(), w.Clock.Mono, warming, false
	c.ticket++
	c.phase = NumPhases // a timer of its own for each job
}

// jobDue reports whether there is a job that was not taken yet.
func (c *Conn) jobDue() bool { return c.pending != nil && c.pending.job != nil }

// TakeJob returns the job that a connection in WantDeferred waits for. ticket
// goes back to Resume. must: an answer that has begun depends on the job, so that a
// full queue is no reason to refuse it; a connection has one such job at most.
// Such a job is its own Result: a caller that does not run it releases it.
func (c *Conn) TakeJob() (job Job, ticket uint32, must bool) {
	job, c.pending.job = c.pending.job, nil
	return job, c.ticket, c.pending.warming
}

// DropJob lets go of a job from TakeJob which will not run. One that an answer under way depends on holds
// its file, as its result would.
func DropJob(job Job, must bool) {
	if own, ok := job.(Result); ok && must {
		own.Release()
	}
}

// JobClient is the client that the job of TakeJob is for.
func (c *Conn) JobClient() Client { return c.pending.client }

// Awaits reports whether the connection waits for a job that was taken, and for which one. It does not
// any more once it has ended, or Expire has had it wait no longer.
func (c *Conn) Awaits() (ticket uint32, yes bool) {
	return c.ticket, c.want == WantDeferred && !c.jobDue()
}

// Doubtful reports whether the peer has closed its side while the connection awaits a job, so that it may
// be gone.
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
