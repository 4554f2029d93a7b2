package conn

import "time"

// A lingering close takes no more than this from a peer that goes on sending.
const (
	lingerBytes = 64 << 10
	lingerIdle  = 5 * time.Second
	lingerTotal = 30 * time.Second
)

// linger closes a connection whose last answer has left: at once if nothing
// can be lost by it, else in order, so that the peer's unread bytes do not
// reset the connection under the answer (RFC 9112 section 9.6).
func (c *Conn) linger(t Transport, w *Workspace) Want {
	if c.closeNow {
		return WantClose
	}
	if !c.lingering {
		switch err := t.CloseWrite(); {
		case err == ErrAgain:
			return WantWrite
		case err != nil:
			return WantClose
		}
		c.lingering, c.progressAt = true, w.Clock.Mono
	}
	for {
		n, err := t.Recv(w.in)
		switch {
		case err == ErrAgain && w.Clock.Mono-c.progressAt < int64(lingerTotal):
			return WantRead
		case err != nil:
			return WantClose
		}
		c.phase = NumPhases // the peer is still sending
		if c.lingered += uint32(n); c.lingered >= lingerBytes {
			return WantClose
		}
	}
}

// lastAnswer reports whether the next answer is to be the connection's last.
func (c *Conn) lastAnswer(w *Workspace) bool {
	cfg := w.Config
	return w.Closing || c.refused() ||
		cfg.Requests > 0 && int(c.requests)+1 >= cfg.Requests ||
		cfg.Lifetime > 0 && w.Clock.Mono-c.born >= int64(cfg.Lifetime)
}
