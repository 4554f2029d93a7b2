// Package socket is stream sockets by system calls: made, accepted, received
// from, sent to and closed as a loop does it that must not wait.
//
// On Linux the calls of a loop are made directly and Go's scheduler is not told
// of them (RawSyscall), since on a non-blocking socket none of them waits: so
// [Recv], [Calls.Send] and [Calls.Accept] are for non-blocking descriptors alone.
// They allocate nothing. Elsewhere they go through x/sys: those systems promise
// a stable libc, not stable system calls.
//
// It imports golang.org/x/sys and nothing of this project.
package socket

import "net/netip"

// Unknown is the address of a peer that the system does not tell: 0.0.0.0, which is nobody's.
var Unknown = netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
