package listener

import "golang.org/x/sys/unix"

// reusePort is the option that shares a port out among sockets (FreeBSD 12).
const reusePort = unix.SO_REUSEPORT_LB
