package faults_test

import "golang.org/x/sys/unix"

// epollWait is the wait of netpoll, which makes the oldest call that the architecture has.
const epollWait = unix.SYS_EPOLL_PWAIT
