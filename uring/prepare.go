//go:build linux

package uring

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// PrepareNop does nothing and completes.
func (s *SQE) PrepareNop() { s.Opcode = opNop }

// PrepareAccept accepts connections from a listener until it is cancelled or
// fails (multishot, Linux 5.19): each completion's Res is a descriptor, with flags SOCK_...
// The peers' addresses are not reported.
func (s *SQE) PrepareAccept(listener int, flags uint32) {
	s.Opcode, s.FD, s.OpFlags, s.Ioprio = opAccept, int32(listener), flags, acceptMultishot
}

// PrepareRecv receives into a buffer of that group (IOSQE_BUFFER_SELECT).
// wait: there is probably nothing yet, so wait before trying (IORING_RECVSEND_POLL_FIRST).
func (s *SQE) PrepareRecv(fd int, group uint16, wait bool) {
	s.Opcode, s.FD, s.Flags, s.BufIndex = opRecv, int32(fd), flagBufferGroup, group
	if wait {
		s.Ioprio = recvPollFirst
	}
}

// PrepareSend sends p, which lies in mapped [Memory], with flags MSG_...
// With MSG_WAITALL the kernel itself goes on after a short send; with
// MSG_DONTWAIT too it does not, and the request has ended when Enter returns.
func (s *SQE) PrepareSend(fd int, p []byte, flags uint32) {
	s.Opcode, s.FD, s.Addr, s.Len, s.OpFlags = opSend, int32(fd), address(p), uint32(len(p)), flags
}

// PreparePoll waits, once, until one of the events (POLL...) is there.
func (s *SQE) PreparePoll(fd int, events uint32) {
	s.Opcode, s.FD, s.OpFlags = opPollAdd, int32(fd), pollMask(events)
}

// pollMask is poll32_events: its halves lie in the same order on every machine.
func pollMask(events uint32) uint32 {
	halves := [2]uint16{uint16(events), uint16(events >> 16)}
	return *(*uint32)(unsafe.Pointer(&halves))
}

// PreparePollEdges reports each time that one of the events (POLL...) arises, until it is cancelled.
func (s *SQE) PreparePollEdges(fd int, events uint32) {
	s.PreparePoll(fd, events)
	s.Len = pollAddMulti
}

// PrepareCancel cancels the request of that user data. It completes with
// ECANCELED, unless it was complete already (then the cancellation fails with ENOENT).
func (s *SQE) PrepareCancel(userData uint64) {
	s.Opcode, s.FD, s.Addr = opAsyncCancel, -1, userData
}

// PrepareCancelAll cancels every request of the ring (IORING_ASYNC_CANCEL_ANY, Linux 5.19).
func (s *SQE) PrepareCancelAll() {
	s.Opcode, s.FD, s.OpFlags = opAsyncCancel, -1, cancelAll|cancelAny
}

// Error is what a completion failed with, nil if it did not.
func (c *CQE) Error() error {
	if c.Res >= 0 {
		return nil
	}
	return unix.Errno(-c.Res)
}
