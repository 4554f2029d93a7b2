//go:build !linux && !freebsd

package listener

// reusePort is 0: SO_REUSEPORT here gives every connection to one socket.
const reusePort = 0

// sharesLater: the kernel looks at the option when a socket is bound alone.
const sharesLater = false
