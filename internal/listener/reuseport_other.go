//go:build !linux && !freebsd

package listener

// reusePort is 0, since SO_REUSEPORT gives every connection to one socket here.
const reusePort = 0
