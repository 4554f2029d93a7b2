package faults

import "golang.org/x/sys/unix"

// machineExceptions are those of calls that only this architecture makes.
var machineExceptions = []Exception{{unix.SYS_FACCESSAT, "faccessat", ofLinker}}
