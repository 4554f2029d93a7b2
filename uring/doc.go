// Package uring is io_uring(7) as far as this program uses it: a ring that one
// thread submits to and reaps, memory for what the kernel reads and writes
// between two calls, and a probe that says why there is no io_uring here.
//
// Everything that the kernel sees across calls is mapped outside the Go heap,
// and what a request carries as its user data is a number, never a pointer.
// The layouts and numbers are those of include/uapi/linux/io_uring.h.
//
// A ring is made by any thread and enabled by the one that will use it
// (IORING_SETUP_SINGLE_ISSUER); completions are posted only while that thread
// is within Enter (IORING_SETUP_DEFER_TASKRUN). All this takes Linux 6.1. On
// other systems the package is empty.
//
// It imports golang.org/x/sys and nothing of this project.
package uring
