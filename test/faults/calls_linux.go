package faults

import (
	"slices"

	"golang.org/x/sys/unix"
)

// Reasons of calls that are not made to fail.
const (
	ofMemory    = "Go's runtime allocates memory by it, and ends the process without (runtime/mem_linux.go)"
	ofThreads   = "Go's runtime makes and ends threads by it, and ends the process without (runtime/os_linux.go)"
	ofScheduler = "Go's scheduler and timers, which take any error for a waking"
	ofSignals   = "Go's runtime handles signals by it, and ends the process without"
	ofAddress   = "its only error is that of an address outside of the process's memory (its man page)"
	ofLinker    = "the dynamic linker looks for /etc/ld.so.preload by it, before the program begins"
	neverFails  = "it has no error (its man page)"
)

// Exception is a call that is not made to fail, and why.
type Exception struct {
	Number       int
	Name, Reason string
}

// Exceptions are the calls that are never asked for. They include the most frequent ones of a Go program.
func Exceptions() []Exception {
	return append([]Exception{
		{unix.SYS_MUNMAP, "munmap", ofMemory}, {unix.SYS_MADVISE, "madvise", ofMemory},
		{unix.SYS_MPROTECT, "mprotect", ofMemory}, {unix.SYS_BRK, "brk", ofMemory},
		{unix.SYS_MINCORE, "mincore", ofMemory}, {unix.SYS_PRCTL, "prctl", "it names memory and threads"},
		{unix.SYS_CLONE, "clone", ofThreads}, {unix.SYS_CLONE3, "clone3", ofThreads},
		{unix.SYS_EXIT, "exit", neverFails}, {unix.SYS_EXIT_GROUP, "exit_group", neverFails},
		{unix.SYS_SET_TID_ADDRESS, "set_tid_address", ofThreads},
		{unix.SYS_SET_ROBUST_LIST, "set_robust_list", ofThreads}, {unix.SYS_RSEQ, "rseq", ofThreads},
		{unix.SYS_FUTEX, "futex", ofScheduler}, {unix.SYS_NANOSLEEP, "nanosleep", ofScheduler},
		{unix.SYS_CLOCK_NANOSLEEP, "clock_nanosleep", ofScheduler},
		{unix.SYS_CLOCK_GETTIME, "clock_gettime", ofScheduler},
		{unix.SYS_SCHED_YIELD, "sched_yield", neverFails},
		{unix.SYS_SCHED_GETAFFINITY, "sched_getaffinity", "an error of it counts as one CPU"},
		{unix.SYS_RT_SIGACTION, "rt_sigaction", ofSignals}, {unix.SYS_RT_SIGPROCMASK, "rt_sigprocmask", ofSignals},
		{unix.SYS_RT_SIGRETURN, "rt_sigreturn", ofSignals}, {unix.SYS_SIGALTSTACK, "sigaltstack", ofSignals},
		{unix.SYS_RESTART_SYSCALL, "restart_syscall", "the kernel's own, after a stop"},
		{unix.SYS_TGKILL, "tgkill", ofSignals}, {unix.SYS_GETPID, "getpid", neverFails},
		{unix.SYS_GETTID, "gettid", neverFails}, {unix.SYS_GETPPID, "getppid", neverFails},
		{unix.SYS_GETUID, "getuid", neverFails}, {unix.SYS_GETEUID, "geteuid", neverFails},
		{unix.SYS_GETGID, "getgid", neverFails}, {unix.SYS_GETEGID, "getegid", neverFails},
		{unix.SYS_UNAME, "uname", ofAddress}, {unix.SYS_SYSINFO, "sysinfo", ofAddress},
		{unix.SYS_LSEEK, "lseek", "package time seeks zones by it, and does without them"},
		{unix.SYS_GETPGID, "getpgid", "its only error is of another process"},
		{unix.SYS_UMASK, "umask", neverFails}, {unix.SYS_GETRUSAGE, "getrusage", ofAddress},
		{unix.SYS_GETCWD, "getcwd", "a start resolves relative paths by it, before anything is served"},
		{unix.SYS_GETRANDOM, "getrandom", "Go's runtime seeds maps by it before the program begins"},
	}, machineExceptions...)
}

// Unasked are the numbers of the Exceptions.
func Unasked() (numbers []int) {
	for _, e := range Exceptions() {
		numbers = append(numbers, e.Number)
	}
	slices.Sort(numbers)
	return slices.Compact(numbers)
}
