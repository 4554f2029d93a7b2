package faults

import (
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"
)

// halfMax bounds the bytes that one call moves through this process.
const halfMax = 1 << 20

// awaitTurns bounds a wait in the process's place.
const awaitTurns = 50

// vectorMax is IOV_MAX (readv(2)).
const vectorMax = 1024

// errWhole says that a call cannot be made by halves.
var errWhole = errors.New("faults: a call that is made whole or not at all")

// span is a part of a process's memory.
type span struct {
	address uint64
	length  uint64
}

// half makes a call in the process's place, with half of the bytes that it is asked for. It returns what the call
// would: a count, or an error of the system.
func (p *Process) half(c *Call) (int, error) {
	fd, err := p.take(int(int32(c.Args[0])))
	if err != nil {
		return 0, errWhole
	}
	defer unix.Close(fd)
	if c.Number == unix.SYS_SENDFILE {
		return p.halfOfFile(c, fd)
	}
	spans, err := p.spans(c)
	if err != nil {
		return 0, errWhole
	}
	var sum uint64
	for _, s := range spans {
		sum += s.length
	}
	if sum < 2 {
		return 0, errWhole
	}
	buf := make([]byte, min(sum/2, halfMax))
	if sends(c.Number) {
		if err := p.gather(buf, spans); err != nil {
			return 0, errWhole
		}
		return send(c, fd, buf)
	}
	n, err := receive(c, fd, buf)
	if err != nil {
		return 0, err
	}
	return n, p.scatter(buf[:n], spans)
}

// spans is the memory that a call reads or writes.
func (p *Process) spans(c *Call) ([]span, error) {
	vector, count := c.Args[1], c.Args[2]
	switch c.Number {
	case unix.SYS_READ, unix.SYS_WRITE, unix.SYS_PREAD64, unix.SYS_RECVFROM, unix.SYS_SENDTO:
		return []span{{c.Args[1], c.Args[2]}}, nil
	case unix.SYS_READV, unix.SYS_WRITEV, unix.SYS_PREADV2, unix.SYS_PWRITEV2:
	case unix.SYS_SENDMSG: // struct msghdr: its vector and the length of that behind the address
		var header [32]byte
		if err := p.read(c.Args[1], header[:]); err != nil {
			return nil, err
		}
		vector = binary.NativeEndian.Uint64(header[16:])
		count = binary.NativeEndian.Uint64(header[24:])
	default:
		return nil, errWhole
	}
	text := make([]byte, 16*min(count, vectorMax))
	if err := p.read(vector, text); err != nil {
		return nil, err
	}
	var all []span
	for ; len(text) > 0; text = text[16:] {
		all = append(all, span{binary.NativeEndian.Uint64(text), binary.NativeEndian.Uint64(text[8:])})
	}
	return all, nil
}

func sends(number int) bool {
	switch number {
	case unix.SYS_WRITE, unix.SYS_WRITEV, unix.SYS_PWRITEV2, unix.SYS_SENDTO, unix.SYS_SENDMSG:
		return true
	}
	return false
}

func send(c *Call, fd int, buf []byte) (int, error) {
	switch c.Number {
	case unix.SYS_SENDTO:
		return unix.SendmsgN(fd, buf, nil, nil, int(c.Args[3])|unix.MSG_NOSIGNAL)
	case unix.SYS_SENDMSG:
		return unix.SendmsgN(fd, buf, nil, nil, int(c.Args[2])|unix.MSG_NOSIGNAL)
	case unix.SYS_PWRITEV2:
		return unix.Pwritev2(fd, [][]byte{buf}, int64(c.Args[3]), int(c.Args[5]))
	}
	return unix.Write(fd, buf)
}

func receive(c *Call, fd int, buf []byte) (int, error) {
	switch c.Number {
	case unix.SYS_RECVFROM:
		if err := await(fd); err != nil {
			return 0, err
		}
		n, _, err := unix.Recvfrom(fd, buf, int(c.Args[3]))
		return n, err
	case unix.SYS_PREAD64:
		return unix.Pread(fd, buf, int64(c.Args[3]))
	case unix.SYS_PREADV2:
		return unix.Preadv2(fd, [][]byte{buf}, int64(c.Args[3]), int(c.Args[5]))
	}
	return unix.Read(fd, buf)
}

// await waits for a blocking descriptor in turns that have a bound each.
func await(fd int) error {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil || flags&unix.O_NONBLOCK != 0 {
		return err
	}
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for range awaitTurns {
		if n, err := unix.Poll(fds, waitMillis); n > 0 || err != nil && err != unix.EINTR {
			return err
		}
	}
	return unix.EAGAIN // as after SO_RCVTIMEO
}

// halfOfFile is sendfile(2), whose offset lies in the process's memory.
func (p *Process) halfOfFile(c *Call, out int) (int, error) {
	in, err := p.take(int(int32(c.Args[1])))
	if err != nil || c.Args[2] == 0 || c.Args[3] < 2 {
		return 0, errors.Join(errWhole, err)
	}
	defer unix.Close(in)
	var text [8]byte
	if err := p.read(c.Args[2], text[:]); err != nil {
		return 0, errWhole
	}
	offset := int64(binary.NativeEndian.Uint64(text[:]))
	n, err := unix.Sendfile(out, in, &offset, int(c.Args[3]/2))
	if err != nil {
		return 0, err
	}
	binary.NativeEndian.PutUint64(text[:], uint64(offset))
	return n, p.write(c.Args[2], text[:])
}

// gather reads as much as buf holds from the process.
func (p *Process) gather(buf []byte, spans []span) error {
	for _, s := range spans {
		n := min(s.length, uint64(len(buf)))
		if err := p.read(s.address, buf[:n]); err != nil {
			return err
		}
		buf = buf[n:]
	}
	return nil
}

// scatter writes buf into the process.
func (p *Process) scatter(buf []byte, spans []span) error {
	for _, s := range spans {
		n := min(s.length, uint64(len(buf)))
		if err := p.write(s.address, buf[:n]); err != nil {
			return err
		}
		buf = buf[n:]
	}
	return nil
}
