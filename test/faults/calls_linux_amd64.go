package faults

import "golang.org/x/sys/unix"

// machineExceptions are those of calls that only this architecture has.
var machineExceptions = []Exception{
	{unix.SYS_ARCH_PRCTL, "arch_prctl", ofThreads}, {unix.SYS_GETRLIMIT, "getrlimit", ofAddress},
	{unix.SYS_ACCESS, "access", ofLinker},
}
