package ring

import (
	"github.com/evhttpd/evhttpd/poller"
)

// connection is a connection as the ring sees it.
type connection struct {
	token poller.Token // 0: there is none
	fd    int32

	// What has been received and not taken: a part of a provided buffer, or of
	// a copy of it (then buffer is -1).
	buffer int32
	data   []byte
	kept   int   // bytes of the copy
	err    error // the socket is broken

	// What Send has taken and the kernel may not have, in the outbox: in its arena while it is
	// queued, in a piece of its own while the rest of a send is out.
	out   []byte
	piece int32

	fresh bool // the connection's first turn: system calls are made directly
	recv  receiving
	send  sending
}

// receiving is where a connection's recv stands.
type receiving struct {
	wanted    bool // the connection waits for bytes
	out       bool // an opRecv is out, or waits for a buffer
	cancelled bool // the opRecv is being cancelled, for another server to go on
	more      bool // there was more to be received than data
	eof       bool // the peer has sent all that it will send
}

// completed notes that no opRecv is out any more.
func (r *receiving) completed() { r.out, r.cancelled = false, false }

// sending is where a connection's sends stand.
type sending struct {
	queued  bool // an opSend is to be submitted
	awaited bool // the connection is to be reported when nothing is queued any more
	rest    bool // an opRest is out
	polling bool // an opPoll is out
}

// unfinished reports whether there are bytes that the kernel does not have yet.
func (s *sending) unfinished() bool { return s.queued || s.rest }

// pending reports whether there is something to be received at once.
func (k *connection) pending() bool { return len(k.data) > 0 || k.recv.eof || k.err != nil }

// connections holds every connection by the index in its token. They never move.
type connections []*connection

// begin returns the connection of that token, which is made if the token is new.
func (b *connections) begin(token poller.Token, fd int) *connection {
	for int(uint32(token)) >= len(*b) {
		*b = append(*b, new(connection))
	}
	k := (*b)[uint32(token)]
	if k.token != token {
		*k = connection{token: token, fd: int32(fd), buffer: -1, piece: -1, fresh: true}
	}
	return k
}

// lookup returns the connection of that token, nil if it is gone.
func (b connections) lookup(token poller.Token) *connection {
	if index := uint32(token); int(index) < len(b) && b[index].token == token {
		return b[index]
	}
	return nil
}

// drop forgets the connection.
func (k *connection) drop() { *k = connection{} }
