package conn

import (
	"github.com/evhttpd/evhttpd/clock"
	"github.com/evhttpd/evhttpd/http1"
	"github.com/evhttpd/evhttpd/sendfile"
)

// Output takes the answer to one request. Exactly one of Head, Stream, Fail and Defer
// is called first; Head is followed by the body in any number of parts, whose
// total is the Content-Length that the head announced, behind a File or a Source too. For an
// answer that has no body (to HEAD, 204 and 304) the parts are dropped, so a handler need not care.
//
// An Output belongs to its loop and is valid during one Serve.
type Output struct {
	queue
	workspace *Workspace
	conn      *Conn
	req       *http1.Request

	status    int
	reason    string
	user      []byte // the user that the client has proved to be; empty: none
	body      int64  // bytes of the answer's body that were queued so far
	last      bool   // the connection closes after this answer
	noBody    bool   // the answer has no body: HEAD, 204, 304
	job       Job
	result    Result
	client    Addr   // the client that the handler has found behind the peer
	hasClient bool   // the handler has found one
	edit      *Edit  // what changes the head; nil: nothing
	added     []byte // field lines that are added to the head
	scratch   []byte // room for the text of Fail

	common   []byte  // what commonFields returns
	commonAt int64   // the second that common was made for
	commonOf *Config // the Config that common was made of
}

// Clock is the time of this batch.
func (o *Output) Clock() clock.Time { return o.workspace.Clock }

// Alone reports whether the loop has nothing else to do: its wait slept and
// this request came by itself, so a look at the file holds up no other connection.
func (o *Output) Alone() bool { return o.workspace.Alone }

// Counters is where the handler counts what it does.
func (o *Output) Counters() *Counters { return &o.workspace.Counters }

// Remote is the client's address: what SetClient was given, else the connection's (Conn.Remote).
func (o *Output) Remote() Addr {
	if o.hasClient {
		return o.client
	}
	return o.conn.remote
}

// SetClient names the client of this request if the peer is a proxy: from now on
// Remote returns it, and the access log has it. Defer forgets it: it is to be said again when
// Serve is called again.
func (o *Output) SetClient(client Addr) { o.client, o.hasClient = client, true }

// SetUser names the user that the client has proved to be, for the access log. name is
// copied. Defer forgets it, as it forgets SetClient.
func (o *Output) SetUser(name []byte) { o.user = append(o.user[:0], name...) }

// Waker returns what wakes this connection when its Source has more: call
// w.Wake(token), from any goroutine.
func (o *Output) Waker() (w Waker, token uint64) { return o.workspace.Waker, o.workspace.Token }

// Result returns what an earlier Defer of this request found, nil if there was
// none. The connection releases it when Serve returns: a handler that keeps it retains it.
func (o *Output) Result() Result { return o.result }

// Defer puts the request off until job has run: Serve is called again, with
// the same request and with Result. Nothing may have been written.
func (o *Output) Defer(job Job) {
	if o.status != 0 {
		panic("conn: Defer after Head")
	}
	o.job = job
}

// Began is when the request in hand began, as Clock.Mono.
func (o *Output) Began() int64 { return o.conn.began }

// Deferred is how often the request has been put off so far.
func (o *Output) Deferred() int {
	if o.conn.pending == nil {
		return 0
	}
	return int(o.conn.pending.defers)
}

// Deferrable is how often the request may still be put off. One Defer more fails it.
func (o *Output) Deferrable() int { return defersMax - o.Deferred() }

// Add adds fields, whole lines with their CRLF, to the head of whatever the answer
// will be. They are copied. It is called before Head, Stream and Fail. Defer forgets the
// fields: they are to be added again when Serve is called again.
func (o *Output) Add(fields []byte) { o.added = append(o.added, fields...) }

// Edit changes the head of whatever the answer will be, with what Add has added to
// it. An answer has one Edit: a later one takes its place, and nil takes it
// away. Defer forgets it.
func (o *Output) Edit(e *Edit) { o.edit = e }

// Reason notes why the answer is what it is, for the access log. Fail does that too.
func (o *Output) Reason(reason string) { o.reason = reason }

// Close makes this answer the connection's last.
func (o *Output) Close() { o.last = true }

// Head begins the answer. fields are the fields of its head, each with its CRLF, which
// are copied. The status line, Server, Date, Connection and the empty line are added here.
func (o *Output) Head(status int, fields []byte) {
	o.status = status
	o.noBody = o.noBody || status == 204 || status == 304
	o.arena = http1.AppendStatusLine(o.arena, status)
	switch {
	case o.edit != nil:
		failed := status >= 400
		o.arena = o.edit.keep(o.arena, fields, failed)
		o.arena = o.edit.keep(o.arena, o.added, failed)
		o.arena = o.edit.set(o.arena, failed)
	case len(o.added) > 0:
		o.arena = append(append(o.arena, fields...), o.added...)
	default:
		o.arena = append(o.arena, fields...)
	}
	o.arena = append(o.arena, o.commonFields()...)
	switch {
	case o.last:
		o.arena = append(o.arena, "Connection: close\r\n\r\n"...)
	case o.req != nil && o.req.Minor == 0:
		o.arena = append(o.arena, "Connection: keep-alive\r\n\r\n"...)
	default:
		o.arena = append(o.arena, "\r\n"...)
	}
	o.copied()
}

// Bytes adds a part of the body; p is copied.
func (o *Output) Bytes(p []byte) {
	o.body += int64(len(p))
	if o.noBody || len(p) == 0 {
		return
	}
	o.arena = append(o.arena, p...)
	o.copied()
}

// Shared adds a part of the body by reference: p must never change.
func (o *Output) Shared(p []byte) {
	if len(p) <= copyMax {
		o.Bytes(p)
		return
	}
	o.body += int64(len(p))
	if !o.noBody {
		o.push(segment{kind: segShared, shared: p, n: int64(len(p))})
	}
}

// File adds a range of a file. The Output takes a reference of its own.
func (o *Output) File(f *sendfile.File, offset, count int64) {
	o.body += count
	if o.noBody || count == 0 {
		return
	}
	o.push(segment{kind: segFile, file: f.Retain(), off: offset, n: count})
	o.streaming = true
}

// Source adds bytes that arrive over time, and takes over src: it is closed
// when it has ended or the connection has, at once if the answer has no body.
func (o *Output) Source(src Source) { o.source(segment{kind: segSource, source: src}) }

// Stream is an answer whose body is that of src alone: Head, and Source with the framing
// that belongs to it. length is in bytes, -1 if it is not known: then the body is chunked,
// and for HTTP/1.0 the end of the connection ends it (RFC 9112 section 6.3).
func (o *Output) Stream(status int, fields []byte, length int64, src Source) {
	s := segment{kind: segSource, source: src}
	switch {
	case status == 204 || status == 304: // RFC 9110 section 8.6, RFC 9112 section 6.1
	case length >= 0:
		s.kind, s.n = segSized, length
		o.added = append(http1.AppendInt(append(o.added, "Content-Length: "...), length), "\r\n"...)
	case o.req.Minor == 0:
		o.last = true
	default:
		s.kind = segChunked
		o.added = append(o.added, "Transfer-Encoding: chunked\r\n"...)
	}
	o.Head(status, fields)
	o.source(s)
}

func (o *Output) source(s segment) {
	o.body += s.n
	if o.noBody || s.kind == segSized && s.n == 0 {
		s.release()
		return
	}
	o.push(s)
	o.streaming = true
}

const plainText = "Content-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n"

// Fail answers with an error: a short text body made of the status and the
// reason, which also goes to the access log. fields are further fields, each
// with its CRLF ("Allow: GET, HEAD\r\n").
func (o *Output) Fail(status int, fields, reason string) {
	o.reason = reason
	body := len(reason) + len("400: \n")
	b := append(o.scratch[:0], plainText+"Content-Length: "...)
	b = http1.AppendInt(b, int64(body))
	b = append(append(b, "\r\n"...), fields...)
	o.Head(status, b)
	b = http1.AppendInt(b[:0], int64(status))
	b = append(append(append(b, ": "...), reason...), '\n')
	o.Bytes(b)
	o.scratch = b[:0]
}

// fail answers with what the parser found.
func (o *Output) fail(e *http1.Error) {
	o.last = true
	o.Fail(e.Status, "", e.Reason())
}

// begin makes the Output ready for the answer to req, whose head stands at the start of
// in. req is nil if that could not be parsed or has not ended.
//
// The answer to HEAD has no body, whichever part of the head is refused (RFC 9110 section
// 9.3.2): a client would take it for the next answer.
func (o *Output) begin(c *Conn, req *http1.Request, in []byte) {
	var method http1.Method
	if req != nil {
		method = req.Method
	} else {
		method = http1.PeekMethod(in)
	}
	o.conn, o.req = c, req
	o.status, o.reason, o.body, o.job = 0, "", 0, nil
	o.user = o.user[:0]
	o.edit, o.added, o.hasClient = nil, o.added[:0], false
	o.noBody = method == http1.MethodHEAD
	// Behind a refused CONNECT may come what is meant for the far end of a tunnel, and is no request.
	o.last = req == nil || req.Close || method == http1.MethodCONNECT || c.lastAnswer(o.workspace)
}

// commonFields returns the fields of every answer of this second: Server and Date.
func (o *Output) commonFields() []byte {
	now, cfg := o.workspace.Clock.Wall/1e9, o.workspace.Config
	if now != o.commonAt || cfg != o.commonOf {
		b := o.common[:0]
		if cfg.Server != "" {
			b = http1.AppendField(b, "Server", cfg.Server)
		}
		b = http1.AppendDate(append(b, "Date: "...), now)
		o.common, o.commonAt, o.commonOf = append(b, "\r\n"...), now, cfg
	}
	return o.common
}
