//go:build linux

package uring

import "unsafe"

// The layouts, checked by the compiler: an array of another size is another type.
var (
	_ [64]struct{}  = [unsafe.Sizeof(SQE{})]struct{}{}
	_ [8]struct{}   = [unsafe.Offsetof(SQE{}.Off)]struct{}{}
	_ [16]struct{}  = [unsafe.Offsetof(SQE{}.Addr)]struct{}{}
	_ [24]struct{}  = [unsafe.Offsetof(SQE{}.Len)]struct{}{}
	_ [28]struct{}  = [unsafe.Offsetof(SQE{}.OpFlags)]struct{}{}
	_ [32]struct{}  = [unsafe.Offsetof(SQE{}.UserData)]struct{}{}
	_ [40]struct{}  = [unsafe.Offsetof(SQE{}.BufIndex)]struct{}{}
	_ [44]struct{}  = [unsafe.Offsetof(SQE{}.FileIndex)]struct{}{}
	_ [48]struct{}  = [unsafe.Offsetof(SQE{}.Addr3)]struct{}{}
	_ [16]struct{}  = [unsafe.Sizeof(CQE{})]struct{}{}
	_ [8]struct{}   = [unsafe.Offsetof(CQE{}.Res)]struct{}{}
	_ [12]struct{}  = [unsafe.Offsetof(CQE{}.Flags)]struct{}{}
	_ [120]struct{} = [unsafe.Sizeof(params{})]struct{}{}
	_ [20]struct{}  = [unsafe.Offsetof(params{}.features)]struct{}{}
	_ [40]struct{}  = [unsafe.Offsetof(params{}.sq)]struct{}{}
	_ [80]struct{}  = [unsafe.Offsetof(params{}.cq)]struct{}{}
	_ [24]struct{}  = [unsafe.Offsetof(waitArg{}.sec)]struct{}{}
	_ [16]struct{}  = [unsafe.Offsetof(waitArg{}.timespec)]struct{}{}
	_ [40]struct{}  = [unsafe.Sizeof(bufferReg{})]struct{}{}
	_ [8]struct{}   = [unsafe.Offsetof(bufferReg{}.ringEntries)]struct{}{}
	_ [12]struct{}  = [unsafe.Offsetof(bufferReg{}.group)]struct{}{}
	_ [16]struct{}  = [unsafe.Sizeof(buffer{})]struct{}{}
	_ [14]struct{}  = [unsafe.Offsetof(buffer{}.tail)]struct{}{}
	_ [16]struct{}  = [unsafe.Sizeof(rsrcUpdate{})]struct{}{}
)

// Operations that the tests alone ask for.
const (
	opTimeout = 11
	opClose   = 19
	opRead    = 22
)

// PrepareRead reads into p, which lies in mapped [Memory], from the descriptor's own position.
func (s *SQE) PrepareRead(fd int, p []byte) {
	s.Opcode, s.FD, s.Addr, s.Len, s.Off = opRead, int32(fd), address(p), uint32(len(p)), ^uint64(0)
}

// PrepareClose closes a descriptor.
func (s *SQE) PrepareClose(fd int) { s.Opcode, s.FD = opClose, int32(fd) }

// PrepareTimeout completes with ETIME when the time, a struct __kernel_timespec
// in mapped [Memory], has passed.
func (s *SQE) PrepareTimeout(timespec []byte) {
	s.Opcode, s.FD, s.Addr, s.Len = opTimeout, -1, address(timespec), 1
}
