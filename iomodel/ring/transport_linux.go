package ring

import (
	"io"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/poller"
	"github.com/evhttpd/evhttpd/sendfile"
	"github.com/evhttpd/evhttpd/uring"
)

// transport is the [conn.Transport] of the connection that is stepped.
type transport struct {
	conn.Transport // makes system calls at once
	ring           *ring
	connection     *connection
}

// Transport implements [reactor.Completer].
func (r *ring) Transport(token poller.Token, fd int) conn.Transport {
	r.transport.connection = r.connections.begin(token, fd)
	return &r.transport
}

// Recv implements [conn.Transport]. A short count says that there was no more, as recv's does.
func (t *transport) Recv(p []byte) (int, error) {
	k, r := t.connection, t.ring
	n := copy(p, k.data)
	if k.data = k.data[n:]; len(k.data) == 0 {
		r.giveBack(k)
	}
	switch {
	case n == len(p):
		return n, nil
	case k.recv.more:
		m, err := r.direct.Recv(p[n:])
		k.recv.more = m == len(p)-n
		if n+m > 0 {
			return n + m, nil // the next call meets the error
		}
		return 0, err
	case n > 0:
		return n, nil
	case k.err != nil:
		return 0, k.err
	case k.recv.eof:
		return 0, io.EOF
	case k.fresh:
		return r.direct.Recv(p)
	default:
		return 0, conn.ErrAgain
	}
}

// Send implements [conn.Transport]. What is small is copied to memory that the
// kernel may see, and leaves with the next io_uring_enter.
func (t *transport) Send(head, body []byte, more bool) (int, error) {
	k, r := t.connection, t.ring
	size := len(head) + len(body)
	if k.fresh || k.send.unfinished() || more || size > sendMax {
		if err := t.drained(); err != nil {
			return 0, err
		}
		return r.direct.Send(head, body, more)
	}
	if k.err != nil {
		return 0, k.err
	}
	room := r.out.take(size)
	if room == nil {
		if err := r.flush(); err != nil {
			return 0, err
		}
		room = r.out.take(size)
	}
	copy(room[copy(room, head):], body)
	r.send(k, room)
	return size, nil
}

// send queues a send that takes what the socket has room for and ends. If
// that is everything it does so in silence: a request is one completion, its recv's.
func (r *ring) send(k *connection, p []byte) {
	k.send.queued, k.out = true, p
	s := r.request(k.token, opSend)
	s.PrepareSend(int(k.fd), p, unix.MSG_DONTWAIT|unix.MSG_WAITALL|unix.MSG_NOSIGNAL)
	s.Flags |= uring.FlagSkipSuccess
	r.out.queued = append(r.out.queued, k.token)
}

// drained has what Send took leave before something is sent directly. It
// returns ErrAgain if the socket has no room for it, or the kernel takes no requests just now: the
// poll that [ring.Watch] asks for is then submitted behind it.
func (t *transport) drained() error {
	if t.connection.send.queued {
		if err := t.ring.flush(); err != nil {
			return err
		}
	}
	switch {
	case t.connection.err != nil:
		return t.connection.err
	case t.connection.send.rest:
		return conn.ErrAgain
	}
	return nil
}

// SendFile implements [conn.Transport]: sendfile(2) at once, since a splice of
// the ring's would run on a kernel thread of its own.
func (t *transport) SendFile(f *sendfile.File, offset, count int64) (int64, error) {
	if err := t.drained(); err != nil {
		return 0, err
	}
	return t.Transport.SendFile(f, offset, count)
}

// CloseWrite implements [conn.Transport].
func (t *transport) CloseWrite() error {
	if err := t.drained(); err != nil {
		return err
	}
	return t.Transport.CloseWrite()
}

// Unacked implements [conn.Transport].
func (t *transport) Unacked() int {
	n := t.Transport.Unacked()
	if n >= 0 {
		n += len(t.connection.out)
	}
	return n
}
