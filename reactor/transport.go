package reactor

import (
	"io"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/poller"
	"github.com/evhttpd/evhttpd/sendfile"
	"github.com/evhttpd/evhttpd/socket"
)

// SyscallTransport is the [conn.Transport] of the connection that is stepped, or of the token that
// [Completer.Transport] was given last: it makes system calls at once and without waiting. It keeps the slot's
// ready bits, so that a call that would find nothing is not made: a short recv
// or send clears the bit (the socket was emptied, or filled), and only an
// event sets it again. A hangup, and an urgent byte, keep the socket readable until a call finds nothing, so that data
// and what is behind it are both seen.
type SyscallTransport struct {
	slot  *slot
	calls socket.Calls
	local *conn.Workspace // of the loop
	count *conn.Counters  // of local
}

func (t *SyscallTransport) init(local *conn.Workspace) {
	t.calls.Init()
	t.local, t.count = local, &local.Counters
}

// Recv implements [conn.Transport].
func (t *SyscallTransport) Recv(p []byte) (int, error) {
	s := t.slot
	if s.ready&poller.Readable == 0 {
		return 0, conn.ErrAgain
	}
	n, err := socket.Recv(int(s.fd), p)
	t.count.Calls[conn.CallRecv]++
	switch {
	case n > 0:
		if n < len(p) && s.ready&(poller.Hangup|poller.Urgent) == 0 {
			s.ready &^= poller.Readable
		}
		return n, nil
	case err == nil:
		return 0, io.EOF
	case err == unix.EAGAIN:
		s.ready &^= poller.Readable | poller.Hangup | poller.Urgent
		t.count.Again[conn.CallRecv]++
		return 0, conn.ErrAgain
	default:
		return 0, err
	}
}

// Send implements [conn.Transport].
func (t *SyscallTransport) Send(head, body []byte, more bool) (int, error) {
	s := t.slot
	if s.ready&poller.Writable == 0 {
		return 0, conn.ErrAgain
	}
	n, err := t.calls.Send(int(s.fd), head, body, more)
	t.count.Calls[conn.CallSend]++
	switch {
	case n > 0:
		if n < len(head)+len(body) {
			s.ready &^= poller.Writable
		}
		return n, nil
	case err == unix.EAGAIN:
		s.ready &^= poller.Writable
		t.count.Again[conn.CallSend]++
		return 0, conn.ErrAgain
	default:
		return 0, err
	}
}

// SendFile implements [conn.Transport].
func (t *SyscallTransport) SendFile(f *sendfile.File, offset, count int64) (int64, error) {
	s := t.slot
	if s.ready&poller.Writable == 0 {
		return 0, conn.ErrAgain
	}
	n, err := sendfile.Send(int(s.fd), f, offset, count)
	call := conn.CallSendFile
	if f.Copied() {
		call = conn.CallSend
	}
	t.count.Calls[call]++
	if err == unix.EAGAIN {
		s.ready &^= poller.Writable
		t.count.Again[call]++
		err = conn.ErrAgain
	}
	return n, err
}

// Resident implements [conn.Transport].
func (t *SyscallTransport) Resident(f *sendfile.File, offset, count int64) bool {
	return f.Resident(offset, count)
}

// CloseWrite implements [conn.Transport].
func (t *SyscallTransport) CloseWrite() error {
	t.count.Calls[conn.CallShutdown]++
	return unix.Shutdown(int(t.slot.fd), unix.SHUT_WR)
}

// Unacked implements [conn.Transport].
func (t *SyscallTransport) Unacked() int { return socket.Unacked(int(t.slot.fd)) }

// Hangup implements [conn.Transport].
func (t *SyscallTransport) Hangup() (half, all bool) { return socket.Hangup(int(t.slot.fd)) }

// Accept is accept4(2): the connection is non-blocking and closed on exec.
func (t *SyscallTransport) Accept(listener int) (fd int, remote conn.Addr, err error) {
	fd, peer, err := t.calls.Accept(listener, false)
	t.count.Calls[conn.CallAccept]++
	if err == unix.EAGAIN {
		t.count.Again[conn.CallAccept]++
	}
	return fd, conn.AddrFrom(peer), err
}

// Hold counts memory that a Completer takes for connections, or gives back (conn.Workspace.Hold).
func (t *SyscallTransport) Hold(bytes int) { t.local.Hold(bytes) }

// Peer is getpeername(2); 0.0.0.0 if that fails.
func (t *SyscallTransport) Peer(fd int) conn.Addr { return conn.AddrFrom(t.calls.Peer(fd)) }
