// Package conn is one connection's life: what arrives is parsed and answered,
// in order, and leaves. Step, in step.go, is the whole hot path and reads from
// top to bottom. The package makes no system call and starts no goroutine: a
// [Transport] moves the bytes and an IO model calls Step when it may succeed.
//
// It imports http1, proxyproto and, for their types, clock and sendfile.
package conn

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"time"

	"github.com/evhttpd/evhttpd/http1"
	"github.com/evhttpd/evhttpd/sendfile"
)

// ErrAgain is returned by a Transport that would have to wait, and by a Source
// that has nothing yet. Nothing was taken.
var ErrAgain = errors.New("conn: would block")

// ErrBusy is the error of a job that was not accepted because the queue is full.
var ErrBusy = errors.New("conn: the queue of deferred work is full")

// Transport moves bytes now or returns ErrAgain. A call moves n > 0 bytes and
// returns nil, or 0 and an error, never both. Any error but ErrAgain ends the
// connection. Nothing handed to a Transport is referenced after it returns.
type Transport interface {
	// Recv reads into p. The end of the peer's stream is 0, io.EOF.
	Recv(p []byte) (int, error)
	// Send writes head, then body; either may be empty. more: a file or the
	// end of our side follows at once, so that the last bytes may wait to
	// leave with it (MSG_MORE): the FIN then needs no packet of its own.
	Send(head, body []byte, more bool) (int, error)
	// SendFile sends from the file's offset at most count bytes. A file that
	// ends early is 0, io.ErrUnexpectedEOF.
	SendFile(f *sendfile.File, offset, count int64) (int64, error)
	// Resident reports whether that part of the file can be sent without
	// waiting for a disk. A transport that may block returns true.
	Resident(f *sendfile.File, offset, count int64) bool
	// CloseWrite ends our side of the stream (FIN), for a lingering close. It
	// may return ErrAgain while what was sent is still in the transport's own hands.
	CloseWrite() error
	// Unacked is the number of bytes sent and not acknowledged; -1: unknown.
	Unacked() int
	// Hangup reports how far the peer has closed the connection: half, so that it sends no
	// more, or all. It is called while the connection waits for a job.
	Hangup() (half, all bool)
}

// Want is what a connection needs before its next Step can get further.
type Want uint8

const (
	WantRead     Want = iota // bytes from the peer
	WantWrite                // room in the socket's send buffer
	WantYield                // nothing: its turn is spent, and other connections come first
	WantDeferred             // the result of the job that Conn.TakeJob gives, by Conn.Resume
	WantSource               // a wake-up from the Source it sends
	WantClose                // nothing more: close the descriptor
)

// Phase is what a connection is doing, as far as its one timer is concerned. Behind each phase stands
// what becomes of the connection when the timer runs out.
type Phase uint8

const (
	PhaseFirstByte Phase = iota // a new connection has sent nothing: it is closed silently
	PhaseHead                   // a head has begun to arrive: 408
	PhaseBody                   // a body arrives, which has more time the longer it is: 408
	PhaseSending                // an answer leaves: the connection is closed if there is no progress
	PhaseDeferred               // a job is waited for: 503
	PhaseLingering              // the last answer has left: the connection is closed
	PhaseIdle                   // the next request is waited for: the connection is closed
	NumPhases
)

// Addr is a peer's address in 18 bytes; the zero Addr is a Unix socket's or unknown.
type Addr struct {
	ip   [16]byte
	port [2]byte
}

// AddrFrom packs an address and port.
func AddrFrom(ap netip.AddrPort) (a Addr) {
	if ap.IsValid() {
		a.ip = ap.Addr().As16()
		binary.BigEndian.PutUint16(a.port[:], ap.Port())
	}
	return a
}

// AddrPort unpacks it; IPv4-mapped addresses come back as IPv4. It is not
// valid for the zero Addr.
func (a Addr) AddrPort() netip.AddrPort {
	if a == (Addr{}) {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(netip.AddrFrom16(a.ip).Unmap(), binary.BigEndian.Uint16(a.port[:]))
}

// Handler answers one request into out: exactly one of an answer (Head and
// what follows it, or Stream), Fail or Defer. It never blocks: what may block goes to
// out.Defer. req and buf are valid during the call only. One Handler serves
// one loop (or one thread at a time), so it needs no locks of its own.
type Handler interface {
	Serve(req *http1.Request, buf []byte, out *Output)
}

// Job is work that may block. Equal jobs in flight are joined: all connections that wait
// get the one result. A job may be dropped without having run: what must be freed
// belongs into its Result.
type Job interface {
	// Key is comparable with ==; nil is never joined. It may be Grouped.
	Key() any
	// Class is which jobs it shares workers with.
	Class() JobClass
	// Run does the work, on a thread that may block. It never returns nil. A job that takes long asks
	// now and then whether it is still wanted; if not, it ends with any Result.
	Run(Demand) Result
}

// Grouped is the Key of a job that does not run beside others of its group, since the first of them finds out
// what the others need too: they wait without a worker. Groups are compared with ==.
type Grouped interface{ Group() any }

// Demand tells a running job whether a connection still waits for it. It may be asked from any goroutine.
type Demand interface{ Wanted() bool }

// JobClass is a kind of jobs. Each has a share of the workers of its own, so that
// jobs which take long do not hold up those which do not.
type JobClass uint8

const (
	JobFile     JobClass = iota // looks at files, and reads those that are not in memory
	JobCompress                 // looks at files that are compressed
	JobList                     // reads directories
	JobVerify                   // compares passwords
	NumJobClasses
)

// Result is what a Job found. It is counted, since joined jobs share one: Run
// returns it with one reference, and the last Release frees what it holds.
type Result interface {
	Retain()
	Release()
}

// Source is a response body that arrives over time.
type Source interface {
	// Next fills p and returns n > 0 bytes and nil, or 0 and an error.
	// ErrAgain parks the connection as WantSource until its token wakes it; bytes that
	// were given just before leave first. io.EOF ends the body in order; any other error,
	// and 0 with nil, ends the connection. The send timeout applies as for a file: a
	// connection without a byte acknowledged for Config.Send is closed, whether its peer
	// or the Source is the slow one.
	Next(p []byte) (int, error)
	// Size is how many bytes of memory it holds at most, until Close.
	Size() int
	// Close frees what the source holds, also when the peer went away early.
	Close()
}

// Waker is how the producer behind a Source reports that there is more.
type Waker interface {
	// Wake steps the connection of that token soon, and does nothing if the connection
	// is gone. It may be called from any goroutine.
	Wake(token uint64)
}

// Access is one answered request, for the access log. Its byte slices are
// valid during the call only.
type Access struct {
	Wall   int64          // when the answer was begun, nanoseconds since 1970
	Remote Addr           // the client, as Output.Remote has it
	Req    *http1.Request // nil if the head could not be parsed or did not end
	Buf    []byte         // the bytes received so far, which Req's spans point into
	Status int
	User   []byte // the user that the client has proved to be (Output.SetUser); empty: none
	Reason string // the rule behind a 4xx or 5xx; empty for other answers
}

// AccessLog takes the lines of one loop. Its methods never block.
type AccessLog interface {
	// Log writes the line of an answer that is complete. bytes are those of the body with
	// its framing, without the head; took is in nanoseconds, since the request's first byte was handled.
	Log(a *Access, bytes, took int64)
	// Begin appends to dst the line of an answer that is not complete yet, as
	// far as it is known. End writes it with the rest; mark is where the rest belongs.
	Begin(dst []byte, a *Access) (line []byte, mark int)
	End(line []byte, mark int, bytes, took int64)
	// Tick hands over what has waited long enough. It is called once a batch,
	// and no later than the returned time (of Clock.Mono; 0: no need).
	Tick(mono int64) (due int64)
}

// Config is what every connection obeys. Zero in any of the numbers and times
// is no limit.
type Config struct {
	Server string // the Server field's value; empty: none is sent

	Limits       http1.Limits
	Requests     int // how many requests a connection may make
	Output       int // how many bytes may be unsent before no more requests are parsed
	TurnRequests int // how many requests are answered in one Step
	// TurnBytes is how many bytes are received and sent in one Step. They are exceeded by less
	// than one part of a file. A call that sends counts for 4 KiB at least.
	TurnBytes int64

	FirstByte, Head, Body, Send, KeepAlive, Deferred time.Duration
	Lifetime                                         time.Duration // after it an answer is the connection's last

	// Proxies are the networks whose connections begin with a PROXY header; no others do. Trusted are
	// proxies that name the client in each request: their connections are not counted as a client's.
	// Both are looked at when a connection begins.
	Proxies, Trusted Networks
	// ConnectionsPerClient is how many connections of a client may be open; 0: no limit. They are
	// counted in Clients.
	ConnectionsPerClient int
	Clients              *Clients // may be nil if there never was a limit
}
